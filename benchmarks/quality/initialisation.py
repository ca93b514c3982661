"""Print what the initialisation does to signal and gradients, block by block, and to a short training.

    python benchmarks/quality/initialisation.py --data DIR [--steps 300] [--channels 48]

Prints, for both variants and for the naive and the shipped initialisation: the standard deviation of o3 and of the
block's output, and the gradient of the L1 loss with respect to the block's middle kernel, relative to that kernel.
With ``--steps`` it then trains each for so many steps on the same batches and prints the L1 loss.
"""

from __future__ import annotations

import os

import click
import numpy as np

os.environ["KERAS_BACKEND"] = "tensorflow"  # gradients are taken with its tape

SPREAD = 1e-12


def batches(data: str, scale: int, count: int):
    from span_keras.data.dataset import PatchDataset

    dataset = PatchDataset(data, scale=scale, patch=32, batch_size=8, steps_per_epoch=count, workers=1)
    yield from map(dataset.__getitem__, range(count))


def build(config, scheme: str):
    import keras

    from span_keras.network.init import initialise
    from span_keras.network.model import build_span

    keras.utils.set_random_seed(0)
    model = build_span(config)
    if scheme == "shipped":
        initialise(model)
    return model


def block_table(model, blocks: int, lr, hr) -> list[tuple[float, float, float]]:
    """Return per block: standard deviation of o3, of the output, relative size of the gradient of c2's 3×3 kernel."""
    import keras
    import tensorflow as tf

    outputs = [model.get_layer(f"block_{i}_{part}").output for i in range(1, blocks + 1) for part in ("c3", "attend")]
    stds = [float(np.std(value)) for value in keras.Model(model.input, outputs)(lr)]
    kernels = [model.get_layer(f"block_{i}_c2").conv_kernel.value for i in range(1, blocks + 1)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(model(lr) - hr))
    gradients = tape.gradient(loss, kernels)
    relative = [float(tf.norm(g) / (tf.norm(k) + SPREAD)) for g, k in zip(gradients, kernels, strict=True)]
    return [(stds[2 * i], stds[2 * i + 1], relative[i]) for i in range(blocks)]


@click.command(help=__doc__.splitlines()[0])
@click.option("--data", type=click.Path(exists=True, file_okay=False), required=True, help="Folder of photographs.")
@click.option("--steps", default=0, show_default=True, help="Steps of the training comparison; 0 leaves it out.")
@click.option("--channels", default=48, show_default=True)
@click.option("--learning-rate", default=5e-4, show_default=True)
def main(data, steps, channels, learning_rate):
    import keras

    from span_keras.constants import VARIANTS
    from span_keras.network.config import SpanConfig

    lr, hr = next(batches(data, 4, 1))
    for variant in VARIANTS:
        config = SpanConfig(channels=channels, variant=variant)
        for scheme in ("naive", "shipped"):
            model = build(config, scheme)
            print(f"\n{variant}, {scheme}: o3 std | output std | gradient / kernel, blocks 1 to {config.blocks}")
            for i, row in enumerate(block_table(model, config.blocks, lr, hr), 1):
                print(f"  block {i}: {row[0]:8.4f} | {row[1]:8.4f} | {row[2]:.2e}")
            if steps:
                model.compile(keras.optimizers.Adam(learning_rate, beta_2=0.99, global_clipnorm=1.0), loss="mae")
                losses = [float(model.train_on_batch(x, y)) for x, y in batches(data, 4, steps)]
                shown = [np.mean(part) for part in np.array_split(losses, min(6, steps))]
                print("  L1 in sixths of the run:", " ".join(f"{value:.4f}" for value in shown))


if __name__ == "__main__":
    main()
