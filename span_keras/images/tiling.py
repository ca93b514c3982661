"""Run a network on an image of any size in tiles of one shape, with the same result as on the whole image.

A tile's outer ``halo`` pixels are context only: what the network makes of them is thrown away, because it lacks
what lies beyond. At the image's own border nothing is missing (the network pads with zeros there, as it does for the
whole image), so nothing may be padded or thrown away: border tiles are shifted inward until they end at the border.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from span_keras.errors import ConfigError, ImageError


class Span(NamedTuple):
    """Place one tile along an axis, in LR pixels: it reads ``start:stop``, and counts in ``core_start:core_stop``."""

    start: int
    stop: int
    core_start: int
    core_stop: int


def check_tile(tile: int, halo: int) -> None:
    """Check that tiles leave something between the halos of a network.

    Raises:
        ConfigError: they do not.
    """
    if tile <= 2 * halo:
        raise ConfigError(
            f"tile must be more than twice this network's halo of {halo} pixels, found {tile}; "
            f"ask for {2 * halo + 1} or more."
        )


def split(length: int, tile: int, halo: int) -> list[Span]:
    """Cover ``length`` pixels with tiles of exactly ``tile`` pixels; an axis no longer than a tile is one shorter tile.

    Args:
        length: pixels of the axis.
        tile: side of a tile.
        halo: pixels at both ends of a tile that only give context.

    Raises:
        ConfigError: see ``check_tile``.
    """
    check_tile(tile, halo)
    if length <= tile:
        return [Span(0, length, 0, length)]
    spans = [Span(0, tile, 0, tile - halo)]
    while spans[-1].core_stop < length:
        core_start = spans[-1].core_stop
        start = min(core_start - halo, length - tile)
        last = start == length - tile
        spans.append(Span(start, start + tile, core_start, length if last else start + tile - halo))
    return spans


def count_tiles(height: int, width: int, tile: int, halo: int) -> int:
    """Return the number of tiles that ``upscale_bands`` runs, for progress bars."""
    return len(split(height, tile, halo)) * len(split(width, tile, halo))


def upscale_bands(
    predict: Callable[[np.ndarray], np.ndarray],
    image,
    scale: int,
    halo: int,
    tile: int,
    batch: int = 1,
    finish: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels,
    on_tiles: Callable[[int], None] = lambda count: None,
) -> Iterator[np.ndarray]:
    """Upscale from top to bottom, one row of tiles at a time: memory is bounded by one band of output.

    Args:
        predict: (N, h, w, C) float32 in [0, 1] -> (N, h·scale, w·scale, D). One image needs one shape only:
            h and w are ``tile``, or the image's whole side where that is shorter, N is ``batch`` or all of a short row.
        image: (H, W, C) array, or anything with ``shape`` whose ``image[top:bottom, left:right]`` is such an array.
        scale: upscaling factor of ``predict``.
        halo: context the network sees on every side, in LR pixels (``SpanConfig.receptive_radius``).
        tile: side of a tile in LR pixels, more than twice the halo.
        batch: tiles per call of ``predict``. The last call of a band is filled up with repeats.
        finish: applied to the result of each tile without its halo, for instance rounding to uint8.
        on_tiles: called with the number of tiles just done.

    Yields:
        (rows·scale, W·scale, D) bands, top to bottom, in the dtype that ``finish`` returns.

    Raises:
        ImageError: the image is empty.
        ConfigError: see ``check_tile``.
    """
    height, width = image.shape[:2]
    if not height or not width:
        raise ImageError(f"an image to upscale must have at least one pixel, found {width}×{height}.")
    columns = split(width, tile, halo)
    for row in split(height, tile, halo):
        band = None
        for first in range(0, len(columns), batch):
            group = columns[first : first + batch]
            windows = [np.asarray(image[row.start : row.stop, column.start : column.stop]) for column in group]
            if len(columns) > batch:
                windows += [windows[-1]] * (batch - len(group))
            results = predict(np.stack(windows))
            for column, result in zip(group, results, strict=False):
                core = finish(result[_core(row, scale), _core(column, scale)])
                if band is None:
                    rows = (row.core_stop - row.core_start) * scale
                    band = np.empty((rows, width * scale, *core.shape[2:]), core.dtype)
                band[:, column.core_start * scale : column.core_stop * scale] = core
            on_tiles(len(group))
        yield band


def upscale_tiled(predict, image, scale: int, halo: int, tile: int, batch: int = 1, **options) -> np.ndarray:
    """Return the bands of ``upscale_bands`` joined: (H·scale, W·scale, D). Arguments as there."""
    return joined(upscale_bands(predict, image, scale, halo, tile, batch, **options), image.shape[0] * scale)


def joined(bands: Iterable[np.ndarray], height: int) -> np.ndarray:
    """Return bands, each (rows, W, C), as one array (height, W, C); only one band is held besides."""
    out, top = None, 0
    for band in bands:
        if out is None:
            out = np.empty((height, *band.shape[1:]), band.dtype)
        out[top : top + len(band)] = band
        top += len(band)
    return out


def _core(span: Span, scale: int) -> slice:
    """Return where the core lies in the tile's own result."""
    return slice((span.core_start - span.start) * scale, (span.core_stop - span.start) * scale)
