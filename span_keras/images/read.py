"""Read image files without losing what super-resolution tools usually lose.

Alpha, 16 bits, orientation, colour profile, EXIF, XMP, resolution and PNG texts are kept. Pillow does the decoding.
"""

from __future__ import annotations

import re

import numpy as np
from PIL import ExifTags, Image

from span_keras.errors import ImageError
from span_keras.images.open import Source, opened, unreadable
from span_keras.images.picture import SUB_DIRECTORIES, XMP_TEXT, Metadata, Picture
from span_keras.images.samples import samples_of, upright

_DESCRIPTIVE_TAGS = {
    *(ExifTags.Base[name] for name in ("ImageDescription", "Make", "Model", "XResolution", "YResolution")),
    *(
        ExifTags.Base[name]
        for name in ("ResolutionUnit", "Software", "DateTime", "Artist", "HostComputer", "Copyright")
    ),
    *(ExifTags.Base[name] for name in ("XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject", "Rating")),
}
"""First-directory tags worth keeping; the others of a TIFF file describe where its pixels lie."""

_XMP = 700
"""TIFF tag."""


def read_image(source: Source) -> Picture:
    """Decode the first image of a file of a format in ``formats.READABLE``.

    Orientation is applied. Palettes and one-bit images become RGB or grey; CMYK becomes sRGB, by its profile where it
    has one.

    Args:
        source: the path of the file, or its bytes as ``open.Encoded``.

    Raises:
        ImageError: the file is missing, is of no such format, is damaged or claims absurd dimensions.
    """
    try:
        with opened(source) as image:
            if 0 in image.size:
                raise ImageError(f"has no pixels: its size is {image.width}×{image.height}")
            return _read(source, image)
    except Exception as error:  # decoders of damaged files can raise anything
        raise unreadable(source, error) from None


def _read(source: Source, image: Image.Image) -> Picture:
    notes = []
    if (count := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
        notes.append(f"holds {count} images; only the first is used")
    samples, icc, lost = samples_of(image, source)
    notes += lost
    try:
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        descriptive = _descriptive(exif)
    except Exception:  # malformed EXIF can raise anything and must not cost the picture
        exif, orientation, descriptive = {}, 1, None
        notes.append("has damaged EXIF data; they are left out")
    if icc and icc[16:20] != (b"RGB " if samples.shape[2] > 2 else b"GRAY"):
        notes.append("has a colour profile of another kind than its pixels; it is left out")
        icc = None
    info = image.info
    xmp = info.get("xmp") or (exif.get(_XMP) if image.format == "TIFF" else None)
    if isinstance(xmp, str):
        xmp = xmp.encode()
    texts = {k: str(v) for k, v in getattr(image, "text", {}).items() if k != XMP_TEXT and "Raw profile" not in k}
    if isinstance(comment := info.get("comment"), bytes):
        texts.setdefault("Comment", comment.decode("utf-8", "replace"))
    dpi = info.get("dpi")
    metadata = Metadata(
        icc=icc,
        exif=descriptive,
        xmp=re.sub(rb"(tiff:Orientation(?:=[\"']|>))\d", rb"\g<1>1", bytes(xmp)) if xmp else None,
        dpi=tuple(map(float, dpi)) if dpi and all(0 < float(d) < 1e6 for d in dpi) else None,
        texts=texts,
        gamma=info.get("gamma"),
        srgb=info.get("srgb"),
    )
    samples = np.ascontiguousarray(upright(samples, orientation))
    return Picture(samples, metadata, tuple(f"{source} {note}." for note in notes))


def _descriptive(exif: Image.Exif) -> bytes | None:
    """Return EXIF without what describes the storage, a stale thumbnail or an orientation that is already applied."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS & set(exif):
        kept[tag] = exif[tag]
    for tag in SUB_DIRECTORIES:
        if values := dict(exif.get_ifd(tag)):
            values.pop(ExifTags.Base.MakerNote, None)  # its offsets are only valid in the file it came from
            kept[tag] = values
    return kept.tobytes() if kept else None
