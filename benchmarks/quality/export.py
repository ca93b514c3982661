"""Print what exporting costs, for every number format.

    python benchmarks/quality/export.py DATA [--weights W]

DATA holds ``HR`` and ``LR``, or HR images alone. Printed are the size of all files of the model, the PSNR on Y of what
was written, and what that loses against the weights. For x4 with 48 channels the project asks for at most 0.90 MB and
0.01 dB in float16.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from span_export import export_model
from span_export.quantize import NUMBER_FORMATS
from span_keras.checkpoints import load_weights
from span_keras.cli import reports_errors, tell_assumed, weights_options
from span_keras.inference.evaluation import evaluate
from span_keras.inference.upscaler import Upscaler


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@weights_options
@reports_errors
def main(data: Path, weights: str, variant, img_range, rgb_mean) -> None:
    """Print size and PSNR cost per number format."""
    source = load_weights(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    tell_assumed(source)
    config = source.config

    def psnr(network) -> float:
        return evaluate(Upscaler(network), config.scale, data)["psnr_y"]

    before = psnr(source)
    click.echo(f"{weights}: x{config.scale}, {config.channels} channels, {before:.4f} dB on {data}")
    click.echo("format         MB        dB  cost dB")
    with tempfile.TemporaryDirectory() as folder:
        for number_format in NUMBER_FORMATS:
            (result,) = export_model(source, Path(folder) / number_format, number_format)
            after = psnr(load_weights(Path(folder) / number_format / "model.json"))
            click.echo(f"{number_format:9} {result['bytes'] / 1e6:7.3f} {after:9.4f} {before - after:8.4f}")


if __name__ == "__main__":
    main()
