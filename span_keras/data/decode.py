"""Decode photographs to 8-bit RGB and make their LR images."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from span_keras.constants import SSIM_WINDOW
from span_keras.data.photos import list_photos
from span_keras.errors import DataError
from span_keras.images import bicubic
from span_keras.images.open import opened, reason_unusable
from span_keras.images.samples import rgb_over_white

STRIP = 64
"""Rows handled at a time while decoding, so that no whole photograph is ever held in floating point."""


class Pair(NamedTuple):
    """An LR image (h, w, 3) and its HR image (h·scale, w·scale, 3), uint8 RGB."""

    lr: np.ndarray
    hr: np.ndarray


def load_pair(path: str | os.PathLike, scale: int, hr_scale: float = 1.0) -> Pair:
    """Decode a photograph and make its LR image.

    EXIF orientation is applied; greyscale, palette, CMYK and 16-bit images become 8-bit RGB; transparency is laid over
    white. HR is cropped (right and bottom) to multiples of ``scale``; LR is its MATLAB-bicubic reduction, rounded.

    Args:
        hr_scale: reduce the photograph by this factor (Lanczos) before its LR image is made.

    Raises:
        DataError: the file cannot be decoded, or is smaller than ``scale``.
    """
    with decoded(path) as image:
        if hr_scale != 1:
            image = image.resize(reduced(image.size, hr_scale), Image.Resampling.LANCZOS)
        lr_shape = image.height // scale, image.width // scale, 3
        hr = np.empty((lr_shape[0] * scale, lr_shape[1] * scale, 3), np.uint8)
        for top in range(0, hr.shape[0], STRIP):
            # Strips, because a conversion in one piece holds two more copies of the photograph.
            bottom = min(top + STRIP, hr.shape[0])
            hr[top:bottom] = np.asarray(image.crop((0, top, hr.shape[1], bottom)))
    if 0 in lr_shape:
        raise DataError(f"{path} is smaller than {scale} pixels.")
    lr = np.empty(lr_shape, np.uint8)
    # The kernel reaches 2·scale HR rows; two more LR rows on each side make a strip equal to the whole image.
    margin = 4
    for top in range(0, lr_shape[0], STRIP):
        first, last = max(top - margin, 0), min(top + STRIP + margin, lr_shape[0])
        rows = bicubic.downscale(hr[first * scale : last * scale], scale)[top - first :][:STRIP]
        lr[top : top + len(rows)] = rows
    return Pair(lr, hr)


@contextlib.contextmanager
def decoded(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Yield a photograph, upright and in 8-bit RGB.

    Raises:
        DataError: the file cannot be decoded.
    """
    try:
        with opened(path) as image:
            yield rgb_over_white(image)
    except Exception as error:  # decoders raise whatever their formats' damage makes of them
        raise DataError(f"{path} cannot be read as an image: it {reason_unusable(error)}.") from error


def reduced(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return a size in pixels times a factor, each side rounded and at least 1."""
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def load_validation(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    scale: int,
    on_skip: Callable[[Path, str], None] = lambda path, reason: None,
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Decode whole images for validation, in sorted order.

    Args:
        on_skip: told of every image that cannot be used, and why.

    Returns:
        A list of ``(name, LR (h, w, 3), HR (h·scale, w·scale, 3))``, uint8 RGB.

    Raises:
        DataError: no image can be used.
    """
    images, problems = [], []
    least = SSIM_WINDOW + 2 * scale  # what is left once the border is shaved
    for path in list_photos(source):
        try:
            pair = load_pair(path, scale)
            if min(pair.hr.shape[:2]) < least:
                raise DataError(f"{path} is smaller than the {least} pixels that SSIM needs.")
            images.append((path.name, *pair))
        except DataError as error:
            problems.append(str(error))
            on_skip(path, str(error))
    if not images:
        raise DataError(f"None of the {len(problems)} validation images can be used. {problems[0]}")
    return images
