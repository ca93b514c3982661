"""Keep what TensorFlow and its companions print while they load, dozens of lines, from the user."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from span_keras.errors import SpanError


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Silence stdout, stderr and warnings; what was said is shown on stderr if the block fails unexpectedly.

    It is not shown with a ``SpanError``, whose message says it all, nor when the user interrupts. Meant for imports and
    building models, not for work: TensorFlow heeds its log level only after it has been set up.

    Python's streams and the process's descriptors both: C++ writes to the latter, and notebooks replace the former.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    descriptors = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        unexpected = False
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            unexpected = not isinstance(error, SpanError)
            raise
        finally:
            said.flush()
            for descriptor, copy in enumerate(descriptors, start=1):
                os.dup2(copy, descriptor)
                os.close(copy)
            if unexpected:
                said.seek(0)
                sys.stderr.write(said.read())
