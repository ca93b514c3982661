"""What ``span-export`` does with its options."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from span_export.export import export_model
from span_export.targets import TARGETS
from span_keras.cli import load_networks
from span_keras.errors import ExportError
from span_keras.quiet import hushed


def run(
    folder: Path | None,
    files: dict[str, Path],
    *,
    weights: str,
    variant: str | None,
    img_range: float | None,
    rgb_mean: tuple[float, float, float] | None,
    quantize: str | None,
    fixed_size: tuple[int, int] | None,
    also: tuple[str, ...],
    demo: bool,
    perceptual: bool,
    verify: bool,
    verify_data: Path | None,
    overwrite: bool,
) -> None:
    """Load, export, compare, report; the options are those of ``cli.main``.

    Raises:
        SpanError: any step failed, or what was written does not reproduce the weights; nothing was changed then.
    """
    networks = load_networks(weights, *also, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    sources = [*(networks if folder else ()), *(networks[0] for _ in files)]
    reports = []

    def check(places: list[Path], results: list[dict]) -> None:
        with hushed():  # comparing loads a Keras backend and the runtimes
            from span_export import verify as comparing

            photographs = comparing.Photographs(verify_data or comparing.BUNDLED_PHOTOS)
        for network, place, result in zip(sources, places, results, strict=True):
            with hushed():
                if "url" in result:
                    reports.append(comparing.verify(place.parent, network, photographs))
                else:
                    reports.append(
                        comparing.verify_file(
                            TARGETS[result["name"]], place, network, result["quantization"], fixed_size, photographs
                        )
                    )
        failures = [
            f"{result['path']} would not reproduce {network.source}: {' '.join(report.failures)}"
            for network, result, report in zip(sources, results, reports, strict=True)
            if report.failures
        ]
        if failures:
            raise ExportError(f"{' '.join(failures)} Nothing was written.")

    options = {"check": check} if verify or verify_data else {}
    results = export_model(
        networks[0],
        folder,
        quantize,
        files=files,
        fixed_size=fixed_size,
        also=networks[1:],
        demo=demo,
        perceptual=perceptual,
        overwrite=overwrite,
        **options,
    )
    for result, report in itertools.zip_longest(results, reports):
        place, parts = result["path"], ""
        if "url" in result:
            place, parts = place.parent, f" in {len(result['files'])} files"
        click.echo(
            f"{place}: x{result['scale']}, {result['channels']} channels, variant {result['variant']}, "
            f"{result['quantization']} weights, {result['bytes'] / 1e6:.3f} MB{parts}."
        )
        for line in report.lines() if report else ():
            click.echo(line)
