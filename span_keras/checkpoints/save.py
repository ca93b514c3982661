"""Write SPAN weights in our own formats."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from span_keras.checkpoints import keras_file, safetensors_file
from span_keras.checkpoints.files import atomic_output, suffix_of
from span_keras.errors import CheckpointError
from span_keras.network.weights import SpanWeights

WRITABLE = (".safetensors", ".weights.h5", ".keras")


def save_weights(weights: SpanWeights, path: str | os.PathLike, *, dtype: str = "float32") -> None:
    """Write weights in the form they have, with configuration and metadata, replacing the file at once or not at all.

    Args:
        path: ``.safetensors``, ``.weights.h5`` or ``.keras``. The latter two load with plain Keras into
            ``build_span`` or ``build_deploy`` models; ``.keras`` does not keep the metadata.
        dtype: ``"float32"``, or ``"float16"`` for a ``.safetensors`` of half the size.

    Raises:
        CheckpointError: the suffix, the folder or the values do not allow it.
    """
    path = Path(path)
    suffix = suffix_of(path, WRITABLE)
    if dtype not in ("float32", *(("float16",) if suffix == ".safetensors" else ())):
        raise CheckpointError(f"{path} cannot hold {dtype}, expected float32, or float16 in a .safetensors file.")
    for layer, group in weights.layers.items():
        for key, value in group.items():
            with np.errstate(over="ignore"):
                finite = np.isfinite(value.astype(dtype)).all()
            if not finite:
                raise CheckpointError(
                    f"{path} was not written: {layer}/{key} holds values that are not finite in {dtype}."
                )
    with atomic_output(path, ".keras" if suffix == ".weights.h5" else suffix) as temporary:
        if suffix == ".safetensors":
            safetensors_file.write(weights, temporary, dtype)
        else:
            (keras_file.write_model if suffix == ".keras" else keras_file.write_weights)(weights, temporary)
