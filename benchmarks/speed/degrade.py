"""Time a train step with and without degradations: ``python benchmarks/speed/degrade.py``.

Prints milliseconds per step of both, medians over executions, with the batches already on the device.
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
@click.option("--steps", default=20, show_default=True, help="Steps per execution.")
@click.option("--executions", default=5, show_default=True)
def main(scale: int, channels: int, batch: int, patch: int, precision: str, steps: int, executions: int) -> None:
    """Time the step of a training run on random patches, clean and with each preset."""
    with hushed():
        from span_keras.data.degrade import Degrader
        from span_keras.network.init import initialise
        from span_keras.network.model import build_span
        from span_keras.network.weights import SpanWeights
        from span_keras.training.losses import SpanLoss
        from span_keras.training.options import StepOptions
        from span_keras.training.schedule import Schedule
        from span_keras.training.trainer import SpanTrainer

        model = build_span(SpanConfig(scale=scale, channels=channels), dtype="float32")
        initialise(model)
        weights = SpanWeights.from_model(model)
    rng = np.random.default_rng(0)
    for name in ("none", *PRESETS):
        degrader = Degrader(PRESETS[name], scale, patch) if name != "none" else None
        sides = [degrader.hr_side] if degrader else [patch, patch * scale]
        made = tuple(rng.integers(0, 256, (batch, side, side, 3), np.uint8) for side in sides)
        options = StepOptions(precision=precision)
        trainer = SpanTrainer(
            weights, SpanLoss(None), Schedule(1e-4, 10**6), options, degrade=degrader, steps_per_execution=steps
        )
        batches, rates = [trainer.engine.put(made)] * steps, np.full(steps, 1e-4, np.float32)
        times = []
        for _ in range(executions + 1):  # the first compiles
            start = time.perf_counter()
            trainer.engine.fetch(trainer.engine.execute(batches, rates))
            times.append(1000 * (time.perf_counter() - start) / steps)
        click.echo(f"{name:8} {np.median(times[1:]):8.2f} ms a step")


if __name__ == "__main__":
    main()
