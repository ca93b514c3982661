"""The deploy network in NumPy alone, for small pictures where loading a backend would take longer than the work."""

from __future__ import annotations

import numpy as np

from span_keras.constants import LEAKY_SLOPE
from span_keras.network.topology import topology
from span_keras.network.weights import SpanWeights


def apply(weights: SpanWeights, images: np.ndarray) -> np.ndarray:
    """Run a network.

    Args:
        weights: any form; they are fused first.
        images: (N, H, W, in_channels) in [0, 1].

    Returns:
        (N, H·scale, W·scale, out_channels) float32, not clipped. What overflows is infinite or not a number.
    """
    config, layers = weights.config, weights.fuse().layers
    scale, colors = config.scale, config.out_channels

    def shuffle(x):
        n, h, w, _ = x.shape
        x = x.reshape(n, h, w, scale, scale, colors).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, h * scale, w * scale, colors)

    plain = {
        "normalize": lambda x: (x - np.float32(config.rgb_mean)) * np.float32(config.img_range),
        "act": _silu if config.variant == "official" else lambda x: np.maximum(x, np.float32(LEAKY_SLOPE) * x),
        "sigmoid": _sigmoid,
        "offset": lambda x: x - np.float32(0.5),
        "tanh": np.tanh,
        "add": lambda pair: pair[0] + pair[1],
        "multiply": lambda pair: pair[0] * pair[1],
        "concatenate": lambda parts: np.concatenate(parts, axis=-1),
        "pixel_shuffle": shuffle,
    }

    def layer(kind: str, name: str):
        if name in layers:
            kernel, bias = (layers[name][key].astype(np.float32, copy=False) for key in ("kernel", "bias"))
            return lambda x: _convolve(x, kernel) + bias
        return plain[kind]

    with np.errstate(over="ignore", invalid="ignore"):
        return topology(np.asarray(images, np.float32), config, layer)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve (N, H, W, c) by (k, k, c, d), k odd, with zero padding: a product for every tap of the kernel."""
    size, (_, height, width, _) = len(kernel) // 2, x.shape
    x = np.pad(x, [(0, 0), (size, size), (size, size), (0, 0)])
    return sum(
        x[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(len(kernel))
        for column in range(len(kernel))
    )
