"""Resize images on the device by factors of their own: a product with two matrices, so that all shapes are fixed."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

KERNELS = ("area", "bilinear", "bicubic", "lanczos")
"""Resampling kernels, of which every resizing of every image chooses one."""


def resized(x, factor, valid, side: int, kernel):
    """Resize square images by factors of their own, antialiased, onto a canvas of one size.

    Args:
        x: (N, S, S, 3).
        factor: (N,) size of the result divided by that of the source.
        valid: (N,) side of the source within its canvas, in pixels; what lies beyond is not read.
        side: of the result's canvas. Beyond the image it repeats the last row and column.
        kernel: (N,) int32 numbers of ``KERNELS``.

    Returns:
        (N, side, side, 3).
    """
    matrix = resampling_matrix(factor, valid, side, x.shape[1], kernel)
    count, source = x.shape[:2]
    rows = ops.matmul(matrix, ops.reshape(x, (count, source, 3 * source)))
    columns = ops.transpose(ops.reshape(rows, (count, side, source, 3)), (0, 2, 1, 3))
    columns = ops.matmul(matrix, ops.reshape(columns, (count, source, 3 * side)))
    return ops.transpose(ops.reshape(columns, (count, side, side, 3)), (0, 2, 1, 3))


def resampling_matrix(factor, valid, side: int, source: int, kernel):
    """Return weights (N, side, source) of a resampling along one axis, as in Pillow's ``resize``; see ``resized``."""
    factor, valid = factor[:, None, None], valid[:, None, None]
    outputs = ops.convert_to_tensor(np.arange(side, dtype=np.float32)[None, :, None])
    inputs = ops.convert_to_tensor(np.arange(source, dtype=np.float32)[None, None, :])
    # Pixels that the image does not have repeat its last one.
    outputs = ops.minimum(outputs, ops.maximum(ops.round(factor * valid) - 1, 0))
    centre = (outputs + 0.5) / factor - 0.5
    width = ops.maximum(1 / factor, 1)
    distance = ops.abs(inputs - centre) / width
    by_name = {"area": _box(distance, width), "bilinear": ops.relu(1 - distance)}
    by_name |= {"bicubic": _cubic(distance), "lanczos": _lanczos(distance)}
    weights = by_name[KERNELS[0]]
    for number, name in enumerate(KERNELS[1:], 1):
        weights = ops.where((kernel == number)[:, None, None], by_name[name], weights)
    weights = ops.where(inputs < valid - 0.5, weights, 0.0)
    return weights / ops.sum(weights, axis=2, keepdims=True)


def _box(distance, width):
    """Return the part of an input pixel that lies under an output pixel: 1 within, falling over one input pixel."""
    return ops.clip((0.5 - distance) * width + 0.5, 0, 1)


def _cubic(x):
    """Apply Keys' kernel with a = -0.5, as ``images.bicubic`` does in NumPy: this one is part of a compiled step."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((x - 5) * x + 8) * x * -0.5 + 2
    return ops.where(x < 1, near, ops.where(x < 2, far, 0.0))


def _lanczos(x):
    """Apply Lanczos' kernel of three lobes."""
    angle = math.pi * ops.maximum(x, 1e-4)
    value = 3 * ops.sin(angle) * ops.sin(angle / 3) / ops.square(angle)
    return ops.where(x < 3, value, 0.0)
