"""Hold large arrays in files that nobody else sees, so that the memory need not."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable

import numpy as np

LARGE = 2**28
"""Bytes from which an array goes into a file."""

ROWS = 256
"""Rows that are copied at a time."""


def written(strips: Iterable[np.ndarray], shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return strips, which together are an array of such a shape, as that array: one of a file where it is large.

    While they are written to a file, nothing is mapped: the memory holds one strip only.

    Raises:
        OSError: the disk is full.
    """
    if np.prod(shape, dtype=np.int64) * np.dtype(dtype).itemsize < LARGE:
        return np.concatenate([*strips]).astype(dtype, copy=False)
    with tempfile.TemporaryFile() as file:
        for strip in strips:
            file.write(np.ascontiguousarray(strip, dtype))
        file.flush()
        return np.memmap(file, dtype, "r+", shape=shape)


def release(samples: np.ndarray) -> None:
    """Let the system drop from the memory what was looked at of an array that is mapped from a file."""
    mapping = samples if isinstance(samples, np.memmap) else None
    while isinstance(mapping, np.ndarray):
        mapping = mapping.base
    if hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def spooled(samples: np.ndarray) -> np.ndarray:
    """Return a view as a contiguous array, which is of a file where it is large."""
    if samples.flags.c_contiguous:
        return samples
    if samples.nbytes < LARGE:
        return np.ascontiguousarray(samples)
    strips = (samples[top : top + ROWS] for top in range(0, len(samples), ROWS))
    return written(strips, samples.shape, samples.dtype)
