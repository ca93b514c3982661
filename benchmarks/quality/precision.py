"""Print what computing in bfloat16 costs, for every bundled network that a set has images for.

    python benchmarks/quality/precision.py [--bench DIR] [--set SET] [-w W ...]

Printed are PSNR on Y in float32 and in bfloat16, and the difference; see ``sets.py`` for the folders.
"""

from __future__ import annotations

from pathlib import Path

import click
from sets import DEFAULT_BENCH, find_sets

from span_keras.checkpoints import bundled_names, load_weights
from span_keras.cli import reports_errors
from span_keras.inference.evaluation import evaluate
from span_keras.inference.upscaler import Upscaler


@click.command()
@click.option("--bench", default=DEFAULT_BENCH, type=Path, metavar="DIR", help="Folder with SET/xS/HR and SET/xS/LR.")
@click.option("--set", "only", default="Set5", show_default=True, metavar="SET", help="Measure on this set.")
@click.option("--weights", "-w", "names", multiple=True, metavar="W", help="Networks. [default: the bundled ones]")
@reports_errors
def main(bench, only, names) -> None:
    """Print a row per network."""
    folders = find_sets((bench,), (only,))[only]
    click.echo("network            float32   bfloat16  cost dB")
    for name in names or bundled_names():
        weights = load_weights(name)
        if not (folder := folders.get(weights.config.scale)):
            continue
        float32, bfloat16 = (
            evaluate(Upscaler(weights, precision=precision), weights.config.scale, folder)["psnr_y"]
            for precision in ("float32", "bfloat16")
        )
        click.echo(f"{name:17} {float32:8.3f} {bfloat16:10.3f} {float32 - bfloat16:8.4f}")


if __name__ == "__main__":
    main()
