"""The course of a run: reports, validations and checkpoints, and every way to stop."""

from __future__ import annotations

import contextlib
import time

import numpy as np

from span_keras.checkpoints import save_weights
from span_keras.network.weights import SpanWeights
from span_keras.runs import plots
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.progress import Progress
from span_keras.runs.settings import OF_THE_LOSS, Settings
from span_keras.runs.signals import Signals
from span_keras.runs.tensorboard import TensorBoard
from span_keras.training.trainer import Report


class Loop:
    """The run's course: reports, validations and checkpoints, and every way to stop."""

    def __init__(self, settings, folder, trainer, validation, photos, devices, started, echo):
        self.settings, self.folder, self.trainer, self.validation = settings, folder, trainer, validation
        self.photos = photos
        self.loss = loss_settings(settings)
        self.chief, self.processes, self.started, self.echo = devices.chief, devices.processes, started, echo
        self.best = float("-inf")
        self.saved_step, self.saved_at = -1, time.monotonic()
        self.progress = Progress(settings, trainer.step, echo)
        self.bicubic = validation.bicubic_psnr() if self.chief else None
        self.unlogged: dict[str, list[float]] = {}
        self.logged_at = time.monotonic()
        self.board = TensorBoard(folder.path / "tensorboard" if self.chief else None)
        if not self.board.available and self.chief:
            echo("Note: the package tensorboard is not installed; no event files are written.")

    def run(self, dataset) -> None:
        s, trainer = self.settings, self.trainer
        self.told = len(dataset.skipped)
        execution = trainer.run(dataset.unturned, s.total_steps, s.workers, cut=s.steps_per_epoch)
        with (
            Signals(enabled=self.processes == 1) as signals,
            contextlib.closing(self.board),
            contextlib.closing(execution) as reports,
            contextlib.closing(dataset),  # closed first: threads that make batches may wait for its decoding
        ):
            if self.saved_step < 0:
                self.validate(0)
                self.save()
            for report in reports:
                self.log(report)
                self.tell_skipped(dataset)
                epoch, within = divmod(report.step, s.steps_per_epoch)
                if within == 0 and (epoch % s.val_every == 0 or report.step == s.total_steps):
                    self.validate(epoch)
                stop = self.reason_to_stop(signals)
                if stop or report.step == s.total_steps or self.checkpoint_is_due(report.step):
                    if not report.settled:
                        trainer.settle = True
                        continue
                    self.save()
                    if stop and report.step < s.total_steps:
                        self.progress.close()
                        self.echo(f"Stopped at step {report.step}: {stop}; continue with --resume.")
                        if signals.caught:
                            raise KeyboardInterrupt
                        break
        self.progress.close()

    def reason_to_stop(self, signals: Signals) -> str | None:
        minutes = self.settings.max_minutes
        if signals.caught:
            return f"interrupted by {signals.caught.name}"
        if minutes and time.monotonic() - self.started > 60 * minutes:
            return f"--max-minutes {minutes:g} have passed"
        return None

    def restore(self, progress: dict) -> None:
        """Take over what a checkpoint knows besides the trainer's state."""
        self.best, self.unlogged = progress["best_psnr"], progress["unlogged"]
        if self.best == float("inf"):  # of older versions, where a blank photograph could make it so
            self.best = float("-inf")
        self.saved_step = self.trainer.step
        before = progress.get("photos", self.photos)  # checkpoints of older versions do not know them
        if before["training"] != self.photos["training"]:
            self.echo(
                "Note: the photographs to train on are others than before; the result differs from an uninterrupted "
                "run's."
            )
        elif before.get("sets", self.photos["sets"]) != self.photos["sets"]:
            self.echo(
                f"Note: the number of working sets changes from {before['sets']} to {self.photos['sets']}; the result "
                "differs from an uninterrupted run's."
            )
        # The checkpoint tells, not the run's settings: a run may have stopped between the change and a checkpoint.
        # What it does not name did not exist, or was as it is by default.
        if (
            loss_settings(Settings()) | progress.get("loss", self.loss) != self.loss
            or before["training"] != self.photos["training"]
        ):
            self.trainer.forget_losses()
        if before["validation"] != self.photos["validation"]:
            self.best = float("-inf")
            self.echo(
                "Note: the photographs to validate on are others than before; figures do not compare, and the best "
                "weights are chosen anew."
            )

    def log(self, report: Report) -> None:
        """Add to ``log.csv`` once ``log_every`` steps are together; a checkpoint keeps what is not yet written."""
        self.progress.update(report)
        if self.unlogged.keys() != report.logs.keys():
            self.unlogged = {}  # a resumed run's loss may have other parts than before
        for name, values in report.logs.items():
            self.unlogged.setdefault(name, []).extend(map(float, values))
        every, size = self.settings.log_every, len(report.logs["loss"])
        if (report.step - size) // every == report.step // every and report.step != self.settings.total_steps:
            return
        row = {"step": report.step, "epoch": -(-report.step // self.settings.steps_per_epoch)}
        row |= {name: float(np.mean(values)) for name, values in sorted(self.unlogged.items())}
        row |= {"rate": self.unlogged["rate"][-1]}
        row |= {name: int(sum(self.unlogged[name])) for name in ("skipped", "restored")}
        row["seconds"] = round(time.monotonic() - self.logged_at, 3)
        self.unlogged, self.logged_at = {}, time.monotonic()
        if row["skipped"]:
            back = f" and went back to the averaged weights {row['restored']} times" if row["restored"] else ""
            self.echo(f"Step {report.step}: skipped {row['skipped']} steps{back} since the last report.")
        if self.chief:
            self.folder.append("log.csv", row)
            self.board.scalars(report.step, "train", {k: v for k, v in row.items() if k not in ("step", "epoch")})

    def tell_skipped(self, dataset) -> None:
        """Name the photographs of later working sets that turned out to be unusable."""
        new = list(dataset.skipped.items())[self.told :]
        for path, reason in new:
            self.echo(f"Left out {path}: {reason}")
        self.told += len(new)

    def validate(self, epoch: int) -> None:
        if not self.chief:
            return
        weights, step = self.trainer.weights().fuse(), self.trainer.step
        figures = self.validation(weights)
        self.folder.append("validation.csv", {"step": step, "epoch": epoch, **figures})
        self.board.scalars(step, "validation", figures)
        self.progress.validated(epoch, figures)
        if figures["psnr_y"] > self.best:
            self.best = figures["psnr_y"]
            save_weights(weights, self.folder.path / "best.safetensors")
        self.draw(weights, epoch)

    def draw(self, weights: SpanWeights, epoch: int) -> None:
        """The run's curves so far and a strip of samples of one validation image, each time another."""
        c = weights.config
        title = f"{self.folder.path.name} · x{c.scale} ch{c.channels} {c.variant} · best {self.best:.3f} dB"
        log, validation = self.folder.rows("log.csv"), self.folder.rows("validation.csv")
        self.folder.write("curve.png", plots.curves(log, validation, title, self.bicubic))
        number = epoch // self.settings.val_every % len(self.validation.images)
        self.folder.write(f"samples/step_{self.trainer.step:08}.png", self.validation.strip(weights, number))

    def checkpoint_is_due(self, step: int) -> bool:
        s = self.settings
        every = s.checkpoint_every or s.steps_per_epoch
        by_steps = step // every > self.saved_step // every
        by_time = s.checkpoint_minutes and time.monotonic() - self.saved_at > 60 * s.checkpoint_minutes
        # Without a number of steps, epochs of seconds need no checkpoint each.
        return by_time or (by_steps and (s.checkpoint_every > 0 or time.monotonic() - self.saved_at > 10))

    def save(self) -> None:
        if self.chief:
            progress = {"step": self.trainer.step, "best_psnr": self.best, "unlogged": self.unlogged}
            progress |= {"photos": self.photos, "loss": self.loss}
            self.folder.save_checkpoint(Checkpoint(self.trainer.state, progress))
        self.saved_step, self.saved_at = self.trainer.step, time.monotonic()

    def finish(self) -> SpanWeights:
        """Write the weights for use."""
        weights = self.trainer.weights()
        if self.chief:
            save_weights(weights.fuse(), self.folder.path / "weights.safetensors")
            save_weights(weights, self.folder.path / "weights.weights.h5")
            self.echo(f"Wrote {self.folder.path / 'weights.safetensors'}.")
        return weights


def loss_settings(settings: Settings) -> dict:
    return {name: value for name, value in settings.to_dict().items() if name in OF_THE_LOSS}
