"""Make one image file of another, in three stages: decode, enlarge, encode. Imports no backend.

A job is plain data. So is what one stage hands to the next, ``Enlarged.whole`` provided, so that stages may run in
threads, processes or on machines of their own. ``upscale_file`` runs them one after the other, band by band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from span_keras.errors import TargetExistsError
from span_keras.images import bicubic, spool, tiling
from span_keras.images.alpha import ROWS, Windows, flattened
from span_keras.images.formats import DEEP_SUFFIXES, format_of, listed
from span_keras.images.picture import (
    QUALITY,
    Metadata,
    Picture,
    depth_of,
    scaled_metadata,
    storable,
    to_float,
    to_samples,
    with_fitting_profile,
)
from span_keras.images.read import image_size, read_image
from span_keras.images.write import check_fits, open_writer
from span_keras.inference.job import Job, Options, Outcome, adapted_target, result_size
from span_keras.inference.networks import Networks

if TYPE_CHECKING:
    from span_keras.inference.upscaler import Upscaler

__all__ = ["Enlarged", "Job", "Options", "Outcome", "decode", "encode", "enlarge", "upscale_file"]


@dataclass(frozen=True)
class Enlarged:
    """Hold the result of a job, or how it comes about.

    Attributes:
        target: file to write; its suffix names a format that holds the result.
        height, width, channels, dtype: of the result; samples as in ``Picture``.
        bands: (rows, width, channels) each, from top to bottom; made one after the other while they are asked for.
        metadata: of the result.
        notes: sentences about what could not be kept.
    """

    target: Path
    height: int
    width: int
    channels: int
    dtype: np.dtype
    bands: Iterable[np.ndarray]
    metadata: Metadata
    notes: tuple[str, ...] = ()

    def whole(self) -> Enlarged:
        """Return the same with all bands made: data that another process can take over.

        They stay apart, since encoders compress band by band: as one array they would become other bytes.
        """
        return replace(self, bands=tuple(self.bands))


def upscale_file(
    job: Job,
    networks: Networks | Upscaler,
    on_start: Callable[[int], None] = lambda tiles: None,
    on_tiles: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Do a job, a band of tiles at a time; the target appears whole or not at all.

    Alpha is upscaled like the colours, grey stays grey even if it is stored as RGB, 16 bits stay 16 where the target's
    format holds them, and profile and metadata are kept; see ``images.read`` and ``images.write``.

    Args:
        job: what to do.
        networks: what to enlarge with.
        on_start: called with the number of tiles before the first.
        on_tiles: called with the number of tiles just done.

    Raises:
        ImageError: the source cannot be read, or the target not written.
        CheckpointError: see ``Upscaler.predict``.
    """
    networks = Networks.of(networks)
    return encode(job, enlarge(job, decode(job, networks.native), networks, on_start, on_tiles))


def decode(job: Job, native: int) -> Picture:
    """Read the source of a job.

    Args:
        job: what to do.
        native: the factor where no size is asked for, see ``Networks``.

    Raises:
        ImageError: the target has a suffix of no written format, the source cannot be read, or its result will not fit
            into the target's format, which its size tells before it is decoded.
    """
    format_of(job.target)
    if size := image_size(job.source):
        result = result_size(job, *size, native)
        if not job.adapt:
            check_fits(job.target, *result, 3, np.uint8)
    return read_image(job.source, job.options.strict)


def enlarge(
    job: Job,
    picture: Picture,
    networks: Networks | Upscaler,
    on_start: Callable[[int], None] = lambda tiles: None,
    on_tiles: Callable[[int], None] = lambda count: None,
) -> Enlarged:
    """Enlarge what ``decode`` returned. The last network runs only when the bands are asked for.

    Args:
        job: what to do.
        picture: of ``decode``.
        networks: what to enlarge with.
        on_start: called with the number of tiles before the first.
        on_tiles: called with the number of tiles just done.

    Raises:
        TargetExistsError: the result would get another suffix, and such a file is not to be replaced.
        ImageError: the result does not fit into the target's format; with a band: the image has no pixels.
        CheckpointError: with a band: see ``Upscaler.predict``.
    """
    networks, samples, notes = Networks.of(networks), picture.samples, [*picture.notes]
    height, width, channels = samples.shape
    factor = job.options.factor(height, width, networks.native)
    size = result_size(job, height, width, networks.native)
    target, background = job.target, job.options.background
    if channels % 2 == 0 and background and not format_of(target).alpha:
        samples = flattened(samples, background)
        channels = samples.shape[2]
        colour = "#" + "".join(f"{level:02x}" for level in background)
        notes.append(f"{job.source} has transparency, which {target.name} cannot hold; it is laid over {colour}.")
    passes = networks.passes(factor)
    for upscaler in passes:
        channels = upscaler.result_channels(channels)
    if job.adapt and (other := adapted_target(target, *size, channels, samples.itemsize)) != target:
        notes.append(f"{target.name} cannot hold the result of {job.source}, so it becomes {other.name}.")
        target = other
        if not job.options.overwrite and target.exists():  # before the work
            raise TargetExistsError(target)
    dtype = depth_of(target, samples.dtype)
    check_fits(target, *size, channels, dtype)
    if dtype != samples.dtype:
        deep = listed(DEEP_SUFFIXES, "and")
        notes.append(f"{target} holds 8 of the 16 bits per sample of {job.source}; {deep} hold all.")
    metadata = with_fitting_profile(scaled_metadata(picture.metadata, size[1], size[0]), channels)
    metadata, lost = storable(target, metadata, channels, dtype)
    bands = _bands(samples, dtype, size, passes, on_start, on_tiles)
    return Enlarged(target, *size, channels, dtype, bands, metadata, (*notes, *lost))


def encode(job: Job, enlarged: Enlarged, file: BinaryIO | None = None) -> Outcome:
    """Write what ``enlarge`` returned.

    Args:
        job: what to do.
        enlarged: of ``enlarge``.
        file: write into this open file, such as an ``io.BytesIO``, instead of the target, which then only names it.

    Raises:
        ImageError: see ``open_writer``; and what the bands raise.
    """
    e, quality = enlarged, job.options.quality
    writer = open_writer(
        e.target,
        e.height,
        e.width,
        e.channels,
        e.dtype,
        metadata=e.metadata,
        quality=QUALITY if quality is None else quality,
        file=file,
        overwrite=job.options.overwrite,
    )
    try:
        with writer as write:
            for band in e.bands:
                write(band)
    except TargetExistsError as error:
        return Outcome(str(job.source), str(e.target), "kept", reason=str(error))
    return Outcome(str(job.source), str(e.target), "made", e.width, e.height, e.notes)


def _bands(samples, dtype, size, passes: list[Upscaler], on_start, on_tiles) -> Iterator[np.ndarray]:
    """Yield the bands of the result: networks pass over the samples, and what they exceed the size by is reduced."""
    shapes = [samples.shape[:2]]
    for upscaler in passes:
        shapes.append(tuple(side * upscaler.scale for side in shapes[-1]))
    on_start(sum(tiling.count_tiles(*shape, u.tile, u.halo) for shape, u in zip(shapes, passes, strict=False)))
    for upscaler, shape in zip(passes[:-1], shapes[1:], strict=False):
        height, width = shape
        bands = upscaler.bands(samples, on_tiles=on_tiles)
        samples = spool.written(bands, (height, width, upscaler.result_channels(samples.shape[2])), samples.dtype)
    if size == shapes[-1]:
        yield from passes[-1].bands(samples, dtype, on_tiles=on_tiles) if passes else iter([samples.astype(dtype)])
        return
    if passes:  # 16 bits, so that nothing is rounded twice that anybody could see
        bands = map(to_float, passes[-1].bands(samples, np.uint16, on_tiles=on_tiles))
    else:
        windows = Windows(samples)
        bands = (windows[top : top + ROWS, 0 : shapes[0][1]] for top in range(0, shapes[0][0], ROWS))
    for band in bicubic.resize_bands(bands, shapes[-1], size):
        yield to_samples(band, dtype)
