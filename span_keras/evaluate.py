"""``python -m span_keras.evaluate``: PSNR and SSIM of a network on a folder of images."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import click

from span_keras.cli import CONTEXT, load_networks, reports_errors, version_option, weights_options
from span_keras.constants import MAX_SCALE
from span_keras.images.folders import left_out
from span_keras.inference.pairs import find_pairs
from span_keras.quiet import hushed


@click.command(context_settings=CONTEXT)
@weights_options
@click.option(
    "--data",
    required=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with HR/ and LR/, or with HR images alone: LR is then made by MATLAB-compatible bicubic shrinking.",
)
@click.option("--scale", type=click.IntRange(1, MAX_SCALE), help="Expected scale; weights of another one are refused.")
@click.option("--tile", type=click.IntRange(1), metavar="N", help="Side of the tiles in LR pixels that bound memory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@version_option
@reports_errors
def main(weights, variant, img_range, rgb_mean, data, scale, tile, as_json):
    """Measure PSNR and SSIM on Y and PSNR on RGB, uint8-rounded, with as many border pixels shaved as the scale."""
    pairs = find_pairs(data)
    for folder in (data / "HR", data / "LR") if (data / "HR").is_dir() else (data,):
        for sentence in left_out(folder, recursive=False):
            click.echo(sentence, err=True)
    (network,) = load_networks(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    if scale not in (None, network.config.scale):
        raise click.UsageError(f"{weights} upscales ×{network.config.scale}, but --scale asks for {scale}.")
    with hushed():  # it loads Keras, which --help need not wait for
        from span_keras.inference.evaluation import Upscaler, evaluate

        upscaler = Upscaler(network, tile=tile)
    with click.progressbar(length=len(pairs), label="Evaluating", file=sys.stderr) as bar:
        result = evaluate(upscaler, upscaler.scale, pairs, on_image=lambda _: bar.update(1))
    result = {"weights": weights, **result}
    click.echo(json.dumps(_without_infinity(result), indent=2) if as_json else _table(result))


def _without_infinity(value):
    """Replace infinity, the PSNR of equal images, by null: JSON knows none."""
    if isinstance(value, dict):
        return {key: _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_infinity(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(result: dict) -> str:
    width = max(4, *(len(figures["name"]) for figures in result["per_image"]))
    line = "{name:{width}}  {psnr_y:8.3f}  {ssim_y:7.4f}  {psnr_rgb:8.3f}".format
    mean = {**result, "name": "mean"}
    made = "LR made by MATLAB-compatible bicubic shrinking" if result["lr"] == "bicubic" else "LR as given"
    return "\n".join(
        [
            f"{'image':{width}}  {'PSNR-Y':>8}  {'SSIM-Y':>7}  {'PSNR-RGB':>8}",
            *(line(width=width, **figures) for figures in [*result["per_image"], mean]),
            f"{result['weights']}, ×{result['scale']}, {result['images']} images, {made}, shave {result['scale']}",
        ]
    )


if __name__ == "__main__":
    main()
