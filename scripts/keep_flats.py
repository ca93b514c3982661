"""Teach a network to keep flat areas and rare colours: ``python scripts/keep_flats.py WEIGHTS PHOTOS OUT``.

A network that learnt from photographs alone shifts colours that they seldom have, and draws a grid on areas without
texture. This trains it for a few minutes of a processor on what tells the truth about both. Each batch has four parts:

- photographs, whose result stays as it was,
- photographs in other colours, whose result keeps its detail and gets the original's local colours,
- flat areas and slow gradients after the degradations ``photo``, whose truth is known,
- flat areas as they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from match_colours import block_means, crops

from span_keras.cli import reports_errors
from span_keras.quiet import hushed

PATCH, BLOCK = 48, 8
"""Sides of patches, and of blocks whose mean is a local colour, in LR pixels."""

BORDER = 10
"""LR pixels at a patch's edge that do not count: the network sees zeros beyond it."""

QUARTER = 4
"""Patches of each part of a batch."""

WEIGHTS = (4.0, 1.0, 0.25, 2.0)
"""Of the four parts. Photographs have the largest, so that they stay as they were. Areas that the degradations left
uneven have the smallest, because a network that evens them also evens texture."""


@click.command()
@click.argument("weights")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--steps", type=click.IntRange(20), default=160, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=3e-5, show_default=True)
@reports_errors
def main(weights: str, photos: Path, out: Path, steps: int, rate: float) -> None:
    """Train the network WEIGHTS on PHOTOS and flat areas, and write it to OUT, a .safetensors file in float16."""
    with hushed():
        import keras

        from span_keras.checkpoints import load_weights, save_weights
        from span_keras.network.weights import SpanWeights
    given = load_weights(weights).fuse()
    before, model = given.deploy_model(), given.deploy_model()
    border = BORDER * given.config.scale

    def error(truth, found):
        """Mean squared error in levels."""
        inner = keras.ops.square(255 * (truth - found))[:, border:-border, border:-border]
        return keras.ops.mean(inner, axis=(1, 2, 3))

    decay = keras.optimizers.schedules.CosineDecay(rate / 10, steps - 10, warmup_target=rate, warmup_steps=10)
    model.compile(keras.optimizers.Adam(decay, beta_2=0.99), loss=error)
    shares = np.repeat(np.float32(WEIGHTS), QUARTER)
    for step, (lr, truth) in enumerate(batches(photos, given.config.scale, before, steps), 1):
        loss = model.train_on_batch(lr, truth, sample_weight=shares)
        if step % 20 == 0:
            click.echo(f"step {step}: mean squared error {float(loss):.2f} of squared levels")
    save_weights(replace(SpanWeights.from_model(model), metadata=given.metadata), out, dtype="float16")
    click.echo(f"Wrote {out}.")


def batches(photos: Path, scale: int, before, steps: int):
    """Yield LR patches (N, PATCH, PATCH, 3) and what shall come of them, both float32 in [0, 1].

    Args:
        photos: a folder of photographs.
        scale: of the network.
        before: the network as it was, a Keras model.
        steps: how many batches.
    """
    from span_keras.data.degrade import Degrader
    from span_keras.data.options import PRESETS

    degrader, random = Degrader(PRESETS["photo"], scale, PATCH), np.random.default_rng(5)
    patches = crops(photos, degrader.hr_side)
    for step in range(steps):
        photographs = np.stack([next(patches) for _ in range(2 * QUARTER)])
        photographs[QUARTER:] = tinted(photographs[QUARTER:], random)
        gradients = flat_areas(QUARTER, degrader.hr_side, random, slope=0.06)
        lr, hr = degrader.arrays(np.concatenate([photographs, gradients]), step)
        lr, hr = np.float32(lr) / 255, np.float32(hr) / 255
        kept = np.array(before(lr[: 2 * QUARTER], training=False))
        kept[QUARTER:] += local_means(hr[QUARTER : 2 * QUARTER] - kept[QUARTER:], BLOCK * scale)
        flat = flat_areas(QUARTER, PATCH * scale, random)
        clean = np.float32(flat[:, :PATCH, :PATCH]) / 255
        yield np.concatenate([lr, clean]), np.concatenate([kept, hr[2 * QUARTER :], np.float32(flat) / 255])


def tinted(photographs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return photographs (N, H, W, 3) uint8 with permuted channels, each drawn towards the shades of one colour."""
    result = np.float32(photographs) / 255
    for i, image in enumerate(result):
        image = image[..., random.permutation(3)]
        share, colour = 0.9 * random.random(), 1.2 * random.random(3)
        result[i] = (1 - share) * image + share * image.mean(-1, keepdims=True) * colour
    return np.uint8(np.round(np.clip(result, 0, 1) * 255))


def flat_areas(count: int, side: int, random: np.random.Generator, slope: float = 0.0) -> np.ndarray:
    """Return areas (count, side, side, 3) uint8 of one colour each: any, a corner of the cube or a light one.

    ``slope`` is the standard deviation of the change of every second area from edge to edge.
    """
    colours = random.random((count, 3))
    colours[::4] = np.round(colours[::4])
    colours[1::4] = 0.5 + 0.5 * colours[1::4]
    slopes = random.normal(0, slope, (count, 2, 1, 1, 3)) if slope else np.zeros((count, 2, 1, 1, 3))
    slopes[::2] = 0
    place = np.linspace(-0.5, 0.5, side)
    areas = colours[:, None, None] + slopes[:, 0] * place[:, None, None] + slopes[:, 1] * place[:, None]
    return np.uint8(np.round(np.clip(areas, 0, 1) * 255))


def local_means(images: np.ndarray, side: int) -> np.ndarray:
    """Return images (N, H, W, C) smoothed: means of blocks of ``side``, and bilinear interpolation between them."""
    import keras

    means = block_means(images, side)
    return np.asarray(keras.ops.image.resize(means, images.shape[1:3], interpolation="bilinear"))


if __name__ == "__main__":
    main()
