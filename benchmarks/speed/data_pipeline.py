"""Measure time per training batch and peak memory of ``span_keras.PatchDataset``.

    python benchmarks/speed/data_pipeline.py                                       # the bundled photographs, in memory
    python benchmarks/speed/data_pipeline.py --data DIR --workers 1,4,8
    python benchmarks/speed/data_pipeline.py --photos 2000 --megapixels 12 --cache-gb 2   # more than fits: working sets

``--photos`` makes a folder of synthetic JPEG photographs: a few distinct files under many names, since decoding costs
the same. Memory is the peak resident set of this process, before and after.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from PIL import Image

os.environ.setdefault("KERAS_BACKEND", "jax")


def make_photos(folder: Path, count: int, megapixels: float, distinct: int) -> None:
    """Write ``distinct`` JPEG files of natural-looking noise (amplitude falling with frequency) and link the rest."""
    rng = np.random.default_rng(0)
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = width, round(width * 3 / 4)
    for number in range(count):
        path = folder / f"photo_{number:05d}.jpg"
        if number >= distinct:
            os.link(folder / f"photo_{number % distinct:05d}.jpg", path)
            continue
        total = np.full((*size[::-1], 3), 128, np.float32)
        for octave in range(2, 10):
            noise = Image.fromarray(rng.integers(0, 256, (3 << octave, 4 << octave, 3), dtype=np.uint8))
            total += (np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32) - 128) * 0.7**octave
        Image.fromarray(np.clip(total, 0, 255).astype(np.uint8)).save(path, quality=92)


def peak_gb() -> float:
    """Return the peak resident set of this process so far, in 1e9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def run(dataset, workers: int, start: int, steps: int) -> float:
    """Return seconds per batch with so many threads working ahead, in order."""
    with ThreadPoolExecutor(workers) as pool:
        begin = time.perf_counter()
        ahead = deque()
        for index in range(start, start + steps):
            ahead.append(pool.submit(dataset.unturned, index))
            if len(ahead) > 2 * workers:
                ahead.popleft().result()
        for future in ahead:
            future.result()
        return (time.perf_counter() - begin) / steps


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False), help="Folder of photographs [bundled].")
@click.option("--photos", type=int, help="Make this many synthetic photographs instead.")
@click.option("--megapixels", default=12.0, show_default=True, help="Size of a synthetic photograph.")
@click.option("--distinct", default=8, show_default=True, help="Different files among the synthetic ones.")
@click.option("--cache-gb", default=4.0, show_default=True)
@click.option("--workers", default="1,2,4,8", show_default=True, help="Numbers of threads to try.")
@click.option("--scale", default=4, show_default=True)
@click.option("--patch", default=64, show_default=True, help="LR patch side.")
@click.option("--batch-size", default=64, show_default=True)
@click.option("--steps", default=300, show_default=True, help="Batches per number of threads.")
def main(data, photos, megapixels, distinct, cache_gb, workers, scale, patch, batch_size, steps):
    """Measure the loader."""
    counts = [int(count) for count in workers.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        if photos:
            # In a process of its own: what counts here is the loader's memory.
            maker = multiprocessing.get_context("spawn").Process(
                target=make_photos, args=(Path(temporary), photos, megapixels, min(distinct, photos))
            )
            maker.start()
            maker.join()
        from span_keras.data.dataset import PatchDataset
        from span_keras.data.photos import BUNDLED_TRAIN

        folder = Path(temporary if photos else data or BUNDLED_TRAIN)
        before, begin = peak_gb(), time.perf_counter()
        dataset = PatchDataset(
            folder,
            scale=scale,
            patch=patch,
            batch_size=batch_size,
            steps_per_epoch=10**9,
            cache_gb=cache_gb,
            dtype="uint8",
        )
        click.echo(f"{dataset.describe()}; ready after {time.perf_counter() - begin:.1f} s, cache {cache_gb:g} GB")
        start = 0
        for count in counts:
            seconds = run(dataset, count, start, steps)
            start += steps
            rate = batch_size / seconds
            click.echo(f"{count:2d} threads  {1e3 * seconds:7.2f} ms per batch  {rate:8.0f} patches/s")
        click.echo(f"peak memory {peak_gb():.2f} GB, {before:.2f} GB of it before the loader started")


if __name__ == "__main__":
    main()
