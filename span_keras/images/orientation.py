"""The eight orientations of an image, numbered: bit 2 transposes, then bit 0 flips rows and bit 1 columns."""

from __future__ import annotations

import numpy as np

INVERSE = np.uint8([0, 1, 2, 3, 4, 6, 5, 7])
"""Number -> the orientation that undoes it: behind a transposition, rows are columns."""


def turned(image: np.ndarray, number: int) -> np.ndarray:
    """Return a view of (h, w, C) in an orientation; those that transpose make it (w, h, C)."""
    if number & 4:
        image = image.transpose(1, 0, 2)
    if number & 1:
        image = image[::-1]
    return image[:, ::-1] if number & 2 else image


def turn_each(images, numbers):
    """Turn every image of a batch into an orientation of its own, on the device.

    Args:
        images: tensor (N, h, h, C) of any type.
        numbers: tensor (N,) of whole numbers from 0 to 7.
    """
    from keras import ops  # ``turned`` needs no backend

    numbers = ops.reshape(ops.cast(numbers, "int32"), (-1, 1, 1, 1))

    def where(bit: int, changed):
        return ops.where(ops.not_equal(ops.bitwise_and(numbers, bit), 0), changed, images)

    images = where(4, ops.transpose(images, (0, 2, 1, 3)))
    images = where(1, ops.flip(images, 1))
    return where(2, ops.flip(images, 2))
