"""The self-check inside every exported model: a small input and the output that it must give."""

from __future__ import annotations

import base64

import numpy as np

from span_keras.constants import GOLDEN_TILE
from span_keras.network import arrays
from span_keras.network.weights import SpanWeights

HALF_LEVEL = 0.5 / 255
"""An error below half of an 8-bit level changes a pixel by one level at most."""


def golden_input(channels: int = 3) -> np.ndarray:
    """Return the test tile (5, 7, channels) uint8, which the page has too: ``GOLDEN_TILE`` of ``constants.json``.

    Grey is its green; alpha is its red.
    """
    rows = [list(bytes.fromhex(row)) for row in GOLDEN_TILE]
    tile = np.uint8(rows).reshape(len(rows), -1, 3)
    return np.ascontiguousarray(tile[..., {1: [1], 3: [0, 1, 2], 4: [0, 1, 2, 0]}[channels]])


def output(weights: SpanWeights, tile: np.ndarray) -> np.ndarray:
    """Run fused weights on a small image by NumPy alone, in float64: loading a framework would take seconds.

    Args:
        tile: (h, w, in_channels) uint8; the network's input is ``tile / 255``.

    Returns:
        (h·scale, w·scale, out_channels) float32, not clipped.
    """
    return arrays.apply(weights, tile[np.newaxis] / 255, np.float64)[0].astype(np.float32)


def encode(tile: np.ndarray, expected: np.ndarray) -> dict:
    """Return a JSON-ready golden: both arrays row by row, channels last, little-endian, in base64.

    Args:
        tile: (h, w, in_channels) uint8; the network's input is ``tile / 255``.
        expected: (h·scale, w·scale, out_channels) float32, not clipped.
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
