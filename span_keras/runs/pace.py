"""When a run writes a checkpoint, and when it stops before its end."""

from __future__ import annotations

import time

from span_keras.runs.options import RunSettings
from span_keras.runs.signals import Signals

MIN_SECONDS = 10
"""Epochs that take less need no checkpoint each, unless a number of steps is asked for."""


class Pace:
    """Decide by the clock, the step and signals when to save and when to stop.

    Args:
        run: the options of group ``run``.
        started: time by ``time.monotonic`` from which ``max_minutes`` counts.
        signals: those that have arrived.
        step: of the last checkpoint; -1 for none.
    """

    def __init__(self, run: RunSettings, started: float, signals: Signals, step: int):
        self.run, self.started, self.signals = run, started, signals
        self.saved(step)

    def saved(self, step: int) -> None:
        """Note that the checkpoint of a step has been written."""
        self._step, self._at = step, time.monotonic()

    def reason_to_stop(self) -> str | None:
        """Return why the run is to stop now, if it is."""
        minutes = self.run.max_minutes
        if self.signals.caught:
            return f"interrupted by {self.signals.caught.name}"
        if minutes and time.monotonic() - self.started > 60 * minutes:
            return f"--max-minutes {minutes:g} have passed"
        return None

    def must_save(self, step: int) -> bool:
        """Return whether a checkpoint of this step is due: by steps, by the clock, or because the run stops or ends."""
        if step == self.run.total_steps or self.reason_to_stop():
            return True
        every, seconds = self.run.checkpoint_every or self.run.steps_per_epoch, time.monotonic() - self._at
        if self.run.checkpoint_minutes and seconds > 60 * self.run.checkpoint_minutes:
            return True
        return step // every > self._step // every and (self.run.checkpoint_every > 0 or seconds > MIN_SECONDS)
