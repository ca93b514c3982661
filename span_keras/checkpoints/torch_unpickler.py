"""Read the pickle of a PyTorch checkpoint without PyTorch and without ever calling what the file asks for.

The unpickler knows a short list of names and maps each to code of our own. Names of plain data that trainers put beside
weights stand for nothing. Any other name raises before anything is done with it. It is our own because every other
reader of these files needs PyTorch, also the one behind ``torch.load(weights_only=True)``.

A pickle of a few bytes may describe objects that take for ever to hash, compare or copy. So no object of the file is
hashed but short texts and numbers, none is compared before its type is known, and each instruction takes time for the
bytes it has in the file only, not for the objects it refers to.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from reprlib import repr  # Short: nested tuples of a few bytes can have an endless text.

import ml_dtypes
import numpy as np

from span_keras.checkpoints.files import MAX_DIMENSIONS, Tensor, check_size
from span_keras.errors import CheckpointError, UnsafeCheckpointError

MAX_PICKLE_BYTES = 1 << 24
"""The pickle proper holds names and shapes only: 30 kB for SPAN."""
MAX_NAME = 1000
"""Characters in the name of a weight or storage; a pickle that repeats a longer one could compare it without end."""
MAX_ARGUMENTS = 16
"""Arguments of a call; PyTorch's own take up to seven."""

INSTRUCTIONS = (
    "PROTO FRAME MARK POP POP_MARK STOP GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE "
    "NONE NEWFALSE NEWTRUE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS "
    "EMPTY_SET ADDITEMS FROZENSET GLOBAL STACK_GLOBAL INST REDUCE NEWOBJ BUILD BINPERSID"
)
"""What Python's picklers write for plain data, for calls of a name and for instances. Buffers and the extension
registry are left out."""

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
    """Hold a run of numbers kept apart from the pickle; ``read`` gives its bytes."""

    kind: str
    numel: int
    read: Callable[[], bytes]

    def values(self) -> np.ndarray:
        data, dtype = self.read(), DTYPES[self.kind]
        if len(data) != self.numel * dtype.itemsize:
            raise CheckpointError(f"a storage holds {len(data)} bytes, expected {self.numel} × {dtype.itemsize}.")
        return np.frombuffer(data, dtype)


class LazyTensor(Tensor):
    """Hold a tensor of the file; a class of its own tells it from whatever else a pickle may hold."""


def _view(storage, offset, size, stride, *_) -> LazyTensor:
    """Make what ``torch._utils._rebuild_tensor_v2`` does: a strided view of a storage, checked against its length."""
    lists = all(type(value) in (tuple, list) and len(value) <= MAX_DIMENSIONS for value in (size, stride))
    numbers = (offset, *size, *stride) if lists else ()
    whole = all(type(n) is int and n.bit_length() < 64 for n in numbers)
    if not isinstance(storage, _Storage) or not numbers or not whole or len(size) != len(stride):
        raise CheckpointError(f"a tensor is malformed: offset, size, stride {repr((offset, size, stride))}.")
    size, stride = tuple(size), tuple(stride)
    check_size("a tensor", size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min(numbers) < 0 or (math.prod(size) and last >= storage.numel):
        raise CheckpointError(f"a tensor of shape {size} reaches outside its storage of {storage.numel} numbers.")

    def read() -> np.ndarray:
        values = storage.values()
        if not math.prod(size):
            return np.zeros(size, values.dtype)
        steps = [step * values.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False).copy()

    return LazyTensor(size, read)


def is_name(value) -> bool:
    """Return whether a value of the file is a short text, which alone may be hashed and compared."""
    return type(value) is str and len(value) <= MAX_NAME


class _Ignored:
    """Stand for an object that holds no weights, and for its class: whatever a pickle does to it does nothing."""

    def __call__(self, *_arguments) -> _Ignored:
        return self

    def append(self, _item) -> None:
        pass

    def extend(self, _items) -> None:
        pass


IGNORED = _Ignored()


def _fill(target: dict, pairs: Iterable) -> None:
    """Put pairs into a dictionary, but for those whose key is neither a name nor a number.

    Such a key names no weights, and a nested tuple of sixty bytes takes days to hash.
    """
    if target is IGNORED:
        return
    if type(target) is not dict:
        raise CheckpointError(f"a pickle stores items in a {type(target).__name__}, expected a dictionary.")
    for key, value in pairs:
        if is_name(key) or (type(key) is int and key.bit_length() < 64):
            target[key] = value


def _ordered_dict(pairs=()) -> dict:
    """Make what ``OrderedDict`` does, for Python 2 from a list of pairs.

    The list is emptied: one that a short pickle hands over again and again would fill the memory with copies.
    """
    made = {}
    if pairs:
        if type(pairs) is not list:
            raise CheckpointError(f"an OrderedDict is made of a {type(pairs).__name__}, expected a list of pairs.")
        _fill(made, pairs)
        pairs.clear()
    return made


ALLOWED = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    # These three hold no weights, or are read as the tuple or list that they are made of.
    ("torch", "Size"): lambda values=(): values,
    ("torch", "device"): lambda *names: names,
    ("__builtin__", "set"): lambda values=(): values,
    # Dictionaries with a default, or of counts; how they make defaults does not matter.
    ("collections", "defaultdict"): lambda *_factory: {},
    ("collections", "Counter"): lambda counts=None: counts if type(counts) is dict else {},
    **{("torch", dtype): dtype for dtype in ("float64", "float32", "float16", "bfloat16", "int64")},
    **{("torch", kind): kind for kind in DTYPES},
    **{("torch.storage", kind): kind for kind in DTYPES},
}
"""Code of our own for the names that weights need."""

_DATA = {
    "__builtin__ builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str "
    "tuple",
    "_codecs": "encode",  # how bytes are written for Python 2
    "argparse": "Namespace",
    "collections": "deque",
    "copy_reg copyreg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "numpy": "bool_ dtype float16 float32 float64 int32 int64 ndarray uint8",
    "numpy.core.multiarray numpy._core.multiarray": "_reconstruct scalar",
    "pathlib pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "torch": "Generator bool complex64 int16 int32 int8 uint8",
    "torch.torch_version": "TorchVersion",
    "types": "SimpleNamespace",
    "uuid": "UUID",
}
HARMLESS = {(module, name) for modules, names in _DATA.items() for module in modules.split() for name in names.split()}
"""Plain data of Python, NumPy and PyTorch that trainers save beside weights."""

HARMLESS_PACKAGES = re.compile(
    r"(addict|easydict|lightning|lightning_fabric|ml_collections|munch|numpy\.random|omegaconf|pytorch_lightning|torch\.optim|yacs)(\.|$)"
)
"""Packages whose classes hold a training's configuration or state, no network's weights."""


class _Instructions(dict):
    """Byte of an instruction -> method of the unpickler that carries it out."""

    def __missing__(self, code: int):
        name = pickletools.code2op[chr(code)].name if chr(code) in pickletools.code2op else hex(code)
        raise pickle.UnpicklingError(f"instruction {name}, which weights have no need for")


class Unpickler(pickle._Unpickler):
    """Map allow-listed names to code of our own and refuse every other name and most instructions.

    Python's own implementation in Python, because the one in C leaves no say in what is hashed and cannot be
    interrupted while it does.
    """

    dispatch = _Instructions(
        (code, pickle._Unpickler.dispatch[code])
        for code in b"".join(getattr(pickle, name) for name in INSTRUCTIONS.split())
    )

    def __init__(self, file, source: str, load_storage: Callable):
        super().__init__(_Limited(file, source), encoding="utf-8")
        self.source, self.load_storage = source, load_storage

    def find_class(self, module, name):
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if (module, name) in HARMLESS or HARMLESS_PACKAGES.match(module):
            return IGNORED
        raise UnsafeCheckpointError(
            f"{self.source} asks Python to call {module}.{name}, which weights have no need for; it was refused "
            "and not executed. Save the network's state_dict() alone, or get the weights as .safetensors."
        )

    def persistent_load(self, identifier):
        known = type(identifier) is tuple and 5 <= len(identifier) <= 6 and all(map(is_name, identifier[:3]))
        tag, kind, key, _location, numel, *view = identifier if known else [None] * 5
        if tag != "storage" or kind not in DTYPES or type(numel) is not int:
            raise CheckpointError(f"{self.source} refers to something unknown: {repr(identifier)}.")
        check_size(f"storage {key!r} of {self.source}", (numel,), DTYPES[kind].itemsize)
        if view and view[0] is not None:
            raise CheckpointError(f"{self.source} holds a view of a storage, as only PyTorch below 0.4 wrote them.")
        return _Storage(kind, numel, self.load_storage(kind, key, numel))

    # Instructions that would hash or copy what the file says, or change what they are given -------------------------

    def load_reduce(self):
        arguments = self.stack.pop()
        if type(arguments) is not tuple or len(arguments) > MAX_ARGUMENTS:
            raise CheckpointError(
                f"{self.source} calls a name with {repr(arguments)}, expected a tuple of at most {MAX_ARGUMENTS}."
            )
        self.stack[-1] = self.stack[-1](*arguments)

    def load_newobj(self):
        self.stack.pop()  # its arguments
        if self.stack[-1] is not IGNORED:
            raise CheckpointError(f"{self.source} makes an instance of {repr(self.stack[-1])}, which is no class.")

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        _fill(self.stack[-1], [(key, value)])

    def load_setitems(self):
        items = self.pop_mark()
        _fill(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def load_dict(self):
        items = self.pop_mark()
        self.append({})
        _fill(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def load_build(self):
        self.stack.pop()  # Attributes hold no weights; those of a state_dict are the versions of its modules.

    dispatch |= {
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.BUILD[0]: load_build,
        # A set is read as a list.
        pickle.EMPTY_SET[0]: pickle._Unpickler.load_empty_list,
        pickle.ADDITEMS[0]: pickle._Unpickler.load_appends,
        pickle.FROZENSET[0]: pickle._Unpickler.load_list,
    }


class _Limited:
    """Wrap a file of which one pickle may read no more than a checkpoint's own takes."""

    def __init__(self, file, source: str):
        self.file, self.source, self.left = file, source, MAX_PICKLE_BYTES

    def read(self, size: int) -> bytes:
        self._take(size)
        return self.file.read(size)

    def readline(self) -> bytes:
        line = self.file.readline(self.left + 1)
        self._take(len(line))
        return line

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise CheckpointError(
                f"{self.source} holds a pickle of more than the {MAX_PICKLE_BYTES:,} bytes allowed; save the network's "
                "state_dict() alone."
            )
