"""The deploy network in NumPy alone, for small pictures where loading a backend would take longer than the work."""

from __future__ import annotations

import numpy as np

from span_keras.constants import LEAKY_SLOPE
from span_keras.network.config import ACTIVATIONS
from span_keras.network.topology import topology
from span_keras.network.weights import SpanWeights


def apply(weights: SpanWeights, images: np.ndarray, dtype=np.float32) -> np.ndarray:
    """Run a network.

    Args:
        weights: any form; they are fused first.
        images: (N, H, W, in_channels) in [0, 1].
        dtype: of the computation, float32 or float64.

    Returns:
        (N, H·scale, W·scale, out_channels) of that type, not clipped. What overflows is infinite or not a number.
    """
    config, layers = weights.config, weights.fuse().layers
    activations = {
        "leaky_relu": lambda x: np.where(x < 0, dtype(LEAKY_SLOPE) * x, x),
        "silu": lambda x: x * _sigmoid(x),
    }
    plain = {
        "normalize": lambda x: (x - np.float32(config.rgb_mean)) * dtype(config.img_range),
        "act": activations[ACTIVATIONS[config.variant][0]],
        "sigmoid": _sigmoid,
        "offset": lambda x: x - dtype(0.5),
        "tanh": np.tanh,
        "add": lambda pair: pair[0] + pair[1],
        "multiply": lambda pair: pair[0] * pair[1],
        "concatenate": lambda parts: np.concatenate(parts, -1),
        "pixel_shuffle": lambda x: _pixel_shuffle(x, config.scale),
    }

    def layer(kind: str, name: str):
        return _convolution(layers[name], dtype) if name in layers else plain[kind]

    with np.errstate(over="ignore", invalid="ignore"):
        return topology(np.asarray(images, dtype), config, layer)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return x.dtype.type(0.5) * (1 + np.tanh(x.dtype.type(0.5) * x))


def _convolution(group: dict[str, np.ndarray], dtype):
    """Return a convolution by (k, k, c, d), k odd, with zero padding: a product for every tap of the kernel."""
    kernel, bias = group["kernel"].astype(dtype, copy=False), group["bias"].astype(dtype, copy=False)
    side = range(len(kernel))

    def convolve(x):
        _, height, width, _ = x.shape
        x = np.pad(x, [(0, 0), *[(len(kernel) // 2,) * 2] * 2, (0, 0)])
        windows = ((row, column, x[:, row : row + height, column : column + width]) for row in side for column in side)
        return sum(window @ kernel[row, column] for row, column, window in windows) + bias

    return convolve


def _pixel_shuffle(x: np.ndarray, scale: int) -> np.ndarray:
    n, h, w, c = x.shape
    blocks = x.reshape(n, h, w, scale, scale, c // scale**2).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, h * scale, w * scale, c // scale**2)
