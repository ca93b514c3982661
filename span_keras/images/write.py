"""Write image files atomically.

PNG and TIFF are written row by row, so that a result larger than the memory can be written; JPEG, WebP and BMP are
collected in a temporary file first, see ``encoders``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from span_keras import atomic
from span_keras.errors import ImageError, TargetExistsError
from span_keras.images.encoders import WRITERS, PillowWriter
from span_keras.images.formats import ALPHA_SUFFIXES, DEEP_SUFFIXES, format_of, listed
from span_keras.images.picture import QUALITY, Metadata, Picture, depth_of, storable


class UnwritableError(ImageError):
    """A file cannot be written, because of its folder or the disk: later it may be possible."""


def write_image(path: str | Path, picture: Picture, quality: int = QUALITY) -> None:
    """Write a picture in the format of the path's suffix; the file appears whole or not at all.

    Args:
        path: its suffix names the format, one of ``formats.WRITABLE``.
        picture: what to write; metadata that the format cannot hold are left out, see ``storable``.
        quality: 1 to 100 for JPEG and WebP; 100 makes WebP lossless.

    Raises:
        ImageError: see ``open_writer``.
    """
    with open_writer(path, *picture.samples.shape, picture.samples.dtype, picture.metadata, quality) as write:
        write(picture.samples)


@contextlib.contextmanager
def open_writer(
    path: str | Path,
    height: int,
    width: int,
    channels: int,
    dtype,
    metadata: Metadata | None = None,
    quality: int = QUALITY,
    file: BinaryIO | None = None,
    overwrite: bool = True,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write an image from top to bottom: ``with open_writer(...) as write: write(rows); write(more_rows)``.

    ``rows`` are (n, width, channels) of ``dtype``, n in all adding up to ``height``. What is written lies in a hidden
    temporary file in the same folder, which replaces ``path`` only when the block ends without an exception. Metadata
    that the format cannot hold are left out, see ``storable``.

    Args:
        path: where to write; its suffix names the format.
        height, width, channels, dtype: of all rows together.
        metadata: what the file says about its pixels.
        quality: as in ``write_image``.
        file: write into this open file instead, such as an ``io.BytesIO``; ``path`` then only names it.
        overwrite: replace a file that exists when all is written.

    Raises:
        TargetExistsError: there is one, and it is not to be replaced.
        UnwritableError: the folder is missing or not writable, or the disk is full.
        ImageError: the suffix is unknown, or the format cannot hold the size, the channels or the depth.
    """
    path, metadata, form = Path(path), metadata or Metadata(), format_of(path)
    dtype = np.dtype(dtype)
    check_fits(path, height, width, channels, dtype)
    metadata, _ = storable(path, metadata, channels, dtype)
    rows_written = 0

    def write(rows: np.ndarray) -> None:
        nonlocal rows_written
        if rows.shape[1:] != (width, channels) or rows.dtype != dtype or rows_written + len(rows) > height:
            raise ValueError(
                f"expected {dtype} rows of {(width, channels)} up to {height}, found {rows.dtype} {rows.shape}"
            )
        with names_unwritable(path):
            writer.write(np.ascontiguousarray(rows))
        rows_written += len(rows)

    with contextlib.ExitStack() as stack:
        with names_unwritable(path):
            if owned := file is None:
                file = stack.enter_context(atomic.replaced(path, overwrite=overwrite)).open("wb")
                stack.callback(close_quietly, file)
            encoder = WRITERS.get(form.name, PillowWriter)
            writer = encoder(file, form, height, width, channels, dtype, metadata, quality)
        yield write
        if rows_written != height:
            raise ValueError(f"expected {height} rows, found {rows_written}")
        with names_unwritable(path):
            writer.close()
            if owned:
                file.close()
            stack.close()


def check_fits(path: str | Path, height: int, width: int, channels: int, dtype) -> None:
    """Check that the format of a path's suffix holds such an image.

    Raises:
        ImageError: the suffix is unknown, or the format cannot hold the size, the channels or the depth.
    """
    path, form = Path(path), format_of(path)
    if depth_of(path, dtype) != dtype:
        deep = listed(DEEP_SUFFIXES, "or")
        raise ImageError(f"{form.label} holds 8 bits per sample; write {path.name} as {deep} to keep 16.")
    if not (reason := form.refusal(height, width, channels, np.dtype(dtype).itemsize)):
        return
    if "transparency" in reason:
        raise ImageError(
            f"{form.label} {reason}, which {path.name} would need; write a {listed(ALPHA_SUFFIXES, 'or')}, or pass "
            "--background."
        )
    raise ImageError(f"{form.label} {reason}, {path.name} would be {width}×{height}; write a .png.")


def close_quietly(file) -> None:
    """Close a file whose content is lost anyway."""
    with contextlib.suppress(OSError):  # on a full disk, what is left in the buffer fails once more
        file.close()


@contextlib.contextmanager
def names_unwritable(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into an ``ImageError`` that names the file."""
    try:
        yield
    except FileExistsError as error:
        raise TargetExistsError(path) from error
    except OSError as error:
        raise UnwritableError(
            f"{path} cannot be written ({error.strerror or error}); check the folder and the free space."
        ) from error
