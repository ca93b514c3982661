"""Correct a network's colours: ``python scripts/match_colours.py WEIGHTS PHOTOS OUT``.

Networks trained apart shift colours a little where their weights are averaged. This fits the 3×3 matrix and the offset
that bring mean colours of blocks nearest to those of the original photographs, after the degradations ``photo``, and
folds both into the last convolution.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import click
import numpy as np

from span_keras.cli import reports_errors
from span_keras.quiet import hushed

PATCH, BLOCK = 64, 8
"""Sides of patches and of blocks in LR pixels."""

BATCH = 16


@click.command()
@click.argument("weights")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--patches", type=click.IntRange(BATCH), default=128, show_default=True)
@reports_errors
def main(weights: str, photos: Path, out: Path, patches: int) -> None:
    """Write the network WEIGHTS with its colours corrected on PHOTOS to OUT, a .safetensors file in float16."""
    with hushed():
        from span_keras.checkpoints import load_weights, save_weights
        from span_keras.data.degrade import Degrader
        from span_keras.data.options import PRESETS
        from span_keras.inference.compiled import compile_network
        from span_keras.network.weights import recoloured
    network = load_weights(weights)
    scale = network.config.scale
    degrader = Degrader(PRESETS["photo"], scale, PATCH)
    views, run = crops(photos, degrader.hr_side), compile_network(network)
    found, wanted = [], []
    for step in range(patches // BATCH):
        lr, hr = degrader.arrays(np.stack(list(itertools.islice(views, BATCH))), step)
        found.append(_blocks(np.asarray(run(np.float32(lr) / 255)), scale))
        wanted.append(_blocks(np.float32(hr) / 255, scale))
    found, wanted = np.concatenate(found), np.concatenate(wanted)
    with_one = np.hstack([found, np.ones((len(found), 1))])
    fit, *_ = np.linalg.lstsq(with_one, wanted, rcond=None)
    for name, made in (("before", found), ("after", with_one @ fit)):
        click.echo(f"{name}: block colours differ by {255 * np.sqrt(np.mean((made - wanted) ** 2)):.2f} levels (RMS)")
    save_weights(recoloured(network, fit[:3], fit[3]), out, dtype="float16")
    click.echo(f"Wrote {out}.")


def crops(photos: Path, side: int):
    """Yield crops (side, side, 3) uint8 of photographs, over and over, at places that a seed decides."""
    from span_keras.data.photos import list_photos
    from span_keras.images.read import read_image

    random, files = np.random.default_rng(1), list_photos(photos)
    while True:
        for number in random.permutation(len(files)):
            pixels = read_image(files[number]).samples
            if min(pixels.shape[:2]) >= side and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
                top, left = (random.integers(length - side + 1) for length in pixels.shape[:2])
                yield pixels[top : top + side, left : left + side]


def _blocks(images: np.ndarray, scale: int) -> np.ndarray:
    """Return mean colours (blocks, 3) of images (N, H, W, 3), without those at the border."""
    side = BLOCK * scale
    return block_means(np.float64(images[:, side:-side, side:-side]), side).reshape(-1, 3)


def block_means(images: np.ndarray, side: int) -> np.ndarray:
    """Return the means (N, H // side, W // side, C) of the blocks of images (N, H, W, C)."""
    n, height, width, channels = images.shape
    return images.reshape(n, height // side, side, width // side, side, channels).mean((2, 4))


if __name__ == "__main__":
    main()
