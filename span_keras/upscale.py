"""``python -m span_keras.upscale``: enlarge image files, band by band."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click

from span_keras.cli import CONTEXT, reports_errors, tell_assumed, version_option
from span_keras.cli_images import Report, image_options, sorted_options
from span_keras.images.formats import FORMATS, listed
from span_keras.inference.batch import plan
from span_keras.inference.device import Precision
from span_keras.inference.job import Outcome
from span_keras.inference.networks import DEFAULT_NETWORKS, NetworkOptions, load
from span_keras.quiet import hushed

_WRITTEN = listed((form.label for form in FORMATS if form.written), "and")
_READ_ONLY = listed((form.label for form in FORMATS if not form.written), "and")

HELP = f"""Upscale {_WRITTEN} files, keeping alpha, 16 bits, orientation, colour profile and metadata.

{_READ_ONLY} files are read too; their results become .png or .jpg. HEIC and JPEG XL need the extra "formats".

Every file of a folder is made, named with a reason, or counted as no picture. An image that fails is reported, the
others are made, and the exit code is 1.
"""


@click.command(context_settings=CONTEXT, help=HELP)
@click.argument("inputs", nargs=-1, required=True, metavar="IMAGE|DIR...", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Folder for the results, or a file name if there is one IMAGE. [default: photo_x4.png beside photo.png]",
)
@image_options
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Tiles per call of the network, on a GPU.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    show_default=True,
    help="Of the network's convolutions; bfloat16 is faster on a GPU, and costs some hundredths of a dB.",
)
@click.option("--device", default="auto", show_default=True, metavar="D", help="What to run on: cpu, gpu or gpu:1.")
@click.option("--overwrite", is_flag=True, help="Replace existing results instead of keeping them.")
@click.option("--watch", is_flag=True, help="Go on until interrupted: make new images of DIR once they are complete.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per file instead of names of results.")
@version_option
@reports_errors
def main(inputs, out, suffix, watch, as_json, **given):
    """Parse the command line; ``HELP`` says what the command does."""
    options, network = sorted_options(given)
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

        _watch(plan_some, inputs, networks, Report(as_json, options.strict))
        return
    work = plan(inputs, out, suffix, options, label)
    for remark in work.remarks:
        click.echo(remark, err=True)
    report = Report(as_json, options.strict)
    for outcome in work.settled:
        report.add(outcome)
    if work.jobs:
        _upscale(work.jobs, networks or _load(network), report.add)
    report.end()


def _load(options: NetworkOptions):
    assumed = []
    with hushed():  # what is tried out to learn a network's input range loads Keras
        networks = load(options, assumed.append, hushed)
    tell_assumed(*assumed)
    return networks


def _upscale(jobs, networks, on_outcome: Callable[[Outcome], None]) -> None:
    """Do the jobs, with a progress bar: of tiles for one image, of images for several."""
    from span_keras.inference.work import do, work_through

    several = len(jobs) > 1
    label = f"{len(jobs)} images" if several else jobs[0].source.name
    with click.progressbar(length=len(jobs), label=label, file=sys.stderr) as bar:

        def add(outcome: Outcome) -> None:
            if sys.stderr.isatty():  # the bar stands where the lines are to go
                click.echo("\r\x1b[K", nl=False, err=True)
            on_outcome(outcome)
            if several:
                bar.update(1)

        def restart(tiles: int) -> None:  # their number is known only when the image has been read
            bar.length = tiles
            bar.render_progress()

        if several:
            work_through(jobs, networks, add)
        else:
            add(do(jobs[0], networks, set(), bar.update, restart))


def _watch(plan_some, folders, networks, report: Report) -> None:
    """Make what is in folders, then new images as they come, until interrupted."""
    from span_keras.inference.watch import follow

    def make(changed: set[Path]) -> list[Outcome]:
        """Make the images among some files and folders."""
        outcomes, work = [], plan_some(changed)

        def add(outcome: Outcome) -> None:
            outcomes.append(outcome)
            report.add(outcome)

        for outcome in work.settled:
            if outcome.status != "kept":
                add(outcome)
        if work.jobs:
            _upscale(work.jobs, networks, add)
        return outcomes

    click.echo(f"Watching {listed(map(str, folders), 'and')}; Ctrl-C ends it.", err=True)
    follow(folders, make, lambda sentence: click.echo(sentence, err=True), threading.Event())


if __name__ == "__main__":
    main()
