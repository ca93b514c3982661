"""``span-export``: the command line. The work is in ``run.py``."""

from __future__ import annotations

from pathlib import Path

import click

from span_export.quantize import MODES
from span_keras.cli import CONTEXT, reports_errors, weights_options
from span_keras.quiet import hushed


@click.command(context_settings=CONTEXT)
@click.option(
    "--tfjs", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write."
)
@weights_options
@click.option(
    "--quantize", type=click.Choice(MODES), help="Number format of the weights. [default: float16 if exact, else none]"
)
@click.option("--also", multiple=True, metavar="W", help="A further network, into DIR/models/NAME/. Can be repeated.")
@click.option("--demo", is_flag=True, help="Put the page beside the model: serve DIR and it works.")
@click.option("--perceptual", is_flag=True, help="Write the perceptual loss's VGG features to DIR/perceptual/ too.")
@click.option(
    "--verify",
    is_flag=True,
    help="Read the files back and compare them with the weights; if they differ, DIR stays as it was and the exit code "
    "is 1.",
)
@click.option(
    "--verify-data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Photographs to verify on. [default: the bundled ones]",
)
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files too; they are kept.")
@reports_errors
def main(**options) -> None:
    """Write SPAN weights as a TensorFlow.js model: DIR/model.json and its .bin files.

    A plain tf.loadLayersModel reads it. DIR appears when everything is written, or not at all.
    """
    with hushed():  # it loads TensorFlow, which --help need not wait for
        from span_export.run import run
    run(**options)


if __name__ == "__main__":
    main()
