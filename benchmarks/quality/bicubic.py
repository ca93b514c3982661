"""Compare bicubic downscaling with MATLAB's LR images of the benchmark sets.

    python benchmarks/quality/bicubic.py DIR

DIR holds ``SET/xS/HR`` and ``SET/xS/LR``. Prints the mean PSNR (RGB, images without any difference counted as 99 dB)
of this package with both kinds of border and of Pillow's antialiased BICUBIC, and the time per megapixel of HR input.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from span_keras.images import bicubic
from span_keras.images.metrics import psnr

METHODS = {
    "replicate": lambda hr, scale: bicubic.downscale(hr, scale, border="replicate"),
    "mirror": bicubic.downscale,
    "Pillow": lambda hr, scale: np.asarray(
        Image.fromarray(hr).resize((hr.shape[1] // scale, hr.shape[0] // scale), Image.Resampling.BICUBIC)
    ),
}


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(data: Path):
    """Print PSNR against MATLAB's LR images and speed, per set and scale."""
    click.echo("set       images" + "".join(f" {name + ' dB':>13} {'exact':>7} {'ms/MP':>6}" for name in METHODS))
    for folder in sorted(data.glob("*/x[234]")):
        scale = int(folder.name[1:])
        pairs = [
            [np.asarray(Image.open(folder / kind / path.name).convert("RGB")) for kind in ("HR", "LR")]
            for path in sorted((folder / "HR").iterdir())
        ]
        megapixels = sum(hr.shape[0] * hr.shape[1] for hr, _ in pairs) / 1e6
        line = f"{folder.parent.name + ' ' + folder.name:9} {len(pairs):6}"
        for method in METHODS.values():
            start = time.perf_counter()
            made = [method(hr, scale) for hr, _ in pairs]
            seconds = time.perf_counter() - start
            figures = [min(99.0, psnr(ours, lr)) for ours, (_, lr) in zip(made, pairs, strict=True)]
            line += (
                f" {np.mean(figures):13.2f} {figures.count(99.0):3}/{len(pairs):<3} {1000 * seconds / megapixels:6.1f}"
            )
        click.echo(line)


if __name__ == "__main__":
    main()
