"""``python -m span_keras.bulk``: enlarge images of folders and object stores on one machine or a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from span_keras.cli import CONTEXT, FiniteRange, load_networks, reports_errors, version_option
from span_keras.cli_images import Report, image_options, sorted_options
from span_keras.inference.networks import DEFAULT_NETWORKS, NetworkOptions
from span_keras.quiet import hushed

if TYPE_CHECKING:
    from span_keras.cluster.plan import Task
    from span_keras.cluster.run import Cluster
    from span_keras.cluster.stages import Parcel, Setup
    from span_keras.cluster.summary import Tally
    from span_keras.network.weights import SpanWeights

HELP = """Upscale the images of SOURCE into DEST as span-upscale does, on all machines of a Ray cluster.

SOURCE is a folder, a store such as s3://bucket/photos or gs://bucket/photos, or a list of addresses: a text with one a
line, or the column "address" of a CSV or Parquet file. DEST is a folder or a store.

A run that ends early loses nothing: the same command makes what is missing or has changed since. An image that fails
is reported, the others are made, and the exit code is 1.
"""

GPU_BATCH = 8
"""Tiles per call of the network on a GPU. On a CPU an image takes the same time in a batch as alone."""

_TERMINAL_SECONDS, _LOG_SECONDS = 0.5, 30.0
"""Time between two lines of progress."""


def _refuse_client(context, parameter, address: str) -> str:
    """Refuse Ray Client, through which Ray Data does not run: it needs a process of the cluster."""
    if address.startswith("ray://"):
        raise click.BadParameter(
            f"expected a cluster of this machine, found {address}, through which Ray Data does not run; run span-bulk "
            "on a machine of that cluster, or send it there by: ray job submit -- span-bulk SOURCE DEST."
        )
    return address


@click.command(context_settings=CONTEXT, help=HELP)
@click.argument("source")
@click.argument("dest")
@image_options
@click.option(
    "--address",
    default="local",
    show_default=True,
    envvar="RAY_ADDRESS",
    metavar="A",
    callback=_refuse_client,
    help="The Ray cluster: local for this machine alone, auto for the one it belongs to, or HOST:6379.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Copies of the network. [default: one on each GPU, or on each CPU core]",
)
@click.option(
    "--gpus-per-worker",
    type=FiniteRange(0),
    metavar="G",
    help="GPUs of each; 0.5 lets two share one. [default: 1 if there are any]",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    metavar="N",
    help=f"Tiles of all images per call of the network. [default: {GPU_BATCH} on a GPU, 1 on a CPU]",
)
@click.option("--price", type=FiniteRange(0), metavar="P", help="Of the cluster an hour, for the summary.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per file instead of names of results.")
@version_option
@reports_errors
def main(
    source,
    dest,
    address,
    workers,
    gpus_per_worker,
    batch,
    price,
    as_json,
    suffix,
    **given,
):
    """Parse the command line; ``HELP`` says what the command does."""
    options, network = sorted_options(given)
    source, dest = map(_absolute, (source, dest))
    if "://" not in source and not Path(source).exists():
        raise click.BadParameter(f"{source} does not exist.", param_hint="SOURCE")
    report, loaded = Report(as_json, options.strict), _load(network)
    try:
        from span_keras.cluster import manifest, plan, stores  # loads pyarrow
    except ImportError as error:
        raise click.ClickException(f"span-bulk needs pyarrow ({error}); pip install 'span-keras[bulk]'.") from error
    table, journal = manifest.opened(dest)
    key = plan.key_of(options, network, [one.metadata["sha256"] for one in loaded], suffix)
    work = plan.work_of(source, dest, options, suffix, key, manifest.finished(manifest.records(table)))
    for remark in work.remarks:
        click.echo(remark, err=True)
    for outcome in work.settled:
        report.add(outcome)
    if work.kept:
        click.echo(f"{work.kept:,} images were made before and have not changed.", err=True)
    if work.tasks:
        stores.check_writable(f"{dest}/{manifest.FOLDER}")
        from span_keras.cluster.stages import Setup, record_of

        def add(parcel: Parcel) -> None:
            journal.add(record_of(parcel, key, dest))
            report.add(parcel.content)

        with _connected(address, len(work.tasks), workers, gpus_per_worker) as cluster:
            network = dataclasses.replace(network, gather=batch or (GPU_BATCH if cluster.gpus else 1))
            setup = Setup(options, network, loaded[0] if network.weights else None, loaded[0].config.scale)
            try:
                tally = _upscale(work.tasks, setup, cluster, add)
            finally:
                journal.flush()
            for line in tally.summary(cluster, price):
                click.echo(line, err=True)
    report.end()


def _load(network: NetworkOptions) -> list[SpanWeights]:
    """Load the network that is named, or all default ones, and say what had to be assumed of it.

    Raises:
        ConfigError, CheckpointError: see ``check_tile`` and ``load_networks``.
    """
    if network.weights:
        stated = {"variant": network.variant, "img_range": network.img_range, "rgb_mean": network.rgb_mean}
        loaded = load_networks(network.weights, **stated)
    else:
        loaded = load_networks(*DEFAULT_NETWORKS.values())
    if network.tile:
        from span_keras.images.tiling import check_tile  # loads NumPy

        for one in loaded:
            check_tile(network.tile, one.config.receptive_radius)
    return loaded


@contextlib.contextmanager
def _connected(address: str, images: int, workers: int | None, gpus: float | None) -> Iterator[Cluster]:
    """Connect as ``cluster.run.connected`` does, in silence, and name the dashboard."""
    from span_keras.cluster.run import connected

    with contextlib.ExitStack() as stack:
        with hushed():
            cluster = stack.enter_context(connected(address, images, workers, gpus))
        if cluster.dashboard:
            click.echo(f"Dashboard: http://{cluster.dashboard}", err=True)
        yield cluster


def _upscale(tasks: list[Task], setup: Setup, cluster: Cluster, add: Callable[[Parcel], None]) -> Tally:
    """Do the tasks on a cluster, print how far it is, and return what was counted.

    Args:
        tasks, setup, cluster: see ``cluster.run.upscale_all``.
        add: called with what has become of each image.
    """
    from span_keras.cluster.run import upscale_all
    from span_keras.cluster.summary import Tally

    tally, show = Tally(len(tasks)), _Progress()
    for parcel in upscale_all(tasks, setup, cluster):
        tally.add(parcel)
        show.clear()
        add(parcel)
        show(tally.line())
    show.clear()
    return tally


class _Progress:
    """Show a line that is replaced on a terminal, and now and then written anew elsewhere."""

    def __init__(self):
        self.terminal, self.shown = sys.stderr.isatty(), time.monotonic()

    def __call__(self, line: str) -> None:
        if time.monotonic() - self.shown >= (_TERMINAL_SECONDS if self.terminal else _LOG_SECONDS):
            self.shown = time.monotonic()
            click.echo(line, nl=not self.terminal, err=True)

    def clear(self) -> None:
        """Make room for other lines."""
        if self.terminal:
            click.echo("\r\x1b[K", nl=False, err=True)


def _absolute(address: str) -> str:
    """Return an address that means the same on every machine; a path is one that all machines see."""
    if "://" in address:
        return address.rstrip("/")
    return str(Path(address).absolute())


if __name__ == "__main__":
    main()
