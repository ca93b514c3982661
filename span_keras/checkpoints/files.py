"""What all checkpoint formats share: tensors that are read late, size limits, hashes, atomic writing."""

from __future__ import annotations

import contextlib
import hashlib
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from span_keras import atomic
from span_keras.errors import CheckpointError

MAX_TENSOR_BYTES = 2**30
"""Most bytes a weights file may claim for its tensors. The training form of the widest released network takes 10 MB;
a claim beyond this is an attack or an accident, and is refused before memory is allocated for it."""
MAX_DIMENSIONS = 32
"""Most dimensions of a tensor; SPAN's have four."""


@dataclass(frozen=True)
class Tensor:
    """Hold one tensor of a file: its shape at once, its values when asked for.

    Attributes:
        shape: the claimed shape, in the file's own axis order.
        read: returns the values as an array of that shape and any real dtype.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> Tensor:
        """Wrap an array that is in memory already."""
        return cls(array.shape, lambda: array)


@dataclass(frozen=True)
class Contents:
    """Hold what a format's reader finds in a file.

    Attributes:
        tensors: name -> tensor, in the file's own names and axis order.
        naming: ``"torch"`` (``block_1.c1_r.sk.weight``, OIHW) or ``"keras"`` (``block_1_c1/skip_kernel``, HWIO).
        config: fields of ``SpanConfig`` that the file states.
        metadata: anything else worth keeping.
        files: the files read, for the hash.
    """

    tensors: dict[str, Tensor]
    naming: str
    config: dict = field(default_factory=dict)
    metadata: dict = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def check_size(what: str, shape: Iterable[int], itemsize: int = 4) -> int:
    """Return the number of bytes of a tensor.

    Args:
        what: the tensor's name for messages.
        shape: as the file claims it.
        itemsize: bytes of one number.

    Raises:
        CheckpointError: a dimension is no whole number from 0, or the bytes exceed ``MAX_TENSOR_BYTES``.
    """
    shape = tuple(shape)
    # Many dimensions, or numbers of a million digits, would take for ever to multiply.
    whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63 for n in shape)
    if not whole or len(shape) > MAX_DIMENSIONS:
        raise CheckpointError(f"{what} claims the impossible shape {reprlib.repr(shape)}.")
    if (size := math.prod(shape) * itemsize) > MAX_TENSOR_BYTES:
        raise CheckpointError(
            f"{what} claims {size:,} bytes, more than the {MAX_TENSOR_BYTES:,} that any SPAN network needs."
        )
    return size


def sha256(paths: Iterable[Path]) -> str:
    """Return the hexadecimal SHA-256 of the files' bytes, one after the other, read piece by piece."""
    digest = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def suffix_of(path: Path, known: Iterable[str]) -> str:
    """Return the one of the known suffixes that a path ends in.

    Raises:
        CheckpointError: it ends in none.
    """
    for suffix in known:
        if path.name.lower().endswith(suffix):
            return suffix
    raise CheckpointError(f"{path} has an unknown ending, expected one of {', '.join(known)}.")


@contextlib.contextmanager
def atomic_output(path: Path, suffix: str) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds and vanishes when it fails.

    Args:
        suffix: ending of the temporary name, for libraries that insist on one.

    Raises:
        CheckpointError: the folder is missing or not writable, the disk is full, or writing fails otherwise.
    """
    try:
        with atomic.replaced(path, suffix) as temporary:
            yield temporary
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"cannot write {path}: {reason}; choose a writable folder with free space.") from error
