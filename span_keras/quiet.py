"""Silence what native libraries print while they load."""

from __future__ import annotations

import contextlib
import os
import sys


@contextlib.contextmanager
def hushed():
    """Drop what C++ libraries write to stderr: TensorFlow heeds its log level only after it has been set up.

    Exceptions pass, so nothing that matters is lost. Meant for imports and model building, not for work.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a file
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
