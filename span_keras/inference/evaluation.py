"""Measure an upscaler on a folder of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from span_keras.errors import DataError, ImageError
from span_keras.images import bicubic
from span_keras.images.metrics import evaluate_pair, modcrop
from span_keras.images.read import read_image
from span_keras.inference.pairs import find_pairs
from span_keras.inference.upscaler import Upscaler

FIGURES = ("psnr_y", "ssim_y", "psnr_rgb")


def evaluate(
    upscale: Upscaler | Callable[[np.ndarray], np.ndarray],
    scale: int,
    data: str | Path | Sequence[tuple[Path, Path | None]],
    on_image: Callable[[dict], None] = lambda figures: None,
    measure: Callable[..., dict] | None = None,
) -> dict:
    """Measure an upscaler on a folder of images; conventions as in ``images.metrics``, shave = scale.

    HR images are cut to multiples of the scale. Missing LR images are made from them by ``bicubic.downscale`` on uint8.

    Args:
        upscale: an ``Upscaler``, of which ``upscale_rgb`` is measured; or any function that turns (H, W, 3) float32 RGB
            in [0, 1] into (H·scale, W·scale, 3).
        scale: its factor.
        data: the folder, or what ``find_pairs`` found in it.
        on_image: called with every entry of ``per_image`` as it is made.
        measure: ``(sr, hr, shave)`` -> figures, by default ``metrics.evaluate_pair``; or what adds figures to its.

    Returns:
        ``{"scale", "images", "psnr_y", "ssim_y", "psnr_rgb", "lr", "per_image"}``: the figures are means over images,
        ``lr`` is ``"given"`` or ``"bicubic"``, ``per_image`` holds ``{"name", "psnr_y", "ssim_y", "psnr_rgb"}`` each.
        What ``measure`` adds stands beside these figures.

    Raises:
        DataError: see ``find_pairs``; or an LR image has not its HR image's size divided by the scale, or is missing
            for a scale of 1.
        ImageError: an image cannot be decoded or is too small to measure; it is named.
    """
    if isinstance(upscale, Upscaler):
        upscale = upscale.upscale_rgb
    pairs = find_pairs(data) if isinstance(data, str | Path) else data
    if scale == 1 and any(lr_path is None for _, lr_path in pairs):
        raise DataError("expected LR/ beside HR/ for a network of scale 1, found HR images alone; add what to restore.")
    per_image = []
    for hr_path, lr_path in pairs:
        lr, hr = _read_pair(hr_path, lr_path, scale)
        try:
            figures = (measure or evaluate_pair)(upscale(lr), hr, shave=scale)
        except ImageError as error:
            raise ImageError(f"{hr_path}: {error}") from error
        per_image.append({"name": hr_path.name, **{key: figures[key] for key in FIGURES}, **figures})
        on_image(per_image[-1])
    keys = [key for key in per_image[0] if key != "name"]
    return {
        "scale": scale,
        "images": len(per_image),
        **{key: math.fsum(figures[key] for figures in per_image) / len(per_image) for key in keys},
        "lr": "bicubic" if pairs[0][1] is None else "given",
        "per_image": per_image,
    }


def _read_pair(hr_path: Path, lr_path: Path | None, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an LR image (h, w, 3), float32 in [0, 1], and the uint8 HR image (h·scale, w·scale, 3) of the same view.

    Raises:
        DataError, ImageError: see ``evaluate``.
    """
    whole = bicubic.to_uint8(read_image(hr_path).pixels)
    hr = modcrop(whole, scale)
    expected = (hr.shape[0] // scale, hr.shape[1] // scale)
    if 0 in expected:
        raise ImageError(f"{hr_path} is {whole.shape[1]}×{whole.shape[0]}, too small to be shrunk by {scale}.")
    if lr_path is None:
        return bicubic.downscale(hr, scale).astype(np.float32) / 255, hr
    lr = read_image(lr_path).pixels
    if lr.shape[:2] != expected:
        raise DataError(
            f"{lr_path} should be {expected[1]}×{expected[0]}, {hr_path} divided by {scale} "
            f"({whole.shape[1]}×{whole.shape[0]}), found {lr.shape[1]}×{lr.shape[0]}; check that its scale is {scale}."
        )
    return lr, hr
