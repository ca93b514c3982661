"""A decoded image with its metadata, and what each file format can hold of both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from span_keras.images.formats import format_of, listed
from span_keras.images.xmp import scaled_xmp

QUALITY = 95
"""Default quality of JPEG and WebP."""

SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)

XMP_TEXT, IPTC_TEXT = "XML:com.adobe.xmp", "Raw profile type iptc"
"""Keywords of a PNG's texts that hold metadata of other kinds; the second is a custom of ImageMagick and ExifTool."""


@dataclass(frozen=True)
class Metadata:
    """Hold what a file says about its pixels. Orientation is already applied, and reset to "upright" here.

    Attributes:
        icc: colour profile, or None.
        exif: descriptive EXIF tags with their sub-directories, starting with ``b"Exif\\0\\0"``, or None.
        xmp: XMP packet, or None.
        dpi: pixels per inch, horizontally and vertically, or None.
        texts: texts of a PNG by keyword; a JPEG's comment is ``"Comment"``.
        gamma, srgb, chromaticity, cicp: a PNG's gAMA value, sRGB intent, eight cHRM values and four cICP numbers, which
            say what its colours are where there is no profile.
        iptc: IPTC records (IIM), such as a caption, or None.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    gamma: float | None = None
    srgb: int | None = None
    chromaticity: tuple[float, ...] | None = None
    cicp: bytes | None = None
    iptc: bytes | None = None


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
    """Return the same metadata for an image of another size.

    The sizes that EXIF and XMP repeat are corrected, and what XMP says of other parts of the file is left out.
    """
    if metadata.xmp:
        metadata = replace(metadata, xmp=scaled_xmp(metadata.xmp, width, height))
    if not metadata.exif:
        return metadata
    exif = load_exif(metadata.exif)
    values = dict(exif.get_ifd(ExifTags.IFD.Exif))
    sizes = {ExifTags.Base.ExifImageWidth: width, ExifTags.Base.ExifImageHeight: height}
    if not set(sizes) & set(values):
        return metadata
    exif[ExifTags.IFD.Exif] = values | sizes
    return replace(metadata, exif=exif.tobytes())


def with_fitting_profile(metadata: Metadata, channels: int) -> Metadata:
    """Return the metadata without a colour profile that is for grey where the image has colours, or the reverse."""
    fits = not metadata.icc or metadata.icc[16:20] == (b"RGB " if channels > 2 else b"GRAY")
    return metadata if fits else replace(metadata, icc=None)


def load_exif(data: bytes) -> Image.Exif:
    """Parse EXIF that starts with ``b"Exif\\0\\0"``."""
    exif = Image.Exif()
    exif.load(data)
    return exif


def depth_of(path: str | Path, dtype) -> np.dtype:
    """Return the sample type that a file of this name will hold: uint16 only where the format can."""
    dtype = np.dtype(dtype)
    return dtype if 8 * dtype.itemsize in format_of(path).depths else np.dtype(np.uint8)


def storable(path: str | Path, metadata: Metadata, channels: int, dtype) -> tuple[Metadata, list[str]]:
    """Return what of the metadata a file of this name can hold, and sentences about what it cannot.

    Args:
        path: its suffix names the format.
        metadata: what is to be kept.
        channels, dtype: of the samples to be written.
    """
    form, notes = format_of(path), []
    grey_becomes_rgb = (channels, 8 * np.dtype(dtype).itemsize) in form.grey_as_rgb
    if metadata.icc and metadata.icc[16:20] == b"GRAY" and grey_becomes_rgb:
        notes.append(f"{path} holds RGB, so the colour profile, which is for grey, is left out; a .png keeps it.")
        metadata = replace(metadata, icc=None)
    # A segment of a JPEG holds 64 kB, and longer EXIF or XMP is not worth losing the picture for.
    fits = lambda data: form.max_segment is None or len(data) < form.max_segment  # noqa: E731
    lost = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP", "iptc": "IPTC", "dpi": "resolution"}
    lost |= {"chromaticity": "primary colours (cHRM)", "cicp": "colour space (cICP)"}
    for key in list(lost):
        value = getattr(metadata, key)
        if not value or (key in form.metadata and (key not in ("exif", "xmp", "iptc") or fits(value))):
            del lost[key]
    names = list(lost.values())
    texts = metadata.texts
    if "texts" not in form.metadata:
        comment = texts.get("Comment", "")
        keeps = "comment" in form.metadata and comment and fits(comment.encode())
        texts = {"Comment": comment} if keeps else {}
        names += [f"text {key!r}" for key in metadata.texts if key not in texts]
    if names:
        notes.append(f"{path} cannot hold the {listed(names, 'and')}; a .png can.")
    return replace(metadata, texts=texts, **dict.fromkeys(lost)), notes
