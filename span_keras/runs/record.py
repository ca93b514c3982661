"""What a run leaves in its folder on the way: tables, event files, curves, samples, the best weights."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from span_keras.checkpoints import save_weights
from span_keras.network.weights import SpanWeights
from span_keras.runs import plots
from span_keras.runs.folder import RunFolder
from span_keras.runs.options import RunSettings
from span_keras.runs.progress import Progress
from span_keras.runs.tensorboard import TensorBoard
from span_keras.runs.validation import Validation
from span_keras.training.trainer import Report, not_finite

COUNTS = ("skipped", "restored", "discriminator_skipped", "discriminator_waits")
"""What ``log.csv`` holds sums of; of other figures it holds means."""


class Record:
    """Keep a run's tables and pictures and say how it is getting on.

    Args:
        run: the options of group ``run``.
        folder: of the run.
        validation: measures the weights.
        progress: prints lines.

    Attributes:
        best: score of the best validation so far, see ``Validation.selection``.
        unlogged: name -> values of the steps that are not in ``log.csv`` yet.
    """

    def __init__(self, run: RunSettings, folder: RunFolder, validation: Validation, progress: Progress):
        self.run, self.folder, self.validation, self.progress = run, folder, validation, progress
        self.best = float("-inf")
        self.unlogged: dict[str, list[float]] = {}
        self.bicubic = validation.bicubic()
        self._logged_at = time.monotonic()
        self._told_of_waiting = False
        self._board = TensorBoard(folder.path / "tensorboard")
        if not self._board.available:
            progress.echo("Note: the package tensorboard is not installed; no event files are written.")

    def log(self, report: Report) -> None:
        """Add to ``log.csv`` once ``log_every`` steps are together; a checkpoint keeps what is not yet written."""
        self.progress.update(report)
        if self.unlogged.keys() != report.logs.keys():
            self.unlogged = {}  # a resumed run's loss may have other parts than before
        for name, values in report.logs.items():
            self.unlogged.setdefault(name, []).extend(map(float, values))
        every, size = self.run.log_every, len(report.logs["loss"])
        if (report.step - size) // every == report.step // every and report.step != self.run.total_steps:
            return
        row = {"step": report.step, "epoch": -(-report.step // self.run.steps_per_epoch)}
        row |= {name: float(np.mean(values)) for name, values in sorted(self.unlogged.items())}
        row |= {"rate": self.unlogged["rate"][-1]}
        counts = [name for name in COUNTS if name in self.unlogged]
        row |= {name: int(sum(self.unlogged[name])) for name in counts}
        row["seconds"] = round(time.monotonic() - self._logged_at, 3)
        bad = not_finite(self.unlogged)
        self.unlogged, self._logged_at = {}, time.monotonic()
        if row["skipped"]:
            back = f" and went back to the averaged weights {row['restored']} times" if row["restored"] else ""
            why = f"; not finite: {bad}" if bad else ""
            self.progress.echo(f"Step {report.step}: skipped {row['skipped']} steps{back} since the last report{why}.")
        if row.get("discriminator_skipped"):
            self.progress.echo(
                f"Step {report.step}: skipped {row['discriminator_skipped']} updates of the discriminator since the "
                "last report, because they were not finite or the loss leapt."
            )
        if row.get("discriminator_waits") and not self._told_of_waiting:
            self._told_of_waiting = True
            self.progress.echo(
                f"Step {report.step}: the discriminator waits, because it sees through every image; if that lasts, "
                "begin another run with fewer discriminator_channels in its recipe."
            )
        self.folder.append("log.csv", row)
        self._board.scalars(report.step, "train", {k: v for k, v in row.items() if k not in ("step", "epoch")})

    def validate(self, weights: SpanWeights, step: int) -> None:
        """Measure the averaged weights of a step, keep them if they are the best, and draw curves and a sample."""
        weights, epoch = weights.fuse(), -(-step // self.run.steps_per_epoch)
        figures = self.validation(weights)
        self.folder.append("validation.csv", {"step": step, "epoch": epoch, **figures})
        self._board.scalars(step, "validation", figures)
        self.progress.validated(epoch, figures)
        selection = self.validation.selection
        if selection.score(figures) > self.best:
            self.best = selection.score(figures)
            save_weights(weights, self.folder.path / "best.safetensors")
        config = weights.config
        title = f"{self.folder.path.name} · x{config.scale} ch{config.channels} {config.variant}"
        log, validations = self.folder.rows("log.csv"), self.folder.rows("validation.csv")
        title = f"{title} · best {selection.describe(self.best)}"
        curves = plots.curves(log, validations, title, self.bicubic)
        self.folder.write("curve.png", curves)
        number = epoch // self.run.val_every % len(self.validation.images)  # each time another image
        self.folder.write(f"samples/step_{step:08}.png", self.validation.strip(weights, number))

    def finish(self, weights: SpanWeights) -> Path:
        """Write the weights for use, the fused ones as the last of all files, and return the file of these."""
        save_weights(weights, self.folder.path / "weights.weights.h5")
        save_weights(weights.fuse(), self.folder.path / "weights.safetensors")
        return self.folder.path / "weights.safetensors"

    def close(self) -> None:
        """Write out what is buffered."""
        self._board.close()
