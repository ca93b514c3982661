"""What ``span-export`` does with its options."""

from __future__ import annotations

from pathlib import Path

import click

from span_export.quiet import quiet
from span_export.tfjs import export_model
from span_export.verify import verify as compare
from span_keras.errors import ExportError


def run(
    folder: Path,
    *,
    weights: str,
    variant: str | None,
    img_range: float | None,
    rgb_mean: tuple[float, float, float] | None,
    quantize: str | None,
    demo: bool,
    perceptual: bool,
    verify: bool,
    verify_data: Path | None,
    overwrite: bool,
) -> None:
    """Load, export, report, compare; the options are those of ``cli.main``.

    Raises:
        SpanError: any step failed, or the files do not reproduce the weights.
    """
    with quiet():
        from span_keras.checkpoints import load_weights

    loaded = load_weights(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    result = export_model(loaded, folder, quantize, demo=demo, perceptual=perceptual, overwrite=overwrite)
    config = loaded.config
    click.echo(
        f"{folder}: x{config.scale}, {config.channels} channels, variant {config.variant}, "
        f"{result['quantization']} weights, {result['bytes'] / 1e6:.3f} MB in {len(result['files'])} files."
    )
    if verify or verify_data:
        with quiet():
            report = compare(folder, loaded, verify_data)
        for line in report.lines():
            click.echo(line)
        if report.failures:
            raise ExportError(f"{folder} does not reproduce {weights}: {' '.join(report.failures)}")
