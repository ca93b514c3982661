"""``python -m span_keras.upscale``: enlarge image files, band by band."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click

from span_keras.cli import CONTEXT, reports_errors, tell_assumed, version_option
from span_keras.cli_images import Report, check_image_options, image_options
from span_keras.errors import SpanError
from span_keras.images.formats import FORMATS, listed
from span_keras.inference.batch import plan
from span_keras.inference.job import Options, Outcome
from span_keras.inference.networks import DEFAULT_NETWORKS, NetworkOptions
from span_keras.quiet import hushed

_WRITTEN = listed((form.label for form in FORMATS if form.written), "and")
_READ_ONLY = listed((form.label for form in FORMATS if form.read and not form.written), "and")

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
    "--batch", type=click.IntRange(1), default=1, metavar="N", help="Tiles per call of the network, on a GPU."
)
@click.option("--device", default="auto", show_default=True, metavar="D", help="What to run on: cpu, gpu or gpu:1.")
@click.option("--overwrite", is_flag=True, help="Replace existing results instead of keeping them.")
@click.option("--watch", is_flag=True, help="Go on until interrupted: make new images of DIR once they are complete.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per file instead of names of results.")
@version_option
@reports_errors
def main(
    inputs, out, suffix, device, tta, tile, batch, weights, variant, img_range, rgb_mean, watch, as_json, **options
):
    """Parse the command line; ``HELP`` says what the command does."""
    check_image_options(options, weights, variant, img_range, rgb_mean)
    if watch and not all(path.is_dir() for path in inputs):
        raise click.UsageError("--watch expects folders, found a file.")
    options = Options(**options)
    network = NetworkOptions(weights, variant, img_range, rgb_mean, tile=tile, batch=batch, tta=tta)
    networks = None
    if watch or (out is None and weights):  # names of results tell the factor
        networks = _load(network, device)
    label = options.label(networks.native if networks else next(iter(DEFAULT_NETWORKS)))
    if watch:
        _watch(lambda: plan(inputs, out, suffix, options, label), inputs, networks, Report(as_json, options.strict))
        return
    work = plan(inputs, out, suffix, options, label)
    for remark in work.remarks:
        click.echo(remark, err=True)
    report = Report(as_json, options.strict)
    for outcome in work.settled:
        report.add(outcome)
    if work.jobs:
        _upscale(work.jobs, networks or _load(network, device), report.add)
    report.end()


def _load(options: NetworkOptions, device: str):
    with hushed():  # it loads Keras, which --help need not wait for
        from span_keras.inference import device as devices
        from span_keras.inference.networks import load

        devices.choose(device)
        assumed = []
        networks = load(options, assumed.append)
        devices.check(device)
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


def _watch(plan_all, folders, networks, report: Report) -> None:
    """Make what is in folders, then new images as they come, until interrupted."""
    from span_keras.inference.watch import follow

    def make(changed: set[Path]) -> list[Outcome]:
        """Make the images among some files and folders; what else is there was dealt with before."""

        def is_new(source) -> bool:
            return not changed.isdisjoint((Path(source), *Path(source).parents))

        outcomes = []

        def add(outcome: Outcome) -> None:
            outcomes.append(outcome)
            report.add(outcome)

        try:
            work = plan_all()
        except SpanError:  # nothing is there yet, or no longer
            return []
        for outcome in work.settled:
            if is_new(outcome.source) and outcome.status != "kept" and Path(outcome.source).is_file():
                add(outcome)
        if jobs := [job for job in work.jobs if is_new(job.source)]:
            _upscale(jobs, networks, add)
        return outcomes

    click.echo(f"Watching {listed(map(str, folders), 'and')}; Ctrl-C ends it.", err=True)
    follow(folders, make, lambda sentence: click.echo(sentence, err=True), threading.Event())


if __name__ == "__main__":
    main()
