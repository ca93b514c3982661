"""Encode and decode JPEG on the device, as libjpeg does, without the lossless part."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from span_keras.constants import LUMA
from span_keras.network.layers import doubled

BLOCK = 16
"""Side of the blocks of a JPEG with subsampled chroma."""

LUMA_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)

CHROMA_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32),
)
"""Quantisation at quality 50: tables K.1 and K.2 of ITU-T T.81, row by row."""

_DCT = np.float32(
    [[math.sqrt((2 - (not u)) / 8) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)] for u in range(8)]
)


def jpeg(x, quality, subsampled):
    """Encode and decode images as JPEG, as libjpeg does.

    Args:
        x: (N, H, W, 3) from 0 to 255; H and W are multiples of ``BLOCK``.
        quality: (N,) whole numbers from 1 to 100.
        subsampled: (N,) booleans: chroma of half the resolution (4:2:0), or of the full (4:4:4).

    Returns:
        (N, H, W, 3), whole numbers from 0 to 255.
    """
    red, green, blue = (ops.clip(ops.round(x[..., channel]), 0, 255) for channel in range(3))
    luma = ops.round(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)
    blue_difference = ops.round(128 - 0.168736 * red - 0.331264 * green + 0.5 * blue)
    red_difference = ops.round(128 + 0.5 * red - 0.418688 * green - 0.081312 * blue)

    scale = ops.where(quality < 50, ops.floor(5000 / quality), 200 - 2 * quality)[:, None, None]

    def table(values):
        values = ops.convert_to_tensor(np.float32(values).reshape(1, 8, 8))
        return ops.clip(ops.floor((values * scale + 50) / 100), 1, 255)

    luma = _quantised(luma, table(LUMA_TABLE)) - 128
    chroma = []
    for plane in (blue_difference, red_difference):
        full, half = _quantised(plane, table(CHROMA_TABLE)), _quantised(_halved(plane), table(CHROMA_TABLE))
        # libjpeg's "fancy upsampling"
        half = ops.round(doubled(half[..., None]))[..., 0]
        chroma.append(ops.where(subsampled[:, None, None], half, full) - 128)
    blue_difference, red_difference = chroma
    colours = [
        luma + 1.402 * red_difference,
        luma - 0.344136 * blue_difference - 0.714136 * red_difference,
        luma + 1.772 * blue_difference,
    ]
    return ops.clip(ops.round(ops.stack(colours, axis=-1) + 128), 0, 255)


def _quantised(plane, table):
    """Quantise (N, H, W) by tables (N, 8, 8) in the discrete cosine transform of its blocks, and transform back."""
    count, height, width = plane.shape
    dct = ops.convert_to_tensor(_DCT)
    blocks = ops.transpose(ops.reshape(plane - 128, (count, height // 8, 8, width // 8, 8)), (0, 1, 3, 2, 4))
    table = table[:, None, None]
    coefficients = ops.matmul(ops.matmul(dct, blocks), ops.transpose(dct))
    coefficients = ops.round(coefficients / table) * table
    blocks = ops.matmul(ops.matmul(ops.transpose(dct), coefficients), dct)
    plane = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), (count, height, width))
    return ops.clip(ops.round(plane + 128), 0, 255)


def _halved(plane):
    """Take means of squares of two pixels, halves rounded up and down in turn, as libjpeg does."""
    count, height, width = plane.shape
    sums = ops.sum(ops.reshape(plane, (count, height // 2, 2, width // 2, 2)), axis=(2, 4))
    bias = ops.convert_to_tensor(np.resize(np.float32([1, 2]), width // 2))
    return ops.floor((sums + bias) / 4)
