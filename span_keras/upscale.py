"""``python -m span_keras.upscale``: enlarge image files, band by band."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from span_keras.cli import CONTEXT, Failure, load_networks, reports_errors, weights_options
from span_keras.errors import ImageError, SpanError
from span_keras.images.folders import image_files
from span_keras.images.formats import FORMATS, READABLE, WRITABLE
from span_keras.quiet import hushed


def plan(inputs: Iterable[Path], out: Path, suffix: str | None = None) -> list[tuple[Path, Path]]:
    """Return what to make of what: ``[(source, target)]``.

    Args:
        inputs: files, and folders of which every image is taken, in subfolders too; without ``suffix``, only images of
            formats that are written.
        out: the file to write if there is one input file and this has an image suffix; else a folder, in which names
            (and for input folders the subfolders) stay.
        suffix: of the targets in a folder, such as ``".png"``; None keeps each source's.

    Raises:
        ImageError: an input folder holds no images, two sources would become one target, a target is its source, or
            ``out`` is called like an image where it has to be a folder, or like a file of another kind.
    """
    inputs = list(inputs)
    one_file = len(inputs) == 1 and not inputs[0].is_dir()
    is_image = out.suffix.lower() in WRITABLE
    if is_image and not one_file and not out.is_dir():
        raise ImageError(f"{out} names one image, but the inputs may become several; name a folder.")
    if one_file and out.suffix and not is_image and not out.is_dir():
        raise ImageError(
            f"the output {out} should be a folder or end in one of {', '.join(WRITABLE)}, found {out.suffix!r}; "
            "name one of these, or make the folder first."
        )
    if one_file and is_image and not out.is_dir():
        if suffix and WRITABLE[out.suffix.lower()] != WRITABLE[suffix]:
            raise ImageError(f"{out} ends otherwise than the format asked for, {suffix[1:]}; leave --format out.")
        pairs = [(inputs[0], out)]
    else:
        sources = []
        for path in inputs:
            if not path.is_dir():
                sources.append((path, Path(path.name)))
                continue
            # What is read but not written needs a format to become.
            found = image_files(path, suffixes=READABLE if suffix else WRITABLE)
            results = out.resolve()
            if path.resolve() in results.parents:  # results of before are not enlarged once more
                found = [p for p in found if results not in p.resolve().parents]
            if not found:
                raise ImageError(f"{path} holds no images to upscale; expected some of {', '.join(WRITABLE)}.")
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
    type=click.Choice([form.suffixes[0].removeprefix(".") for form in FORMATS if form.written]),
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

    (network,) = load_networks(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    with hushed():  # it loads Keras, which --help need not wait for
        from span_keras.inference.files import Upscaler, upscale_file

        upscaler = Upscaler(network, tile=tile)
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
    """Refuse a target in a folder that has its source's name, if that tells no format."""
    if target.suffix.lower() not in WRITABLE:
        raise ImageError(
            f"{source} should end in one of {', '.join(WRITABLE)}, so that its result {target} tells its format, found "
            f"{target.suffix or 'no suffix'!r}; rename it, or pass --format png."
        )


def _restart(bar, length: int) -> None:
    """Give a progress bar its length: the number of tiles is known only when the image has been read."""
    bar.length = length
    bar.render_progress()


def _make_folder(folder: Path) -> None:
    """Make a folder for results, with a sentence if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"the folder {folder} cannot be made ({error.strerror}); choose another output.") from error


if __name__ == "__main__":
    main()
