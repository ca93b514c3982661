"""Run the network once for tiles of several images, which threads hand in at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np


def gathered(run: Callable[[np.ndarray], np.ndarray], most: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that does the same, but takes together what waits while the one before runs.

    Nothing waits for more to come: the busier the device, the fuller its batches. Arrays of one shape go together; they
    are filled up to a power of two by repeats, so that few shapes are compiled.

    Args:
        run: (N, h, w, C) -> (N, h·scale, w·scale, D); a thread of its own calls it.
        most: the largest N that arrays are put together to. A single larger one runs as it is.
    """
    waiting: queue.SimpleQueue[tuple[np.ndarray, Future]] = queue.SimpleQueue()

    def serve() -> None:
        pending = []
        while True:
            if not pending:
                pending.append(waiting.get())
            while not waiting.empty():
                pending.append(waiting.get())
            group, count, others = [], 0, []
            for entry in pending:
                tiles, _ = entry
                fits = not group or (tiles.shape[1:] == group[0][0].shape[1:] and count + len(tiles) <= most)
                (group if fits else others).append(entry)
                count += len(tiles) if fits else 0
            pending = others
            _run_together(run, group)

    threading.Thread(target=serve, daemon=True).start()

    def hand_in(tiles: np.ndarray) -> np.ndarray:
        made = Future()
        waiting.put((tiles, made))
        return made.result()

    return hand_in


def _run_together(run: Callable[[np.ndarray], np.ndarray], group: list[tuple[np.ndarray, Future]]) -> None:
    """Run arrays of one shape as one, and hand out the results."""
    try:
        tiles = np.concatenate([tiles for tiles, _ in group])
        missing = (1 << (len(tiles) - 1).bit_length()) - len(tiles)
        results = run(np.concatenate([tiles, *[tiles[-1:]] * missing]) if missing else tiles)
    except Exception as error:  # it belongs to those who wait for the result
        for _, made in group:
            made.set_exception(error)
        return
    start = 0
    for part, made in group:
        made.set_result(results[start : start + len(part)])
        start += len(part)
