"""What ``span-export`` does with its options."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from span_export.export import export_model
from span_export.targets import TARGETS
from span_keras.cli import load_networks
from span_keras.errors import ExportError
from span_keras.network.weights import SpanWeights
from span_keras.quiet import hushed

if TYPE_CHECKING:
    from span_export.verify import Comparison


def run(
    folder: Path | None,
    files: dict[str, Path],
    *,
    weights: str,
    variant: str | None,
    img_range: float | None,
    rgb_mean: tuple[float, ...] | None,
    number_format: str | None,
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
        if verify or verify_data:
            reports.extend(_compare(sources, places, results, fixed_size, verify_data))

    results = export_model(
        networks[0],
        folder,
        number_format,
        files=files,
        fixed_size=fixed_size,
        also=networks[1:],
        demo=demo,
        perceptual=perceptual,
        overwrite=overwrite,
        check=check,
    )
    for result, report in itertools.zip_longest(results, reports):
        _tell(result, report)


def _compare(
    sources: Sequence[SpanWeights],
    places: Sequence[Path],
    results: Sequence[dict],
    fixed_size: tuple[int, int] | None,
    folder: Path | None,
) -> list[Comparison]:
    """Compare what was written with the networks that it was made from.

    Args:
        sources: the network of every result.
        places, results: see ``check`` of ``export_model``.
        fixed_size: (height, width) of the input of files that can have one.
        folder: of photographs to compare on; the bundled ones by default.

    Raises:
        ExportError: something does not reproduce its network.
    """
    with hushed():  # comparing loads a Keras backend and the runtimes
        from span_export import verify

        photographs = verify.Photographs(folder or verify.BUNDLED_PHOTOS)
    reports = []
    for network, place, result in zip(sources, places, results, strict=True):
        with hushed():
            if "url" in result:
                report = verify.verify(place.parent, network, photographs)
            else:
                target, number_format = TARGETS[result["name"]], result["number_format"]
                report = verify.verify_file(target, place, network, number_format, fixed_size, photographs)
        reports.append(report)
    failures = [
        f"{result['path']} would not reproduce {network.source}: {' '.join(report.failures)}"
        for network, result, report in zip(sources, results, reports, strict=True)
        if report.failures
    ]
    if failures:
        raise ExportError(f"{' '.join(failures)} Nothing was written.")
    return reports


def _tell(result: dict, report: Comparison | None) -> None:
    """Print what was written, and how it compares if that was asked for."""
    place, parts = result["path"], ""
    if "url" in result:
        place, parts = place.parent, f" in {len(result['files'])} files"
    click.echo(
        f"{place}: x{result['scale']}, {result['channels']} channels, variant {result['variant']}, "
        f"{result['number_format']} weights, {result['bytes'] / 1e6:.3f} MB{parts}."
    )
    for line in report.lines() if report else ():
        click.echo(line)
