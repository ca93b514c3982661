"""Open image files with Pillow, and say in words why a file is no readable image."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import os
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from span_keras.errors import ImageError, first_line
from span_keras.images import memory
from span_keras.images.formats import FORMATS, NAMES, PNG_SIGNATURE, READABLE
from span_keras.images.kinds import Kind, kind_of, unread_kind
from span_keras.images.source import Source, head_of, stream_of

BYTES_PER_PIXEL = 4
"""What Pillow holds of a decoded image."""

MAX_PIXELS_PER_BYTE = {"PNG": 8 * 1032, "JPEG": 1024, "MPO": 1024}
"""By format, what its compression can reach: files that claim more would fill the memory with nothing."""

SMALL = 2**24
"""Pixels up to which a claim is not doubted."""


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
    if kind := unread_kind(str(source)):  # Pillow would show the thumbnail of a raw file
        raise ImageError(f"is {kind.label}, which is not read; {kind.advice}")
    with stream_of(source) as file, _identified(file, str(source)) as image:
        _check_claim(image, file)
        if image.format == "TIFF":  # Pillow would turn it as XMP says, which nobody else does
            image.info.pop("xmp", None)
        yield image


def _identified(file: BinaryIO, name: str) -> Image.Image:
    """Open an image as ``Image.open`` does, which refuses more than 179 megapixels whatever the memory holds."""
    head = file.read(16)
    for form in find_formats():
        factory, accepts = Image.OPEN[form]
        answer = accepts is None or accepts(head)
        if not answer or isinstance(answer, str):  # a text names a library that is missing
            continue
        file.seek(0)
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
            return factory(file, name)
    raise Image.UnidentifiedImageError(name)


@functools.cache
def find_formats() -> list[str]:
    """Return the formats to read that this Pillow decodes: some builds lack WebP or AVIF, plugins may be missing."""
    Image.init()
    for form in FORMATS:
        if form.module:
            with contextlib.suppress(Exception):  # missing, or built for another Pillow
                module = importlib.import_module(form.module)
                getattr(module, "register_heif_opener", lambda: None)()
    return [form.name for form in FORMATS if form.name in Image.OPEN]


def _check_claim(image: Image.Image, file: BinaryIO) -> None:
    """Refuse an image whose pixels its file cannot hold, or the memory."""
    width, height = image.size
    pixels = width * height
    if Image.MAX_IMAGE_PIXELS and pixels > Image.MAX_IMAGE_PIXELS:  # whoever wants to know of large images is told
        text = f"{width}×{height} pixels are more than {Image.MAX_IMAGE_PIXELS}"
        warnings.warn_explicit(text, Image.DecompressionBombWarning, "", 0, module="PIL.Image")
    if pixels <= SMALL:
        return
    if (length := file.seek(0, os.SEEK_END)) * MAX_PIXELS_PER_BYTE.get(image.format, pixels) < pixels:
        raise ImageError(f"is damaged or truncated: it claims {width}×{height} pixels, but has {length} bytes")
    if (free := memory.available()) is not None and pixels * BYTES_PER_PIXEL > free:
        needed = pixels * BYTES_PER_PIXEL / 1e9
        raise ImageError(
            f"is {width}×{height}, which takes {needed:.1f} GB of memory to decode, where {free / 1e9:.1f} GB are "
            "free; cut it into parts"
        )


def reason_unusable(error: BaseException, source: Source | None = None) -> str:
    """Return why a file is no usable image, to stand behind its name: ``"does not exist"``.

    Args:
        error: what opening or decoding the file raised.
        source: the file, so that its first bytes can tell what it is instead of an image.
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
        case Image.UnidentifiedImageError():
            return _unidentified(head_of(source) if source else b"")
        case MemoryError():
            return "does not fit into memory"
        case OSError(errno=errno.ENOSPC):
            return "is so large that it is decoded into a temporary file, for which the disk has no space left"
    said = first_line(error).split(". ")[0]
    mistaken = f"{kind.label} that is " if source and (kind := misnamed(source)) else ""
    return f"is {mistaken}damaged or truncated and cannot be decoded ({said})"


def _unidentified(head: bytes) -> str:
    """Say of a file that Pillow does not know what it is."""
    if len(head) >= 24 and head.startswith(PNG_SIGNATURE) and 0 in (size := struct.unpack(">II", head[16:24])):
        return f"has no pixels: its size is {size[0]}×{size[1]}"
    if not (kind := kind_of(head)):
        return f"is not a readable {NAMES} image"
    for form in FORMATS:
        if form.name == kind.format:
            if form.name not in Image.OPEN and form.package:
                return f"is {kind.label}, which needs {form.package}; pip install 'span-keras[formats]'"
            return f"is {kind.label} that is damaged or truncated and cannot be opened"
    return f"is {kind.label}, which is not read; {kind.advice}" if kind.picture else f"is {kind.label}; {kind.advice}"


def misnamed(source: Source) -> Kind | None:
    """Return what a file is if its suffix is that of another format, else None."""
    form, kind = READABLE.get(Path(str(source)).suffix.lower()), kind_of(head_of(source))
    if form is None or kind is None or not kind.format or {form.name, kind.format} <= {"JPEG", "MPO"}:
        return None
    return None if form.name == kind.format else kind


def unreadable(source: Source, error: BaseException) -> ImageError:
    """Return the error that names a file, says why it cannot be read and what to do.

    Args:
        source: the file.
        error: what opening or decoding it raised.
    """
    reason, advice = reason_unusable(error, source), ""
    match error:
        case FileNotFoundError() | IsADirectoryError():
            advice = "give the path of an image file"
        case PermissionError():
            advice = "change its permissions"
        case Image.UnidentifiedImageError():
            if not (head := head_of(source)):
                reason = "is empty"
            if not head or not kind_of(head):
                advice = "expected an image file"
    return ImageError(f"{source} {reason}{advice and '; '}{advice}.")
