"""PyTorch checkpoints (``torch.save``): the zip archive of PyTorch 1.6 and later, and the older stream of pickles."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from reprlib import repr  # Short: nested tuples of a few bytes can have an endless text.

from span_keras.checkpoints.files import MAX_TENSOR_BYTES, Contents, check_size
from span_keras.checkpoints.torch_unpickler import DTYPES, MAX_PICKLE_BYTES, LazyTensor, Unpickler, is_name
from span_keras.errors import CheckpointError

ZIP_MAGIC = b"PK\x03\x04"

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

LEGACY_PROTOCOL = 1001

MAX_DEPTH = 4
"""Nested dictionaries and lists deeper than this hold no weights."""


def _no_storage(kind, key, numel):
    raise CheckpointError("a storage is referred to before the file has described any.")


def _read_zip(path: Path, source: str):
    """Return the object in a zip archive made by ``torch.save``; storages are read from the archive when asked for."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if (claimed := sum(info.file_size for info in members.values())) > MAX_TENSOR_BYTES:
            raise CheckpointError(
                f"{source} claims to unpack to {claimed:,} bytes, more than the {MAX_TENSOR_BYTES:,} allowed."
            )
        pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(f"{source} is a zip archive, but not one that torch.save makes: it has no data.pkl.")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in members:
            raise CheckpointError(f"{source} is a TorchScript program, not weights; save the network's state_dict().")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in members else b"little"
        if order != b"little":
            raise CheckpointError(
                f"{source} was written on a big-endian machine; save it again on a little-endian one."
            )

        @functools.cache  # Many tensors may be views of one storage, which takes long to unpack.
        def content(name: str) -> bytes:
            with zipfile.ZipFile(path) as again:
                return again.read(name)

        def load_storage(kind, key, numel):
            name, claimed = f"{root}data/{key}", numel * DTYPES[kind].itemsize
            found = members[name].file_size if name in members else None
            if found != claimed:
                raise CheckpointError(f"{source} holds {found} bytes for storage {key!r}, expected {claimed}.")
            return functools.partial(content, name)

        with archive.open(pickles[0]) as file:
            # A byte more than allowed tells a longer one.
            data = io.BytesIO(file.read(MAX_PICKLE_BYTES + 1))
        return Unpickler(data, source, load_storage).load()


def _read_legacy(path: Path, source: str):
    """Return the object in the older layout: magic number, protocol, system info, object, storage keys, storages."""
    storages: dict[str, tuple[int, int]] = {}  # key -> position, bytes
    wanted: dict[str, int] = {}

    @functools.cache
    def content(key: str) -> bytes:
        position, size = storages[key]
        with path.open("rb") as again:
            again.seek(position)
            return again.read(size)

    def load_storage(kind, key, numel):
        wanted[key] = DTYPES[kind].itemsize
        return functools.partial(content, key)

    with path.open("rb") as file:
        magic = Unpickler(file, source, _no_storage).load()
        if magic != LEGACY_MAGIC:
            raise CheckpointError(
                f"{source} is a pickle, but not one that torch.save makes; save a state_dict with it."
            )
        protocol, system = (Unpickler(file, source, _no_storage).load() for _ in range(2))
        if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or not system.get("little_endian", True):
            raise CheckpointError(
                f"{source} has protocol {repr(protocol)} and {repr(system)}; save it again with PyTorch 1.6+."
            )
        loaded = Unpickler(file, source, load_storage).load()
        keys = Unpickler(file, source, _no_storage).load()
        if not isinstance(keys, list) or not all(map(is_name, keys)):
            raise CheckpointError(f"{source} lists the storages {repr(keys)}, expected their names.")
        for key in keys:
            numel = int.from_bytes(file.read(8), "little", signed=True)
            size = check_size(f"storage {key!r} of {source}", (numel,), wanted.get(key, 1))
            storages[key] = file.tell(), size
            file.seek(size, io.SEEK_CUR)
        if file.tell() > path.stat().st_size or set(wanted) - set(storages):
            raise CheckpointError(f"{source} is truncated: its storages reach beyond the end of the file.")
    return loaded


def _flatten(value, name: str, tensors: dict, numbers: dict, seen: set[int], depth: int = 0) -> None:
    """Collect the tensors in nested dictionaries and lists under dotted names, and plain numbers of the outermost.

    ``seen`` holds the dictionaries and lists visited, because a pickle may nest one in itself.
    """
    if isinstance(value, LazyTensor):
        tensors[name] = value
    elif isinstance(value, dict | list | tuple) and depth <= MAX_DEPTH and id(value) not in seen:
        seen.add(id(value))
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if type(key) not in (str, int):
                continue
            _flatten(item, f"{name}.{key}" if name else str(key), tensors, numbers, seen, depth + 1)
    elif depth == 1 and type(value) in (int, float):
        numbers[name] = value


def read(path: Path, source: str) -> Contents:
    """Read a ``.pth``, ``.pt`` or ``.ckpt`` file.

    Raises:
        UnsafeCheckpointError: the pickle asks for a callable outside the allow-list.
        CheckpointError: the file is no PyTorch checkpoint, or damaged.
    """
    if zipfile.is_zipfile(path):
        loaded = _read_zip(path, source)
    else:
        with path.open("rb") as file:
            if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
                # The directory of a zip archive stands at its end.
                raise CheckpointError(f"{source} is a truncated zip archive; download or copy it again.")
        loaded = _read_legacy(path, source)
    tensors, numbers = {}, {}
    _flatten(loaded, "", tensors, numbers, set())
    if not tensors:
        raise CheckpointError(f"{source} holds no tensors, expected the state_dict of a SPAN network.")
    iteration = numbers.get("iter", numbers.get("iteration"))
    return Contents(tensors, "torch", metadata={} if iteration is None else {"iteration": iteration}, files=(path,))
