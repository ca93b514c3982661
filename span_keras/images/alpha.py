"""Run an RGB network on images with transparency, and on grey ones.

The command, ``Upscaler`` and everything else that upscales samples goes through here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from span_keras.constants import ALPHA_BLEED, LUMA
from span_keras.images import spool
from span_keras.images.picture import to_float, to_samples

ROWS = 64
"""Rows that are handled at a time."""


def is_grey(samples: np.ndarray) -> bool:
    """Return whether red, green and blue of (H, W, 3) or (H, W, 4) are equal wherever anything is seen."""

    def is_grey_row(row: np.ndarray) -> bool:
        equal = (row[:, :1] == row[:, 1:3]).all(axis=1)
        return bool((equal if row.shape[1] == 3 else equal | (row[:, 3] == 0)).all())

    # Row by row: of most photographs the first tells.
    return all(map(is_grey_row, samples))


class Windows:
    """View samples as float32 in [0, 1], converted window by window; colours bleed into what is fully transparent.

    Nobody sees the colour of a transparent pixel, so files hold anything there, mostly black. The network would mix it
    into the visible edge: the dark fringes of other upscalers.

    Args:
        samples: (H, W, C) uint8, uint16 or floating point in [0, 1]; the last of 2 or 4 channels is alpha.

    Attributes:
        shape: of the samples; ``windows[top:bottom, left:right]`` is an array of them.
    """

    def __init__(self, samples: np.ndarray):
        self.samples, self.shape = samples, samples.shape

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        rows, columns = window
        spool.release(self.samples)
        if self.shape[2] % 2:
            return to_float(self.samples[rows, columns])
        top, left = max(0, rows.start - ALPHA_BLEED), max(0, columns.start - ALPHA_BLEED)
        samples = self.samples[top : rows.stop + ALPHA_BLEED, left : columns.stop + ALPHA_BLEED]
        pixels = bleed(to_float(samples))
        return pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def flattened(samples: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Lay samples with alpha over a colour.

    Args:
        samples: (H, W, 2) or (H, W, 4) uint8 or uint16.
        background: red, green and blue from 0 to 255.

    Returns:
        (H, W, 3), or (H, W, 1) of grey over grey, of the same type.
    """
    grey = samples.shape[2] == 2 and len(set(background)) == 1
    out = np.empty((*samples.shape[:2], 1 if grey else 3), samples.dtype)
    color = np.float32(background[: out.shape[2]]) / 255
    for top in range(0, len(out), ROWS):  # a large image in floating point would take four times its memory
        pixels = to_float(samples[top : top + ROWS])
        out[top : top + ROWS] = to_samples(color + (pixels[..., :-1] - color) * pixels[..., -1:], out.dtype)
    return out


def bleed(pixels: np.ndarray) -> np.ndarray:
    """Give fully transparent pixels within ``ALPHA_BLEED`` of others the mean colour of their neighbours, in place.

    Args:
        pixels: (H, W, C) floating point, the last channel alpha.

    Returns:
        ``pixels``.
    """
    known = pixels[..., -1:] > 0
    if known.all() or not known.any():
        return pixels
    colors = pixels[..., :-1]
    for _ in range(ALPHA_BLEED):
        weighted = np.concatenate([np.where(known, colors, 0), known], -1, dtype=pixels.dtype)
        for axis in (0, 1):
            weighted = sum(shifted(weighted, offset, axis) for offset in (-1, 0, 1))
        count = weighted[..., -1:]
        reached = ~known & (count > 0)
        np.copyto(colors, weighted[..., :-1] / np.maximum(count, 1), where=reached)
        known |= reached
    return pixels


def shifted(array: np.ndarray, offset: int, axis: int, fill: float = 0) -> np.ndarray:
    """Return the array moved by ``offset`` (1, 0 or -1) along an axis, ``fill`` moving in."""
    moved = np.roll(array, offset, axis)
    if offset:
        edge = [slice(None)] * array.ndim
        edge[axis] = 0 if offset > 0 else -1
        moved[tuple(edge)] = fill
    return moved


def predict_channels(predict: Callable[[np.ndarray], np.ndarray], tiles: np.ndarray, scale: int) -> np.ndarray:
    """Run an RGB network on grey, grey and alpha, RGB, or RGB and alpha.

    Args:
        predict: (N, h, w, 3) -> (N, h·scale, w·scale, 3).
        tiles: (N, h, w, C) with C from 1 to 4.
        scale: the factor.

    Returns:
        (N, h·scale, w·scale, C). Grey is the luma of what the network makes of it. Alpha stays within the range of each
        pixel's 3×3 neighbourhood, so that opaque areas stay wholly opaque and empty ones wholly empty.
    """
    channels = tiles.shape[3]
    if channels == 3:
        return predict(tiles)
    luma = np.float32(LUMA)[:, None]
    grey = lambda plane: predict(np.repeat(plane, 3, axis=3)) @ luma  # noqa: E731
    if channels == 1:
        return grey(tiles)
    colors = predict(tiles[..., :3]) if channels == 4 else grey(tiles[..., :1])
    alpha = tiles[..., -1:]
    low, high = alpha, alpha
    for axis in (1, 2):
        low = np.minimum.reduce([low, shifted(low, 1, axis, 1), shifted(low, -1, axis, 1)])
        high = np.maximum.reduce([high, shifted(high, 1, axis), shifted(high, -1, axis)])
    low, high = (bound.repeat(scale, 1).repeat(scale, 2) for bound in (low, high))
    upscaled = low if np.array_equal(low, high) else np.clip(grey(alpha), low, high)
    return np.concatenate([colors, upscaled], -1)
