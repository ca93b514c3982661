"""The lines a training run prints, in the manner of Keras's progress bar."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable

BAR = 20
RECENT = 50
"""Reports over which the rate is taken: the first one compiles, and machines have other things to do at times."""


class Progress:
    """On a terminal one line that is written over, elsewhere a line per ``log_every`` steps.

    Args:
        settings: of the run.
        step: number of steps done before.
        echo: prints a line.
    """

    def __init__(self, settings, step: int, echo: Callable):
        self.settings, self.echo = settings, echo
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
        elif report.step // self.settings.log_every > self._printed // self.settings.log_every:
            self.echo(line)
            self._printed = report.step

    def validated(self, epoch: int, figures: dict[str, float]) -> None:
        """Show the figures of a validation."""
        self.psnr = figures["psnr_y"]
        self.close()
        self.echo(
            f"Epoch {epoch}/{self.settings.epochs} · validation PSNR {figures['psnr_y']:.3f} dB · "
            f"SSIM {figures['ssim_y']:.4f} · RGB PSNR {figures['psnr_rgb']:.3f} dB"
        )

    def close(self) -> None:
        """End the line that is written over."""
        if self.live:
            print("\r\x1b[K", end="", flush=True)

    def _line(self, report) -> str:
        s, step = self.settings, report.step
        epoch, within = divmod(step - 1, s.steps_per_epoch)
        within += 1
        filled = BAR * within // s.steps_per_epoch
        then, before = self.recent[0] if len(self.recent) > 1 else self.start
        rate = (step - before) / max(1e-9, time.monotonic() - then)
        parts = [
            f"Epoch {epoch + 1}/{s.epochs} {within}/{s.steps_per_epoch} {'━' * filled}{'─' * (BAR - filled)}",
            f"loss {report.logs['loss'].mean():.5f}",
            *([f"psnr {self.psnr:.3f}"] if self.psnr is not None else []),
            f"rate {report.logs['rate'][-1]:.2e}",
            f"{rate:.1f} steps/s",
            f"ETA {duration((s.total_steps - step) / rate)}",
        ]
        return " · ".join(parts)


def duration(seconds: float) -> str:
    """``"2:05:09"``, ``"5:09"``, with days where needed."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours or days else f"{minutes}:{seconds:02}"
    return f"{days} d {clock}" if days else clock
