"""The image formats: which files count as images, what is read and what is written. Imports nothing."""

from __future__ import annotations

from pathlib import Path

from span_keras.errors import ImageError

READABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".ppm": "PPM",
}
"""Pillow's name of every format that is read, by file name suffix. Others are refused whatever they are called: EPS
runs code."""

WRITABLE = {suffix: kind for suffix, kind in READABLE.items() if kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP")}
"""The same of every format that is written."""

NAMES = "PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or PPM"
"""The formats of ``READABLE`` as messages list them."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def format_of(path: str | Path) -> str:
    """Return the format that a file is written in, ``"PNG"``, ``"JPEG"``, ..., by its suffix.

    Raises:
        ImageError: the suffix is of no written format.
    """
    try:
        return WRITABLE[Path(path).suffix.lower()]
    except KeyError:
        raise ImageError(
            f"the output {path} should end in one of {', '.join(WRITABLE)}, found {Path(path).suffix or 'no suffix'!r}."
        ) from None
