"""Read image files without losing what super-resolution tools usually lose.

Alpha, 16 bits, orientation, colour profile, EXIF, XMP, IPTC, resolution and PNG texts are kept. Pillow does the
decoding.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import ExifTags, Image

from span_keras.errors import ImageError
from span_keras.images.containers import png_chunks
from span_keras.images.deep_grey_alpha import disguised, revealed
from span_keras.images.mend import flaw, mended
from span_keras.images.open import misnamed, opened, unreadable
from span_keras.images.picture import IPTC_TEXT, SUB_DIRECTORIES, XMP_TEXT, Metadata, Picture
from span_keras.images.samples import orientation_of, samples_of, upright, upright_size
from span_keras.images.source import Source, stream_of
from span_keras.images.spool import spooled

_DESCRIPTIVE_TAGS = {
    *(ExifTags.Base[name] for name in ("ImageDescription", "Make", "Model", "XResolution", "YResolution")),
    *(
        ExifTags.Base[name]
        for name in ("ResolutionUnit", "Software", "DateTime", "Artist", "HostComputer", "Copyright")
    ),
    *(ExifTags.Base[name] for name in ("XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject", "Rating")),
}
"""First-directory tags worth keeping; the others of a TIFF file describe where its pixels lie."""

_XMP, _IPTC = 700, 33723
"""TIFF tags."""

_IPTC_RESOURCE = 0x0404
"""Number of Photoshop's resource that holds IPTC in a JPEG."""

_NOT_DAMAGE = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Everything else comes of damaged files; decoders in Rust panic."""


def image_size(source: Source) -> tuple[int, int] | None:
    """Return height and width of an image, upright, without decoding it; None if they cannot be read."""
    try:
        with opened(source) as image:
            return upright_size(image)[::-1]
    except _NOT_DAMAGE:
        raise
    except BaseException:  # ``read_image`` tells what is wrong
        return None


def read_image(source: Source, strict: bool = False) -> Picture:
    """Decode the first image of a file of a format in ``formats.READABLE``.

    Orientation is applied, that of EXIF alone, as browsers do. Palettes and one-bit images become RGB or grey; CMYK
    becomes sRGB, by its profile where it has one. Damage that spares the pixels is mended with a note, see ``mend``.

    Args:
        source: the path of the file, or its bytes as ``source.Encoded``.
        strict: refuse what is damaged, even if it can be mended.

    Raises:
        ImageError: the file is missing, is of no such format, is damaged or claims absurd dimensions.
    """
    try:
        picture, damage = _decoded(source), flaw(source)
        if damage and strict:
            raise ImageError(f"{damage.replace(', which are left out', '')}; leave --strict out to read it")
    except _NOT_DAMAGE:
        raise
    except BaseException as error:
        found = None if strict else _mended(source)
        if not found:
            raise unreadable(source, error) from None
        picture, damage = found
    return replace(picture, notes=(f"{source} {damage}.", *picture.notes)) if damage else picture


def _mended(source: Source) -> tuple[Picture, str] | None:
    """Return the picture of a damaged file, and what was mended; None if it cannot be."""
    try:
        found = mended(source)
        return found and (_decoded(found.file), found.note)
    except _NOT_DAMAGE:
        raise
    except BaseException:  # it is beyond mending
        return None


def _decoded(source: Source) -> Picture:
    if found := disguised(source):
        source, *kind = found
    with opened(source) as image:
        if 0 in image.size:
            raise ImageError(f"has no pixels: its size is {image.width}×{image.height}")
        return _read(source, image, (lambda samples: revealed(samples, *kind)) if found else None)


def _read(source: Source, image: Image.Image, reveal: Callable[[np.ndarray], np.ndarray] | None) -> Picture:
    notes = []
    if kind := misnamed(source):
        notes.append(f"is {kind.label}, whatever its name says")
    if (count := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
        notes.append(f"holds {count} images; only the first is used")
    turned = image.format == "TIFF" and image.tag_v2.get(ExifTags.Base.Orientation, 1) != 1
    samples, icc, lost = samples_of(image, source)
    notes += lost
    orientation = orientation_of(image)
    try:
        exif = image.getexif()
        descriptive = _descriptive(exif)
    except Exception:  # malformed EXIF can raise anything and must not cost the picture
        exif, descriptive = {}, None
        notes.append("has damaged EXIF data; they are left out")
    if icc and icc[16:20] != (b"RGB " if samples.shape[2] > 2 else b"GRAY"):
        notes.append("has a colour profile of another kind than its pixels; it is left out")
        icc = None
    info = image.info
    texts = {k: str(v) for k, v in getattr(image, "text", {}).items() if k != XMP_TEXT and "Raw profile" not in k}
    if isinstance(comment := info.get("comment"), bytes):
        texts.setdefault("Comment", _decoded_text(comment))
    metadata = Metadata(
        icc=icc,
        exif=descriptive,
        xmp=_xmp(image, exif, turned=turned or orientation != 1),
        iptc=_iptc(image),
        dpi=_resolution(image, exif),
        texts=texts,
        gamma=info.get("gamma"),
        srgb=info.get("srgb"),
        chromaticity=info.get("chromaticity"),
        cicp=_cicp(source) if image.format == "PNG" else None,
    )
    samples = reveal(samples) if reveal else spooled(upright(samples, orientation))
    return Picture(samples, metadata, tuple(f"{source} {note}." for note in notes))


def _decoded_text(data: bytes) -> str:
    """Return a JPEG's comment, whose encoding nothing names."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _xmp(image: Image.Image, exif: Image.Exif, turned: bool) -> bytes | None:
    """Return the XMP packet; its orientation is reset where EXIF's was applied."""
    xmp = image.info.get("xmp") or (exif.get(_XMP) if image.format == "TIFF" else None)
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if not xmp:
        return None
    return re.sub(rb"(tiff:Orientation(?:=[\"']|>))\d", rb"\g<1>1", bytes(xmp)) if turned else bytes(xmp)


def _iptc(image: Image.Image) -> bytes | None:
    """Return the IPTC records of a JPEG, TIFF or PNG, or None."""
    found = None
    if image.format in ("JPEG", "MPO") and isinstance(resources := image.info.get("photoshop"), dict):
        found = resources.get(_IPTC_RESOURCE)
    elif image.format == "TIFF":
        found = image.tag_v2.get(_IPTC)
        if isinstance(found, tuple):  # some programs store it as whole numbers of 32 bits
            found = b"".join(value.to_bytes(4, "little" if image.tag_v2.prefix == b"II" else "big") for value in found)
    elif profile := getattr(image, "text", {}).get(IPTC_TEXT):
        try:
            found = bytes.fromhex("".join(profile.split("\n")[3:]))
            found = found[found.index(b"\x1c\x02") :]
        except ValueError:
            return None
    return found if isinstance(found, bytes) and found else None


def _resolution(image: Image.Image, exif: Image.Exif) -> tuple[float, float] | None:
    """Return the pixels per inch that a file states; Pillow invents some for files that state none."""
    info = image.info
    if image.format in ("PNG", "BMP") or (image.format in ("JPEG", "MPO") and info.get("jfif_unit") in (1, 2)):
        dpi, unit = info.get("dpi"), 2
    elif (unit := exif.get(ExifTags.Base.ResolutionUnit, 2)) in (2, 3):
        dpi = [exif.get(tag) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution)]
    else:
        return None
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):  # anything may stand there
        dpi = tuple(float(value) * (2.54 if unit == 3 else 1) for value in dpi)
        return dpi if all(0 < value < 1e6 for value in dpi) else None
    return None


def _cicp(source: Source) -> bytes | None:
    """Return the four numbers of a PNG's cICP chunk, which Pillow passes over, or None."""
    with stream_of(source) as file:
        head = file.read(2**16)  # it stands before the pixels
    for chunk in png_chunks(head):
        if chunk.name == b"cICP" and chunk.stop - chunk.start == 16:
            return head[chunk.content]
    return None


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
