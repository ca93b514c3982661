"""Write PyTorch checkpoints without PyTorch, instruction by instruction, so that tests can make any of them."""

from __future__ import annotations

import pickle
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from span_keras.checkpoints.detect import torch_name
from span_keras.network.reparam import shuffle_order

MAGIC = 0x1950A86A20F9469CFC6C
KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "V2": "BFloat16Storage"}


@dataclass
class Saved:
    """A tensor as ``torch.save`` describes it; ``None`` means what fits the array."""

    array: np.ndarray
    size: tuple | None = None
    stride: tuple | None = None
    offset: int = 0
    numel: int | None = None
    kind: str | None = None


@dataclass
class Call:
    """A callable that the pickle asks for, called with arguments."""

    module: str
    name: str
    arguments: tuple = ()


@dataclass
class Embedded:
    """An object as Python's own pickle writes it."""

    value: object
    protocol: int = 2


@dataclass
class Pickler:
    """Protocol 2, as ``torch.save`` uses; collects the storages it refers to."""

    legacy: bool = False
    storages: dict[str, np.ndarray] = field(default_factory=dict)

    def dumps(self, value) -> bytes:
        return b"\x80\x02" + self.encode(value) + b"."

    def encode(self, value) -> bytes:
        match value:
            case None:
                return b"N"
            case bool():
                return b"\x88" if value else b"\x89"
            case int():
                data = value.to_bytes((value.bit_length() // 8) + 1, "little", signed=True)
                return b"\x8a" + bytes([len(data)]) + data
            case float():
                return b"G" + struct.pack(">d", value)
            case str():
                return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
            case tuple():
                return b"(" + b"".join(map(self.encode, value)) + b"t"
            case list():
                return b"](" + b"".join(map(self.encode, value)) + b"e"
            case dict():
                pairs = b"".join(self.encode(k) + self.encode(v) for k, v in value.items())
                return b"}(" + pairs + b"u"
            case Call():
                return self.name(value.module, value.name) + self.encode(value.arguments) + b"R"
            case Embedded():
                pickled = pickle.dumps(value.value, value.protocol)
                return pickled[2:-1]  # without its protocol and its end
            case Saved():
                return self.tensor(value)
            case np.ndarray():
                return self.tensor(Saved(value))
        raise TypeError(type(value))

    @staticmethod
    def name(module: str, name: str) -> bytes:
        return b"c" + f"{module}\n{name}\n".encode()

    def tensor(self, saved: Saved) -> bytes:
        array = np.ascontiguousarray(saved.array)
        key = str(len(self.storages))
        self.storages[key] = array
        size = array.shape if saved.size is None else saved.size
        stride = tuple(s // array.itemsize for s in array.strides) if saved.stride is None else saved.stride
        kind = saved.kind or KINDS[array.dtype.str[1:]]
        numel = array.size if saved.numel is None else saved.numel
        view = (None,) if self.legacy else ()
        identifier = b"(" + self.encode("storage") + self.name("torch", kind)
        identifier += b"".join(map(self.encode, (key, "cpu", numel, *view))) + b"tQ"
        arguments = b"(" + identifier + b"".join(map(self.encode, (saved.offset, size, stride, False, {}))) + b"t"
        return self.name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def write_zip(path: Path, value, pickle: bytes | None = None, **more: bytes) -> Path:
    """The layout of PyTorch 1.6 and later."""
    pickler = Pickler()
    data = pickler.dumps(value) if pickle is None else pickle
    members = {"data.pkl": data, "byteorder": b"little"}
    members |= {f"data/{key}": array.tobytes() for key, array in pickler.storages.items()} | more
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return path


def write_legacy(path: Path, value) -> Path:
    """The layout before PyTorch 1.6."""
    pickler = Pickler(legacy=True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickler.dumps(MAGIC), pickler.dumps(1001), pickler.dumps(system), pickler.dumps(value)]
    parts.append(pickler.dumps(list(pickler.storages)))
    parts += [struct.pack("<q", array.size) + array.tobytes() for array in pickler.storages.values()]
    path.write_bytes(b"".join(parts))
    return path


def state_dict(weights) -> dict[str, np.ndarray]:
    """The authors' names and axis order for our weights."""
    state = {}
    for layer, group in weights.layers.items():
        for key, value in group.items():
            if layer == "upsampler":
                value = value[..., np.argsort(shuffle_order(weights.config.scale, weights.config.out_channels))]
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
            state[torch_name(layer, key)] = np.ascontiguousarray(value)
    return state
