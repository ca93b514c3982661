"""What ``span-upscale`` and ``span-bulk`` share: the options that say how images are made, and the report on files."""

from __future__ import annotations

import dataclasses
import json

import click

from span_keras.cli import FiniteRange, weights_options
from span_keras.images.formats import FORMATS
from span_keras.inference.batch import AUTO
from span_keras.inference.job import MAX_FACTOR, Options, Outcome
from span_keras.inference.networks import DEFAULT_NETWORKS, NetworkOptions


def image_options(function):
    """Add the network, the four ways to ask for a size, and what else results depend on.

    The command receives ``weights, variant, img_range, rgb_mean, suffix, tta, tile`` and the fields of ``Options`` but
    ``overwrite``; pass all but ``suffix`` to ``sorted_options``.
    """
    options = (
        weights_options(default=None, shown=f"{DEFAULT_NETWORKS[4]}, or what fits the size"),
        click.option(
            "--outscale",
            type=FiniteRange(0, MAX_FACTOR, min_open=True),
            metavar="F",
            help=f"Enlarge by any factor up to {MAX_FACTOR}. [default: that of the network]",
        ),
        click.option("--width", type=click.IntRange(1), metavar="W", help="Make results W pixels wide."),
        click.option("--height", type=click.IntRange(1), metavar="H", help="Make results H pixels high."),
        click.option("--longest", type=click.IntRange(1), metavar="N", help="Give their longer side N pixels."),
        click.option(
            "--tta", is_flag=True, help="Average over eight orientations: eight times the work, slightly better."
        ),
        click.option(
            "--tile",
            type=click.IntRange(1),
            metavar="N",
            help="Side of the tiles in input pixels; smaller ones need less memory.",
        ),
        click.option(
            "--format",
            "suffix",
            type=click.Choice([*(form.suffixes[0].removeprefix(".") for form in FORMATS if form.written), AUTO]),
            callback=lambda context, parameter, value: f".{value}" if value not in (None, AUTO) else value,
            help="Format of the results in a folder, otherwise that of each image; auto: the next one that holds "
            "the result.",
        ),
        click.option(
            "--quality",
            type=click.IntRange(1, 100),
            metavar="Q",
            help="Of JPEG, WebP and AVIF, 1 to 100; 100 makes WebP lossless. [default: 95]",
        ),
        click.option(
            "--background",
            callback=_parse_background,
            metavar="COLOUR",
            help="Lay transparency over it where the format holds none.",
        ),
        click.option(
            "--strict", is_flag=True, help="Refuse damaged images that can be mended, and count unread ones as errors."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def sorted_options(given: dict) -> tuple[Options, NetworkOptions]:
    """Sort what a command was given into what acts on images and what on networks.

    Args:
        given: name -> value of fields of either, those of ``image_options`` among them.

    Raises:
        click.UsageError: several sizes are asked for, or no file is named that others describe.
    """
    if sum(given[name] is not None for name in ("outscale", "width", "height", "longest")) > 1:
        raise click.UsageError("expected one of --outscale, --width, --height and --longest, found several.")
    if given["weights"] is None and any(given[name] for name in ("variant", "img_range", "rgb_mean")):
        raise click.UsageError(
            "--variant, --img-range and --rgb-mean describe the file of --weights; name one, or leave them out."
        )
    of_networks = given.keys() & {field.name for field in dataclasses.fields(NetworkOptions)}
    options = Options(**{name: given[name] for name in given.keys() - of_networks})
    return options, NetworkOptions(**{name: given[name] for name in of_networks})


def _parse_background(context, parameter, value: str | None) -> tuple[int, int, int] | None:
    """Turn a colour's name or ``#rrggbb`` into red, green and blue."""
    if value is None:
        return None
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(value)[:3]
    except ValueError:
        raise click.BadParameter(f"expected a colour such as white or #ffffff, found {value!r}.") from None


class Report:
    """Tell what becomes of every file, as it happens.

    Args:
        as_json: print a JSON object per file on stdout, instead of the names of results.
        strict: count what is not read as failed.

    Attributes:
        failed: how many of the files failed.
    """

    def __init__(self, as_json: bool, strict: bool):
        self.as_json, self.failed, self._count = as_json, 0, 0
        self.failures = ("failed", "skipped") if strict else ("failed",)

    def add(self, outcome: Outcome) -> None:
        """Print what has become of one file."""
        self._count += 1
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
            raise click.ClickException(f"{self.failed:,} of {self._count:,} images could not be upscaled.")
