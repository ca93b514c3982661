"""PyTorch checkpoints (``torch.save``), read without PyTorch and without ever calling what the file asks for.

Both layouts are read: the zip archive (PyTorch 1.6 and later) and the older stream of pickles. The unpickler knows a
short list of names and maps each to code of our own; any other name raises before anything is done with it.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr  # Short: nested tuples of a few bytes can have an endless text.

import ml_dtypes
import numpy as np

from span_keras.checkpoints.files import MAX_BYTES, Contents, Tensor, check_size
from span_keras.errors import CheckpointError, UnsafeCheckpointError

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_PICKLE_BYTES = 1 << 26
"""The pickle proper holds names and shapes only: 30 kB for SPAN."""
MAX_DEPTH = 4
"""Nested dictionaries deeper than this hold no weights."""

DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


@dataclass(frozen=True)
class _Storage:
    """A run of numbers kept apart from the pickle; ``read`` gives its bytes."""

    kind: str
    numel: int
    read: Callable[[], bytes]

    def values(self) -> np.ndarray:
        data, dtype = self.read(), DTYPES[self.kind]
        if len(data) != self.numel * dtype.itemsize:
            raise CheckpointError(f"a storage holds {len(data)} bytes, expected {self.numel} × {dtype.itemsize}.")
        return np.frombuffer(data, dtype)


class _Lazy(Tensor):
    """A tensor of the file; a class of its own tells it from whatever else a pickle may hold."""


def _view(storage, offset, size, stride) -> _Lazy:
    """What ``torch._utils._rebuild_tensor_v2`` makes: a strided view of a storage, checked against its length."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, _Storage) or len(size) != len(stride) or not all(type(n) is int for n in numbers):
        raise CheckpointError(f"a tensor is malformed: offset, size, stride {repr((offset, size, stride))}.")
    check_size("a tensor", size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min(numbers, default=0) < 0 or (math.prod(size) and last >= storage.numel):
        raise CheckpointError(
            f"a tensor of shape {tuple(size)} reaches outside its storage of {storage.numel} numbers."
        )

    def read() -> np.ndarray:
        values = storage.values()
        if not math.prod(size):
            return np.zeros(size, values.dtype)
        steps = [step * values.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False).copy()

    return _Lazy(tuple(size), read)


class _Unpickler(pickle.Unpickler):
    """Maps allow-listed names to code of our own and refuses every other name."""

    def __init__(self, file, source: str, load_storage: Callable):
        super().__init__(file, encoding="utf-8")
        self.source, self.load_storage = source, load_storage
        # Functions made per file: a pickle may set attributes on what it is given, which must not outlive the load.
        self.allowed = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor"): lambda storage, offset, size, stride: _view(
                storage, offset, size, stride
            ),
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: _view(
                storage, offset, size, stride
            ),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch", "Size"): lambda values=(): tuple(values),
            ("torch", "device"): lambda *names: names,
            ("__builtin__", "set"): lambda values=(): tuple(values),
            **{("torch", dtype): dtype for dtype in ("float64", "float32", "float16", "bfloat16", "int64")},
            **{("torch", kind): kind for kind in DTYPES},
            **{("torch.storage", kind): kind for kind in DTYPES},
        }

    def find_class(self, module, name):
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        raise UnsafeCheckpointError(
            f"{self.source} asks Python to call {module}.{name}, which weights have no need for; it was refused "
            "and not executed. Save the network's state_dict() alone, or get the weights as .safetensors."
        )

    def persistent_load(self, identifier):
        tag, kind, key, _location, numel, *view = identifier
        if tag != "storage" or kind not in DTYPES or type(numel) is not int or type(key) is not str:
            raise CheckpointError(f"{self.source} refers to something unknown: {repr(identifier)}.")
        check_size(f"storage {key!r} of {self.source}", (numel,), DTYPES[kind].itemsize)
        if view and view[0] is not None:
            raise CheckpointError(f"{self.source} holds a view of a storage, as only PyTorch below 0.4 wrote them.")
        return _Storage(kind, numel, self.load_storage(kind, key, numel))


def _unpickle(file, source: str, load_storage: Callable):
    """Unpickle one object at the file's position, after a look at the whole instruction stream."""
    start = file.tell()
    size = 0
    for opcode, argument, position in pickletools.genops(file):
        size = position - start
        # The C unpickler allocates a table as long as the largest memo index, which a short file may put at 2**32.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument) > size:
            raise CheckpointError(f"{source} is a damaged or hostile pickle: memo index {argument} after {size} bytes.")
    if size > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"{source} holds a pickle of {size:,} bytes; a checkpoint's own is below {MAX_PICKLE_BYTES:,}."
        )
    file.seek(start)
    return _Unpickler(file, source, load_storage).load()


def _no_storage(kind, key, numel):
    raise CheckpointError("a storage is referred to before the file has described any.")


def _read_zip(path: Path, source: str):
    """The object in a zip archive made by ``torch.save``; storages are read from the archive when asked for."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if (claimed := sum(info.file_size for info in members.values())) > MAX_BYTES:
            raise CheckpointError(
                f"{source} claims to unpack to {claimed:,} bytes, more than the {MAX_BYTES:,} allowed."
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

        def load_storage(kind, key, numel):
            name, claimed = f"{root}data/{key}", numel * DTYPES[kind].itemsize
            found = members[name].file_size if name in members else None
            if found != claimed:
                raise CheckpointError(f"{source} holds {found} bytes for storage {key!r}, expected {claimed}.")

            def read() -> bytes:
                with zipfile.ZipFile(path) as again:
                    return again.read(name)

            return read

        return _unpickle(io.BytesIO(archive.read(pickles[0])), source, load_storage)


def _read_legacy(path: Path, source: str):
    """The object in the older layout: magic number, protocol, system info, object, storage keys, storages."""
    storages: dict[str, tuple[int, int]] = {}  # key -> position, bytes
    wanted: dict[str, int] = {}

    def load_storage(kind, key, numel):
        wanted[key] = DTYPES[kind].itemsize

        def read() -> bytes:
            position, size = storages[key]
            with path.open("rb") as again:
                again.seek(position)
                return again.read(size)

        return read

    with path.open("rb") as file:
        magic = _unpickle(file, source, _no_storage)
        if magic != LEGACY_MAGIC:
            raise CheckpointError(
                f"{source} is a pickle, but not one that torch.save makes; save a state_dict with it."
            )
        protocol, system = (_unpickle(file, source, _no_storage) for _ in range(2))
        if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or not system.get("little_endian", True):
            raise CheckpointError(
                f"{source} has protocol {repr(protocol)} and {repr(system)}; save it again with PyTorch 1.6+."
            )
        loaded = _unpickle(file, source, load_storage)
        keys = _unpickle(file, source, _no_storage)
        if not isinstance(keys, list) or not all(type(key) is str for key in keys):
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
    """Collect the tensors in nested dictionaries under dotted names, and plain numbers of the outermost beside them.

    ``seen`` holds the dictionaries visited, because a pickle may nest one in itself.
    """
    if isinstance(value, _Lazy):
        tensors[name] = value
    elif isinstance(value, dict) and depth <= MAX_DEPTH and id(value) not in seen:
        seen.add(id(value))
        for key, item in value.items():
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
