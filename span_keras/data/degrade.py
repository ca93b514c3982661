"""Make LR patches as cameras and web sites leave them, on the device, inside the compiled train step.

An HR patch passes twice through blur, resizing, noise and JPEG, as in "Designing a Practical Degradation Model for Deep
Blind Image Super-Resolution" (Zhang et al., ICCV 2021) and "Real-ESRGAN" (Wang et al., ICCVW 2021). Every image of a
batch has strengths of its own. All shapes are fixed, so one compilation serves all strengths: an image of another size
lies in the corner of a canvas, and resizing is a product with two matrices.

Colours are float32 from 0 to 255 here, because JPEG rounds to whole levels.
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from keras import ops

from span_keras.constants import SSIM_WINDOW
from span_keras.data.jpeg import BLOCK, jpeg
from span_keras.data.options import Degradations
from span_keras.data.resampling import KERNELS, resized
from span_keras.errors import DataError
from span_keras.network.backend import Random, compiled, full_precision

MARGIN = 8
"""LR pixels beside a patch that are made and cut off again, so that the last JPEG's blocks begin at any pixel of it."""

BLUR_MARGIN = 16
"""HR pixels mirrored around an image that is blurred: more than the widest Gaussian of the presets reaches."""


def hr_side(patch: int, scale: int) -> int:
    """Return the side of the HR patches that ``degrade`` wants, in pixels."""
    return (patch + MARGIN) * scale


class Degrader:
    """Make the pairs of a training run: a function of HR patches and the number of the step alone.

    Args:
        options: see ``Degradations``.
        scale: factor of the network.
        patch: side of the LR patches.
        seed: equal ones give equal pairs on the same backend.
    """

    def __init__(self, options: Degradations, scale: int, patch: int, seed: int = 0):
        self.options, self.scale, self.patch, self.seed = options, scale, patch, seed
        self.hr_side = hr_side(patch, scale)
        self._compiled = compiled(self.__call__)

    def __call__(self, hr, step):
        """Make LR and HR patches as ``degrade`` does, of (N, hr_side, hr_side, 3) from 0 to 255, as tensors."""
        return degrade(ops.cast(hr, "float32"), Random(self.seed, step), self.options, self.scale, self.patch)

    def arrays(self, hr: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Make the same pairs outside of a train step, as uint8 arrays."""
        lr, hr = (ops.convert_to_numpy(images) for images in self._compiled(hr, np.int32(step)))
        return lr.astype(np.uint8), hr.astype(np.uint8)


VALIDATION_PATCH = 96
"""Side of the LR patches that a run with degradations validates on, or what the photographs have of it."""


def degraded_pairs(images, options: Degradations, scale: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Degrade the middle of every image as training degrades patches, the same way whatever the run's seed.

    Args:
        images: ``(name, lr, hr)`` from ``decode.load_validation``; only ``hr`` counts.
        options: see ``Degradations``.
        scale: factor of the network.

    Returns:
        ``(name, lr, hr)`` with patches of ``VALIDATION_PATCH`` LR pixels; smaller if an image is smaller.

    Raises:
        DataError: no image is large enough.
    """
    least = -(-SSIM_WINDOW // scale) + 2  # what is measured once the border is shaved
    of_side = defaultdict(list)
    for name, _, hr in images:
        patch = min(VALIDATION_PATCH, min(hr.shape[:2]) // scale - MARGIN)
        if patch >= least:
            side = hr_side(patch, scale)
            top, left = ((length - side) // 2 for length in hr.shape[:2])
            of_side[patch].append((name, hr[top : top + side, left : left + side]))
    if not of_side:
        raise DataError(
            f"expected validation images of at least {hr_side(least, scale)} pixels a side, found none; name others "
            "by --val, or leave --degrade out."
        )
    made = []
    for patch, found in of_side.items():
        names, crops = zip(*found, strict=True)
        made += zip(names, *Degrader(options, scale, patch).arrays(np.stack(crops), 0), strict=True)
    return made


def degrade(hr, random: Random, options: Degradations, scale: int, patch: int):
    """Make LR patches of HR patches, and cut both to the same place.

    Args:
        hr: (N, side, side, 3) with ``side = hr_side(patch, scale)``, float32 from 0 to 255.
        random: decides everything; equal ones give equal patches.
        options: see ``Degradations``.
        scale: factor of the network.
        patch: side of the LR patches.

    Returns:
        LR (N, patch, patch, 3) and HR (N, patch·scale, patch·scale, 3), float32, whole numbers from 0 to 255.
    """
    with full_precision():
        count, side = hr.shape[0], hr.shape[1]
        lr_side = side // scale
        one = ops.ones((count,))
        clean = random.chance(count, options.clean)
        first = random.chance(count, options.first_pass)
        largest = min(options.first_size[1], 1.1 * scale)
        size = random.uniform((count,), min(options.first_size[0], largest), largest)
        size = ops.where(first, size, scale * one)  # in LR sides; as large as HR is no change at all

        x = blurred(hr, *_kernel_shape(random, count, options, scale), random.chance(count, options.blur))
        # Patches without a first pass stay as large as HR, however small the others become.
        canvas = _whole_blocks(math.ceil(max(largest, scale) * lr_side) if options.first_pass else side)
        x = resized(x, size * lr_side / side, side * one, canvas, _kernels(random, count))
        x = noisy(x, random, options, first)
        on = ops.logical_and(first, random.chance(count, options.first_jpeg))
        x = _compressed(x, random, on, options.first_quality, options.subsampled)

        # The second pass: blurred at the size of the first, reduced to LR.
        sigma = _kernel_shape(random, count, options, scale)
        on = ops.logical_and(first, random.chance(count, options.blur / 2))
        x = blurred(x, sigma[0] * size / scale, sigma[1] * size / scale, sigma[2], on)
        x = resized(x, 1 / size, size * lr_side, _whole_blocks(lr_side), _kernels(random, count))
        x = noisy(x, random, options, one > 0)
        x = _compressed(x, random, random.chance(count, options.jpeg), options.quality, options.subsampled)
        x = ops.where(clean[:, None, None, None], _reduced(hr, scale, x.shape[1]), x)

        top, left = random.integers(count, MARGIN + 1), random.integers(count, MARGIN + 1)
        lr = _cut(ops.clip(ops.round(x), 0, 255), top, left, patch)
        return lr, _cut(hr, scale * top, scale * left, scale * patch)


def _whole_blocks(side: int) -> int:
    return -(-side // BLOCK) * BLOCK


def _kernels(random: Random, count: int):
    return random.integers(count, len(KERNELS))


def _reduced(hr, scale: int, side: int):
    """Reduce by MATLAB's bicubic interpolation onto a canvas of ``side`` pixels."""
    one = ops.ones((hr.shape[0],))
    kernel = ops.cast(KERNELS.index("bicubic") * one, "int32")
    return resized(hr, one / scale, hr.shape[1] * one, side, kernel)


# -- blur


def _kernel_shape(random: Random, count: int, options: Degradations, scale: int):
    """Draw standard deviations in HR pixels along both axes, and the angle of the first."""
    low, high = (scale * sigma for sigma in options.blur_sigma)
    sigma = random.uniform((count,), low, high)
    other = ops.where(random.chance(count, options.isotropic), sigma, random.uniform((count,), low, high))
    return sigma, other, random.uniform((count,), 0.0, math.pi)


def blurred(x, sigma, other, angle, on):
    """Blur by anisotropic Gaussians, one for each image, mirrored at the borders.

    By Fourier transforms, of which a Gaussian's is known: a GPU is slow at convolutions whose wide kernels differ
    within the batch.

    Args:
        x: (N, H, W, 3).
        sigma, other: (N,) standard deviations in pixels; of more than a third of ``BLUR_MARGIN``, the opposite border
            shines through.
        angle: (N,) radians from the columns' axis to that of ``sigma``.
        on: (N,) booleans; other images stay as they are.
    """
    height, width = x.shape[1:3]
    mirrored = ((0, 0), (BLUR_MARGIN, BLUR_MARGIN), (BLUR_MARGIN, BLUR_MARGIN), (0, 0))
    planes = ops.transpose(ops.pad(x, mirrored, mode="symmetric"), (0, 3, 1, 2))
    spectrum = ops.fft2((planes, ops.zeros_like(planes)))

    rows, columns = (2 * np.pi * np.fft.fftfreq(side).astype(np.float32) for side in planes.shape[2:])
    rows, columns = ops.convert_to_tensor(rows[None, :, None]), ops.convert_to_tensor(columns[None, None])
    sigma, other, cos, sin = (value[:, None, None] for value in (sigma, other, ops.cos(angle), ops.sin(angle)))
    along, across = sigma * (columns * cos + rows * sin), other * (rows * cos - columns * sin)
    factor = ops.exp(-0.5 * (ops.square(along) + ops.square(across)))[:, None]

    planes, _ = ops.ifft2(tuple(factor * part for part in spectrum))
    made = planes[:, :, BLUR_MARGIN : BLUR_MARGIN + height, BLUR_MARGIN : BLUR_MARGIN + width]
    return ops.where(on[:, None, None, None], ops.transpose(made, (0, 2, 3, 1)), x)


# -- noise


def noisy(x, random: Random, options: Degradations, allowed):
    """Add Gaussian or shot noise, in colour or in grey, to images (N, H, W, 3) where ``allowed`` (N,) and drawn."""
    count = x.shape[0]

    def each(probability):
        return random.chance(count, probability)[:, None, None, None]

    on = ops.logical_and(allowed[:, None, None, None], each(options.noise))
    sigma = random.uniform((count, 1, 1, 1), *options.noise_sigma)
    normal = random.normal(x.shape)
    normal = ops.where(each(options.grey_noise), normal[..., :1], normal)
    # The variance of a count is the count itself: white has the standard deviation asked for.
    normal = ops.where(each(options.shot_noise), normal * ops.sqrt(ops.clip(x, 0, 255) / 255), normal)
    return ops.clip(ops.where(on, x + sigma * normal, x), 0, 255)


def _compressed(x, random: Random, on, quality: tuple[float, float], subsampled: float):
    count = x.shape[0]
    made = jpeg(x, ops.floor(random.uniform((count,), *quality)), random.chance(count, subsampled))
    return ops.where(on[:, None, None, None], made, x)


def _cut(x, top, left, side: int):
    """Cut windows (N, side, side, 3) out of images, each at a place of its own.

    A product with ones and zeros, because places that differ within a batch are slow to look up. Whole numbers up to
    255 pass it unchanged in any precision.
    """
    count, source = x.shape[:2]
    places = ops.convert_to_tensor(np.arange(side, dtype=np.int32)[None, :, None])
    inputs = ops.convert_to_tensor(np.arange(source, dtype=np.int32)[None, None, :])
    rows = ops.cast(inputs == places + top[:, None, None], "float32")
    columns = ops.cast(inputs == places + left[:, None, None], "float32")
    x = ops.reshape(ops.matmul(rows, ops.reshape(x, (count, source, 3 * source))), (count, side, source, 3))
    x = ops.matmul(columns, ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (count, source, 3 * side)))
    return ops.transpose(ops.reshape(x, (count, side, side, 3)), (0, 2, 1, 3))
