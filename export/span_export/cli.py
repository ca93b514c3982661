"""``span-export``: the command line. The work is in ``run.py``."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import click

from span_export.quantize import NUMBER_FORMATS
from span_export.targets import TARGETS
from span_keras.cli import CONTEXT, reports_errors, version_option, weights_options
from span_keras.errors import ExportError
from span_keras.quiet import hushed


def parse_size(context, parameter, value: str | None) -> tuple[int, int] | None:
    """Turn ``"256x320"`` into (height, width); None stays None."""
    if value is None:
        return None
    if not (found := re.fullmatch(r"([1-9]\d{0,4})[x×]([1-9]\d{0,4})", value)):
        raise click.BadParameter(f"expected height and width in pixels such as 256x256, found {value!r}.")
    return int(found[1]), int(found[2])


def file_options(function):
    """Add an option for every target; the command receives ``files``, path by name of the target."""

    @functools.wraps(function)
    def collects(**options):
        files = {name: options.pop(name) for name in TARGETS}
        return function(files={name: path for name, path in files.items() if path}, **options)

    for target in reversed(TARGETS.values()):
        option = click.option(f"--{target.name}", type=click.Path(path_type=Path), metavar="FILE", help=target.help)
        collects = option(collects)
    return collects


@click.command(context_settings=CONTEXT)
@click.option(
    "--tfjs", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Folder with a TensorFlow.js model."
)
@file_options
@weights_options
@click.option(
    "--quantize",
    "number_format",
    type=click.Choice(NUMBER_FORMATS),
    help="Number format of the weights. [default: none; in DIR float16 if exact]",
)
@click.option(
    "--fixed-size", callback=parse_size, metavar="HxW", help="Input size of ONNX and LiteRT files. [default: any]"
)
@click.option("--also", multiple=True, metavar="W", help="A further network, into DIR/models/NAME/. Can be repeated.")
@click.option("--demo", is_flag=True, help="Put the page beside the model: serve DIR and it works.")
@click.option("--perceptual", is_flag=True, help="Write the perceptual loss's VGG features to DIR/perceptual/ too.")
@click.option(
    "--verify",
    is_flag=True,
    help="Read everything back, each in its own runtime, and compare it with the weights; if it differs, nothing is "
    "written and the exit code is 1.",
)
@click.option(
    "--verify-data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Photographs to verify on. [default: the bundled ones]",
)
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files too; they are kept.")
@version_option
@reports_errors
def main(folder: Path | None, files: dict[str, Path], **options) -> None:
    """Write SPAN weights for other runtimes, several in one call.

    A plain tf.loadLayersModel reads DIR/model.json. Everything appears when all of it is written, or not at all.
    """
    if not folder and not files:
        names = ", ".join(f"--{name}" for name in TARGETS)
        raise click.UsageError(f"expected something to write, found none; name one or more of --tfjs, {names}.")
    if not folder and (needing := [name for name in ("also", "demo", "perceptual", "overwrite") if options[name]]):
        raise click.UsageError(f"--{needing[0]} is about the folder of --tfjs; name one, or leave it out.")
    for name, path in files.items():
        try:
            TARGETS[name].check(path, options["number_format"], options["fixed_size"])
        except ExportError as error:
            raise click.UsageError(str(error)) from error
    with hushed():  # it loads NumPy and h5py, which --help need not wait for
        from span_export.run import run
    run(folder, files, **options)


if __name__ == "__main__":
    main()
