"""PSNR and SSIM with the conventions of the super-resolution literature (those of BasicSR). Needs NumPy alone.

Both images are rounded to uint8, ``shave`` pixels are cut off every side (the scale, by convention), and the figures
are computed on Y of BT.601 in studio range (16 to 235) without rounding it, in float64. NTIRE's tables use PSNR on RGB.
"""

from __future__ import annotations

import numpy as np

from span_keras.constants import SSIM_K, SSIM_SIGMA, SSIM_WINDOW, STUDIO_BLACK, STUDIO_Y
from span_keras.errors import ImageError
from span_keras.images.bicubic import to_uint8


def modcrop(image: np.ndarray, scale: int) -> np.ndarray:
    """Cut (H, W, ...) at the bottom and right to multiples of ``scale``: what an HR image is before it is shrunk."""
    height, width = image.shape[:2]
    return image[: height - height % scale, : width - width % scale]


def rgb_to_y(image: np.ndarray) -> np.ndarray:
    """Return luma of BT.601: (..., 3) RGB on the scale 0 to 255, any dtype -> (...) float64 from 16 to 235."""
    image = np.asarray(image, np.float64)
    red, green, blue = (weight * image[..., i] for i, weight in enumerate(STUDIO_Y))
    return STUDIO_BLACK + (red + green + blue) / 255.0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB of two arrays of one shape on the scale 0 to 255, infinite if equal.

    Raises:
        ImageError: the shapes differ.
    """
    _check_same_shape(a, b)
    error = np.mean(np.square(np.asarray(a, np.float64) - b))
    return float(20 * np.log10(255.0) - 10 * np.log10(error)) if error else float("inf")


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean structural similarity of two (H, W) arrays on the scale 0 to 255.

    It is our own because scikit-image's needs SciPy, and gives these figures with one of its many settings alone.

    Gaussian window 11×11 with σ 1.5, only where it lies wholly inside the image, K1 = 0.01, K2 = 0.03.

    Raises:
        ImageError: the shapes differ or a side is under 11 pixels.

    Source: Wang et al., "Image quality assessment", IEEE TIP 2004.
    """
    _check_same_shape(a, b)
    if np.ndim(a) != 2 or min(np.shape(a)) < SSIM_WINDOW:
        raise ImageError(
            f"SSIM expects one channel of at least {SSIM_WINDOW}×{SSIM_WINDOW} pixels, found shape {np.shape(a)}."
        )
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    mean_a, mean_b, square_a, square_b, product = _blur(np.stack([a, b, a * a, b * b, a * b]))
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    c1, c2 = ((k * 255) ** 2 for k in SSIM_K)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float(np.mean(luminance * structure))


def evaluate_pair(sr: np.ndarray, hr: np.ndarray, shave: int) -> dict[str, float]:
    """Measure one super-resolved image against its original.

    Args:
        sr: (H, W, 3) RGB, uint8 or floating point in [0, 1]; floating point is clipped and rounded to uint8 first.
        hr: the original, same shape, likewise.
        shave: pixels cut off every side before measuring; the scale by convention.

    Returns:
        ``{"psnr_y": dB, "ssim_y": -1 to 1, "psnr_rgb": dB}``.

    Raises:
        ImageError: the shapes differ or too little is left to measure.
    """
    _check_same_shape(sr, hr)
    if np.ndim(sr) != 3 or np.shape(sr)[2] != 3:
        raise ImageError(f"measuring expects RGB images (H, W, 3), found shape {np.shape(sr)}.")
    height, width = sr.shape[:2]
    inside = np.s_[shave : height - shave, shave : width - shave]
    sr, hr = (_as_uint8(image)[inside] for image in (sr, hr))
    sr_y, hr_y = rgb_to_y(sr), rgb_to_y(hr)
    return {"ssim_y": ssim(sr_y, hr_y), "psnr_y": psnr(sr_y, hr_y), "psnr_rgb": psnr(sr, hr)}


def colour_shift(sr: np.ndarray, lr: np.ndarray) -> float:
    """Return how far the mean colour of a super-resolved image is from its LR image's: the channel's that moved most.

    Args:
        sr, lr: (H, W, 3) and (h, w, 3) RGB, uint8 or floating point in [0, 1], rounded to uint8 first.

    Returns:
        Levels of 255.
    """
    means = [_as_uint8(image).mean((0, 1), dtype=np.float64) for image in (sr, lr)]
    return float(np.abs(means[0] - means[1]).max())


def _as_uint8(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.uint8 else to_uint8(image)


def _check_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if np.shape(a) != np.shape(b):
        raise ImageError(f"the two images to compare must have the same shape, found {np.shape(a)} and {np.shape(b)}.")


def _blur(images: np.ndarray) -> np.ndarray:
    """Return Gaussian window sums of (N, H, W) over the valid region: (N, H - 10, W - 10)."""
    x = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    window = np.exp(-(x**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    for _ in range(2):  # separable: rows, then, transposed, columns
        length = images.shape[1] - SSIM_WINDOW + 1
        blurred = window[0] * images[:, :length]
        for k in range(1, SSIM_WINDOW):
            blurred += window[k] * images[:, k : k + length]
        images = blurred.transpose(0, 2, 1)
    return images
