"""Average a network over the eight orientations of its input, which is a little better than one of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from span_keras.images.orientation import INVERSE, turned


def over_orientations(run: Callable[[np.ndarray], np.ndarray], max_pixels: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that gives the mean of what a network makes of its input's eight orientations, turned back.

    Args:
        run: (N, h, w, 3) -> (N, h·scale, w·scale, 3).
        max_pixels: orientations share a call of ``run`` up to so many input pixels.

    Source: Lim et al., "Enhanced Deep Residual Networks", CVPR Workshops 2017, geometric self-ensemble.
    """

    def mean(tiles: np.ndarray) -> np.ndarray:
        count, height, width = tiles.shape[:3]
        together = max(1, max_pixels // (count * height * width))
        # Those that transpose have another shape, unless the tiles are square.
        halves = [range(8)] if height == width else [range(4), range(4, 8)]
        total = np.float32(0)
        for numbers in halves:
            for first in range(0, len(numbers), together):
                group = numbers[first : first + together]
                made = run(np.stack([turned(tile, number) for number in group for tile in tiles]))
                for place, number in enumerate(group):
                    results = made[place * count : (place + 1) * count]
                    total = total + np.stack([turned(result, INVERSE[number]) for result in results])
        return total / np.float32(8)

    return mean
