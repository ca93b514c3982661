"""Run a network on images of other channels than its own: with transparency, grey, in colours.

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


def result_channels(channels: int, network: tuple[int, int]) -> int:
    """Return the channels of what ``predict_channels`` makes of so many.

    Colours stay as many as they are, unless the network is from grey to RGB or from RGB to grey. Alpha stays.

    Args:
        channels: of the samples, 1 to 4.
        network: its input and output channels.
    """
    given, made = network
    colors = (3 if channels > 2 else 1) if given == made else made
    return colors + (channels % 2 == 0)


def predict_channels(
    predict: Callable[[np.ndarray], np.ndarray], tiles: np.ndarray, scale: int, network: tuple[int, int] = (3, 3)
) -> np.ndarray:
    """Run a network on grey, grey and alpha, RGB, or RGB and alpha.

    A network for RGB enlarges grey as RGB of equal colours, of whose result the luma counts; one for grey enlarges each
    colour by itself. A network that has alpha gets opaque images if they have none.

    Args:
        predict: (N, h, w, given) -> (N, h·scale, w·scale, made).
        tiles: (N, h, w, C) with C from 1 to 4.
        scale: the factor.
        network: the channels ``(given, made)`` of ``predict``, one of ``CHANNEL_PAIRS``.

    Returns:
        (N, h·scale, w·scale, ``result_channels``). Alpha stays within the range of each pixel's 3×3 neighbourhood, so
        that opaque areas stay wholly opaque and empty ones wholly empty.
    """
    channels, (given, made) = tiles.shape[3], network
    if channels == given == made and channels != 4:
        return predict(tiles)
    has_alpha = channels % 2 == 0
    colors = tiles[..., : channels - has_alpha]
    luma = np.float32(LUMA)[:, None]
    if given == 4:
        alpha = tiles[..., -1:] if has_alpha else np.ones_like(tiles[..., :1])
        result = predict(np.concatenate([np.broadcast_to(colors, (*colors.shape[:3], 3)), alpha], -1))
        result, made_alpha = result[..., :3], result[..., 3:]
        result = result @ luma if colors.shape[3] == 1 else result
        return np.concatenate([result, _within(made_alpha, alpha, scale)], -1) if has_alpha else result

    def plane(plane: np.ndarray) -> np.ndarray:
        """Run the network on one grey plane, and return one."""
        result = predict(plane if given == 1 else np.repeat(plane, 3, axis=3))
        return result if made == 1 else result @ luma

    if network == (1, 3):
        result = predict(colors if colors.shape[3] == 1 else colors @ luma)
    elif colors.shape[3] == given:
        result = predict(colors)
    else:
        result = np.concatenate([plane(colors[..., i : i + 1]) for i in range(colors.shape[3])], -1)
    if not has_alpha:
        return result
    return np.concatenate([result, _within(plane, tiles[..., -1:], scale)], -1)


def _within(upscaled: np.ndarray | Callable, alpha: np.ndarray, scale: int) -> np.ndarray:
    """Return upscaled alpha within the range of each pixel's neighbourhood.

    Args:
        upscaled: alpha by the network, or the function that makes it, called only where alpha is not the same all over.
    """
    low, high = alpha, alpha
    for axis in (1, 2):
        low = np.minimum.reduce([low, shifted(low, 1, axis, 1), shifted(low, -1, axis, 1)])
        high = np.maximum.reduce([high, shifted(high, 1, axis), shifted(high, -1, axis)])
    low, high = (bound.repeat(scale, 1).repeat(scale, 2) for bound in (low, high))
    if np.array_equal(low, high):
        return low
    return np.clip(upscaled(alpha) if callable(upscaled) else upscaled, low, high)
