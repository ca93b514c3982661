"""Keras's own formats, ``.keras`` and ``.weights.h5``, read without building the model they describe.

Nothing in the file is deserialised: a ``.keras`` archive may name any class, and reading it here runs none of them.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from span_keras.checkpoints import topology_json
from span_keras.checkpoints.files import MAX_TENSOR_BYTES, Contents, Tensor, check_size
from span_keras.errors import CheckpointError
from span_keras.network.reparam import REPCONV_WEIGHTS
from span_keras.network.weights import SpanWeights

CONFIG_ATTRIBUTE = "span_config"
METADATA_ATTRIBUTE = "span_metadata"
WEIGHTS_MEMBER = "model.weights.h5"
MAX_JSON_BYTES = 1 << 26
VARIABLES = {
    1: ("kernel",),
    2: ("kernel", "bias"),
    len(REPCONV_WEIGHTS): REPCONV_WEIGHTS,
    "normalize": ("moving_mean", "moving_variance"),
}
"""Names of a layer's variables, which Keras stores by number, by how many there are."""


def read_weights(path: Path, source: str) -> Contents:
    """Read a ``.weights.h5`` file.

    Raises:
        CheckpointError: the file is no HDF5 file, damaged, or refers to other files.
    """
    if not h5py.is_hdf5(path):
        raise CheckpointError(f"{source} is not an HDF5 file, expected what Keras's save_weights writes.")
    return _read(path.read_bytes(), path, source)


def _check_heaps(content: bytes, source: str) -> None:
    """Refuse an HDF5 file with a heap (where it keeps texts) through which the HDF5 library would go round for ever.

    Source: the HDF5 file format specification, III.E "Global Heap". Each collection is a row of objects that tell their
    sizes; the one with index 0 is the free space that is left, and counts its own header of 16 bytes.
    """
    for match in re.finditer(rb"GCOL\x01\0\0\0", content):
        start = match.start()
        end = min(start + int.from_bytes(content[start + 8 : start + 16], "little"), len(content))
        position = start + 16
        while position + 16 <= end:
            index, _references, size = struct.unpack_from("<HH4xQ", content, position)
            size = 16 + -(-size // 8) * 8 if index else size
            if not size or position + size > end:
                raise CheckpointError(f"{source} is damaged: an object in its heap has an impossible size.")
            position += size


def read_model(path: Path, source: str) -> Contents:
    """Read a ``.keras`` archive.

    Raises:
        CheckpointError: the file is no Keras archive, or damaged.
    """
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{source} is not a zip archive, expected what Keras's save writes.")
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if missing := [name for name in ("config.json", WEIGHTS_MEMBER) if name not in sizes]:
            raise CheckpointError(f"{source} is a zip archive without {' and '.join(missing)}, not a Keras model.")
        for name, most in (("config.json", MAX_JSON_BYTES), (WEIGHTS_MEMBER, MAX_TENSOR_BYTES)):
            if sizes[name] > most:
                raise CheckpointError(
                    f"{source} claims {sizes[name]:,} bytes for {name}, more than the {most:,} allowed."
                )
        described = topology_json.config_of(json.loads(archive.read("config.json")), source)
        # Read from the archive itself, whatever lies further ahead would be inflated from the start again.
        content = archive.read(WEIGHTS_MEMBER)
    contents = _read(content, path, source)
    return Contents(contents.tensors, "keras", {**contents.config, **described}, contents.metadata, (path,))


def _read(content: bytes, path: Path, source: str) -> Contents:
    """Read a whole HDF5 file from memory."""
    _check_heaps(content, source)
    with h5py.File(io.BytesIO(content), "r") as file:
        return _contents(file, path, source)


def _contents(file, path: Path, source: str) -> Contents:
    tensors: dict[str, Tensor] = {}
    names: list[str] = []
    claimed = 0
    for layer, group in _layers(file, set(), source):
        names.append(layer)
        for key, dataset in _variables(group, layer, source):
            name = f"{layer}/{key}"
            if name in tensors:
                raise CheckpointError(f"{source} holds two layers named {layer}, expected one network.")
            # Values that were never written take no room in the file, so the claims are summed before any is read.
            claimed += dataset.nbytes
            check_size(f"{source} with {name}", (claimed,), 1)
            tensors[name] = Tensor.of(np.asarray(dataset))
    config = json.loads(file.attrs.get(CONFIG_ATTRIBUTE, "{}"))
    metadata = json.loads(file.attrs.get(METADATA_ATTRIBUTE, "{}"))
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise CheckpointError(f"{source} states the configuration {config!r}, expected a JSON object.")
    return Contents(tensors, "keras", {**topology_json.config_of_names(names), **config}, metadata, (path,))


def _layers(group, seen: set[int], source: str) -> Iterator[tuple[str, h5py.Group]]:
    """Yield name and variables of every layer below ``group``; Keras keeps a layer's name beside them.

    ``seen`` holds the addresses of the groups visited: links can join a few groups by endlessly many paths.
    """
    if (address := h5py.h5o.get_info(group.id).addr) in seen:
        raise CheckpointError(f"{source} holds the group {group.name!r} in two places, expected one, as Keras writes.")
    seen.add(address)
    for key in group:
        # Links may point into other files, which opening this one must not open.
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise CheckpointError(f"{source} links to another place ({key}), which a weights file has no need for.")
        item = group[key]
        if key == "vars" and isinstance(item, h5py.Group):
            yield str(item.attrs.get("name", "")), item
        elif isinstance(item, h5py.Group) and key != "optimizer":
            yield from _layers(item, seen, source)


def _variables(group, layer: str, source: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield name and values of every variable of a layer."""
    keys = VARIABLES["normalize"] if layer == "normalize" else VARIABLES.get(len(group), ())
    for index in group:
        dataset = group.get(index) if isinstance(group.get(index, getlink=True), h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise CheckpointError(f"{source} keeps {layer} outside itself, which a weights file has no need for.")
        # Lists of any length and tables take more room than their shape tells.
        if dataset.shape is None or dataset.dtype.kind not in "biuf":
            raise CheckpointError(f"{source} holds something other than numbers in {layer}.")
        known = index.isdigit() and int(index) < len(keys)
        yield keys[int(index)] if known else index, dataset


def write_model(weights: SpanWeights, path: Path) -> None:
    """Write what Keras's ``save`` of a model in the same form writes."""
    (weights.deploy_model() if weights.form == "deploy" else weights.train_model()).save(path)


def write_weights(weights: SpanWeights, path: Path) -> None:
    """Write what Keras's ``save_weights`` of a model in the same form writes, with the configuration as an attribute.

    Args:
        path: has to end in ``.keras`` all the same. HDF5 crashes the interpreter when the disk is full; taking the
            HDF5 part of an archive, where Keras makes it in memory, it never writes to disk itself.
    """
    write_model(weights, path)
    with zipfile.ZipFile(path) as archive:
        memory = io.BytesIO(archive.read(WEIGHTS_MEMBER))
    with h5py.File(memory, "a") as file:
        file.attrs[CONFIG_ATTRIBUTE] = json.dumps(weights.config.to_dict())
        file.attrs[METADATA_ATTRIBUTE] = json.dumps(weights.metadata, default=str)
    path.write_bytes(memory.getvalue())
