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
def mapped(source: Source) -> Iterator[bytes | mmap.mmap]:
    """Give the bytes of an image file; of one on a disk, only those that are looked at are read."""
    if isinstance(source, Encoded):
        yield source.data
        return
    with stream_of(source) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def head_of(source: Source) -> bytes:
    """Return the first bytes of a file, none if it cannot be read."""
    with contextlib.suppress(OSError), stream_of(source) as file:
        return file.read(HEAD)
    return b""
