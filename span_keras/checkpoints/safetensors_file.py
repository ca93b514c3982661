"""The ``.safetensors`` format: our own files, which carry their configuration, and community checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes  # noqa: F401  teaches NumPy the name "bfloat16", which safetensors asks it for
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from span_keras.checkpoints.files import Contents, Tensor
from span_keras.errors import CheckpointError
from span_keras.network.weights import SpanWeights

CONFIG_KEY = "span"
"""Metadata entry of our own files: the JSON of ``SpanConfig.to_dict``."""
METADATA_KEY = "span_metadata"
"""Metadata entry of our own files: the JSON of ``SpanWeights.metadata``."""


def read(path: Path, source: str) -> Contents:
    """Read a ``.safetensors`` file; the names in it decide whether it is one of ours or a PyTorch one.

    Raises:
        CheckpointError: the file is no safetensors file, or damaged.
    """

    def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
        def values() -> np.ndarray:
            with safe_open(path, "numpy") as again:
                return again.get_tensor(name)

        return Tensor(shape, values)

    # The library checks the header (offsets, overlaps, sizes against the file's length) and never executes anything.
    with safe_open(path, "numpy") as file:
        stated = dict(file.metadata() or {})
        tensors = {name: tensor(name, tuple(file.get_slice(name).get_shape())) for name in file.keys()}  # noqa: SIM118
    if stated.get("format", "").startswith("span-run-"):
        raise CheckpointError(
            f"{source} is the state of a training run, not weights; name best.safetensors beside it, or go on with "
            "span-train --resume."
        )
    config, metadata = (json.loads(stated.pop(key, "{}")) for key in (CONFIG_KEY, METADATA_KEY))
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise CheckpointError(f"{source} states the configuration {config!r}, expected a JSON object.")
    naming = "keras" if any(name.endswith(("/kernel", "/skip_kernel")) for name in tensors) else "torch"
    # Texts of other programs, such as a licence, are kept.
    return Contents(tensors, naming, config, {**stated, **metadata}, (path,))


def write(weights: SpanWeights, path: Path, dtype: str) -> None:
    """Write our own ``.safetensors``: names such as ``conv_1/kernel``, configuration and metadata beside them."""
    tensors = {
        f"{layer}/{key}": np.ascontiguousarray(value, dtype)
        for layer, group in weights.layers.items()
        for key, value in group.items()
    }
    stated = {CONFIG_KEY: json.dumps(weights.config.to_dict()), METADATA_KEY: json.dumps(weights.metadata, default=str)}
    path.write_bytes(save(tensors, stated))
