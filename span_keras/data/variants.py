"""Copies of photographs that training also sees: of raised contrast, rotated; and degraded LR patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from span_keras.data.photos import hash_fraction


def with_contrast(image: Image.Image, factor: float) -> Image.Image:
    """Move every value so many times as far from the mean brightness, clipped; 1 changes nothing."""
    return image if factor == 1 else ImageEnhance.Contrast(image).enhance(factor)


def contrast_of(path: Path, most: float) -> float:
    """Return the factor from 1 to ``most`` by which a photograph's contrast is raised.

    It is drawn evenly on a logarithmic scale by the photograph's ``name_digest``, so that it stays when others come and
    go: what a teacher made of the copy serves further runs.
    """
    return most ** hash_fraction(path)


def rotated(image: Image.Image, degrees: float) -> Image.Image:
    """Rotate counterclockwise about the centre and crop to the old size; 0 changes nothing.

    What comes in at the corners is the photograph mirrored at its borders: a copy without it would lose half the
    area or more, and small photographs would no longer hold a patch.
    """
    if degrees == 0:
        return image
    (width, height), (wide, high) = image.size, rotated_over(image.size, degrees)
    across, down = (wide - width) // 2, (high - height) // 2
    mirrored = Image.fromarray(np.pad(np.asarray(image), ((down, down), (across, across), (0, 0)), "symmetric"))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # From output to input positions, such that one centre meets the other.
    x, y = (wide - cos * width + sin * height) / 2, (high - sin * width - cos * height) / 2
    affine = (cos, -sin, x, sin, cos, y)
    return mirrored.transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)


def rotated_over(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    """Return the size of what a rotation with bicubic interpolation reads, centred on an image of a size."""
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    width, height = size
    reach = width * cos + height * sin, width * sin + height * cos
    return tuple(old + 2 * max(math.ceil((new - old) / 2) + 2, 0) for old, new in zip(size, reach, strict=True))


def rotation_of(path: Path, copy: str) -> float:
    """Return the angle from -45° to 45° by which a copy is rotated; flips and transposes make all others of it.

    It is drawn evenly by a hash of the photograph's and the copy's names, for the reason told in ``contrast_of``.
    """
    return 90 * hash_fraction(path, f"{copy}/") - 45


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
