"""Validation of the averaged weights on whole images, in float32, through the fused network."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from span_keras import stacked
from span_keras.config import SpanConfig
from span_keras.metrics import evaluate_pair
from span_keras.state import SpanWeights


class Validation:
    """PSNR and SSIM of a network on fixed images.

    Args:
        images: ``(name, lr, hr)``, uint8 (h, w, 3) and (h·scale, w·scale, 3), from ``data.load_validation``.
        config: of the networks to come.
    """

    def __init__(self, images: Sequence[tuple[str, np.ndarray, np.ndarray]], config: SpanConfig):
        self.images, self.config = images, config
        self._run = _compiled(lambda fused, x: stacked.apply(fused, x, config))

    def upscale(self, weights: SpanWeights, lr: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 -> (h·scale, w·scale, 3) uint8."""
        sr = self._run(stacked.fused_arrays(weights), np.float32(lr[None]) / 255)
        return np.uint8(np.rint(np.clip(ops.convert_to_numpy(sr)[0], 0, 1) * 255))

    def __call__(self, weights: SpanWeights) -> dict[str, float]:
        """Mean ``psnr_y``, ``ssim_y`` and ``psnr_rgb``, shaved by the scale."""
        figures = [evaluate_pair(self.upscale(weights, lr), hr, self.config.scale) for _, lr, hr in self.images]
        return {key: float(np.mean([f[key] for f in figures])) for key in figures[0]}


def _compiled(function):
    if keras.backend.backend() == "jax":
        import jax

        def exact(*args):
            with jax.default_matmul_precision("highest"):
                return function(*args)

        return jax.jit(exact)
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)
