"""Find by trial what a file does not tell: range and mean of its network's input.

Each convention in use is tried on ``TRIAL_PICTURE``. What a network makes of a picture resembles the picture's bicubic
enlargement, whatever it was trained to add. With another range or mean than in training it does not: the right one of
six conventions is 8 to 42 dB nearer than the next for the networks that were tried. It takes 50 ms for 48 channels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from span_keras.constants import DIV2K_MEAN, LUMA, TRIAL_PICTURE
from span_keras.images import bicubic
from span_keras.images.channels import from_rgb, to_rgb
from span_keras.network import arrays
from span_keras.network.weights import SpanWeights

RANGES = (255.0, 1.0)
"""The authors' range and that of the other trainers."""

RESEMBLES = 20.0
"""PSNR in dB from which a result resembles the enlargement. The networks that were tried have 33 to 48, with a wrong
range at most 16."""

MOST = 999.0
"""What stands for an endless PSNR, and with a minus for that of values that are not numbers."""


@dataclass(frozen=True)
class Found:
    """Hold the convention that came nearest.

    Attributes:
        img_range, rgb_mean: the convention, fields of ``SpanConfig``.
        psnr: of what the network then makes of the picture, against its bicubic enlargement, in dB.
        next_psnr: of the second best convention, None if there was one only.
        tried: number of conventions.
    """

    img_range: float
    rgb_mean: tuple[float, ...]
    psnr: float
    next_psnr: float | None
    tried: int


def find(weights: SpanWeights, known: dict) -> Found:
    """Return the convention with which a network's result is nearest to the bicubic enlargement of the picture.

    Args:
        weights: any form; range and mean of its configuration do not matter.
        known: ``img_range`` or ``rgb_mean`` where it is known, to be kept.
    """
    fused = weights.fuse()
    ranges = [known["img_range"]] if "img_range" in known else RANGES
    means = [known["rgb_mean"]] if "rgb_mean" in known else usual_means(weights.config.in_channels)
    tried = []
    for img_range, rgb_mean in itertools.product(ranges, means):
        config = replace(weights.config, img_range=img_range, rgb_mean=rgb_mean)
        tried.append((_likeness(replace(fused, config=config)), config))
    tried.sort(key=lambda result: result[0], reverse=True)
    psnr, best = tried[0]
    return Found(best.img_range, best.rgb_mean, psnr, tried[1][0] if len(tried) > 1 else None, len(tried))


def usual_means(channels: int) -> tuple[tuple[float, ...], ...]:
    """Return the means in use for an input of so many channels, the authors' first."""
    grey, none = (0.5,) * channels, (0.0,) * channels
    of_images = {1: (float(np.dot(LUMA, DIV2K_MEAN)),), 3: DIV2K_MEAN}
    return (*((of_images[channels],) if channels in of_images else ()), grey, none)


def _likeness(weights: SpanWeights) -> float:
    """Return the PSNR in dB of the network's result for ``TRIAL_PICTURE`` against its bicubic enlargement."""
    config = weights.config
    rows = [list(bytes.fromhex(row)) for row in TRIAL_PICTURE]
    picture = np.float32(rows).reshape(len(rows), -1, 3) / np.float32(255)
    made = arrays.apply(weights, from_rgb(picture, config.in_channels)[None])[0]
    wanted = bicubic.upscale(picture, config.scale)
    # What colours a network gives a grey picture is its own choice.
    grey = min(config.in_channels, config.out_channels) == 1
    made, wanted = (from_rgb(to_rgb(image), 1 if grey else 3) for image in (made, wanted))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        psnr = -10 * np.log10(np.mean(np.square(made - wanted), dtype=np.float64))
    return float(np.nan_to_num(psnr, nan=-MOST, posinf=MOST, neginf=-MOST))
