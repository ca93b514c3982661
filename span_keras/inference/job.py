"""Describe the work on one image file as plain data: what to make of it, how, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from span_keras.errors import ImageError
from span_keras.images.formats import FORMATS, format_of
from span_keras.images.source import Source

MAX_FACTOR = 16
"""Most that an image is enlarged by: networks do it in passes, each of which enlarges the errors of the one before."""


@dataclass(frozen=True)
class Options:
    """Say how images are made, the same for all of a batch. Of the four sizes at most one is given.

    Attributes:
        outscale: factor of the result.
        width, height, longest: pixels of the result's width, height or longer side; the other side follows.
        quality: 1 to 100 for JPEG, WebP and AVIF, default ``picture.QUALITY``.
        background: red, green and blue from 0 to 255, laid under transparency where the format holds none.
        strict: refuse images that are damaged but can be read.
        overwrite: replace targets that exist.
    """

    outscale: float | None = None
    width: int | None = None
    height: int | None = None
    longest: int | None = None
    quality: int | None = None
    background: tuple[int, int, int] | None = None
    strict: bool = False
    overwrite: bool = True

    def factor(self, height: int, width: int, native: int) -> float:
        """Return what to enlarge an image by.

        Args:
            height, width: of the image.
            native: the factor where no size is asked for.
        """
        if self.outscale:
            return self.outscale
        for pixels, side in ((self.width, width), (self.height, height), (self.longest, max(height, width))):
            if pixels:
                return pixels / side
        return native

    def label(self, native: int) -> str:
        """Return what names of results end in beside their sources, such as ``"_x4"`` or ``"_w1920"``."""
        for letter, value in (("w", self.width), ("h", self.height), ("l", self.longest)):
            if value:
                return f"_{letter}{value}"
        return f"_x{self.outscale or native:g}"


@dataclass(frozen=True)
class Job:
    """Say what to make of one image file.

    Attributes:
        source: file of a format in ``formats.READABLE``, or its bytes.
        target: file to write; its suffix names the format, one of ``formats.WRITABLE``.
        options: how.
        adapt: take another suffix where the format cannot hold the result.
    """

    source: Source
    target: Path
    options: Options = Options()
    adapt: bool = False


@dataclass(frozen=True)
class Outcome:
    """Report what has become of a file.

    Attributes:
        source, target: names of the files.
        status: ``"made"``; ``"kept"``, as the target exists; ``"failed"``; or ``"skipped"``, as it is not read.
        width, height: of the result in pixels, 0 where none was made.
        notes: sentences about what could not be kept.
        reason: a sentence, if it was not made.
        again: whether it failed for want of a place to write to, which another time there may be.
    """

    source: str
    target: str = ""
    status: Literal["made", "kept", "failed", "skipped"] = "made"
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()
    reason: str = ""
    again: bool = False


def result_size(job: Job, height: int, width: int, native: int) -> tuple[int, int]:
    """Return height and width of the result in pixels.

    Args:
        job: what to do.
        height, width: of the source, upright.
        native: the factor where no size is asked for.

    Raises:
        ImageError: that would be more than ``MAX_FACTOR`` times as large.
    """
    factor = job.options.factor(height, width, native)
    if factor > MAX_FACTOR:
        raise ImageError(
            f"{job.source} is {width}×{height} and would have to become ×{factor:.1f}; ask for ×{MAX_FACTOR} or less."
        )
    return max(round(height * factor), 1), max(round(width * factor), 1)


def adapted_target(target: Path, height: int, width: int, channels: int, bytes_per_sample: int) -> Path:
    """Return a target with the suffix of the next format that holds such an image, the same if its own does."""
    form = format_of(target)
    if not form.refusal(height, width, channels, bytes_per_sample):
        return target
    for other in FORMATS:
        if other.written and not other.refusal(height, width, channels, bytes_per_sample):
            return target.with_suffix(other.suffixes[0])
    return target
