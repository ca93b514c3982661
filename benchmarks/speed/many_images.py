"""Time span-upscale on many small images, beside an older version of it, in turns.

``python benchmarks/speed/many_images.py [--before CHECKOUT] [--count N] [--side N] [--weights W] [--rounds N]``

The images are crops of the bundled photographs, half of them PNG and half JPEG. The time of one image is subtracted, so
that loading the libraries does not count. The processor's time is printed too, since other programs disturb it less.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

ROOT = Path(__file__).parents[2]


def crops(folder: Path, count: int, side: int) -> None:
    """Write crops of the bundled photographs."""
    from PIL import Image

    from span_keras.data.photos import BUNDLED_TRAIN

    folder.mkdir()
    photos = [Image.open(path).convert("RGB") for path in sorted(BUNDLED_TRAIN.glob("*.jpg"))]
    rng = np.random.default_rng(0)
    for number in range(count):
        photo = photos[number % len(photos)]
        left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        name = folder / f"{number:05}{('.png', '.jpg')[number % 2]}"
        photo.crop((left, top, left + side, top + side)).save(name, quality=92)


def seconds(checkout: Path, folder: Path, weights: str) -> np.ndarray:
    """Return the time of a folder by the command of a checkout, in a process of its own, and the processor's time."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        command = [sys.executable, "-m", "span_keras.upscale", str(folder), "-o", f"{out}/made", "--weights", weights]
        start = np.array([time.perf_counter(), processor()])
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True)
        return np.array([time.perf_counter(), processor()]) - start


def processor() -> float:
    """Return what processes that have ended took of the processor in all."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@click.command()
@click.option("--before", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Checkout to compare.")
@click.option("--count", default=500, show_default=True, help="Number of images.")
@click.option("--side", default=256, show_default=True, help="Their side in pixels.")
@click.option("--weights", "-w", default="bundled:x2-fast", show_default=True, help="Network.")
@click.option("--rounds", default=2, show_default=True, help="Runs of each version.")
def main(before, count, side, weights, rounds):
    """Print the time per image of each version."""
    versions = {"now": ROOT, **({"before": before.resolve()} if before else {})}
    with tempfile.TemporaryDirectory() as folder:
        crops(Path(folder) / "all", count, side)
        crops(Path(folder) / "one", 1, side)
        best = dict.fromkeys(versions, np.array([np.inf, np.inf]))
        for turn in range(rounds):
            for name, checkout in versions.items():
                loading = seconds(checkout, Path(folder) / "one", weights)
                each = (seconds(checkout, Path(folder) / "all", weights) - loading) / (count - 1)
                best[name] = np.minimum(best[name], each)
                start = f"round {turn + 1}, {name}: one image {loading[0]:.1f} s, each more"
                click.echo(f"{start} {1000 * each[0]:.1f} ms, {1000 * each[1]:.1f} of the processor")
    if before:
        wall, work = best["before"] / best["now"]
        click.echo(f"{wall:.2f} times as fast, with {1 / work:.2f} of the processor's time (best rounds)")


if __name__ == "__main__":
    main()
