"""Keras's own formats, ``.keras`` and ``.weights.h5``, read without building the model they describe.

Nothing in the file is deserialised: a ``.keras`` archive may name any class, and reading it here runs none of them.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np

from span_keras.checkpoints import topology_json
from span_keras.checkpoints.files import MAX_BYTES, Contents, Tensor, check_size
from span_keras.errors import CheckpointError
from span_keras.reparam import REPCONV_WEIGHTS
from span_keras.state import SpanWeights

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
    import h5py

    if not h5py.is_hdf5(path):
        raise CheckpointError(f"{source} is not an HDF5 file, expected what Keras's save_weights writes.")
    with h5py.File(path, "r") as file:
        return _contents(file, path, source)


def read_model(path: Path, source: str) -> Contents:
    """Read a ``.keras`` archive.

    Raises:
        CheckpointError: the file is no Keras archive, or damaged.
    """
    import h5py

    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{source} is not a zip archive, expected what Keras's save writes.")
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if missing := [name for name in ("config.json", WEIGHTS_MEMBER) if name not in sizes]:
            raise CheckpointError(f"{source} is a zip archive without {' and '.join(missing)}, not a Keras model.")
        for name, most in (("config.json", MAX_JSON_BYTES), (WEIGHTS_MEMBER, MAX_BYTES)):
            if sizes[name] > most:
                raise CheckpointError(
                    f"{source} claims {sizes[name]:,} bytes for {name}, more than the {most:,} allowed."
                )
        described = topology_json.config_of(json.loads(archive.read("config.json")), source)
        # Without a seekable copy every read would inflate the member from its start again.
        with archive.open(WEIGHTS_MEMBER) as member, h5py.File(member, "r") as file:
            contents = _contents(file, path, source)
    return Contents(contents.tensors, "keras", {**contents.config, **described}, contents.metadata, (path,))


def _contents(file, path: Path, source: str) -> Contents:
    tensors: dict[str, Tensor] = {}
    names: list[str] = []
    _collect(file, tensors, names, source)
    config = json.loads(file.attrs.get(CONFIG_ATTRIBUTE, "{}"))
    metadata = json.loads(file.attrs.get(METADATA_ATTRIBUTE, "{}"))
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise CheckpointError(f"{source} states the configuration {config!r}, expected a JSON object.")
    return Contents(tensors, "keras", {**topology_json.config_of_names(names), **config}, metadata, (path,))


def _collect(group, tensors: dict[str, Tensor], names: list[str], source: str) -> None:
    """Gather the variables of every layer below ``group``; Keras keeps a layer's name beside them."""
    import h5py

    for key in group:
        # Links may point into other files, which opening this one must not open.
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise CheckpointError(f"{source} links to another place ({key}), which a weights file has no need for.")
        item = group[key]
        if key == "vars" and isinstance(item, h5py.Group):
            names.append(str(item.attrs.get("name", "")))
            _collect_variables(item, names[-1], tensors, source)
        elif isinstance(item, h5py.Group) and key != "optimizer":
            _collect(item, tensors, names, source)


def _collect_variables(group, layer: str, tensors: dict[str, Tensor], source: str) -> None:
    import h5py

    keys = VARIABLES["normalize"] if layer == "normalize" else VARIABLES.get(len(group), ())
    for index in group:
        dataset = group.get(index) if isinstance(group.get(index, getlink=True), h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise CheckpointError(f"{source} keeps {layer} outside itself, which a weights file has no need for.")
        known = index.isdigit() and int(index) < len(keys)
        name = f"{layer}/{keys[int(index)] if known else index}"
        if name in tensors:
            raise CheckpointError(f"{source} holds two layers named {layer}, expected one network.")
        # Values that were never written take no room in the file, so the claims are summed before any is read.
        check_size(f"{source} with {name}", (sum(math.prod(t.shape) for t in tensors.values()) + dataset.size,))
        tensors[name] = Tensor.of(np.asarray(dataset))


def write_model(weights: SpanWeights, path: Path) -> None:
    """Write what Keras's ``save`` of a model in the same form writes."""
    (weights.deploy_model() if weights.form == "deploy" else weights.train_model()).save(path)


def write_weights(weights: SpanWeights, path: Path) -> None:
    """Write what Keras's ``save_weights`` of a model in the same form writes, with the configuration as an attribute.

    Args:
        path: has to end in ``.keras`` all the same. HDF5 crashes the interpreter when the disk is full; taking the
            HDF5 part of an archive, where Keras makes it in memory, it never writes to disk itself.
    """
    import h5py

    write_model(weights, path)
    with zipfile.ZipFile(path) as archive:
        memory = io.BytesIO(archive.read(WEIGHTS_MEMBER))
    with h5py.File(memory, "a") as file:
        file.attrs[CONFIG_ATTRIBUTE] = json.dumps(weights.config.to_dict())
        file.attrs[METADATA_ATTRIBUTE] = json.dumps(weights.metadata, default=str)
    path.write_bytes(memory.getvalue())
