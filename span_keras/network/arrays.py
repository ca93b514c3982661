"""The deploy network in NumPy alone, for small pictures where loading a backend would take longer than the work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from span_keras.constants import LEAKY_SLOPE
from span_keras.network.config import ACTIVATIONS, SpanConfig
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
    plain = {
        **pointwise(config),
        "normalize": lambda x: (x - np.float32(config.rgb_mean)) * dtype(config.img_range),
        "add": lambda pair: pair[0] + pair[1],
        "multiply": lambda pair: pair[0] * pair[1],
        "concatenate": lambda parts: np.concatenate(parts, -1),
        "pixel_shuffle": lambda x: _pixel_shuffle(x, config.scale),
    }

    def layer(kind: str, name: str):
        return _convolution(layers[name], dtype) if name in layers else plain[kind]

    with np.errstate(over="ignore", invalid="ignore"):
        return topology(np.asarray(images, dtype), config, layer)


def pointwise(config: SpanConfig) -> dict[str, Callable]:
    """Return the layers that work on each pixel alone, by their kinds in ``topology``; channels come last.

    As NumPy's own functions they take an array, or two, and one for the result as ``out``.
    """
    return {
        "act": {"leaky_relu": _leaky_relu, "silu": _silu}[ACTIVATIONS[config.variant][0]],
        "sigmoid": _sigmoid,
        "offset": lambda x, out=None: np.subtract(x, 0.5, out=out),
        "tanh": np.tanh,
        "add": np.add,
        "multiply": np.multiply,
    }


def _leaky_relu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    return np.maximum(x, LEAKY_SLOPE * x, out=out)


def _silu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    y = np.multiply(x, 0.5, out=out)
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y


def _sigmoid(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    y = np.multiply(x, 0.5, out=out)
    np.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y


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
