"""Print PSNR on photographs as they are and changed, and on drawn shapes, where networks differ most.

    python benchmarks/quality/conditions.py --data holdout/ -w bundled:x4 -w "the authors' x4=spanx4_ch48.safetensors"

All networks have one scale. The shapes are those of ``span_keras.leaves``: one picture of 240×240 pixels in the colours
of each photograph, of another seed than that module's default. LR images are made by MATLAB-compatible bicubic
shrinking; PSNR is on Y, uint8-rounded, shaved by the scale, the mean over the photographs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from sets import split_label

from span_keras import leaves
from span_keras.cli import reports_errors, tell_assumed
from span_keras.data.decode import load_pair
from span_keras.data.photos import list_photos
from span_keras.errors import DataError, ImageError
from span_keras.images import bicubic
from span_keras.images.metrics import evaluate_pair
from span_keras.quiet import hushed

CONDITIONS = {
    "as they are": {},
    "half the size": {"hr_scale": 0.5},
    "twice the contrast": {"contrast": 2.0},
    "4 times the contrast": {"contrast": 4.0},
    "rotated by 30°": {"rotation": 30.0},
    "half, rotated by 30°": {"hr_scale": 0.5, "rotation": 30.0},
}
"""Column -> arguments of ``load_pair``."""
SHAPES = "drawn shapes"
"""The last column."""
SEED, SIDE = 77, 240
"""Of the pictures of shapes."""


def pairs(path, number: int, scale: int):
    """Yield ``(column, LR, HR)`` of a photograph, uint8."""
    for condition, arguments in CONDITIONS.items():
        yield condition, *load_pair(path, scale, **arguments)
    hr = np.asarray(leaves.draw(np.random.default_rng((SEED, number)), SIDE, leaves.colours_of(path)))
    yield SHAPES, bicubic.downscale(hr, scale), hr


@click.command()
@click.option("--data", "folder", required=True, metavar="DIR", help="Photographs, searched with subfolders.")
@click.option("--weights", "-w", "given", multiple=True, required=True, metavar="[LABEL=]W", help="Can be repeated.")
@reports_errors
def main(folder, given):
    """Print the table; progress goes to stderr."""
    with hushed():
        from span_keras.checkpoints import load_weights
        from span_keras.inference.upscaler import Upscaler

        networks = [(label, load_weights(path)) for label, path in map(split_label, given)]
        upscalers = {label: Upscaler(weights) for label, weights in networks}
    tell_assumed(*(weights for _, weights in networks))
    if len(upscalers) < len(networks):
        raise click.UsageError(
            f"expected a label of its own for each network, found {', '.join(n for n, _ in networks)}."
        )
    if len(scales := {upscaler.scale for upscaler in upscalers.values()}) > 1:
        raise click.UsageError(f"expected networks of one scale, found {sorted(scales)}.")
    (scale,) = scales
    files = list_photos(folder)
    columns = [*CONDITIONS, SHAPES]
    figures = {label: {column: [] for column in columns} for label in upscalers}
    left_out: dict[Path, Exception] = {}
    with click.progressbar(files, label=f"×{scale}", file=sys.stderr) as bar:
        for number, path in enumerate(bar):
            try:
                found = [
                    (label, column, evaluate_pair(upscaler.upscale_rgb(np.float32(lr) / 255), hr, scale)["psnr_y"])
                    for column, lr, hr in pairs(path, number, scale)
                    for label, upscaler in upscalers.items()
                ]
            except (DataError, ImageError) as error:  # damaged, or too small when halved
                left_out[path] = error
                continue
            for label, column, psnr in found:
                figures[label][column].append(psnr)
    for path, error in left_out.items():
        click.echo(f"Left out {path}: {error}", err=True)
    if len(left_out) == len(files):
        raise DataError(f"Expected photographs to measure on in {folder}, found none.")
    click.echo(
        f"| ×{scale}, {len(files) - len(left_out)} photographs | {' | '.join(columns)} |\n|---|{':-:|' * len(columns)}"
    )
    for label, found in figures.items():
        click.echo(f"| {label} | {' | '.join(f'{np.mean(values):.3f}' for values in found.values())} |")


if __name__ == "__main__":
    main()
