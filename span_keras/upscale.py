"""``python -m span_keras.upscale``: enlarge image files, band by band."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from span_keras.cli import CONTEXT, Failure, load_networks, reports_errors, weights_options
from span_keras.images.formats import FORMATS, listed
from span_keras.inference.batch import plan, work_through
from span_keras.quiet import hushed

_WRITTEN = listed((form.label for form in FORMATS if form.written), "and")
_READ_ONLY = listed((form.label for form in FORMATS if form.read and not form.written), "and")

HELP = f"""Upscale {_WRITTEN} files, keeping alpha, 16 bits, orientation, colour profile and metadata.

{_READ_ONLY} files are read too; their results need --format, or OUT with a suffix of the others.

An image that fails is reported, the others are made, and the exit code is 1.
"""


@click.command(context_settings=CONTEXT, help=HELP)
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
    """Parse the command line; ``HELP`` says what the command does."""
    pairs = plan(inputs, out, suffix)
    kept = {} if overwrite else {target: None for _, target in pairs if target.exists()}
    for target in kept:
        click.echo(f"{target} exists and is kept; --overwrite replaces it.", err=True)
    pairs = [(source, target) for source, target in pairs if target not in kept]
    if not pairs:
        return

    (network,) = load_networks(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    with hushed():  # it loads Keras, which --help need not wait for
        from span_keras.inference.files import Job, Options, upscale_file
        from span_keras.inference.upscaler import Upscaler

        upscaler = Upscaler(network, tile=tile)

    def work(number: int, source: Path, target: Path) -> None:
        label = f"[{number}/{len(pairs)}] {source.name}"
        with click.progressbar(length=1, label=label, file=sys.stderr) as bar:
            job = Job(source, target, Options(quality))
            outcome = upscale_file(job, upscaler, lambda tiles: _restart(bar, tiles), bar.update)
        for note in outcome.notes:
            click.echo(note, err=True)
        click.echo(str(target))

    failed = work_through(pairs, work, lambda error: click.echo(f"Error: {error}", err=True))
    if failed:
        raise Failure(f"{failed} of {len(pairs)} images could not be upscaled.")


def _restart(bar, length: int) -> None:
    """Give a progress bar its length: the number of tiles is known only when the image has been read."""
    bar.length = length
    bar.render_progress()


if __name__ == "__main__":
    main()
