"""Time the train step for photographs, part by part: ``python benchmarks/speed/photo_step.py``.

Prints milliseconds per step with each preset of degradations, then with the perceptual and the adversarial loss on top
of ``photo``: medians over executions, with the batches already on the device.
"""

from __future__ import annotations

import time

import click
import numpy as np

from span_keras.data.options import PRESETS
from span_keras.network.config import SpanConfig
from span_keras.quiet import hushed


@click.command()
@click.option("--scale", default=4, show_default=True)
@click.option("--channels", default=48, show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--patch", default=64, show_default=True)
@click.option("--precision", type=click.Choice(["float32", "mixed_bfloat16"]), default="mixed_bfloat16")
@click.option("--perceptual-weights", default=None, help="Of vgg16-deep; without, the bundled vgg16.")
@click.option("--discriminator-channels", default=32, show_default=True)
@click.option("--steps", default=20, show_default=True, help="Steps per execution.")
@click.option("--executions", default=5, show_default=True)
def main(
    scale: int,
    channels: int,
    batch: int,
    patch: int,
    precision: str,
    perceptual_weights: str | None,
    discriminator_channels: int,
    steps: int,
    executions: int,
) -> None:
    """Time the step of a training run on random patches."""
    with hushed():
        import keras

        from span_keras.data.degrade import Degrader
        from span_keras.network.init import initialise
        from span_keras.network.model import build_span
        from span_keras.network.weights import SpanWeights
        from span_keras.training.losses import SpanLoss
        from span_keras.training.options import StepOptions
        from span_keras.training.perceptual import build
        from span_keras.training.schedule import Schedule
        from span_keras.training.trainer import SpanTrainer

        model = build_span(SpanConfig(scale=scale, channels=channels), dtype="float32")
        initialise(model)
        weights = SpanWeights.from_model(model)
        keras.config.set_dtype_policy(precision)  # of the feature model
        features = build("vgg16-deep" if perceptual_weights else "vgg16", perceptual_weights)
    rng = np.random.default_rng(0)

    def report(name: str, preset: str | None, loss: SpanLoss, adversarial_weight: float = 0.0) -> None:
        degrader = Degrader(PRESETS[preset], scale, patch) if preset else None
        sides = [degrader.hr_side] if degrader else [patch, patch * scale]
        made = tuple(rng.integers(0, 256, (batch, side, side, 3), np.uint8) for side in sides)
        options = StepOptions(
            precision=precision,
            adversarial_weight=adversarial_weight,
            discriminator_channels=discriminator_channels,
        )
        trainer = SpanTrainer(
            weights, loss, Schedule(1e-4, 10**6), options, degrade=degrader, steps_per_execution=steps
        )
        batches, rates = [trainer.engine.put(made)] * steps, np.full(steps, 1e-4, np.float32)
        times = []
        for _ in range(executions + 1):  # the first compiles
            start = time.perf_counter()
            trainer.engine.fetch(trainer.engine.execute(batches, rates))
            times.append(1000 * (time.perf_counter() - start) / steps)
        click.echo(f"{name:32} {np.median(times[1:]):8.2f} ms a step, compiled in {times[0] * steps / 1000:.0f} s")

    plain, perceptual = SpanLoss(None), SpanLoss(features, 0.05)
    for preset in (None, *PRESETS):
        report(preset or "clean", preset, plain)
    report("photo, perceptual", "photo", perceptual)
    report("photo, perceptual, adversarial", "photo", perceptual, 0.03)


if __name__ == "__main__":
    main()
