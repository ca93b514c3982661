"""A second target for training, beside the photograph: what a trained network makes of its LR image.

The output is averaged over the eight orientations of its input (geometric self-ensemble, "Enhanced Deep Residual
Networks for Single Image Super-Resolution", Lim et al., CVPR Workshops 2017). It is made when a photograph is decoded,
once if all fit into the cache, and kept as uint8 beside the LR image: steps cost hardly more. With a folder, further
runs with the same teacher and photographs read it there.
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import numpy as np
from keras import ops

from span_keras import atomic
from span_keras.errors import TrainingError
from span_keras.images import orientation
from span_keras.images.tiling import upscale_bands
from span_keras.network.backend import compiled
from span_keras.network.functional import apply, fused_arrays
from span_keras.network.weights import SpanWeights

CORE = 128
"""Side, in LR pixels, of what a tile contributes. All tiles have one shape, because JAX compiles for each."""


class Teacher:
    """``teacher(lr)``: (h, w, 3) uint8 -> (h·scale, w·scale, 3) uint8. Threads may share one.

    Args:
        weights: of the network, in either form.
        folder: where every output is kept as a ``.npy`` file named by a hash of network and image; three bytes per
            pixel. It is made if missing, and nothing in it is ever deleted.

    Raises:
        TrainingError: on a call, the folder cannot be written.
    """

    def __init__(self, weights: SpanWeights, folder: str | os.PathLike | None = None):
        self.config = weights.config
        self._folder = Path(folder) if folder else None
        fused = fused_arrays(weights)
        self._name = hashlib.sha256(repr(self.config).encode())
        for layer in sorted(fused):
            self._name.update(b"".join(array.tobytes() for array in fused[layer]))
        # Its output is rounded to 8 bits: TF32 is exact enough, and the photographs are many.
        network = lambda x: apply(fused, x, self.config)  # noqa: E731
        self._run = compiled(lambda tile: ensemble(network, tile), exact=False)
        # One compilation, and one tile's activations at a time on the device.
        self._lock = threading.Lock()

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        if self._folder is None:
            return self._upscale(lr)
        name = self._name.copy()
        name.update(repr(lr.shape).encode() + np.ascontiguousarray(lr).tobytes())
        path = self._folder / f"{name.hexdigest()}.npy"
        shape = lr.shape[0] * self.config.scale, lr.shape[1] * self.config.scale, 3
        try:
            out = np.load(path, allow_pickle=False)
            if out.shape == shape and out.dtype == np.uint8:
                return out
        except Exception:  # of a damaged file NumPy says what it likes
            pass  # not there yet, or damaged: it is made again
        out = self._upscale(lr)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic.replaced(path, ".npy") as temporary:
                np.save(temporary, out, allow_pickle=False)
        except OSError as error:
            raise TrainingError(
                f"expected to write {path}, found: {error.strerror or error}; free space, or choose another folder for "
                "teacher_cache or none."
            ) from error
        return out

    def _upscale(self, lr: np.ndarray) -> np.ndarray:
        scale, halo = self.config.scale, self.config.receptive_radius
        # Mirrored surroundings, so that tiles at the border have the shape of all others.
        padding = [(halo, -side % CORE + halo) for side in lr.shape[:2]]
        padded = np.pad(lr, [*padding, (0, 0)], mode="symmetric")
        out = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3), np.uint8)
        top, left = -halo * scale, halo * scale
        for band in upscale_bands(self._predict, padded, scale, halo, CORE + 2 * halo):
            rows = band[max(-top, 0) :, left : left + out.shape[1]]
            place = out[max(top, 0) :][: len(rows)]  # the mirrored surroundings are left out
            place[...] = rows[: len(place)]
            top += len(band)
        return out

    def _predict(self, tiles: np.ndarray) -> np.ndarray:
        with self._lock:
            return ops.convert_to_numpy(self._run(tiles[0]))[np.newaxis]


def ensemble(network, tile):
    """Run a network on a square tile in its eight orientations and average the outputs.

    Args:
        network: (8, h, h, 3) float32 in [0, 1] -> (8, h·scale, h·scale, 3).
        tile: (h, h, 3) uint8.

    Returns:
        (h·scale, h·scale, 3) uint8.
    """
    x = ops.cast(tile, "float32") / 255.0
    outputs = network(orientation.turn_each(ops.stack([x] * 8), np.arange(8)))
    mean = ops.mean(orientation.turn_each(outputs, orientation.INVERSE), axis=0)
    return ops.cast(ops.floor(ops.clip(mean, 0.0, 1.0) * 255.0 + 0.5), "uint8")
