"""Open image files with Pillow, and say in words why a file is no readable image."""

from __future__ import annotations

import contextlib
import functools
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from span_keras.errors import ImageError
from span_keras.images.formats import FORMATS, NAMES, PNG_SIGNATURE


@dataclass(frozen=True)
class Encoded:
    """Hold an image file in memory, as object stores hand it out.

    Attributes:
        name: what messages call it, such as its path in the store.
        data: the bytes of the file.
    """

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


Source = str | Path | Encoded
"""An image file: its path, or its bytes."""


def stream_of(source: Source) -> BinaryIO:
    """Open the bytes of an image file for reading."""
    return io.BytesIO(source.data) if isinstance(source, Encoded) else Path(source).open("rb")


@contextlib.contextmanager
def opened(source: Source) -> Iterator[Image.Image]:
    """Open an image file of a format that is read; its size is known then, its pixels are not decoded yet.

    Threads may open files at the same time.

    Raises:
        Exception: whatever the file's damage makes of Pillow; ``reason_unusable`` puts it into words.
    """
    # Pillow's remarks on odd metadata and large images help nobody here. The filter stays: filters belong to the whole
    # process, so threads that set one for a while, as `catch_warnings` does, can leave each other's behind. It is
    # appended behind all other filters, so that users have the say.
    warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
    file = io.BytesIO(source.data) if isinstance(source, Encoded) else source
    with Image.open(file, formats=_formats()) as image:
        yield image


@functools.cache
def _formats() -> list[str]:
    """Return the formats to read that this Pillow decodes: some builds lack WebP or AVIF."""
    Image.init()
    return [form.name for form in FORMATS if form.read and form.name in Image.OPEN]


def reason_unusable(error: Exception) -> str:
    """Return why a file is no usable image, to stand behind its name: ``"does not exist"``.

    Args:
        error: what opening or decoding the file raised.
    """
    match error:
        case ImageError():
            return str(error).rstrip(".")
        case FileNotFoundError():
            return "does not exist"
        case IsADirectoryError():
            return "is a folder"
        case PermissionError():
            return "may not be read"
        case Image.DecompressionBombError():
            return f"claims more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels, the most that is decoded"
        case Image.UnidentifiedImageError():
            return f"is not a readable {NAMES} image"
        case MemoryError():
            return "does not fit into memory"
    return f"is damaged or truncated and cannot be decoded ({error})"


def unreadable(source: Source, error: Exception) -> ImageError:
    """Return the error that names a file, says why it cannot be read and what to do.

    Args:
        source: the file.
        error: what opening or decoding it raised.
    """
    reason, advice = reason_unusable(error), ""
    match error:
        case FileNotFoundError() | IsADirectoryError():
            advice = "give the path of an image file"
        case PermissionError():
            advice = "change its permissions"
        case Image.DecompressionBombError():
            advice = "cut it into parts"
        case Image.UnidentifiedImageError():
            advice = "expected an image file"
            with stream_of(source) as file:
                head = file.read(24)
            if not head:
                reason = "is empty"
            elif len(head) == 24 and head.startswith(PNG_SIGNATURE) and 0 in (size := struct.unpack(">II", head[16:])):
                reason, advice = f"has no pixels: its size is {size[0]}×{size[1]}", ""
    return ImageError(f"{source} {reason}{advice and '; '}{advice}.")
