"""Read and write image files without losing what super-resolution tools usually lose.

Alpha, 16 bits, orientation, colour profile, EXIF, XMP, resolution and PNG texts are kept; files are written atomically
and, but for JPEG and WebP, row by row, so that a result larger than the memory can be written.
Pillow decodes everything and encodes JPEG and WebP. It can write neither 16-bit RGB nor rows that come one after
another, so PNG, TIFF and BMP are written here: these are containers around plain or zlib-compressed rows.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from span_keras.errors import ImageError
from span_keras.images.picture import PNG_SIGNATURE, READABLE, SUB_DIRECTORIES, XMP_TEXT, Metadata, Picture

_DESCRIPTIVE_TAGS = {
    *(ExifTags.Base[name] for name in ("ImageDescription", "Make", "Model", "XResolution", "YResolution")),
    *(
        ExifTags.Base[name]
        for name in ("ResolutionUnit", "Software", "DateTime", "Artist", "HostComputer", "Copyright")
    ),
    *(ExifTags.Base[name] for name in ("XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject", "Rating")),
}
"""First-directory tags worth keeping; the others of a TIFF file describe where its pixels lie."""

_BITS, _PHOTOMETRIC, _SAMPLES, _PLANES = 258, 262, 277, 284
"""TIFF tags: BitsPerSample, PhotometricInterpretation, SamplesPerPixel, PlanarConfiguration."""


def read_image(path: str | Path) -> Picture:
    """Decode the first image of a PNG, JPEG, WebP, TIFF or BMP file.

    Orientation is applied. Palettes and one-bit images become RGB or grey; CMYK becomes sRGB, by its profile where it
    has one.

    Raises:
        ImageError: the file is missing, is none of these formats, is damaged or claims absurd dimensions.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about sizes below its limit and about odd metadata
            with Image.open(path, formats=READABLE) as image:
                if 0 in image.size:
                    raise ImageError(f"{path} has no pixels: its size is {image.width}×{image.height}.")
                return _read(path, image)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist; give the path of an image file.") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder; give the path of an image file.") from None
    except PermissionError:
        raise ImageError(f"{path} may not be read; change its permissions.") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{path} claims more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels, the most that is decoded; "
            "cut it into parts."
        ) from None
    except Image.UnidentifiedImageError:
        with path.open("rb") as file:
            head = file.read(24)
        if len(head) == 24 and head.startswith(PNG_SIGNATURE) and 0 in (size := struct.unpack(">II", head[16:])):
            raise ImageError(f"{path} has no pixels: its size is {size[0]}×{size[1]}.") from None
        what = "is not a readable PNG, JPEG, WebP, TIFF or BMP image" if head else "is empty"
        raise ImageError(f"{path} {what}; expected an image file.") from None
    except MemoryError:
        raise ImageError(f"{path} does not fit into memory.") from None
    except Exception as error:  # decoders of damaged files can raise anything
        raise ImageError(f"{path} is damaged or truncated and cannot be decoded ({error}).") from None


def _read(path: Path, image: Image.Image) -> Picture:
    notes = []
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        notes.append(f"{path} holds {image.n_frames} images; only the first is used.")
    samples, icc = _decode(path, image, notes)
    try:
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        descriptive = _descriptive(exif)
    except Exception:  # malformed EXIF can raise anything and must not cost the picture
        exif, orientation, descriptive = {}, 1, None
        notes.append(f"{path} has damaged EXIF data; they are left out.")
    if icc and icc[16:20] != (b"RGB " if samples.shape[2] > 2 else b"GRAY"):
        notes.append(f"{path} has a colour profile of another kind than its pixels; it is left out.")
        icc = None
    info = image.info
    xmp = info.get("xmp") or (exif.get(700) if image.format == "TIFF" else None)
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
    return Picture(np.ascontiguousarray(_upright(samples, orientation)), metadata, tuple(notes))


def _decode(path: Path, image: Image.Image, notes: list[str]) -> tuple[np.ndarray, bytes | None]:
    """Samples (H, W, C) as stored, and the profile that describes them; what is lost is added to ``notes``."""
    icc = image.info.get("icc_profile") or None
    tags = image.tag_v2 if image.format == "TIFF" else {}
    if tags.get(_PLANES) == 2 and tags.get(_SAMPLES, 1) > 1 and max(tags.get(_BITS, (1,))) > 8:
        raise ImageError(f"{path} has 16-bit samples in separate planes; save it with interleaved channels.")
    mend_transparency(image)
    transparent = image.info.get("transparency")
    if deep := _decode_16_bit(path, image):
        samples = deep()
    elif image.mode.startswith("I;16") or image.mode == "I":
        if (values := deep_grey(image)) is None:
            raise ImageError(f"{path} has 32-bit samples; save it with 8 or 16 bits per channel.")
        samples = np.asarray(values, np.uint16)[..., None]
    elif image.mode in ("1", "L", "LA", "La"):
        samples = np.asarray(image.convert("LA" if "A" in image.mode.upper() or transparent is not None else "L"))
        return samples.reshape(*samples.shape[:2], -1), icc
    elif image.mode in ("P", "PA", "RGB", "RGBX", "RGBA", "RGBa"):
        alpha = "A" in image.mode.upper() or transparent is not None
        if any("RGBa;16" in _rawmode(tile) for tile in image.tile):
            notes.append(f"{path} has 16-bit samples multiplied by alpha, of which 8 bits are read.")
        return np.asarray(image.convert("RGBA" if alpha else "RGB")), icc
    elif image.mode in ("CMYK", "YCbCr", "LAB"):
        return np.asarray(_to_srgb(image, icc)), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    else:
        raise ImageError(f"{path} has samples of kind {image.mode}; save it as 8- or 16-bit grey or RGB.")
    if transparent is not None and samples.shape[2] in (1, 3):  # one 16-bit colour stands for transparent
        opaque = (samples != np.asarray(transparent, np.uint16)).any(2, keepdims=True)
        samples = np.concatenate([samples, np.where(opaque, np.uint16(65535), np.uint16(0))], 2)
    return samples, icc


def mend_transparency(image: Image.Image) -> None:
    """Tell the transparent grey of a PNG of 1, 2 or 4 bits, not decoded yet, in the 8 bits that it is decoded to."""
    grey = image.info.get("transparency")
    if isinstance(grey, int) and image.tile and (depth := {"1": 1, "L;2": 2, "L;4": 4}.get(_rawmode(image.tile[0]))):
        most = 2**depth - 1
        image.info["transparency"] = (grey & most) * 255 // most


def deep_grey(image: Image.Image) -> np.ndarray | None:
    """Samples (H, W) of a grey image of more than 8 bits, from 0 for black.

    Returns:
        Integers up to 65535, or floating point up to 1; None if there is a sample beyond, whose range nobody knows.
    """
    values, most = np.asarray(image), 1 if image.mode == "F" else 65535
    if not (values.min() >= 0 and values.max() <= most):  # NaN is neither
        return None
    white_is_zero = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0
    return most - values if white_is_zero else values


def _decode_16_bit(path: Path, image: Image.Image):
    """For 16-bit files that Pillow would cut down to 8 bits, a function that decodes all 16, else None.

    Pillow unpacks raw mode ``RGB;16B`` into the first byte of every sample and ``RGB;16L`` into the second: decoding
    once as each gives both. Grey with alpha has four bytes per pixel, which ``RGBA`` takes over as they are.
    """
    if len(image.tile) == 0:
        return None
    rawmode = _rawmode(image.tile[0])
    if rawmode == "LA;16B":

        def grey_alpha():
            both = _load_as(path, {"LA;16B": "RGBA"}).astype(np.uint16)
            return both[..., 0::2] << 8 | both[..., 1::2]

        return grey_alpha
    if not re.fullmatch("RGB[AX]?;16[BLN]", rawmode):
        return None
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[rawmode[-1]]

    def colors():
        upper, lower = np.asarray(image), _load_as(path, {rawmode: rawmode[:-1] + other})
        return (upper.astype(np.uint16) << 8 | lower)[..., : 4 if rawmode[3] == "A" else 3]

    return colors


def _rawmode(tile) -> str:
    """How a decoder is to unpack a part of an image; some want nothing but that, some more."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _load_as(path: Path, rawmodes: dict[str, str]) -> np.ndarray:
    with Image.open(path, formats=READABLE) as image:
        tiles = []
        for tile in image.tile:
            rawmode = rawmodes[_rawmode(tile)]
            arguments = (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode
            # Named tuples since Pillow 11, of which some decoders ask for the names.
            tiles.append(getattr(type(tile), "_make", tuple)((*tile[:3], arguments)))
        image.tile = tiles
        image.load()
        return np.asarray(image)


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if icc and image.mode == "CMYK":
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a broken profile: fall back to the plain formula
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, lab, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")


def _upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1 to 8; anything else is taken as 1."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples


def _descriptive(exif: Image.Exif) -> bytes | None:
    """EXIF without what describes the storage, a stale thumbnail or an orientation that is already applied."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS & set(exif):
        kept[tag] = exif[tag]
    for tag in SUB_DIRECTORIES:
        if values := dict(exif.get_ifd(tag)):
            values.pop(ExifTags.Base.MakerNote, None)  # its offsets are only valid in the file it came from
            kept[tag] = values
    return kept.tobytes() if kept else None
