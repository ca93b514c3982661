"""Grey, RGB, and RGB with alpha: images as networks of other channels than RGB take and give them."""

from __future__ import annotations

import numpy as np

from span_keras.constants import LUMA


def from_rgb(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an RGB image as a network takes it.

    Args:
        image: (..., 3), floating point in [0, 1] or uint8.
        channels: 1 grey, 3 RGB, 4 RGB and alpha.

    Returns:
        (..., channels) of the same type: luma, the same, or with alpha all opaque.
    """
    if channels == 3:
        return image
    if channels == 4:
        opaque = 1 if np.issubdtype(image.dtype, np.floating) else np.iinfo(image.dtype).max
        return np.concatenate([image, np.full_like(image[..., :1], opaque)], -1)
    grey = image @ np.float32(LUMA)[:, np.newaxis]
    return grey.astype(image.dtype) if np.issubdtype(image.dtype, np.floating) else np.rint(grey).astype(image.dtype)


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Return what a network gives, (..., 1, 3 or 4), as RGB (..., 3): grey is repeated, alpha left out."""
    return np.repeat(image, 3, -1) if image.shape[-1] == 1 else image[..., :3]
