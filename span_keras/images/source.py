"""Where an image file comes from: a disk, or the memory."""

from __future__ import annotations

import contextlib
import io
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from span_keras.images.kinds import HEAD


@dataclass(frozen=True)
class Encoded:
    """Hold an image file of an object store.

    Attributes:
        name: what messages call it, such as its path in the store.
        data: the bytes of the file, or the path of a copy that is too large for the memory.
    """

    name: str
    data: bytes | Path

    def __str__(self) -> str:
        return self.name


Source = str | Path | Encoded
"""An image file: its path, or its bytes."""


def stream_of(source: Source) -> BinaryIO:
    """Open the bytes of an image file for reading."""
    content = _content(source)
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


@contextlib.contextmanager
def mapped(source: Source) -> Iterator[bytes | mmap.mmap]:
    """Give the bytes of an image file; of one on a disk, only those that are looked at are read."""
    if isinstance(content := _content(source), bytes):
        yield content
        return
    with stream_of(source) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def head_of(source: Source) -> bytes:
    """Return the first bytes of a file, none if it cannot be read."""
    with contextlib.suppress(OSError), stream_of(source) as file:
        return file.read(HEAD)
    return b""


def _content(source: Source) -> bytes | Path:
    return source.data if isinstance(source, Encoded) else Path(source)
