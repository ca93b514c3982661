"""What ``span-export`` does with its options."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from span_export.export import export_model
from span_export.verify import verify as compare
from span_keras.cli import load_networks
from span_keras.errors import ExportError
from span_keras.quiet import hushed


def run(
    folder: Path,
    *,
    weights: str,
    variant: str | None,
    img_range: float | None,
    rgb_mean: tuple[float, float, float] | None,
    quantize: str | None,
    also: tuple[str, ...],
    demo: bool,
    perceptual: bool,
    verify: bool,
    verify_data: Path | None,
    overwrite: bool,
) -> None:
    """Load, export, compare, report; the options are those of ``cli.main``.

    Raises:
        SpanError: any step failed, or the files do not reproduce the weights; ``folder`` is as it was.
    """
    networks = load_networks(weights, *also, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    reports = []

    def check(staged: Path, results: list[dict]) -> None:
        for network, result in zip(networks, results, strict=True):
            with hushed():
                reports.append(compare((staged / result["url"]).parent, network, verify_data))
        failures = [
            f"{folder / result['url']} would not reproduce {network.source}: {' '.join(report.failures)}"
            for network, result, report in zip(networks, results, reports, strict=True)
            if report.failures
        ]
        if failures:
            raise ExportError(f"{' '.join(failures)} Nothing was written.")

    options = {"check": check} if verify or verify_data else {}
    results = export_model(
        networks[0],
        folder,
        quantize,
        also=networks[1:],
        demo=demo,
        perceptual=perceptual,
        overwrite=overwrite,
        **options,
    )
    for result, report in itertools.zip_longest(results, reports):
        place = folder / Path(result["url"]).parent
        click.echo(
            f"{place}: x{result['scale']}, {result['channels']} channels, variant {result['variant']}, "
            f"{result['quantization']} weights, {result['bytes'] / 1e6:.3f} MB in {len(result['files'])} files."
        )
        for line in report.lines() if report else ():
            click.echo(line)
