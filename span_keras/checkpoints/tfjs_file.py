"""TensorFlow.js layers models: ``model.json`` and the ``.bin`` shards it names, quantised or not.

Decoded here because the ``tensorflowjs`` package needs TensorFlow and takes seconds to import.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from span_keras.checkpoints import topology_json
from span_keras.checkpoints.detect import check_stated
from span_keras.checkpoints.files import MAX_TENSOR_BYTES, Contents, Tensor, check_size
from span_keras.errors import CheckpointError

DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "|u1", "bool": "?"}


def read(path: Path, source: str) -> Contents:
    """Read a ``model.json``.

    The configuration comes from ``userDefinedMetadata.span`` where the file has it, else from the topology's layer
    names and the weights of the layer ``normalize``.

    Raises:
        CheckpointError: the file is no layers model, states another configuration than its topology, or a shard is
            missing, short or outside the model's folder.
    """
    document = json.loads(path.read_text("utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("weightsManifest"), list):
        raise CheckpointError(f"{source} has no weightsManifest, expected the model.json of a TensorFlow.js model.")
    if document.get("format") == "graph-model":
        raise CheckpointError(f"{source} is a graph model, whose layers are gone; expected a layers model.")
    groups = [
        (group["weights"], [_shard(path, name, source) for name in group["paths"]])
        for group in document["weightsManifest"]
    ]
    shards = [file for _weights, files in groups for file in files]
    # Of all groups before any is read: a short model.json may list one shard a thousand times.
    if (size := sum(file.stat().st_size for file in shards)) > MAX_TENSOR_BYTES:
        raise CheckpointError(f"{source} has shards of {size:,} bytes, more than the {MAX_TENSOR_BYTES:,} allowed.")
    tensors = {}
    for weights, files in groups:
        tensors |= _decode(weights, b"".join(file.read_bytes() for file in files), source)

    stated = (document.get("userDefinedMetadata") or {}).get("span") or {}
    described = topology_json.config_of(document.get("modelTopology"), source)
    check_stated(stated, described, "layers", source)
    config = {**described, **stated}
    kept = {key: stated[key] for key in ("license", "source") if key in stated}
    return Contents(tensors, "keras", config, kept, (path, *shards))


def _shard(path: Path, name: str, source: str) -> Path:
    """Return a shard's path; only files beside or below ``model.json`` are opened."""
    folder, file = path.parent.resolve(), (path.parent / name).resolve()
    if not file.is_relative_to(folder):
        raise CheckpointError(f"{source} names the shard {name!r} outside its folder, which is not opened.")
    if not file.is_file():
        raise CheckpointError(
            f"{source} names the shard {name!r}, which is missing; keep the .bin files beside model.json."
        )
    return file


def _decode(entries: list[dict], data: bytes, source: str) -> dict[str, Tensor]:
    tensors, offset = {}, 0
    for entry in entries:
        # "conv_1/kernel", maybe with a model's name before it or ":0" after it.
        name = "/".join(entry["name"].removesuffix(":0").split("/")[-2:])
        quantization = entry.get("quantization") or {}
        stored = quantization.get("dtype", entry["dtype"])
        if stored not in DTYPES:
            raise CheckpointError(f"{source} stores {name} as {stored!r}, expected one of {', '.join(DTYPES)}.")
        dtype, shape = np.dtype(DTYPES[stored]), tuple(entry["shape"])
        size = check_size(f"{name} of {source}", shape, dtype.itemsize)
        if offset + size > len(data):
            raise CheckpointError(f"{source} is truncated: its shards end before {name}, {len(data):,} bytes in all.")
        values = np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
        offset += size
        if name in tensors:
            raise CheckpointError(f"{source} holds two tensors named {name}, expected one network.")
        tensors[name] = _dequantised(values, quantization)
    if offset != len(data):
        raise CheckpointError(f"{source} describes {offset:,} bytes of weights, but its shards hold {len(data):,}.")
    return tensors


def _dequantised(values: np.ndarray, quantization: dict) -> Tensor:
    """Return the tensor that was stored so, computed when asked for: it takes up to eight times the room."""
    if values.dtype.kind != "u" or "scale" not in quantization:
        return Tensor.of(values)
    scale, low = float(quantization["scale"]), float(quantization["min"])
    return Tensor(values.shape, lambda: values * scale + low)
