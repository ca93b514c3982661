"""``python -m span_keras.upscale``: enlarge image files, band by band."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from pathlib import Path
from typing import get_args

import click

from span_keras.cli import CONTEXT, Failure, reports_errors, tell_assumed, version_option, weights_options
from span_keras.images.formats import FORMATS, listed
from span_keras.inference.batch import AUTO, plan
from span_keras.inference.job import MAX_FACTOR, Options, Outcome
from span_keras.inference.networks import DEFAULT_NETWORKS, NetworkOptions, Precision, load
from span_keras.quiet import hushed

_WRITTEN = listed((form.label for form in FORMATS if form.written), "and")
_READ_ONLY = listed((form.label for form in FORMATS if form.read and not form.written), "and")

HELP = f"""Upscale {_WRITTEN} files, keeping alpha, 16 bits, orientation, colour profile and metadata.

{_READ_ONLY} files are read too; their results become .png or .jpg. HEIC and JPEG XL need the extra "formats".

Every file of a folder is made, named with a reason, or counted as no picture. An image that fails is reported, the
others are made, and the exit code is 1.
"""


def _parse_background(context, parameter, value: str | None) -> tuple[int, int, int] | None:
    """Turn a colour's name or ``#rrggbb`` into red, green and blue."""
    if value is None:
        return None
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(value)[:3]
    except ValueError:
        raise click.BadParameter(f"expected a colour such as white or #ffffff, found {value!r}.") from None


def _size_options(function):
    """Add the four ways to ask for a size, of which one may be given."""
    options = (
        click.option(
            "--outscale",
            type=click.FloatRange(0, MAX_FACTOR, min_open=True),
            metavar="F",
            help=f"Enlarge by any factor up to {MAX_FACTOR}. [default: that of the network]",
        ),
        click.option("--width", type=click.IntRange(1), metavar="W", help="Make results W pixels wide."),
        click.option("--height", type=click.IntRange(1), metavar="H", help="Make results H pixels high."),
        click.option("--longest", type=click.IntRange(1), metavar="N", help="Give their longer side N pixels."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command(context_settings=CONTEXT, help=HELP)
@click.argument("inputs", nargs=-1, required=True, metavar="IMAGE|DIR...", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Folder for the results, or a file name if there is one IMAGE. [default: photo_x4.png beside photo.png]",
)
@weights_options(default=None, shown=f"{DEFAULT_NETWORKS[4]}, or what fits the size")
@_size_options
@click.option("--tta", is_flag=True, help="Average over eight orientations: eight times the work, slightly better.")
@click.option(
    "--tile",
    type=click.IntRange(1),
    metavar="N",
    help="Side of the tiles in input pixels; smaller ones need less memory.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=1, metavar="N", help="Tiles per call of the network, on a GPU."
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    help="Of the network's convolutions; bfloat16 is faster on a GPU, and costs some hundredths of a dB.",
)
@click.option("--device", default="auto", show_default=True, metavar="D", help="What to run on: cpu, gpu or gpu:1.")
@click.option(
    "--format",
    "suffix",
    type=click.Choice([*(form.suffixes[0].removeprefix(".") for form in FORMATS if form.written), AUTO]),
    callback=lambda context, parameter, value: f".{value}" if value not in (None, AUTO) else value,
    help="Format of the results in a folder, otherwise that of each image; auto: the next one that holds the result.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    metavar="Q",
    help="Of JPEG, WebP and AVIF, 1 to 100; 100 makes WebP lossless. [default: 95]",
)
@click.option(
    "--background",
    callback=_parse_background,
    metavar="COLOUR",
    help="Lay transparency over it where the format holds none.",
)
@click.option(
    "--strict", is_flag=True, help="Refuse damaged images that can be mended, and count unread ones as errors."
)
@click.option("--overwrite", is_flag=True, help="Replace existing results instead of keeping them.")
@click.option("--watch", is_flag=True, help="Go on until interrupted: make new images of DIR once they are complete.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per file instead of names of results.")
@version_option
@reports_errors
def main(inputs, out, suffix, watch, as_json, **options):
    """Parse the command line; ``HELP`` says what the command does."""
    network = NetworkOptions(**{field.name: options.pop(field.name) for field in dataclasses.fields(NetworkOptions)})
    options = Options(**options)
    if sum(size is not None for size in (options.outscale, options.width, options.height, options.longest)) > 1:
        raise click.UsageError("expected one of --outscale, --width, --height and --longest, found several.")
    if network.weights is None and (network.variant or network.img_range or network.rgb_mean):
        raise click.UsageError(
            "--variant, --img-range and --rgb-mean describe the file of --weights; name one, or leave them out."
        )
    if watch and not all(path.is_dir() for path in inputs):
        raise click.UsageError("--watch expects folders, found a file.")
    networks = None
    if watch or (out is None and network.weights):  # names of results tell the factor
        networks = _load(network)
    label = options.label(networks.native if networks else next(iter(DEFAULT_NETWORKS)))
    if watch:

        def plan_some(changed: set[Path]):
            there = [folder for folder in inputs if folder.is_dir()]
            return plan(there, out, suffix, options, label, changed)

        _watch(plan_some, inputs, networks, _Report(as_json, options.strict))
        return
    work = plan(inputs, out, suffix, options, label)
    for remark in work.remarks:
        click.echo(remark, err=True)
    report = _Report(as_json, options.strict)
    for outcome in work.settled:
        report.add(outcome)
    if work.jobs:
        _upscale(work.jobs, networks or _load(network), report)
    report.end()


def _load(options: NetworkOptions):
    assumed = []
    with hushed():  # what is tried out to learn a network's input range loads Keras
        networks = load(options, assumed.append, hushed)
    tell_assumed(*assumed)
    return networks


def _upscale(jobs, networks, report: _Report) -> None:
    """Do the jobs, with a progress bar: of tiles for one image, of images for several."""
    from span_keras.inference.work import do, work_through

    several = len(jobs) > 1
    label = f"{len(jobs)} images" if several else jobs[0].source.name
    with click.progressbar(length=len(jobs), label=label, file=sys.stderr) as bar:

        def add(outcome: Outcome) -> None:
            if sys.stderr.isatty():  # the bar stands where the lines are to go
                click.echo("\r\x1b[K", nl=False, err=True)
            report.add(outcome)
            if several:
                bar.update(1)

        def restart(tiles: int) -> None:  # their number is known only when the image has been read
            bar.length = tiles
            bar.render_progress()

        if several:
            work_through(jobs, networks, add)
        else:
            add(do(jobs[0], networks, set(), bar.update, restart))


def _watch(plan_some, folders, networks, report: _Report) -> None:
    """Make what is in folders, then new images as they come, until interrupted."""
    from span_keras.inference.watch import follow

    def make(changed: set[Path]) -> list[Outcome]:
        """Make the images among some files and folders."""
        first, work = len(report.outcomes), plan_some(changed)
        for outcome in work.settled:
            if outcome.status != "kept":
                report.add(outcome)
        if work.jobs:
            _upscale(work.jobs, networks, report)
        return report.outcomes[first:]

    click.echo(f"Watching {listed(map(str, folders), 'and')}; Ctrl-C ends it.", err=True)
    follow(folders, make, lambda sentence: click.echo(sentence, err=True), threading.Event())


class _Report:
    """Tell what becomes of every file, as it happens.

    Args:
        as_json: print a JSON object per file on stdout, instead of the names of results.
        strict: count what is not read as failed.

    Attributes:
        outcomes: what was told, in this order.
    """

    def __init__(self, as_json: bool, strict: bool):
        self.as_json, self.failed, self.outcomes = as_json, 0, []
        self.failures = ("failed", "skipped") if strict else ("failed",)

    def add(self, outcome: Outcome) -> None:
        """Print what has become of one file."""
        self.outcomes.append(outcome)
        fails = outcome.status in self.failures
        self.failed += fails
        for note in outcome.notes:
            click.echo(note, err=True)
        if outcome.reason:
            click.echo(f"Error: {outcome.reason}" if fails else outcome.reason, err=True)
        if self.as_json:
            click.echo(json.dumps(dataclasses.asdict(outcome)))
        elif outcome.status == "made":
            click.echo(outcome.target)

    def end(self) -> None:
        """End the command with exit code 1 if anything failed."""
        if self.failed:
            raise Failure(f"{self.failed} of {len(self.outcomes)} images could not be upscaled.")


if __name__ == "__main__":
    main()
