"""Read a pickle of NumPy arrays in dictionaries, as programs in Flax save weights, and never run what it asks for."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np

from span_keras.errors import CheckpointError

MAX_PICKLE_BYTES = 1 << 28
"""Most bytes of a file. VGG16's weights are 59 MB."""

_RECONSTRUCT = np.ndarray(0).__reduce__()[0]
"""NumPy's own; its module has two names."""

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle NumPy arrays and plain containers, and refuse everything else."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not a NumPy array")
        return _ALLOWED[module, name]


def read_pickled_arrays(source: str | os.PathLike | bytes, what: str, name: str = "the pickle") -> dict:
    """Read nested dictionaries of arrays.

    Args:
        source: a path, or the bytes themselves.
        what: they should be, for messages.
        name: of the bytes, for messages.

    Raises:
        CheckpointError: they are damaged, too large, or hold anything but arrays.
    """
    if not isinstance(source, bytes):
        name = str(source)
        size = Path(source).stat().st_size
        if size > MAX_PICKLE_BYTES:
            raise CheckpointError(f"expected {what} of at most {MAX_PICKLE_BYTES:,} bytes in {name}, found {size:,}.")
        source = Path(source).read_bytes()
    try:
        found = _ArrayUnpickler(io.BytesIO(source)).load()
    except Exception as error:  # a damaged pickle raises whatever its instructions make of it
        raise CheckpointError(f"{name} cannot be read as {what}: {error}.") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{name} cannot be read as {what}: it holds no dictionary.")
    return found
