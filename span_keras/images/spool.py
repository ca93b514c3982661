"""Hold large arrays in files that nobody else sees, so that the memory need not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable

import numpy as np

LARGE = 2**28
"""Bytes from which an array goes into a file."""

ROWS = 256
"""Rows that are copied at a time."""


def array(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return an array to be filled: in memory, or of a file in the system's folder for such where it is large.

    Raises:
        OSError: the disk is full.
    """
    dtype = np.dtype(dtype)
    if np.prod(shape, dtype=np.int64) * dtype.itemsize < LARGE:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:  # mapped, it stays until the array goes
        return np.memmap(file, dtype, "w+", shape=shape)


def written(strips: Iterable[np.ndarray], shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return strips, which together are an array of such a shape, as that array, mapped from a file.

    While they are written, nothing is mapped: the memory holds one strip only.

    Raises:
        OSError: the disk is full.
    """
    with tempfile.TemporaryFile() as file:
        for strip in strips:
            file.write(np.ascontiguousarray(strip, dtype))
        file.flush()
        return np.memmap(file, dtype, "r+", shape=shape)


def spooled(samples: np.ndarray) -> np.ndarray:
    """Return a view as a contiguous array, which is of a file where it is large."""
    if samples.nbytes < LARGE or samples.flags.c_contiguous:
        return np.ascontiguousarray(samples)
    strips = (samples[top : top + ROWS] for top in range(0, len(samples), ROWS))
    return written(strips, samples.shape, samples.dtype)
