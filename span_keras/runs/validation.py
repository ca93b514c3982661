"""Validation of the averaged weights on whole images, in float32, through the fused network."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from span_keras.constants import MAX_PSNR
from span_keras.images import bicubic
from span_keras.images.metrics import evaluate_pair, psnr, rgb_to_y
from span_keras.images.tiling import upscale_tiled
from span_keras.network.backend import compiled
from span_keras.network.config import SpanConfig
from span_keras.network.functional import apply, fused_arrays
from span_keras.network.weights import SpanWeights
from span_keras.runs import plots

LARGEST_TILE = 256


class Validation:
    """PSNR and SSIM of a network on fixed images.

    The weights are arguments of the compiled network, so it is compiled once for all validations; images are cut into
    tiles of one shape where shapes cost compilations (JAX).

    Args:
        images: ``(name, lr, hr)``, uint8 (h, w, 3) and (h·scale, w·scale, 3), from ``data.load_validation``.
        config: of the networks to come.
    """

    def __init__(self, images: Sequence[tuple[str, np.ndarray, np.ndarray]], config: SpanConfig):
        self.images, self.config = images, config
        self._run = compiled(lambda fused, x: apply(fused, x, config))
        shortest = min(min(lr.shape[:2]) for _, lr, _ in images)
        # A tile of four halos is three quarters halo; smaller ones would be all waste.
        self._tile = min(max(shortest, 4 * config.receptive_radius), LARGEST_TILE)
        if keras.backend.backend() == "tensorflow":
            self._tile = max(LARGEST_TILE, self._tile)
        self._tile = max(self._tile, 2 * config.receptive_radius + 1)  # what a deep network needs at least

    def upscale(self, weights: SpanWeights, lr: np.ndarray) -> np.ndarray:
        """Enlarge (h, w, 3) uint8 to (h·scale, w·scale, 3) uint8."""
        fused = fused_arrays(weights)
        sr = upscale_tiled(
            lambda tiles: ops.convert_to_numpy(self._run(fused, np.ascontiguousarray(tiles, np.float32))),
            np.float32(lr) / 255,
            self.config.scale,
            self.config.receptive_radius,
            self._tile,
        )
        return bicubic.to_uint8(sr)

    def __call__(self, weights: SpanWeights) -> dict[str, float]:
        """Measure mean ``psnr_y``, ``ssim_y`` and ``psnr_rgb``, shaved by the scale; at most ``MAX_PSNR`` each."""
        weights = weights.fuse()
        figures = [self._measure(self.upscale(weights, lr), hr) for _, lr, hr in self.images]
        return {key: float(np.mean([f[key] for f in figures])) for key in figures[0]}

    def bicubic_psnr(self) -> float:
        """Measure mean PSNR on Y of bicubic enlargement, the figure to beat; at most ``MAX_PSNR`` for each image."""
        scale = self.config.scale
        enlarged = (bicubic.upscale(lr, scale) for _, lr, _ in self.images)
        pairs = zip(enlarged, self.images, strict=True)
        return float(np.mean([self._measure(sr, hr)["psnr_y"] for sr, (_, _, hr) in pairs]))

    def _measure(self, sr: np.ndarray, hr: np.ndarray) -> dict[str, float]:
        # A blank photograph comes out without any error; with an infinite mean nothing could ever be better.
        return {key: min(value, MAX_PSNR) for key, value in evaluate_pair(sr, hr, self.config.scale).items()}

    def strip(self, weights: SpanWeights, number: int = 0, side: int = 128) -> bytes:
        """Draw LR, bicubic, the network's and the HR crop of an image's liveliest place side by side, as a PNG."""
        name, lr, hr = self.images[number]
        scale = self.config.scale
        lr_side = min(side // scale, *lr.shape[:2])
        top, left = plots.busiest_square(lr, lr_side)
        # The context that the network's border pixels see comes along and is cut off again.
        halo = self.config.receptive_radius
        up, before = max(top - halo, 0), max(left - halo, 0)
        area = lr[up : top + lr_side + halo, before : left + lr_side + halo]
        inner = np.s_[
            (top - up) * scale : (top - up + lr_side) * scale,
            (left - before) * scale : (left - before + lr_side) * scale,
        ]
        bicubic_area = bicubic.upscale(area, scale)
        target = hr[top * scale : (top + lr_side) * scale, left * scale : (left + lr_side) * scale]
        small = lr[top : top + lr_side, left : left + lr_side]
        made = [("bicubic", bicubic_area[inner]), ("SPAN", self.upscale(weights, area)[inner])]
        labelled = [(f"{label} {psnr(rgb_to_y(crop), rgb_to_y(target)):.2f} dB", crop) for label, crop in made]
        return plots.sample_strip(name, [("LR", small), *labelled, ("HR", target)])
