"""The self-check inside every exported model: a small input and the output that it must give."""

from __future__ import annotations

import base64

import numpy as np

from span_keras.constants import GOLDEN_TILE, LEAKY_SLOPE
from span_keras.network.config import ACTIVATIONS
from span_keras.network.topology import topology
from span_keras.network.weights import SpanWeights

HALF_LEVEL = 0.5 / 255
"""An error below half of an 8-bit level changes a pixel by one level at most."""


def golden_input() -> np.ndarray:
    """Return the test tile (5, 7, 3) uint8, which the page has too: ``GOLDEN_TILE`` of ``constants.json``."""
    rows = [list(bytes.fromhex(row)) for row in GOLDEN_TILE]
    return np.uint8(rows).reshape(len(rows), -1, 3)


def output(weights: SpanWeights, tile: np.ndarray) -> np.ndarray:
    """Run fused weights on a small image by NumPy alone, in float64: loading a framework would take seconds.

    Args:
        tile: (h, w, 3) uint8; the network's input is ``tile / 255``.

    Returns:
        (h·scale, w·scale, 3) float32, not clipped.
    """
    config = weights.config
    activations = {"leaky_relu": lambda x: np.where(x < 0, LEAKY_SLOPE * x, x), "silu": lambda x: x * _sigmoid(x)}
    plain = {
        "normalize": lambda x: (x - np.float32(config.rgb_mean)) * config.img_range,
        "act": activations[ACTIVATIONS[config.variant][0]],
        "sigmoid": _sigmoid,
        "offset": lambda x: x - 0.5,
        "tanh": np.tanh,
        "add": sum,
        "multiply": lambda pair: pair[0] * pair[1],
        "concatenate": lambda parts: np.concatenate(parts, -1),
        "pixel_shuffle": lambda x: _pixel_shuffle(x, config.scale),
    }

    def layer(kind, name):
        return _convolution(**weights.layers[name]) if name in weights.layers else plain[kind]

    return topology(tile / 255, config, layer).astype(np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(x / 2)


def _convolution(kernel: np.ndarray, bias: np.ndarray):
    size = len(kernel)

    def convolve(x):
        padded = np.pad(x, [(size // 2, size // 2)] * 2 + [(0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
        return np.tensordot(windows, kernel.astype(np.float64), ((3, 4, 2), (0, 1, 2))) + bias

    return convolve


def _pixel_shuffle(x: np.ndarray, scale: int) -> np.ndarray:
    h, w, c = x.shape
    blocks = x.reshape(h, w, scale, scale, c // scale**2).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(h * scale, w * scale, c // scale**2)


def encode(tile: np.ndarray, expected: np.ndarray) -> dict:
    """Return a JSON-ready golden: both arrays row by row, channels last, little-endian, in base64.

    Args:
        tile: (h, w, 3) uint8; the network's input is ``tile / 255``.
        expected: (h·scale, w·scale, 3) float32, not clipped.
    """
    return {
        "inputShape": list(tile.shape),
        "input": base64.b64encode(tile.tobytes()).decode("ascii"),
        "outputShape": list(expected.shape),
        "output": base64.b64encode(expected.astype("<f4").tobytes()).decode("ascii"),
        # Backends round differently in proportion to the values they handle.
        "tolerance": HALF_LEVEL * max(1.0, float(np.abs(expected).max())),
    }


def decode(golden: dict) -> tuple[np.ndarray, np.ndarray, float]:
    """Return ``(tile uint8, expected float32, tolerance)`` of what ``encode`` made.

    Raises:
        ValueError, KeyError, TypeError: it is not such a mapping.
    """
    tile = np.frombuffer(base64.b64decode(golden["input"], validate=True), np.uint8).reshape(golden["inputShape"])
    expected = np.frombuffer(base64.b64decode(golden["output"], validate=True), "<f4").reshape(golden["outputShape"])
    return tile, expected, float(golden["tolerance"])
