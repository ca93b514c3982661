"""Read and write image files without losing what super-resolution tools usually lose.

Alpha, 16 bits, orientation, colour profile, EXIF, XMP, resolution and PNG texts are kept; files are written atomically
and, but for JPEG and WebP, row by row, so that a result larger than the memory can be written.
Pillow decodes everything and encodes JPEG and WebP. It can write neither 16-bit RGB nor rows that come one after
another, so PNG, TIFF and BMP are written here: these are containers around plain or zlib-compressed rows.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from span_keras import atomic
from span_keras.errors import ImageError

READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Formats that are read. Others that Pillow knows are refused: some run other programs (EPS)."""
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""Written formats by file name suffix."""
MAX_SIDE = {"JPEG": 65500, "WEBP": 16383}
"""Longest side that a format's encoder accepts."""
MAX_BYTES = 2**32 - 2**20
"""Most bytes of pixels in TIFF and BMP, whose offsets have 32 bits; a mebibyte is left for metadata."""
MAX_SEGMENT = 65000
"""Most bytes of EXIF, XMP or comment in a JPEG, with room for what Pillow adds to them."""
QUALITY = 95
"""Default quality of JPEG and WebP."""

_DESCRIPTIVE_TAGS = {
    *(ExifTags.Base[name] for name in ("ImageDescription", "Make", "Model", "XResolution", "YResolution")),
    *(
        ExifTags.Base[name]
        for name in ("ResolutionUnit", "Software", "DateTime", "Artist", "HostComputer", "Copyright")
    ),
    *(ExifTags.Base[name] for name in ("XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject", "Rating")),
}
"""First-directory tags worth keeping; the others of a TIFF file describe where its pixels lie."""
_SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_TEXT = "XML:com.adobe.xmp"
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANES = 258, 262, 277, 284
"""TIFF tags: BitsPerSample, PhotometricInterpretation, SamplesPerPixel, PlanarConfiguration."""


@dataclass(frozen=True)
class Metadata:
    """What a file says about its pixels. Orientation is already applied, and reset to "upright" here.

    Attributes:
        icc: colour profile, or None.
        exif: descriptive EXIF tags with their sub-directories, starting with ``b"Exif\\0\\0"``, or None.
        xmp: XMP packet, or None.
        dpi: pixels per inch, horizontally and vertically, or None.
        texts: texts of a PNG by keyword; a JPEG's comment is ``"Comment"``.
        gamma, srgb: a PNG's gAMA value and sRGB intent, which matter where there is no profile.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    gamma: float | None = None
    srgb: int | None = None


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright.

    Attributes:
        samples: (H, W, C) uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not premultiplied).
        metadata: everything beside the pixels.
        notes: sentences about what the file held that could not be kept.
    """

    samples: np.ndarray
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) float32 RGB in [0, 1]; grey is repeated, alpha left out."""
        colors = to_float(self.samples[..., : 3 if self.samples.shape[2] > 2 else 1])
        return np.broadcast_to(colors, (*colors.shape[:2], 3)).copy() if colors.shape[2] == 1 else colors

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W) float32 in [0, 1], or None for an image without."""
        return None if self.samples.shape[2] % 2 else to_float(self.samples[..., -1])


def to_float(samples: np.ndarray) -> np.ndarray:
    """uint8 or uint16 over its whole range -> float32 in [0, 1]."""
    return samples.astype(np.float32) * np.float32(1 / np.iinfo(samples.dtype).max)


def to_samples(pixels: np.ndarray, dtype) -> np.ndarray:
    """Floating point -> uint8 or uint16 over its whole range: clipped, halves rounded up."""
    most = np.float32(np.iinfo(dtype).max)
    return (np.clip(pixels, 0, 1) * most + np.float32(0.5)).astype(dtype)


def files_below(folder: Path) -> list[Path]:
    """Everything but folders in a folder and its subfolders, sorted. Links to folders are followed.

    Each folder is looked into once, by its own name rather than a link's, and those above ``folder`` never.
    """

    def identity(place) -> tuple[int, int]:
        status = os.stat(place)  # noqa: PTH116 - of names as they come from os.walk
        return status.st_dev, status.st_ino

    found, seen, places = [], set(), [str(folder)]
    for parent in folder.resolve().parents:
        with contextlib.suppress(OSError):  # one that may not be looked at
            seen.add(identity(parent))
    for place in places:  # links are added while it is gone through
        for root, folders, names in os.walk(place):
            if (here := identity(root)) in seen:
                folders.clear()
                continue
            seen.add(here)
            found += [Path(root, name) for name in names]
            paths = [os.path.join(root, name) for name in folders]  # noqa: PTH118
            places += sorted(filter(os.path.islink, paths))
    return sorted(found)


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
        if len(head) == 24 and head.startswith(_PNG_SIGNATURE) and 0 in (size := struct.unpack(">II", head[16:])):
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
    texts = {k: str(v) for k, v in getattr(image, "text", {}).items() if k != _XMP_TEXT and "Raw profile" not in k}
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
    for tag in _SUB_DIRECTORIES:
        if values := dict(exif.get_ifd(tag)):
            values.pop(ExifTags.Base.MakerNote, None)  # its offsets are only valid in the file it came from
            kept[tag] = values
    return kept.tobytes() if kept else None


def scaled_metadata(metadata: Metadata, width: int, height: int) -> Metadata:
    """The same metadata for an image of another size: the sizes that EXIF repeats are corrected."""
    if not metadata.exif:
        return metadata
    exif = _load_exif(metadata.exif)
    values = dict(exif.get_ifd(ExifTags.IFD.Exif))
    sizes = {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
    if not set(sizes) & set(values):
        return metadata
    exif[ExifTags.IFD.Exif] = values | sizes
    return replace(metadata, exif=exif.tobytes())


def _load_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


def write_image(path: str | Path, picture: Picture, quality: int = QUALITY) -> None:
    """Write a picture in the format of the path's suffix; the file appears whole or not at all.

    Args:
        quality: 1 to 100 for JPEG and WebP; 100 makes WebP lossless.

    Raises:
        ImageError: see ``open_writer``.
    """
    with open_writer(path, *picture.samples.shape, picture.samples.dtype, picture.metadata, quality) as write:
        write(picture.samples)


def format_of(path: str | Path) -> str:
    """``"PNG"``, ``"JPEG"``, ... by suffix.

    Raises:
        ImageError: the suffix is of no written format.
    """
    try:
        return FORMATS[Path(path).suffix.lower()]
    except KeyError:
        raise ImageError(
            f"the output {path} should end in one of {', '.join(FORMATS)}, found {Path(path).suffix or 'no suffix'!r}."
        ) from None


def depth_of(path: str | Path, dtype) -> np.dtype:
    """The sample type a file of this name will hold: uint16 only where the format can."""
    return np.dtype(dtype if format_of(path) in ("PNG", "TIFF") else np.uint8)


def storable(path: str | Path, metadata: Metadata, channels: int, dtype) -> tuple[Metadata, list[str]]:
    """What of the metadata a file of this name can hold, and sentences about what it cannot.

    Args:
        channels, dtype: of the samples to be written.
    """
    kind = format_of(path)
    lost, notes = {}, []
    grey_becomes_rgb = channels < 3 and (kind == "WEBP" or (kind == "TIFF" and channels == 2 and dtype == np.uint16))
    if metadata.icc and metadata.icc[16:20] == b"GRAY" and grey_becomes_rgb:
        notes.append(f"{path} holds RGB, so the colour profile, which is for grey, is left out; a .png keeps it.")
        metadata = replace(metadata, icc=None)
    if kind == "BMP":
        lost = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP"}
    elif kind == "JPEG":
        # A segment of the file holds 64 kB, and longer EXIF or XMP is not worth losing the picture for.
        lost = {key: key.upper() for key in ("exif", "xmp") if len(getattr(metadata, key) or b"") >= MAX_SEGMENT}
    elif kind == "WEBP":
        lost = {"dpi": "resolution"}
    lost = {key: name for key, name in lost.items() if getattr(metadata, key)}
    names = list(lost.values())
    texts = metadata.texts
    if kind != "PNG":
        comment = texts.get("Comment", "")
        fits = kind == "JPEG" and comment and len(comment.encode()) < MAX_SEGMENT
        texts = {"Comment": comment} if fits else {}
        names += [f"text {key!r}" for key in metadata.texts if key not in texts]
    if names:
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        notes.append(f"{path} cannot hold the {listed}; a .png can.")
    return replace(metadata, texts=texts, **dict.fromkeys(lost)), notes


@contextlib.contextmanager
def open_writer(
    path: str | Path,
    height: int,
    width: int,
    channels: int,
    dtype,
    metadata: Metadata | None = None,
    quality: int = QUALITY,
) -> Iterator:
    """Write an image from top to bottom: ``with open_writer(...) as write: write(rows); write(more_rows)``.

    ``rows`` are (n, width, channels) of ``dtype``, n in all adding up to ``height``. What is written lies in a hidden
    temporary file in the same folder, which replaces ``path`` only when the block ends without an exception. Metadata
    that the format cannot hold are left out, see ``storable``.

    Raises:
        ImageError: the folder is missing or not writable, the disk is full, the suffix is unknown, or the format
            cannot hold the size, the channels or the depth.
    """
    path, metadata, kind = Path(path), metadata or Metadata(), format_of(path)
    dtype = np.dtype(dtype)
    if depth_of(path, dtype) != dtype:
        raise ImageError(f"{kind} holds 8 bits per sample; write {path.name} as .png or .tif to keep 16.")
    if max(height, width) > MAX_SIDE.get(kind, 2**31 - 1):
        raise ImageError(
            f"{kind} holds at most {MAX_SIDE[kind]} pixels per side, {path.name} would be {width}×{height}; "
            "write a .png."
        )
    if kind in ("TIFF", "BMP") and height * width * max(channels, 3) * dtype.itemsize > MAX_BYTES:
        raise ImageError(f"{kind} holds at most 4 GB, {path.name} would be {width}×{height} pixels; write a .png.")
    metadata, _ = storable(path, metadata, channels, dtype)
    rows_written = 0

    def write(rows: np.ndarray) -> None:
        nonlocal rows_written
        if rows.shape[1:] != (width, channels) or rows.dtype != dtype or rows_written + len(rows) > height:
            raise ValueError(
                f"expected {dtype} rows of {(width, channels)} up to {height}, found {rows.dtype} {rows.shape}"
            )
        with _names_unwritable(path):
            writer.write(np.ascontiguousarray(rows))
        rows_written += len(rows)

    with contextlib.ExitStack() as stack:
        with _names_unwritable(path):
            file = stack.enter_context(atomic.replaced(path)).open("wb")
            stack.callback(_close_quietly, file)
            writer = _WRITERS[kind](file, kind, height, width, channels, dtype, metadata, quality)
        yield write
        if rows_written != height:
            raise ValueError(f"expected {height} rows, found {rows_written}")
        with _names_unwritable(path):
            writer.close()
            file.close()
            stack.close()


def _close_quietly(file) -> None:
    with contextlib.suppress(OSError):  # on a full disk, what is left in the buffer fails once more
        file.close()


@contextlib.contextmanager
def _names_unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written ({error.strerror or error}); check the folder and the free space."
        ) from error


class _PngWriter:
    """PNG with 8 or 16 bits, rows filtered and deflated as they come. Source: the W3C's PNG specification."""

    LEVEL = 5

    def __init__(self, file, kind, height, width, channels, dtype, metadata, quality):
        self.file, self.stride = file, channels * dtype.itemsize
        self.previous = np.zeros(width * self.stride, np.uint8)
        self.deflate = zlib.compressobj(self.LEVEL, strategy=zlib.Z_FILTERED)
        file.write(_PNG_SIGNATURE)
        color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * dtype.itemsize, color_type, 0, 0, 0))
        if metadata.icc:
            self._chunk(b"iCCP", b"profile\0\0" + zlib.compress(metadata.icc))
        elif metadata.srgb is not None:
            self._chunk(b"sRGB", bytes([metadata.srgb]))
        if metadata.gamma and not metadata.icc:
            self._chunk(b"gAMA", struct.pack(">I", round(metadata.gamma * 1e5)))
        if metadata.dpi:
            self._chunk(b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in metadata.dpi), 1))
        if metadata.exif:
            self._chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
        texts = {**metadata.texts, **({_XMP_TEXT: metadata.xmp.decode("utf-8", "replace")} if metadata.xmp else {})}
        for key, text in texts.items():
            self._chunk(b"iTXt", key.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode())

    def write(self, rows):
        if rows.dtype == np.uint16:
            rows = rows.astype(">u2")
        rows = rows.view(np.uint8).reshape(len(rows), -1)
        for start in range(0, len(rows), 64):  # small enough to stay in the cache
            block = rows[start : start + 64]
            if data := self.deflate.compress(self._filter(block).tobytes()):
                self._chunk(b"IDAT", data)

    def close(self):
        self._chunk(b"IDAT", self.deflate.flush())
        self._chunk(b"IEND", b"")

    def _filter(self, rows: np.ndarray) -> np.ndarray:
        """Each row as what its neighbours do not predict, by the predictor that leaves the least."""
        above = np.concatenate([self.previous[None], rows[:-1]])
        self.previous = rows[-1].copy()
        left = np.zeros_like(rows)
        left[:, self.stride :] = rows[:, : -self.stride]
        average = (left & above) + ((left ^ above) >> 1)  # without leaving 8 bits
        candidates = np.stack([rows - left, rows - above, rows - average])
        cost = np.abs(candidates.view(np.int8).astype(np.int16)).sum(2, dtype=np.int64)
        best = cost.argmin(0)
        out = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        out[:, 0] = best + 1  # 1 Sub, 2 Up, 3 Average
        out[:, 1:] = candidates[best, np.arange(len(rows))]
        return out

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self.file.write(struct.pack(">I", len(data)) + kind)
        self.file.write(data)
        self.file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


class _TiffWriter:
    """TIFF with 8 or 16 bits in one uncompressed strip, which may come row by row. Source: TIFF 6.0."""

    def __init__(self, file, kind, height, width, channels, dtype, metadata, quality):
        self.file = file
        # Few programs read 16-bit grey with alpha, so it becomes RGB with alpha.
        self.order = [0, 0, 0, 1] if channels == 2 and dtype == np.uint16 else list(range(channels))
        channels = len(self.order)
        T = TiffImagePlugin
        tags = T.ImageFileDirectory_v2(prefix=b"II")
        for tag, value in (_load_exif(metadata.exif) if metadata.exif else {}).items():
            tags[tag] = value
        if metadata.exif:
            exif = _load_exif(metadata.exif)
            for tag in _SUB_DIRECTORIES:
                if values := dict(exif.get_ifd(tag)):
                    tags.tagtype[tag] = 4  # LONG: an offset
                    tags[tag] = values
        tags[T.IMAGEWIDTH], tags[T.IMAGELENGTH], tags[T.ROWSPERSTRIP] = width, height, height
        tags[T.BITSPERSAMPLE] = (8 * dtype.itemsize,) * channels
        tags[T.SAMPLESPERPIXEL], tags[T.COMPRESSION] = channels, 1
        tags[T.PHOTOMETRIC_INTERPRETATION] = 2 if channels > 2 else 1
        if channels % 2 == 0:
            tags[T.EXTRASAMPLES] = 2  # alpha, not premultiplied
        tags.tagtype[T.STRIPOFFSETS] = tags.tagtype[T.STRIPBYTECOUNTS] = 4
        tags[T.STRIPOFFSETS] = 0  # Pillow adds where the directory ends, and there the pixels begin
        tags[T.STRIPBYTECOUNTS] = height * width * channels * dtype.itemsize
        if metadata.dpi:
            tags[T.RESOLUTION_UNIT], (tags[T.X_RESOLUTION], tags[T.Y_RESOLUTION]) = 2, metadata.dpi
        if metadata.icc:
            tags.tagtype[T.ICCPROFILE] = 7  # UNDEFINED
            tags[T.ICCPROFILE] = metadata.icc
        if metadata.xmp:
            tags.tagtype[700] = 1  # BYTE
            tags[700] = metadata.xmp
        tags.save(file)

    def write(self, rows):
        if len(self.order) != rows.shape[2]:
            rows = rows[..., self.order]
        self.file.write(np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")))

    def close(self):
        pass


class _BmpWriter:
    """BMP with 24 bits, or 32 with alpha, top row first. Resolution is all the metadata it holds."""

    def __init__(self, file, kind, height, width, channels, dtype, metadata, quality):
        self.file = file
        depth = 3 if channels % 2 else 4
        self.padding = -width * depth % 4
        size = (width * depth + self.padding) * height
        dots = [round(d / 0.0254) for d in metadata.dpi or (0, 0)]
        # Alpha counts only where a version 4 header names its mask.
        masks = struct.pack("<5I48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, 0x73524742) if depth == 4 else b""
        start = 54 + len(masks)
        file.write(struct.pack("<2sIII", b"BM", start + size, 0, start))
        compression = 3 if masks else 0
        file.write(
            struct.pack("<IiiHHIIiiII", start - 14, width, -height, 1, 8 * depth, compression, size, *dots, 0, 0)
        )
        file.write(masks)

    def write(self, rows):
        channels = rows.shape[2]
        order = {1: [0, 0, 0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
        rows = rows[..., order].reshape(len(rows), -1)
        self.file.write(np.pad(rows, ((0, 0), (0, self.padding))))

    def close(self):
        pass


class _PillowWriter:
    """JPEG and WebP through Pillow, which wants the whole image: rows are collected in a temporary file, mapped.

    The file has the layout in which Pillow can use it without a copy, so that memory holds only what the system caches.
    """

    def __init__(self, file, kind, height, width, channels, dtype, metadata, quality):
        self.file, self.format, self.metadata, self.quality = file, kind, metadata, quality
        if self.format == "JPEG" and channels % 2 == 0:
            raise ImageError("JPEG cannot hold transparency; write a .png, .webp or .tif.")
        self.mode = {1: "L", 2: "RGBA", 3: "RGBX", 4: "RGBA"}[channels]
        self.order = {1: [0], 2: [0, 0, 0, 1], 3: [0, 1, 2, 2], 4: [0, 1, 2, 3]}[channels]
        self.spool = tempfile.TemporaryFile(dir=Path(file.name).parent)  # noqa: SIM115 - closed when complete
        self.size = (width, height)

    def write(self, rows):
        self.spool.write(np.ascontiguousarray(rows[..., self.order]))

    def close(self):
        self.spool.flush()
        width, height = self.size
        mapped = np.memmap(self.spool, np.uint8, "r", shape=(height, width * len(self.order)))
        image = Image.frombuffer(self.mode, self.size, mapped, "raw", self.mode, 0, 1)
        m = self.metadata
        options = {"icc_profile": m.icc, "exif": m.exif, "xmp": m.xmp, "dpi": m.dpi and tuple(map(round, m.dpi))}
        options = {key: value for key, value in options.items() if value}
        if self.format == "JPEG":
            options["comment"] = m.texts.get("Comment", "").encode()
            options["subsampling"] = 0  # halving the colours of a sharpened image would undo some of it
        elif self.quality == 100:
            options["lossless"] = True
        image.save(self.file, self.format, quality=self.quality, **options)
        self.spool.close()


_WRITERS = {"PNG": _PngWriter, "TIFF": _TiffWriter, "BMP": _BmpWriter, "JPEG": _PillowWriter, "WEBP": _PillowWriter}
