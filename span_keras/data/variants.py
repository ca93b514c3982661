"""Degraded LR patches."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter


def degraded(patch: np.ndarray, names: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """Make a uint8 patch what a real camera might deliver; ``PatchDataset`` tells the strengths."""
    if "blur" in names:
        patch = np.asarray(Image.fromarray(patch).filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5))))
    if "noise" in names:
        noise = rng.normal(0, rng.uniform(0, 10), patch.shape)
        patch = np.clip(np.rint(patch + noise), 0, 255).astype(np.uint8)
    if "jpeg" in names:
        buffer = BytesIO()
        Image.fromarray(patch).save(buffer, "JPEG", quality=int(rng.integers(40, 96)))
        patch = np.asarray(Image.open(buffer))
    return patch
