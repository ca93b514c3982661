"""Stop a run between two steps when Ctrl-C or SIGTERM arrives."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable


class Signals:
    """Turn Ctrl-C and SIGTERM into a note, so that the run stops between two executions with a checkpoint.

    Args:
        enabled: where not, SIGTERM ends the process at once: processes that wait for each other do so in native code,
            where no handler of Python runs.
        at_once: raise ``KeyboardInterrupt`` on the first of either, where there is nothing to save yet.
    """

    def __init__(self, enabled: bool = True, at_once: bool = False):
        self.caught, self._before, self._at_once = None, {}, at_once
        notes = {signal.SIGINT: self._note, signal.SIGTERM: self._note}
        self._handlers = notes if enabled else {signal.SIGTERM: signal.SIG_DFL}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # signals arrive there alone
            self._before = {number: signal.signal(number, handler) for number, handler in self._handlers.items()}
        return self

    def _note(self, number, frame):
        if self.caught or self._at_once:  # in any case at the second time
            raise KeyboardInterrupt
        self.caught = signal.Signals(number)

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def explained_interruption(echo: Callable):
    """Say at an interruption before the first step how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        echo("Stopped before training; start with --resume, also where nothing has been trained yet.")
        raise
