"""Scalars for TensorBoard through its own writer, which needs no TensorFlow."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType


class TensorBoard:
    """Write event files into a folder; do nothing where ``tensorboard`` is not installed.

    Attributes:
        available: whether anything is written.
    """

    def __init__(self, folder: Path):
        self.available = False
        if "tensorflow" not in sys.modules:
            # Where TensorFlow is installed, the writer would load it; the package looks for this name not to do so.
            sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            return
        self.available = True
        self._event, self._summary, self._writer = Event, Summary, EventFileWriter(str(folder), flush_secs=10)

    def scalars(self, step: int, prefix: str, values: dict[str, float]) -> None:
        """Add a point to the curve ``prefix/name`` of each value."""
        if self.available:
            points = [self._summary.Value(tag=f"{prefix}/{name}", simple_value=v) for name, v in values.items()]
            event = self._event(wall_time=time.time(), step=step, summary=self._summary(value=points))
            self._writer.add_event(event)

    def close(self) -> None:
        """Write out what is buffered."""
        if self.available:
            self._writer.close()
