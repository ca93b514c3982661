"""Upscale image files, band by band."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from span_keras.images.alpha import Windows, is_grey, predict_channels


def upscale_file(
    upscaler,
    source: str | Path,
    target: str | Path,
    quality: int | None = None,
    on_start: Callable[[int], None] = lambda tiles: None,
    on_tiles: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Upscale one image file into another, a band of tiles at a time; ``target`` appears whole or not at all.

    Alpha is upscaled like the colours, grey stays grey even if it is stored as RGB, 16 bits stay 16 where the target's
    format holds them, and profile and metadata are kept; see ``span_keras.imageio``.

    Args:
        upscaler: an ``inference.Upscaler``.
        source: PNG, JPEG, WebP, TIFF or BMP file.
        target: file to write; its suffix names the format.
        quality: 1 to 100 for JPEG and WebP, default ``QUALITY``.
        on_start: called with the number of tiles before the first.
        on_tiles: called with the number of tiles just done.

    Returns:
        Sentences about what could not be kept.

    Raises:
        ImageError: the source cannot be read, or the target not written.
    """
    from span_keras.images import tiling
    from span_keras.images.picture import depth_of, format_of, scaled_metadata, storable, to_samples
    from span_keras.images.read import read_image
    from span_keras.images.write import open_writer

    format_of(target)  # before any work
    picture = read_image(source)
    samples = picture.samples
    height, width, channels = samples.shape
    size = (height * upscaler.scale, width * upscaler.scale)
    dtype = depth_of(target, samples.dtype)
    notes = [*picture.notes]
    if dtype != samples.dtype:
        notes.append(f"{target} holds 8 of the 16 bits per sample of {source}; .png and .tif hold all.")
    metadata = scaled_metadata(picture.metadata, size[1], size[0])
    metadata, lost = storable(target, metadata, channels, dtype)
    notes += lost
    options = {} if quality is None else {"quality": quality}
    # Stored as RGB, grey would come back tinted by the network; as one plane it cannot.
    one_plane = channels > 2 and is_grey(samples)
    if one_plane:
        samples = samples[..., ::3]
    with open_writer(target, *size, channels, dtype, metadata, **options) as write:
        on_start(tiling.count_tiles(height, width, upscaler.tile, upscaler.halo))
        for band in tiling.upscale_bands(
            lambda tiles: predict_channels(upscaler.predict, tiles, upscaler.scale),
            Windows(samples),
            upscaler.scale,
            upscaler.halo,
            upscaler.tile,
            upscaler.batch,
            finish=lambda pixels: to_samples(pixels, dtype),
            on_tiles=on_tiles,
        ):
            write(band[..., [0, 0, 0, 1][:channels]] if one_plane else band)
    return notes
