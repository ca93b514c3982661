"""Watch folders for new images, and have them made once they are complete. Needs watchdog, of the extra ``watch``."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from span_keras.errors import ConfigError
from span_keras.inference.job import Outcome

PAUSE = 0.25
"""Seconds between two looks at what has happened."""

QUIET_CLOSED, QUIET_OPEN = 0.5, 30.0 if sys.platform == "linux" else 3.0
"""Seconds without an event after which a file is complete: one that was closed, and one that was not. Only Linux tells
that a file was closed."""

RETRY = 30.0
"""Seconds after which a target that could not be written is tried once more."""


@dataclass
class _Change:
    """When a file or folder last changed, and whether its writer has closed it."""

    when: float
    closed: bool


@dataclass(eq=False)  # watchdog keeps it in a set
class Changes:
    """Collect what happens in watched folders; watchdog calls ``dispatch`` in threads of its own."""

    pending: dict[Path, _Change] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def dispatch(self, event) -> None:
        """Note an event of watchdog's."""
        kind = event.event_type
        if kind in ("opened", "closed_no_write"):
            return
        if kind == "moved" and not event.dest_path:  # out of the watched folders
            kind = "deleted"
        path = Path(event.dest_path if kind == "moved" else event.src_path)
        with self.lock:
            if kind == "deleted":
                self.pending.pop(path, None)
            elif kind in ("created", "moved") or not event.is_directory:  # folders change with every file in them
                closed = kind in ("closed", "moved") or event.is_directory
                self.pending[path] = _Change(time.monotonic(), closed)

    def complete(self) -> set[Path]:
        """Return the files and folders that are complete, each once."""
        now = time.monotonic()
        with self.lock:
            found = {
                path
                for path, change in self.pending.items()
                if now - change.when >= (QUIET_CLOSED if change.closed else QUIET_OPEN)
            }
            for path in found:
                del self.pending[path]
        return found


def follow(
    folders: Collection[Path],
    make: Callable[[set[Path]], Iterable[Outcome]],
    tell: Callable[[str], None],
    stopped: threading.Event,
) -> None:
    """Have what is in folders made, and new files as they come, until ``stopped`` is set.

    A target that could not be written, as on a full disk, is tried again every ``RETRY`` seconds. A folder that has
    gone is waited for.

    Args:
        folders: those to watch, with all below.
        make: makes those of some files and folders that are images, and returns what has become of them.
        tell: prints a sentence.
        stopped: ends it.

    Raises:
        ConfigError: watchdog is missing.
    """
    try:
        from watchdog.observers import Observer
    except ImportError:
        raise ConfigError("--watch needs watchdog; pip install 'span-keras[watch]'.") from None
    # Otherwise Linux tells of a file that is moved in from elsewhere as of one that is being written.
    full = {"generate_full_events": True} if Observer.__name__ == "InotifyObserver" else {}
    changes, observer, watches, again = Changes(), Observer(**full), dict.fromkeys(folders), {}
    observer.start()
    try:
        first = True
        while first or not stopped.wait(PAUSE):
            ready = changes.complete() | {path for path, when in again.items() if when <= time.monotonic()}
            for folder, watch in watches.items():
                if watch and not folder.is_dir():
                    tell(f"{folder} has gone; waiting until it is there again.")
                    with contextlib.suppress(Exception):  # its thread may have ended with it
                        observer.unschedule(watch)
                    watches[folder] = None
                elif not watch and folder.is_dir():
                    watches[folder] = observer.schedule(changes, str(folder), recursive=True)
                    ready.add(folder)
                    if not first:
                        tell(f"{folder} is there again.")
            first = False
            if ready:
                for path in ready:
                    again.pop(path, None)
                for outcome in make(ready):
                    if outcome.again:
                        again[Path(outcome.source)] = time.monotonic() + RETRY
    finally:
        observer.stop()
        observer.join()
