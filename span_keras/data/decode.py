"""Decode photographs to 8-bit RGB and make their LR images."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image

from span_keras.constants import SCALES, SSIM_WINDOW
from span_keras.data.photos import list_photos
from span_keras.errors import DataError, PairError
from span_keras.images import bicubic
from span_keras.images.open import opened, reason_unusable
from span_keras.images.samples import rgb_over_white, upright_size

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
        hr = _pixels(image, lr_shape[0] * scale, lr_shape[1] * scale)
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


def load_given_pair(hr_path: str | os.PathLike, lr_path: str | os.PathLike, scale: int) -> Pair:
    """Decode an HR image, as ``load_pair`` does, and the LR image that was made of it elsewhere.

    Raises:
        PairError: the LR image has not the HR image's size divided by the scale.
        DataError: one of the files cannot be decoded.
    """
    with decoded(lr_path) as image:
        lr = _pixels(image, image.height, image.width)
    height, width = lr.shape[:2]
    with decoded(hr_path) as image:
        size, hr = image.size, _pixels(image, min(height * scale, image.height), min(width * scale, image.width))
    check_pair_sizes(hr_path, size, lr_path, (width, height), scale)
    return Pair(lr, hr)


def check_headers(
    hr_path: str | os.PathLike, hr: Image.Image, lr_path: str | os.PathLike, scale: int
) -> tuple[int, int]:
    """Compare the sizes of a pair without decoding it, and return the LR image's ``(width, height)``.

    Args:
        hr_path, hr: the HR file, and what ``opened`` gives of it.
        lr_path: the LR file.
        scale: factor between both.

    Raises:
        PairError: see ``check_pair_sizes``.
        Exception: whatever a file's damage makes of Pillow.
    """
    with opened(lr_path) as lr:
        check_pair_sizes(hr_path, upright_size(hr), lr_path, upright_size(lr), scale)
        return lr.size


def check_pair_sizes(hr_path, hr_size: tuple[int, int], lr_path, lr_size: tuple[int, int], scale: int) -> None:
    """Refuse an LR image whose width and height are not the HR image's divided by the scale, rounded down.

    Raises:
        PairError: says what would be right, and what to do.
    """
    if (expected := _divided(hr_size, scale)) != lr_size:
        raise PairError(
            f"{lr_path} should be {expected[0]}×{expected[1]}, {hr_path} divided by {scale} "
            f"({hr_size[0]}×{hr_size[1]}), found {lr_size[0]}×{lr_size[1]}; {_advice(hr_size, lr_size, scale)}."
        )


def _advice(hr_size: tuple[int, int], lr_size: tuple[int, int], scale: int) -> str:
    """Say what to do with a pair whose sizes do not fit."""
    if fitting := [other for other in SCALES if _divided(hr_size, other) == lr_size]:
        return f"give --scale {fitting[0]}"
    if lr_size == hr_size:
        return "both are of one size, so give LR images that are reduced, or leave --lr out to have them made"
    if min(lr - hr for lr, hr in zip(lr_size, hr_size, strict=True)) >= 0:
        return "the HR and the LR images (--data and --lr) seem to be swapped"
    if lr_size == tuple(-(-side // scale) for side in hr_size):  # MATLAB's imresize rounds up
        return f"crop HR images to multiples of {scale} and reduce them again"
    return "use images of the same view"


def _divided(size: tuple[int, int], scale: int) -> tuple[int, int]:
    return size[0] // scale, size[1] // scale


def _pixels(image: Image.Image, height: int, width: int) -> np.ndarray:
    """Return the upper left of an image, (height, width, 3) uint8."""
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        # Strips, because a conversion in one piece holds two more copies of the photograph.
        bottom = min(top + STRIP, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels


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
    on_skip: Callable[[str], None] = lambda problem: None,
    lr_files: Mapping[Path, Path] = MappingProxyType({}),
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Decode whole images for validation, in sorted order.

    Args:
        on_skip: told in a sentence of every image that cannot be used, unless the error tells of it.
        lr_files: HR file -> LR file, of those whose LR image is not to be made.

    Returns:
        A list of ``(name, LR (h, w, 3), HR (h·scale, w·scale, 3))``, uint8 RGB.

    Raises:
        PairError: an LR image does not fit its HR image.
        DataError: no image can be used; it tells of the first.
    """
    images, problems = [], []
    least = SSIM_WINDOW + 2 * scale  # what is left once the border is shaved
    for path in list_photos(source):
        try:
            lr_path = lr_files.get(path)
            pair = load_given_pair(path, lr_path, scale) if lr_path else load_pair(path, scale)
            if min(pair.hr.shape[:2]) < least:
                raise DataError(f"{path} is smaller than the {least} pixels that SSIM needs.")
            images.append((path.name, *pair))
        except PairError:
            raise
        except DataError as error:
            problems.append(str(error))
    for problem in problems if images else problems[1:]:
        on_skip(problem)
    if not images:
        raise DataError(f"None of the {len(problems)} validation images can be used. {problems[0]}")
    return images
