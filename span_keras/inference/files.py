"""Make one image file of another, in three stages: decode, enlarge, encode. Imports no backend.

A job is plain data. So is what one stage hands to the next, ``Enlarged.whole`` provided, so that stages may run in
threads, processes or on machines of their own. ``upscale_file`` runs them one after the other, band by band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from span_keras.images.formats import DEEP_SUFFIXES, format_of, listed
from span_keras.images.open import Source
from span_keras.images.picture import QUALITY, Metadata, Picture, depth_of, scaled_metadata, storable
from span_keras.images.read import read_image
from span_keras.images.tiling import joined
from span_keras.images.write import open_writer

if TYPE_CHECKING:
    from span_keras.inference.upscaler import Upscaler


@dataclass(frozen=True)
class Options:
    """Say how images are made, the same for all of a batch.

    Attributes:
        quality: 1 to 100 for JPEG and WebP, default ``QUALITY``.
    """

    quality: int | None = None


@dataclass(frozen=True)
class Job:
    """Say what to make of one image file.

    Attributes:
        source: file of a format in ``formats.READABLE``, or its bytes.
        target: file to write; its suffix names the format, one of ``formats.WRITABLE``.
        options: how.
    """

    source: Source
    target: Path
    options: Options = Options()


@dataclass(frozen=True)
class Enlarged:
    """Hold the result of a job, or how it comes about.

    Attributes:
        height, width, channels, dtype: of the result; samples as in ``Picture``.
        bands: (rows, width, channels) each, from top to bottom; made one after the other while they are asked for.
        metadata: of the result.
        notes: sentences about what could not be kept.
    """

    height: int
    width: int
    channels: int
    dtype: np.dtype
    bands: Iterable[np.ndarray]
    metadata: Metadata
    notes: tuple[str, ...] = ()

    def whole(self) -> Enlarged:
        """Return the same with all bands made, as one array: data that another process can take over."""
        return replace(self, bands=(joined(self.bands, self.height),))


@dataclass(frozen=True)
class Outcome:
    """Report what has become of a job.

    Attributes:
        source, target: names of the files.
        width, height: of the result in pixels.
        notes: sentences about what could not be kept.
    """

    source: str
    target: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


def upscale_file(
    job: Job,
    upscaler: Upscaler,
    on_start: Callable[[int], None] = lambda tiles: None,
    on_tiles: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Do a job, a band of tiles at a time; the target appears whole or not at all.

    Alpha is upscaled like the colours, grey stays grey even if it is stored as RGB, 16 bits stay 16 where the target's
    format holds them, and profile and metadata are kept; see ``images.read`` and ``images.write``.

    Args:
        job: what to do.
        upscaler: the network.
        on_start: called with the number of tiles before the first.
        on_tiles: called with the number of tiles just done.

    Raises:
        ImageError: the source cannot be read, or the target not written.
        CheckpointError: see ``Upscaler.predict``.
    """
    return encode(job, enlarge(job, decode(job), upscaler, on_start, on_tiles))


def decode(job: Job) -> Picture:
    """Read the source of a job.

    Raises:
        ImageError: the target has a suffix of no written format, or the source cannot be read.
    """
    format_of(job.target)  # before any work
    return read_image(job.source)


def enlarge(
    job: Job,
    picture: Picture,
    upscaler: Upscaler,
    on_start: Callable[[int], None] = lambda tiles: None,
    on_tiles: Callable[[int], None] = lambda count: None,
) -> Enlarged:
    """Enlarge what ``decode`` returned. The network runs only when the bands are asked for.

    Args:
        job: what to do.
        picture: of ``decode``.
        upscaler: the network.
        on_start: called with the number of tiles before the first.
        on_tiles: called with the number of tiles just done.

    Raises:
        ImageError: with a band: the image has no pixels.
        CheckpointError: with a band: see ``Upscaler.predict``.
    """
    samples, notes = picture.samples, [*picture.notes]
    height, width, channels = samples.shape
    height, width = height * upscaler.scale, width * upscaler.scale
    dtype = depth_of(job.target, samples.dtype)
    if dtype != samples.dtype:
        deep = listed(DEEP_SUFFIXES, "and")
        notes.append(f"{job.target} holds 8 of the 16 bits per sample of {job.source}; {deep} hold all.")
    metadata = scaled_metadata(picture.metadata, width, height)
    metadata, lost = storable(job.target, metadata, channels, dtype)
    bands = upscaler.bands(samples, dtype, on_start, on_tiles)
    return Enlarged(height, width, channels, dtype, bands, metadata, (*notes, *lost))


def encode(job: Job, enlarged: Enlarged, file: BinaryIO | None = None) -> Outcome:
    """Write what ``enlarge`` returned.

    Args:
        job: what to do.
        enlarged: of ``enlarge``.
        file: write into this open file, such as an ``io.BytesIO``, instead of the target, which then only names it.

    Raises:
        ImageError: see ``open_writer``; and what the bands raise.
    """
    e, quality = enlarged, QUALITY if job.options.quality is None else job.options.quality
    with open_writer(job.target, e.height, e.width, e.channels, e.dtype, e.metadata, quality, file) as write:
        for band in e.bands:
            write(band)
    return Outcome(str(job.source), str(job.target), e.width, e.height, e.notes)
