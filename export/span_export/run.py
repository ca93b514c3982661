"""What ``span-export`` does with its options."""

from __future__ import annotations

from pathlib import Path

import click

from span_export.quiet import quiet
from span_export.tfjs import export_model


def run(folder: Path, weights: str, variant, img_range, rgb_mean, quantize, demo: bool, overwrite: bool) -> None:
    """Load, export, report."""
    with quiet():
        from span_keras.checkpoints import load_weights

    loaded = load_weights(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    result = export_model(loaded, folder, quantize, demo=demo, overwrite=overwrite)
    config = loaded.config
    click.echo(
        f"{folder}: x{config.scale}, {config.channels} channels, variant {config.variant}, "
        f"{result['quantization']} weights, {result['bytes'] / 1e6:.3f} MB in {len(result['files'])} files."
    )
