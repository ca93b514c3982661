"""``python -m span_keras.upscale``: enlarge image files, band by band."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from span_keras.cli import CONTEXT, Failure, hushed, reports_errors, tell_assumed, weights_options
from span_keras.errors import ImageError, SpanError

BLEED = 8
"""How far colours are carried into fully transparent areas, in LR pixels; farther ones hardly reach a visible pixel."""


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
        quality: 1 to 100 for JPEG and WebP, default ``imageio.QUALITY``.
        on_start: called with the number of tiles before the first.
        on_tiles: called with the number of tiles just done.

    Returns:
        Sentences about what could not be kept.

    Raises:
        ImageError: the source cannot be read, or the target not written.
    """
    from span_keras import imageio, tiling

    imageio.format_of(target)  # before any work
    picture = imageio.read_image(source)
    samples = picture.samples
    height, width, channels = samples.shape
    size = (height * upscaler.scale, width * upscaler.scale)
    dtype = imageio.depth_of(target, samples.dtype)
    notes = [*picture.notes]
    if dtype != samples.dtype:
        notes.append(f"{target} holds 8 of the 16 bits per sample of {source}; .png and .tif hold all.")
    metadata = imageio.scaled_metadata(picture.metadata, size[1], size[0])
    metadata, lost = imageio.storable(target, metadata, channels, dtype)
    notes += lost
    options = {} if quality is None else {"quality": quality}
    # Stored as RGB, grey would come back tinted by the network; as one plane it cannot.
    one_plane = channels > 2 and is_grey(samples)
    if one_plane:
        samples = samples[..., ::3]
    with imageio.open_writer(target, *size, channels, dtype, metadata, **options) as write:
        on_start(tiling.count_tiles(height, width, upscaler.tile, upscaler.halo))
        for band in tiling.upscale_bands(
            lambda tiles: predict_channels(upscaler.predict, tiles, upscaler.scale),
            Windows(samples),
            upscaler.scale,
            upscaler.halo,
            upscaler.tile,
            upscaler.batch,
            finish=lambda pixels: imageio.to_samples(pixels, dtype),
            on_tiles=on_tiles,
        ):
            write(band[..., [0, 0, 0, 1][:channels]] if one_plane else band)
    return notes


def is_grey(samples) -> bool:
    """Whether red, green and blue of (H, W, 3) or (H, W, 4) are equal wherever anything is seen."""

    def is_grey_row(row) -> bool:
        equal = (row[:, :1] == row[:, 1:3]).all(axis=1)
        return bool((equal if row.shape[1] == 3 else equal | (row[:, 3] == 0)).all())

    # Row by row: of most photographs the first tells.
    return all(map(is_grey_row, samples))


class Windows:
    """Samples seen as float32 in [0, 1], converted window by window; colours bleed into what is fully transparent.

    Nobody sees the colour of a transparent pixel, so files hold anything there, mostly black. The network would mix it
    into the visible edge: the dark fringes of other upscalers.
    """

    def __init__(self, samples):
        self.samples, self.shape = samples, samples.shape

    def __getitem__(self, window):
        from span_keras.imageio import to_float

        rows, columns = window
        if self.shape[2] % 2:
            return to_float(self.samples[rows, columns])
        top, left = max(0, rows.start - BLEED), max(0, columns.start - BLEED)
        pixels = bleed(to_float(self.samples[top : rows.stop + BLEED, left : columns.stop + BLEED]))
        return pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def bleed(pixels):
    """Give fully transparent pixels within ``BLEED`` of others the mean colour of their neighbours, in place.

    Args:
        pixels: (H, W, C) floating point, the last channel alpha.

    Returns:
        ``pixels``.
    """
    import numpy as np

    known = pixels[..., -1:] > 0
    if known.all() or not known.any():
        return pixels
    colors = pixels[..., :-1]
    for _ in range(BLEED):
        weighted = np.concatenate([np.where(known, colors, 0), known], -1, dtype=pixels.dtype)
        for axis in (0, 1):
            weighted = sum(shifted(weighted, offset, axis) for offset in (-1, 0, 1))
        count = weighted[..., -1:]
        reached = ~known & (count > 0)
        np.copyto(colors, weighted[..., :-1] / np.maximum(count, 1), where=reached)
        known |= reached
    return pixels


def shifted(array, offset: int, axis: int, fill: float = 0):
    """The array moved by ``offset`` (1, 0 or -1) along an axis, ``fill`` moving in."""
    import numpy as np

    moved = np.roll(array, offset, axis)
    if offset:
        edge = [slice(None)] * array.ndim
        edge[axis] = 0 if offset > 0 else -1
        moved[tuple(edge)] = fill
    return moved


def predict_channels(predict: Callable, tiles, scale: int):
    """Run an RGB network on grey, grey and alpha, RGB, or RGB and alpha.

    Args:
        predict: (N, h, w, 3) -> (N, h·scale, w·scale, 3).
        tiles: (N, h, w, C) with C from 1 to 4.
        scale: the factor.

    Returns:
        (N, h·scale, w·scale, C). Grey is the luma of what the network makes of it. Alpha stays within the range of each
        pixel's 3×3 neighbourhood, so that opaque areas stay wholly opaque and empty ones wholly empty.
    """
    import numpy as np

    from span_keras.metrics import LUMA

    channels = tiles.shape[3]
    if channels == 3:
        return predict(tiles)
    luma = np.float32(LUMA)[:, None]
    grey = lambda plane: predict(np.repeat(plane, 3, axis=3)) @ luma  # noqa: E731
    if channels == 1:
        return grey(tiles)
    colors = predict(tiles[..., :3]) if channels == 4 else grey(tiles[..., :1])
    alpha = tiles[..., -1:]
    low, high = alpha, alpha
    for axis in (1, 2):
        low = np.minimum.reduce([low, shifted(low, 1, axis, 1), shifted(low, -1, axis, 1)])
        high = np.maximum.reduce([high, shifted(high, 1, axis), shifted(high, -1, axis)])
    low, high = (bound.repeat(scale, 1).repeat(scale, 2) for bound in (low, high))
    upscaled = low if np.array_equal(low, high) else np.clip(grey(alpha), low, high)
    return np.concatenate([colors, upscaled], -1)


def plan(inputs: Iterable[Path], out: Path, suffix: str | None = None) -> list[tuple[Path, Path]]:
    """What to make of what: ``[(source, target)]``.

    Args:
        inputs: files, and folders of which every image is taken, in subfolders too.
        out: the file to write if there is one input file and this has an image suffix; else a folder, in which names
            (and for input folders the subfolders) stay.
        suffix: of the targets in a folder, such as ``".png"``; None keeps each source's.

    Raises:
        ImageError: an input folder holds no images, two sources would become one target, a target is its source, or
            ``out`` is called like an image where it has to be a folder, or like a file of another kind.
    """
    from span_keras.imageio import FORMATS, files_below

    inputs = list(inputs)
    one_file = len(inputs) == 1 and not inputs[0].is_dir()
    is_image = out.suffix.lower() in FORMATS
    if is_image and not one_file and not out.is_dir():
        raise ImageError(f"{out} names one image, but the inputs may become several; name a folder.")
    if one_file and out.suffix and not is_image and not out.is_dir():
        raise ImageError(
            f"the output {out} should be a folder or end in one of {', '.join(FORMATS)}, found {out.suffix!r}; "
            "name one of these, or make the folder first."
        )
    if one_file and is_image and not out.is_dir():
        if suffix and FORMATS[out.suffix.lower()] != FORMATS[suffix]:
            raise ImageError(f"{out} ends otherwise than the format asked for, {suffix[1:]}; leave --format out.")
        pairs = [(inputs[0], out)]
    else:
        sources = []
        for path in inputs:
            if not path.is_dir():
                sources.append((path, Path(path.name)))
                continue
            found = [p for p in files_below(path) if p.suffix.lower() in FORMATS and not p.name.startswith(".")]
            found = [p for p in found if p.is_file()]
            results = out.resolve()
            if path.resolve() in results.parents:  # results of before are not enlarged once more
                found = [p for p in found if results not in p.resolve().parents]
            if not found:
                raise ImageError(f"{path} holds no PNG, JPEG, WebP, TIFF or BMP images to upscale.")
            sources += [(p, p.relative_to(path)) for p in found]
        pairs = [(path, out / (name.with_suffix(suffix) if suffix else name)) for path, name in sources]
    taken = {}
    for source, target in dict.fromkeys(pairs):
        if target in taken:
            raise ImageError(f"{taken[target]} and {source} would both become {target}; upscale them one by one.")
        if target.resolve() == source.resolve():
            raise ImageError(f"{source} would be overwritten by its own result; choose another output.")
        taken[target] = source
    return [(source, target) for target, source in taken.items()]


@click.command(context_settings=CONTEXT)
@click.argument("inputs", nargs=-1, required=True, metavar="IMAGE|DIR...", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Folder for the results, or a file name if there is one IMAGE.",
)
@weights_options
@click.option(
    "--tile",
    type=click.IntRange(1),
    metavar="N",
    help="Side of the tiles in input pixels; smaller ones need less memory.",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "jpg", "webp", "tif", "bmp"]),
    callback=lambda context, parameter, value: value and f".{value}",
    help="Format of the results in a folder; otherwise that of each image.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    metavar="Q",
    help="Of JPEG and WebP, 1 to 100; 100 makes WebP lossless. [default: 95]",
)
@click.option("--overwrite", is_flag=True, help="Replace existing results instead of keeping them.")
@reports_errors
def main(inputs, out, weights, variant, img_range, rgb_mean, tile, suffix, quality, overwrite):
    """Upscale PNG, JPEG, WebP, TIFF and BMP files, keeping alpha, 16 bits, orientation, colour profile and metadata.

    An image that fails is reported, the others are made, and the exit code is 1.
    """
    pairs = plan(inputs, out, suffix)
    kept = {} if overwrite else {target: None for _, target in pairs if target.exists()}
    for target in kept:
        click.echo(f"{target} exists and is kept; --overwrite replaces it.", err=True)
    pairs = [(source, target) for source, target in pairs if target not in kept]
    if not pairs:
        return

    from span_keras.checkpoints import load_weights
    from span_keras.inference import Upscaler

    with hushed():
        loaded = load_weights(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
        upscaler = Upscaler(loaded, tile=tile)
    tell_assumed(loaded)
    failed = 0
    for number, (source, target) in enumerate(pairs, 1):
        try:
            if suffix is None:
                _check_suffix(source, target)
            _make_folder(target.parent)
            label = f"[{number}/{len(pairs)}] {source.name}"
            with click.progressbar(length=1, label=label, file=sys.stderr) as bar:
                notes = upscale_file(upscaler, source, target, quality, lambda tiles: _restart(bar, tiles), bar.update)
            for note in notes:
                click.echo(note, err=True)
            click.echo(str(target))
        except SpanError as error:
            failed += 1
            click.echo(f"Error: {error}", err=True)
    if failed:
        raise Failure(f"{failed} of {len(pairs)} images could not be upscaled.")


def _check_suffix(source: Path, target: Path) -> None:
    """A target in a folder has its source's name, which need not tell a format."""
    from span_keras.imageio import FORMATS

    if target.suffix.lower() not in FORMATS:
        raise ImageError(
            f"{source} should end in one of {', '.join(FORMATS)}, so that its result {target} tells its format, found "
            f"{target.suffix or 'no suffix'!r}; rename it, or pass --format png."
        )


def _restart(bar, length: int) -> None:
    """The number of tiles is known only when the image has been read."""
    bar.length = length
    bar.render_progress()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"the folder {folder} cannot be made ({error.strerror}); choose another output.") from error


if __name__ == "__main__":
    main()
