"""The lines a training run prints, in the manner of Keras's progress bar."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable

from span_keras.errors import TrainingError
from span_keras.runs.options import RunSettings
from span_keras.training.lpips import figure_texts

BAR = 20

RECENT = 50
"""Reports over which the rate is averaged."""


class Progress:
    """Print how a run is getting on: on a terminal in one line, elsewhere in a line per ``log_every`` steps.

    Args:
        run: the options of group ``run``.
        step: number of steps done before.
        echo: prints a line.
    """

    def __init__(self, run: RunSettings, step: int, echo: Callable):
        self.run, self.echo = run, echo
        self.start = time.monotonic(), step
        self.recent: deque[tuple[float, int]] = deque(maxlen=RECENT)
        self.psnr: float | None = None
        self.live = sys.stdout.isatty() and echo is print
        self._printed = step

    def update(self, report) -> None:
        """Show a report of the trainer."""
        self.recent.append((time.monotonic(), report.step))
        line = self._line(report)
        if self.live:
            print(f"\r\x1b[K{line}", end="", flush=True)
        elif report.step // self.run.log_every > self._printed // self.run.log_every:
            self.echo(line)
            self._printed = report.step

    def validated(self, epoch: int, figures: dict[str, float]) -> None:
        """Show the figures of a validation."""
        self.psnr = figures["psnr_y"]
        self.close()
        parts = [
            f"Epoch {epoch}/{self.run.epochs}",
            f"validation PSNR {figures['psnr_y']:.3f} dB",
            f"SSIM {figures['ssim_y']:.4f}",
            f"RGB PSNR {figures['psnr_rgb']:.3f} dB",
            *figure_texts(figures),
        ]
        self.echo(" · ".join(parts))

    def close(self) -> None:
        """End the line that is written over."""
        if self.live:
            print("\r\x1b[K", end="", flush=True)

    def _line(self, report) -> str:
        run, step = self.run, report.step
        epoch, within = divmod(step - 1, run.steps_per_epoch)
        within += 1
        filled = BAR * within // run.steps_per_epoch
        then, before = self.recent[0] if len(self.recent) > 1 else self.start
        rate = (step - before) / max(1e-9, time.monotonic() - then)
        parts = [
            f"Epoch {epoch + 1}/{run.epochs} {within}/{run.steps_per_epoch} {'━' * filled}{'─' * (BAR - filled)}",
            f"loss {report.logs['loss'].mean():.5f}",
            *([f"psnr {self.psnr:.3f}"] if self.psnr is not None else []),
            f"rate {report.logs['rate'][-1]:.2e}",
            f"{rate:.1f} steps/s",
            f"ETA {duration((run.total_steps - step) / rate)}",
        ]
        return " · ".join(parts)


class Decoding:
    """Print ``(done, total)`` photographs: nothing for ``QUIET`` seconds, then a line per tenth or 20 seconds.

    Args:
        echo: prints a line.
        started: time by ``time.monotonic`` from which ``--max-minutes`` counts.
        max_minutes: 0 for no bound.

    Raises:
        TrainingError: after ``max_minutes``, because a repetition would come no further.
    """

    QUIET = 5

    def __init__(self, echo: Callable, started: float, max_minutes: float = 0.0):
        self.echo, self.started, self.max_minutes = echo, started, max_minutes
        self.began = self.said_at = time.monotonic()
        self.tenth = 0

    def __call__(self, done: int, total: int) -> None:
        now, tenth = time.monotonic(), 10 * done // total
        if now - self.began < self.QUIET or done == total:
            return
        if self.max_minutes and now - self.started > 60 * self.max_minutes:
            raise TrainingError(
                f"expected the photographs to be decoded within --max-minutes {self.max_minutes:g}, found {done} of "
                f"{total} done; give more minutes or fewer photographs."
            )
        if tenth > self.tenth or now - self.said_at >= 20:
            self.echo(f"Decoded {done} of {total} photographs.")
            self.tenth, self.said_at = tenth, now


def duration(seconds: float) -> str:
    """Return seconds as ``"2:05:09"`` or ``"5:09"``, with days where needed."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours or days else f"{minutes}:{seconds:02}"
    return f"{days} d {clock}" if days else clock
