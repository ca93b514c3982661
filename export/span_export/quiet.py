"""TensorFlow and its companions print dozens of lines while they load; this keeps them from the user."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings


@contextlib.contextmanager
def quiet():
    """Silence stdout, stderr and warnings; what was said is shown on stderr if the block raises.

    Python's streams and the process's descriptors both: C++ writes to the latter, and notebooks replace the former.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    descriptors = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        failed = True
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                warnings.simplefilter("ignore")
                yield
            failed = False
        finally:
            said.flush()
            for descriptor, copy in enumerate(descriptors, start=1):
                os.dup2(copy, descriptor)
                os.close(copy)
            if failed:
                said.seek(0)
                sys.stderr.write(said.read())
