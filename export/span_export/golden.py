"""The self-check inside every exported model: a small input and the output that it must give."""

from __future__ import annotations

import base64

import numpy as np

HEIGHT, WIDTH = 5, 7
"""Small, so that it costs few bytes and no time on the slowest backend; not square, so that swapped axes show."""
HALF_LEVEL = 0.5 / 255
"""An error below half of an 8-bit level changes a pixel by one level at most."""


def golden_input() -> np.ndarray:
    """The test tile (5, 7, 3) uint8: sky gradient, slanted edge, fine texture, one warm colour, black and white.

    It looks like a photograph's detail, because networks answer the impossible (single pixels of pure colours) with
    values of any size, and a check relative to those would be blunt.
    """
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    tile = np.stack([110 + 12 * x + 3 * y, 150 + 5 * x + 2 * y, 225 - 4 * x - 6 * y], axis=-1)
    slope = x + 2 * y
    tile[slope > 8] = (92, 71, 48)  # ground below a slanted edge
    tile[slope == 8] = (140, 118, 96)
    stripes = (slope > 9) & ((x + y) % 2 == 0)
    tile[stripes] = (31, 84, 22)
    tile[0, 0:2] = 255
    tile[HEIGHT - 1, WIDTH - 2 :] = 0
    tile[2:4, 0] = (236, 188, 64)
    return tile.clip(0, 255).astype(np.uint8)


def encode(tile: np.ndarray, expected: np.ndarray) -> dict:
    """JSON-ready golden: both arrays row by row, channels last, little-endian, in base64.

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
    """``(tile uint8, expected float32, tolerance)`` of what ``encode`` made.

    Raises:
        ValueError, KeyError, TypeError: it is not such a mapping.
    """
    tile = np.frombuffer(base64.b64decode(golden["input"], validate=True), np.uint8).reshape(golden["inputShape"])
    expected = np.frombuffer(base64.b64decode(golden["output"], validate=True), "<f4").reshape(golden["outputShape"])
    return tile, expected, float(golden["tolerance"])
