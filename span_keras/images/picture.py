"""A decoded image with its metadata, and what each file format can hold of both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from span_keras.images.formats import format_of

MAX_SIDE = {"JPEG": 65500, "WEBP": 16383}
"""Longest side that a format's encoder accepts."""

MAX_BYTES = 2**32 - 2**20
"""Most bytes of pixels in TIFF and BMP, whose offsets have 32 bits; a mebibyte is left for metadata."""

MAX_SEGMENT = 65000
"""Most bytes of EXIF, XMP or comment in a JPEG, with room for what Pillow adds to them."""

QUALITY = 95
"""Default quality of JPEG and WebP."""

SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)

XMP_TEXT = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class Metadata:
    """Hold what a file says about its pixels. Orientation is already applied, and reset to "upright" here.

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
    """Hold a decoded image, upright.

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
        """Return (H, W, 3) float32 RGB in [0, 1]; grey is repeated, alpha left out."""
        colors = to_float(self.samples[..., : 3 if self.samples.shape[2] > 2 else 1])
        return np.broadcast_to(colors, (*colors.shape[:2], 3)).copy() if colors.shape[2] == 1 else colors

    @property
    def alpha(self) -> np.ndarray | None:
        """Return (H, W) float32 in [0, 1], or None for an image without."""
        return None if self.samples.shape[2] % 2 else to_float(self.samples[..., -1])


def to_float(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 in [0, 1]: integers over their whole range, floating point as it is."""
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32)
    return samples.astype(np.float32) * np.float32(1 / np.iinfo(samples.dtype).max)


def to_samples(pixels: np.ndarray, dtype) -> np.ndarray:
    """Return floating point clipped to [0, 1] as samples of another type, the inverse of ``to_float``.

    Args:
        pixels: floating point.
        dtype: uint8 or uint16, over whose whole range the values are spread, halves rounded up; or floating point.
    """
    clipped = np.clip(pixels, 0, 1)
    if np.issubdtype(dtype, np.floating):
        return clipped.astype(dtype)
    return (clipped * np.float32(np.iinfo(dtype).max) + np.float32(0.5)).astype(dtype)


def scaled_metadata(metadata: Metadata, width: int, height: int) -> Metadata:
    """Return the same metadata for an image of another size: the sizes that EXIF repeats are corrected."""
    if not metadata.exif:
        return metadata
    exif = load_exif(metadata.exif)
    values = dict(exif.get_ifd(ExifTags.IFD.Exif))
    sizes = {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
    if not set(sizes) & set(values):
        return metadata
    exif[ExifTags.IFD.Exif] = values | sizes
    return replace(metadata, exif=exif.tobytes())


def load_exif(data: bytes) -> Image.Exif:
    """Parse EXIF that starts with ``b"Exif\\0\\0"``."""
    exif = Image.Exif()
    exif.load(data)
    return exif


def depth_of(path: str | Path, dtype) -> np.dtype:
    """Return the sample type that a file of this name will hold: uint16 only where the format can."""
    return np.dtype(dtype if format_of(path) in ("PNG", "TIFF") else np.uint8)


def storable(path: str | Path, metadata: Metadata, channels: int, dtype) -> tuple[Metadata, list[str]]:
    """Return what of the metadata a file of this name can hold, and sentences about what it cannot.

    Args:
        path: its suffix names the format.
        metadata: what is to be kept.
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
