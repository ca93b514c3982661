"""The files of a TF.js layers model: ``model.json`` and shards of weights, in float32 or quantised.

Format: ``weightsManifest`` and ``modelTopology`` as TF.js 4 documents and ``tensorflowjs`` 4.22 writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from span_export import metadata
from span_export.tfjs_layers import Model

SHARD = 4 * 2**20
"""Bytes of a shard at most: what browsers keep in their cache."""


@dataclass(frozen=True)
class Stored:
    """Hold an array in the number format of a file.

    Attributes:
        entry: its line in the manifest.
        data: what the shards hold of it.
        values: what a reader makes of that, float32.
    """

    entry: dict
    data: np.ndarray
    values: np.ndarray


def store(name: str, array: np.ndarray, dtype: str | None = None) -> Stored:
    """Round an array to a number format.

    Args:
        name: ``LAYER/KEY``.
        array: float32.
        dtype: ``"float16"``, ``"uint8"`` (see ``_affine``), or None to keep it.
    """
    entry = {"name": name, "shape": list(array.shape), "dtype": "float32"}
    if dtype is None:
        return Stored(entry, array.astype("<f4"), array)
    if dtype == "float16":
        data, more = array.astype("<f2"), {}
        values = data.astype(np.float32)
    else:
        data, more = _affine(array)
        values = (data * more["scale"] + more["min"]).astype(np.float32)
    return Stored({**entry, "quantization": {**more, "dtype": dtype, "original_dtype": "float32"}}, data, values)


def _affine(array: np.ndarray) -> tuple[np.ndarray, dict]:
    """Spread uint8's 256 steps over the range of an array, shifted so that zero falls on one, if it is in the range."""
    low, high = float(array.min()), float(array.max())
    if low == high:
        return np.zeros(array.shape, np.uint8), {"min": low, "scale": 1.0}
    scale = (high - low) / 255
    if low <= 0 <= high:
        low = -np.round(-low / scale).item() * scale
        high = 255 * scale + low
    steps = (array.astype(np.float64).clip(low, high) - low) / scale
    return np.round(steps).astype(np.uint8), {"min": low, "scale": scale}


def save(folder: Path, model: Model, stored: Mapping[str, Stored], user_defined: dict) -> list[str]:
    """Write ``model.json`` and its shards.

    Args:
        folder: created if need be.
        model: the topology.
        stored: its weights, in the order of the file.
        user_defined: ``userDefinedMetadata``.

    Returns:
        The names of the files, ``model.json`` first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = b"".join(one.data.tobytes() for one in stored.values())
    shards = [data[start : start + SHARD] for start in range(0, len(data), SHARD)]
    names = [f"group1-shard{number}of{len(shards)}.bin" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        (folder / name).write_bytes(shard)
    document = {
        "format": "layers-model",
        "generatedBy": metadata.GENERATOR,
        "convertedBy": metadata.GENERATOR,
        "modelTopology": model.topology(),
        "weightsManifest": [{"paths": names, "weights": [one.entry for one in stored.values()]}],
        "userDefinedMetadata": user_defined,
    }
    (folder / "model.json").write_text(json.dumps(document, separators=(",", ":")))
    return ["model.json", *names]
