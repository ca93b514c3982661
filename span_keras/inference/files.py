"""Upscale image files, band by band."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from span_keras.images.formats import DEEP_SUFFIXES, format_of, listed
from span_keras.images.picture import QUALITY, depth_of, scaled_metadata, storable, with_fitting_profile
from span_keras.images.read import read_image
from span_keras.images.write import open_writer
from span_keras.inference.upscaler import Upscaler


def upscale_file(
    upscaler: Upscaler,
    source: str | Path,
    target: str | Path,
    quality: int | None = None,
    on_start: Callable[[int], None] = lambda tiles: None,
    on_tiles: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Upscale one image file into another, a band of tiles at a time; ``target`` appears whole or not at all.

    Alpha is upscaled like the colours, grey stays grey even if it is stored as RGB, 16 bits stay 16 where the target's
    format holds them, and profile and metadata are kept; see ``images.read`` and ``images.write``.

    Args:
        upscaler: the network.
        source: file of a format in ``formats.READABLE``.
        target: file to write; its suffix names the format, one of ``formats.WRITABLE``.
        quality: 1 to 100 for JPEG and WebP, default ``QUALITY``.
        on_start: called with the number of tiles before the first.
        on_tiles: called with the number of tiles just done.

    Returns:
        Sentences about what could not be kept.

    Raises:
        ImageError: the source cannot be read, or the target not written.
    """
    format_of(target)  # before any work
    picture = read_image(source)
    samples = picture.samples
    height, width, channels = (*samples.shape[:2], upscaler.result_channels(samples.shape[2]))
    size = (height * upscaler.scale, width * upscaler.scale)
    dtype = depth_of(target, samples.dtype)
    notes = [*picture.notes]
    if dtype != samples.dtype:
        deep = listed(DEEP_SUFFIXES, "and")
        notes.append(f"{target} holds 8 of the 16 bits per sample of {source}; {deep} hold all.")
    metadata = with_fitting_profile(scaled_metadata(picture.metadata, size[1], size[0]), channels)
    metadata, lost = storable(target, metadata, channels, dtype)
    notes += lost
    with open_writer(target, *size, channels, dtype, metadata, QUALITY if quality is None else quality) as write:
        for band in upscaler.bands(samples, dtype, on_start, on_tiles):
            write(band)
    return notes
