"""Bicubic resizing as MATLAB's ``imresize`` does it: antialiased when shrinking, rounded between its two passes.

Super-resolution benchmarks make their LR images this way, and results depend on it. It is our own because no package on
PyPI gives MATLAB's bytes: those that have its kernel round once instead of twice. Needs NumPy alone.

8-bit images are resized by whole factors in whole numbers, so that every machine, and ``web_demo/images/bicubic.js``,
gives the same bytes. The weights of the kernel are then multiples of ``1 / (16 · scale³)``.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np

from span_keras.errors import ImageError

BLOCK = 16
"""Output rows per matrix product: the resizing matrix is banded, so small blocks multiply few of its zeros."""

SERIAL_PRODUCTS = 2**18
"""Multiplications per matrix product up to which OpenBLAS stays on the calling thread. Its own threads only get in each
other's way here: one call is three times as quick without them, and calls from several threads six times."""

BORDERS = ("mirror", "replicate")

EXACT_FLOAT32 = 2**24
"""Whole numbers up to this one, and their sums in any order, are exact in float32."""


def resize(image: np.ndarray, size: tuple[int, int], border: str = "mirror") -> np.ndarray:
    """Resize to ``size`` as MATLAB's ``imresize(image, size, "bicubic")`` does.

    Args:
        image: (H, W, C) or (N, H, W, C), floating point (normally in [0, 1]) or uint8.
        size: ``(height, width)`` of the result in pixels.
        border: ``"mirror"`` as MATLAB does today, or ``"replicate"`` as old versions did: the LR images of the classic
            benchmark packages (Set5, Set14, BSD100) are reproduced bit for bit only with the latter.

    Returns:
        (..., height, width, C) in the image's dtype (float16 becomes float32). Floating point is neither clipped nor
        rounded, and bicubic overshoots at edges. uint8 is clipped and rounded, halves up, after *each* of the two
        passes (rows, then columns): MATLAB does so, and LR images made otherwise differ from its by one level in
        every tenth value. By whole factors the result is exact before it is rounded.

    Raises:
        ImageError: the image is not such an array, or a side of the result is not at least 1.
    """
    height, width = size
    image = _checked(image)
    return _resize(image, (height, height / image.shape[-3]), (width, width / image.shape[-2]), border)


def downscale(image: np.ndarray, scale: int, border: str = "mirror") -> np.ndarray:
    """Shrink by a whole factor as MATLAB's ``imresize(image, 1 / scale, "bicubic")`` does.

    Args:
        image: as in ``resize``.
        scale: the factor, 1 or more. Sides that it does not divide give ``ceil(side / scale)`` pixels, as in MATLAB;
            for pairs of LR and HR images crop first (``metrics.modcrop``).
        border: as in ``resize``.

    Returns:
        (..., H / scale, W / scale, C), clipped and rounded as in ``resize``.

    Raises:
        ImageError: as ``resize``, or the scale is not a positive whole number.
    """
    image = _checked(image, scale)
    height, width = image.shape[-3:-1]
    return _resize(image, (math.ceil(height / scale), 1 / scale), (math.ceil(width / scale), 1 / scale), border)


def upscale(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge by a whole factor as MATLAB's ``imresize(image, scale, "bicubic")`` does: what networks compare with.

    Args:
        image: as in ``resize``.
        scale: the factor, 1 or more.

    Returns:
        (..., H·scale, W·scale, C), clipped and rounded as in ``resize``.

    Raises:
        ImageError: as ``downscale``.
    """
    image = _checked(image, scale)
    height, width = image.shape[-3:-1]
    return resize(image, (height * int(scale), width * int(scale)))


def resize_bands(bands: Iterable[np.ndarray], shape: tuple[int, int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Resize an image that comes in bands from top to bottom, as ``resize`` does the whole in floating point.

    Args:
        bands: (rows, W, C) each, floating point.
        shape: ``(H, W)`` of them together.
        size: ``(height, width)`` of the result in pixels.

    Yields:
        (rows, width, C) float32, neither clipped nor rounded.
    """
    bands, rows, top = iter(bands), None, 0
    blocks, _ = _matrix_blocks(shape[0], size[0], size[0] / shape[0], "mirror", "float32")
    # At the lower border, rows are mirrored: a later block may begin above an earlier one.
    needed = itertools.accumulate((first for first, _ in reversed(blocks)), min)
    for (first, matrix), still_needed in zip(blocks, reversed(list(needed)), strict=True):
        while rows is None or top + len(rows) < first + matrix.shape[1]:
            band = next(bands)
            rows = band if rows is None else np.concatenate([rows, band])
        block = rows[first - top : first - top + matrix.shape[1]].astype(np.float32)
        resized = (matrix @ block.reshape(len(block), -1)).reshape(len(matrix), *block.shape[1:])
        resized, _ = _resize_rows(resized.swapaxes(0, 1), size[1], size[1] / shape[1], "mirror")
        yield resized.swapaxes(0, 1)
        rows, top = rows[still_needed - top :], still_needed


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Return floating point in [0, 1] as uint8, as MATLAB converts: clipped, halves rounded up (NumPy: to even)."""
    return _round_to_uint8(image * np.float32(255))


def _round_to_uint8(levels: np.ndarray) -> np.ndarray:
    """Clip and round halves up; ``levels`` is overwritten."""
    np.clip(levels, 0, 255, out=levels)
    levels += np.float32(0.5)
    return levels.astype(np.uint8)  # truncating a non-negative number is floor


def _checked(image: np.ndarray, scale: float = 1) -> np.ndarray:
    if scale != int(scale) or scale < 1:
        raise ImageError(f"bicubic scaling expects a whole factor of 1 or more, found {scale!r}.")
    image = np.asarray(image)
    if not (image.dtype.kind == "f" or image.dtype == np.uint8) or image.ndim not in (3, 4) or 0 in image.shape:
        raise ImageError(
            "bicubic resizing expects a non-empty floating-point or uint8 array (H, W, C) or (N, H, W, C), "
            f"found {image.dtype} of shape {image.shape}."
        )
    return image.astype(np.float32) if image.dtype == np.float16 else image


def _resize(image: np.ndarray, vertical: tuple[int, float], horizontal: tuple[int, float], border: str) -> np.ndarray:
    """Resize in both passes; a pass is ``(output length, scale factor)``. Rows first, then, transposed, columns."""
    if border not in BORDERS:
        raise ImageError(f"border must be one of {BORDERS}, found {border!r}.")
    for length, factor in (vertical, horizontal):
        resized, total = _resize_rows(image, length, factor, border)
        if image.dtype == np.uint8:
            resized = _round_to_uint8(np.divide(resized, total, out=resized))
        image = resized.swapaxes(-3, -2)
    return np.ascontiguousarray(image)


def _resize_rows(image: np.ndarray, length: int, factor: float, border: str) -> tuple[np.ndarray, float]:
    """Turn (..., H, W, C) into (..., length, W, C) by block-wise products with the banded resizing matrix.

    The second value is the sum of the weights, by which the first is still to be divided: 1 for floating point.
    """
    *batch, height, width, channels = image.shape
    blocks, total = _matrix_blocks(height, length, factor, border, image.dtype.name)
    dtype = blocks[0][1].dtype
    rows = np.ascontiguousarray(image, dtype).reshape(*batch, height, width * channels)
    out = np.empty((*batch, length, width * channels), dtype)
    for block, (first, matrix) in enumerate(blocks):
        source = rows[..., first : first + matrix.shape[1], :]
        target = out[..., block * BLOCK : (block + 1) * BLOCK, :]
        step = max(SERIAL_PRODUCTS // matrix.size, 1)
        for left in range(0, width * channels, step):
            np.matmul(matrix, source[..., left : left + step], out=target[..., left : left + step])
    return out.reshape(*batch, length, width, channels), total


@functools.lru_cache(maxsize=256)
def _matrix_blocks(
    size: int, length: int, factor: float, border: str, dtype: str
) -> tuple[list[tuple[int, np.ndarray]], float]:
    """Return the (length, size) resizing matrix as ``(first input row, block of BLOCK output rows)``, and rows' sum."""
    taps, weights, total = _contributions(size, length, factor, border)
    if dtype == "uint8":
        dtype = "float32" if total == 1 or np.abs(weights).sum(1).max() * 255 <= EXACT_FLOAT32 else "float64"
    else:
        weights, total = weights / total, 1.0
    blocks = []
    for start in range(0, length, BLOCK):
        tap, weight = taps[start : start + BLOCK], weights[start : start + BLOCK]
        first = tap.min()
        matrix = np.zeros((len(tap), tap.max() + 1 - first))
        # Taps outside the image meet on rows inside it, so add rather than assign.
        np.add.at(matrix, (np.arange(len(tap))[:, None], tap - first), weight)
        blocks.append((int(first), matrix.astype(dtype)))
    return blocks, total


def _contributions(size: int, length: int, factor: float, border: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Return input positions and weights, both (length, taps), of every output position; MATLAB's ``contributions``.

    The weights of each position add up to the third value. They are whole numbers if the factor, or one divided by it,
    is one; otherwise their sum is 1.
    """
    if length < 1:
        raise ImageError(f"resizing expects sides of at least 1 pixel, found {length}.")
    stretch = max(1.0, 1.0 / factor)  # antialiasing widens the kernel by the shrinking factor
    centers = (np.arange(length) + 0.5) / factor - 0.5
    first = np.floor(centers - 2.0 * stretch).astype(np.int64)
    taps = first[:, None] + np.arange(math.ceil(4.0 * stretch) + 2)
    weights = _cubic((centers[:, None] - taps) / stretch)
    scale = round(max(factor, stretch))
    if factor in (scale, 1 / scale):
        # All distances are multiples of 1 / (2 · scale), where the kernel has multiples of this.
        weights = np.rint(weights * (16 * scale**3))
        total = weights[0].sum()
    else:
        weights, total = weights / weights.sum(1, keepdims=True), 1.0
    if border == "replicate":
        return np.clip(taps, 0, size - 1), weights, total
    # Half-sample symmetric: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
    taps %= 2 * size
    return np.where(taps < size, taps, 2 * size - 1 - taps), weights, total


def _cubic(x: np.ndarray) -> np.ndarray:
    """Apply Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
