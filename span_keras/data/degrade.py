"""Make LR patches as cameras and web sites leave them, on the device, inside the compiled train step.

An HR patch passes twice through blur, resizing, noise and JPEG, as in "Designing a Practical Degradation Model for Deep
Blind Image Super-Resolution" (Zhang et al., ICCV 2021) and "Real-ESRGAN" (Wang et al., ICCVW 2021). Every image of a
batch has strengths of its own. All shapes are fixed, so one compilation serves all strengths: an image of another size
lies in the corner of a canvas, and resizing is a product with two matrices.

Colours are float32 from 0 to 255 here, because JPEG rounds to whole levels.
"""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from span_keras.data.options import Degradations
from span_keras.network.backend import Random, compiled, full_precision

MARGIN = 8
"""LR pixels beside a patch that are made and cut off again, so that the last JPEG's blocks begin at any pixel of it."""
BLUR_RADIUS = 8
"""HR pixels that a blur kernel reaches; three standard deviations of the widest."""
BLOCK = 16
"""Side of the blocks of a JPEG with subsampled chroma."""
KERNELS = ("area", "bilinear", "bicubic", "lanczos")
"""Resampling kernels, of which every resizing of every image chooses one."""


def hr_side(patch: int, scale: int) -> int:
    """Return the side of the HR patches that ``degrade`` wants, in pixels."""
    return (patch + MARGIN) * scale


class Degrader:
    """Makes the pairs of a training run: a function of HR patches and the number of the step alone.

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
        canvas = _whole_blocks(math.ceil(largest * lr_side) if options.first_pass else side)
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

    Args:
        x: (N, H, W, 3).
        sigma, other: (N,) standard deviations in pixels.
        angle: (N,) radians from the columns' axis to that of ``sigma``.
        on: (N,) booleans; other images stay as they are.
    """
    count, height, width = x.shape[:3]
    offsets = np.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=np.float32)
    rows, columns = (ops.convert_to_tensor(axis[None]) for axis in np.meshgrid(offsets, offsets, indexing="ij"))
    cos, sin = ops.cos(angle)[:, None, None], ops.sin(angle)[:, None, None]
    along, across = columns * cos + rows * sin, rows * cos - columns * sin
    # A standard deviation of nearly nothing is a kernel of one pixel.
    sigma, other = (ops.maximum(value, 0.05)[:, None, None] for value in (sigma, other))
    kernel = ops.exp(-0.5 * (ops.square(along / sigma) + ops.square(across / other)))
    kernel = kernel / ops.sum(kernel, axis=(1, 2), keepdims=True)
    alone = np.zeros((1, len(offsets), len(offsets)), np.float32)
    alone[0, BLUR_RADIUS, BLUR_RADIUS] = 1
    kernel = ops.where(on[:, None, None], kernel, ops.convert_to_tensor(alone))

    # Every channel of every image is a channel of one image, because a convolution has the same kernel for a batch.
    padding = ((0, 0), (BLUR_RADIUS, BLUR_RADIUS), (BLUR_RADIUS, BLUR_RADIUS), (0, 0))
    planes = ops.transpose(ops.pad(x, padding, mode="reflect"), (1, 2, 0, 3))
    planes = ops.reshape(planes, (1, height + 2 * BLUR_RADIUS, width + 2 * BLUR_RADIUS, 3 * count))
    kernels = ops.repeat(ops.transpose(kernel, (1, 2, 0)), 3, axis=2)[..., None]
    planes = ops.depthwise_conv(planes, kernels, padding="valid", data_format="channels_last")
    return ops.transpose(ops.reshape(planes, (height, width, count, 3)), (2, 0, 1, 3))


# -- resizing


def _kernels(random: Random, count: int):
    return random.integers(count, len(KERNELS))


def resized(x, factor, valid, side: int, kernel):
    """Resize square images by factors of their own, antialiased, onto a canvas of one size.

    Args:
        x: (N, S, S, 3).
        factor: (N,) size of the result divided by that of the source.
        valid: (N,) side of the source within its canvas, in pixels; what lies beyond is not read.
        side: of the result's canvas. Beyond the image it repeats the last row and column.
        kernel: (N,) int32 numbers of ``KERNELS``.

    Returns:
        (N, side, side, 3).
    """
    matrix = resampling_matrix(factor, valid, side, x.shape[1], kernel)
    count, source = x.shape[:2]
    rows = ops.matmul(matrix, ops.reshape(x, (count, source, 3 * source)))
    columns = ops.transpose(ops.reshape(rows, (count, side, source, 3)), (0, 2, 1, 3))
    columns = ops.matmul(matrix, ops.reshape(columns, (count, source, 3 * side)))
    return ops.transpose(ops.reshape(columns, (count, side, side, 3)), (0, 2, 1, 3))


def resampling_matrix(factor, valid, side: int, source: int, kernel):
    """Return weights (N, side, source) of a resampling along one axis, as in Pillow's ``resize``; see ``resized``."""
    factor, valid = factor[:, None, None], valid[:, None, None]
    outputs = ops.convert_to_tensor(np.arange(side, dtype=np.float32)[None, :, None])
    inputs = ops.convert_to_tensor(np.arange(source, dtype=np.float32)[None, None, :])
    # Pixels that the image does not have repeat its last one.
    outputs = ops.minimum(outputs, ops.maximum(ops.round(factor * valid) - 1, 0))
    centre = (outputs + 0.5) / factor - 0.5
    width = ops.maximum(1 / factor, 1)
    distance = ops.abs(inputs - centre) / width
    by_name = {"area": _box(distance, width), "bilinear": ops.relu(1 - distance)}
    by_name |= {"bicubic": _cubic(distance), "lanczos": _lanczos(distance)}
    weights = by_name[KERNELS[0]]
    for number, name in enumerate(KERNELS[1:], 1):
        weights = ops.where((kernel == number)[:, None, None], by_name[name], weights)
    weights = ops.where(inputs < valid - 0.5, weights, 0.0)
    return weights / ops.sum(weights, axis=2, keepdims=True)


def _box(distance, width):
    """Return the part of an input pixel that lies under an output pixel: 1 within, falling over one input pixel."""
    return ops.clip((0.5 - distance) * width + 0.5, 0, 1)


def _cubic(x, a: float = -0.5):
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return ops.where(x < 1, near, ops.where(x < 2, far, 0.0))


def _lanczos(x, lobes: int = 3):
    angle = math.pi * ops.maximum(x, 1e-4)
    value = lobes * ops.sin(angle) * ops.sin(angle / lobes) / ops.square(angle)
    return ops.where(x < lobes, value, 0.0)


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


# -- JPEG

LUMA_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32),
)
"""Quantisation at quality 50: tables K.1 and K.2 of ITU-T T.81, row by row."""

_DCT = np.float32(
    [[math.sqrt((2 - (not u)) / 8) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)] for u in range(8)]
)


def _compressed(x, random: Random, on, quality: tuple[float, float], subsampled: float):
    count = x.shape[0]
    made = jpeg(x, ops.floor(random.uniform((count,), *quality)), random.chance(count, subsampled))
    return ops.where(on[:, None, None, None], made, x)


def jpeg(x, quality, subsampled):
    """Encode and decode images as JPEG, as libjpeg does.

    Args:
        x: (N, H, W, 3) from 0 to 255; H and W are multiples of ``BLOCK``.
        quality: (N,) whole numbers from 1 to 100.
        subsampled: (N,) booleans: chroma of half the resolution (4:2:0), or of the full (4:4:4).

    Returns:
        (N, H, W, 3), whole numbers from 0 to 255.
    """
    red, green, blue = (ops.clip(ops.round(x[..., channel]), 0, 255) for channel in range(3))
    luma = ops.round(0.299 * red + 0.587 * green + 0.114 * blue)
    blue_difference = ops.round(128 - 0.168736 * red - 0.331264 * green + 0.5 * blue)
    red_difference = ops.round(128 + 0.5 * red - 0.418688 * green - 0.081312 * blue)

    scale = ops.where(quality < 50, ops.floor(5000 / quality), 200 - 2 * quality)[:, None, None]

    def table(values):
        values = ops.convert_to_tensor(np.float32(values).reshape(1, 8, 8))
        return ops.clip(ops.floor((values * scale + 50) / 100), 1, 255)

    luma = _quantised(luma, table(LUMA_TABLE)) - 128
    chroma = []
    for plane in (blue_difference, red_difference):
        full, half = _quantised(plane, table(CHROMA_TABLE)), _quantised(_halved(plane), table(CHROMA_TABLE))
        chroma.append(ops.where(subsampled[:, None, None], _doubled(half), full) - 128)
    blue_difference, red_difference = chroma
    colours = [
        luma + 1.402 * red_difference,
        luma - 0.344136 * blue_difference - 0.714136 * red_difference,
        luma + 1.772 * blue_difference,
    ]
    return ops.clip(ops.round(ops.stack(colours, axis=-1) + 128), 0, 255)


def _quantised(plane, table):
    """Quantise (N, H, W) by tables (N, 8, 8) in the discrete cosine transform of its blocks, and transform back."""
    count, height, width = plane.shape
    dct = ops.convert_to_tensor(_DCT)
    blocks = ops.transpose(ops.reshape(plane - 128, (count, height // 8, 8, width // 8, 8)), (0, 1, 3, 2, 4))
    table = table[:, None, None]
    coefficients = ops.matmul(ops.matmul(dct, blocks), ops.transpose(dct))
    coefficients = ops.round(coefficients / table) * table
    blocks = ops.matmul(ops.matmul(ops.transpose(dct), coefficients), dct)
    plane = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), (count, height, width))
    return ops.clip(ops.round(plane + 128), 0, 255)


def _halved(plane):
    """Take means of squares of two pixels, halves rounded up and down in turn, as libjpeg does."""
    count, height, width = plane.shape
    sums = ops.sum(ops.reshape(plane, (count, height // 2, 2, width // 2, 2)), axis=(2, 4))
    bias = ops.convert_to_tensor(np.resize(np.float32([1, 2]), width // 2))
    return ops.floor((sums + bias) / 4)


def _doubled(plane):
    """Double height and width by weights of 3/4 and 1/4, libjpeg's "fancy upsampling"."""
    for axis in (1, 2):
        first, last = [slice(None)] * 3, [slice(None)] * 3
        first[axis], last[axis] = slice(0, 1), slice(-1, None)
        before, after = [slice(None)] * 3, [slice(None)] * 3
        before[axis], after[axis] = slice(0, -1), slice(1, None)
        previous = ops.concatenate([plane[tuple(first)], plane[tuple(before)]], axis=axis)
        following = ops.concatenate([plane[tuple(after)], plane[tuple(last)]], axis=axis)
        pairs = ops.stack([0.75 * plane + 0.25 * previous, 0.75 * plane + 0.25 * following], axis=axis + 1)
        shape = list(plane.shape)
        shape[axis] *= 2
        plane = ops.reshape(pairs, shape)
    return ops.round(plane)


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
