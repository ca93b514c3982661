"""Winograd's transforms of F(4×4, 3×3), compiled by Numba for the CPU at hand. Loaded only where Numba is installed.

All arrays are flat runs of float32 in planes. The innermost loops have fixed lengths and distances, so that LLVM finds
no two of their accesses to overlap and makes vector instructions of them. Indices are unsigned: signed ones may count
from the end, which costs the vector instructions.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, with the points 0, ±1, ±2 and ∞.
"""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
from numba.misc.appdirs import AppDirs  # finds Numba's own cache; platformdirs would be one more package

BLOCK = 128
"""Floats of a plane that are transformed at a time: the scratch of both directions stays in the first cache."""

STRIP = 64 * BLOCK
"""Floats of a plane that a call may transform."""

U = np.uintp
_BLOCK, _STRIP = U(BLOCK), U(STRIP)
_0, _2, _3, _4, _5, _6, _12, _18, _24, _30 = map(U, (0, 2, 3, 4, 5, 6, 12, 18, 24, 30))
_TWO, _FOUR, _EIGHT = map(np.float32, (2, 4, 8))


def _compiled(function):
    """Compile a kernel, once for all processes where its machine code can be kept."""
    usual, cache = numba.config.CACHE_DIR, AppDirs("span-keras", appauthor=False).user_cache_dir
    # Beside the module it would outlive an uninstallation, and what is left of the package's folder hide a checkout.
    numba.config.CACHE_DIR = usual or (cache if Path(cache).is_absolute() else "")
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the user's cache nor the package's folder can be written
        return numba.njit(nogil=True)(function)
    finally:
        numba.config.CACHE_DIR = usual


@_compiled
def transform_input(planes, start, channels, row, length, scratch, out):
    """Transform the 6×6 pixels around each tile of 4×4.

    Args:
        planes: (16, n) float32, plane 4i + j has the pixels (i, j) of all tiles, ``channels`` floats a tile.
        start: index of the first tile's first float.
        channels, row: floats from one tile to the next, and to the one below.
        length: floats to transform; up to a whole ``BLOCK`` is.
        scratch: (36 · BLOCK,) float32.
        out: (36 · STRIP,) float32, plane 6i + j has the coefficients (i, j).
    """
    size, pixels = U(planes.shape[1]), planes.reshape(planes.size)
    start, channels, row, length = U(start), U(channels), U(row), U(length)
    for done in range(_0, length, _BLOCK):
        for column in range(_6):  # down each of the six columns: the last one of the tile before, four, the next one
            first = (column + _3 & _3) * size + start + done
            if column == _0:
                first -= channels
            elif column == _5:
                first += channels
            above, below, down = first + _12 * size - row, first + row, _4 * size
            to = column * _BLOCK
            for k in range(_BLOCK):
                d0, d5 = pixels[above + k], pixels[below + k]
                d1, d2 = pixels[first + k], pixels[first + down + k]
                d3, d4 = pixels[first + _2 * down + k], pixels[first + _3 * down + k]
                a, b, c, d = d4 - _FOUR * d2, d3 - _FOUR * d1, d4 - d2, _TWO * (d3 - d1)
                scratch[to + k] = _FOUR * (d0 - d2) + c
                scratch[to + _6 * _BLOCK + k] = a + b
                scratch[to + _12 * _BLOCK + k] = a - b
                scratch[to + _18 * _BLOCK + k] = c + d
                scratch[to + _24 * _BLOCK + k] = c - d
                scratch[to + _30 * _BLOCK + k] = d5 - d3 - _TWO * d
        for line in range(_6):  # along each of the six lines
            at, to = line * _6 * _BLOCK, line * _6 * _STRIP + done
            for k in range(_BLOCK):
                d0, d1, d2 = scratch[at + k], scratch[at + _BLOCK + k], scratch[at + _2 * _BLOCK + k]
                d3, d4 = scratch[at + _3 * _BLOCK + k], scratch[at + _4 * _BLOCK + k]
                d5 = scratch[at + _5 * _BLOCK + k]
                a, b, c, d = d4 - _FOUR * d2, d3 - _FOUR * d1, d4 - d2, _TWO * (d3 - d1)
                out[to + k] = _FOUR * (d0 - d2) + c
                out[to + _STRIP + k] = a + b
                out[to + _2 * _STRIP + k] = a - b
                out[to + _3 * _STRIP + k] = c + d
                out[to + _4 * _STRIP + k] = c - d
                out[to + _5 * _STRIP + k] = d5 - d3 - _TWO * d


@_compiled
def transform_output(coefficients, length, scratch, out):
    """Transform what the products made of the coefficients into tiles of 4×4 pixels.

    Args:
        coefficients: (36 · STRIP,) float32, planes as in ``transform_input``.
        length: floats to transform; up to a whole ``BLOCK`` is.
        scratch: (36 · BLOCK,) float32.
        out: (16 · STRIP,) float32, plane 4i + j has the pixels (i, j) of all tiles.
    """
    length = U(length)
    for done in range(_0, length, _BLOCK):
        for column in range(_6):
            at, to = column * _STRIP + done, column * _BLOCK
            for k in range(_BLOCK):
                m0, m1, m2 = (
                    coefficients[at + k],
                    coefficients[at + _6 * _STRIP + k],
                    coefficients[at + _12 * _STRIP + k],
                )
                m3, m4 = coefficients[at + _18 * _STRIP + k], coefficients[at + _24 * _STRIP + k]
                m5 = coefficients[at + _30 * _STRIP + k]
                a, b, c, d = m1 + m2, m1 - m2, m3 + m4, m3 - m4
                scratch[to + k] = m0 + a + c
                scratch[to + _6 * _BLOCK + k] = b + _TWO * d
                scratch[to + _12 * _BLOCK + k] = a + _FOUR * c
                scratch[to + _18 * _BLOCK + k] = b + _EIGHT * d + m5
        for line in range(_4):
            at, to = line * _6 * _BLOCK, line * _4 * _STRIP + done
            for k in range(_BLOCK):
                m0, m1, m2 = scratch[at + k], scratch[at + _BLOCK + k], scratch[at + _2 * _BLOCK + k]
                m3, m4 = scratch[at + _3 * _BLOCK + k], scratch[at + _4 * _BLOCK + k]
                m5 = scratch[at + _5 * _BLOCK + k]
                a, b, c, d = m1 + m2, m1 - m2, m3 + m4, m3 - m4
                out[to + k] = m0 + a + c
                out[to + _STRIP + k] = b + _TWO * d
                out[to + _2 * _STRIP + k] = a + _FOUR * c
                out[to + _3 * _STRIP + k] = b + _EIGHT * d + m5
