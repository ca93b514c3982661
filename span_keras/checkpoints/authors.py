"""Write networks under the names and in the layout of the authors' PyTorch code, for the tools that load its files.

spandrel, and with it chaiNNer and others, expects ``sk``, ``conv`` and ``eval_conv`` of every Conv3XC, the variant
``official``, and an input range of 255 with the mean of DIV2K, or a tensor ``no_norm`` for no normalisation at all.
Where only the range differs, ``conv_1`` takes it in: padding follows normalisation, so the function stays the same.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from span_keras.checkpoints.detect import torch_name
from span_keras.constants import DIV2K_MEAN
from span_keras.errors import CheckpointError
from span_keras.network import reparam
from span_keras.network.weights import PLAIN_LAYERS, SpanWeights

RANGE = 255.0
"""The input range of the authors' code."""

ROOT = "params"
"""What BasicSR, and the trainers descended from it, name the state dictionary in a file."""


def write_pth(weights: SpanWeights, path: Path) -> None:
    """Write a ``.pth`` as ``torch.save({"params": state_dict}, path)`` does; ``weights_only=True`` reads it.

    Raises:
        CheckpointError: see ``state_dict``.
    """
    tensors = state_dict(weights)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PyTorch does not read compressed ones
        # The time of writing has no place in the file: the same weights make the same bytes.
        member = lambda name: zipfile.ZipInfo(f"{path.stem}/{name}", (1980, 1, 1, 0, 0, 0))  # noqa: E731
        archive.writestr(member("data.pkl"), _pickle({ROOT: tensors}))
        archive.writestr(member("byteorder"), b"little")
        for number, tensor in enumerate(tensors.values()):
            archive.writestr(member(f"data/{number}"), tensor.tobytes())
        archive.writestr(member("version"), b"3\n")


def write_safetensors(weights: SpanWeights, path: Path) -> None:
    """Write a ``.safetensors`` with the tensors of ``state_dict``; a licence that is known stands in its metadata.

    Raises:
        CheckpointError: see ``state_dict``.
    """
    metadata = {"format": "pt"}  # what transformers and others look for
    metadata |= {key: str(weights.metadata[key]) for key in ("license",) if weights.metadata.get(key)}
    path.write_bytes(save(state_dict(weights), metadata))


def state_dict(weights: SpanWeights) -> dict[str, np.ndarray]:
    """Return the tensors of a network under the authors' names: little-endian float32, OIHW, channel-major.

    Args:
        weights: any form. Of fused layers the four convolutions are those of ``SpanWeights.expand``.

    Raises:
        CheckpointError: the authors' code computes no such network.
    """
    weights = _of_the_authors(weights)
    fused, expanded = weights.fuse().layers, weights.expand().layers
    state = {}
    for layer, group in expanded.items():
        both = group if layer in PLAIN_LAYERS else group | fused[layer]
        for key, value in both.items():
            if layer == "upsampler":
                order = reparam.shuffle_order(weights.config.scale, weights.config.out_channels)
                value = value[..., np.argsort(order)]
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
            state[torch_name(layer, key)] = np.ascontiguousarray(value, "<f4")
    if not weights.config.normalizes:
        state["no_norm"] = np.zeros(1, "<f4")
    return state


def _of_the_authors(weights: SpanWeights) -> SpanWeights:
    """Return the same function as a network that the authors' code computes."""
    config = weights.config
    if config.variant != "official":
        raise CheckpointError(
            f"{weights.source} is of variant {config.variant} (LeakyReLU and tanh), but the authors' code and the "
            "tools that load its files compute SiLU and sigmoid - 0.5; export a network of variant official."
        )
    if config.blocks != 6:
        raise CheckpointError(
            f"{weights.source} has {config.blocks} blocks, but the authors' code and the tools that load its files "
            "have 6; export a network of 6 blocks."
        )
    if not any(config.rgb_mean):
        return weights.scale_range(1.0)
    if config.in_channels != 3 or not np.allclose(config.rgb_mean, DIV2K_MEAN, rtol=0, atol=1e-6):
        mean = ",".join(f"{value:g}" for value in config.rgb_mean)
        raise CheckpointError(
            f"{weights.source} subtracts the mean {mean}, but the tools that load the authors' files subtract "
            f"{','.join(map(str, DIV2K_MEAN))} or nothing; export it as ONNX."
        )
    return weights.scale_range(RANGE)


def _pickle(value) -> bytes:
    """Return the pickle, of protocol 2, of nested dictionaries of arrays as ``torch.save`` writes them.

    Every array becomes ``torch._utils._rebuild_tensor_v2`` of a storage named by its number.
    """
    numbers = iter(range(2**31))

    def text(string: str) -> bytes:
        return b"X" + struct.pack("<I", len(string.encode())) + string.encode()

    def whole(number: int) -> bytes:
        return b"J" + struct.pack("<i", number)

    def encoded(item) -> bytes:
        if isinstance(item, dict):
            pairs = b"".join(text(key) + encoded(entry) for key, entry in item.items())
            return b"ccollections\nOrderedDict\n)R(" + pairs + b"u"
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(next(numbers))) + text("cpu")
        storage += whole(item.size) + b"tQ"
        shape = b"(" + b"".join(map(whole, item.shape)) + b"t"
        strides = b"(" + b"".join(whole(stride // item.itemsize) for stride in item.strides) + b"t"
        no_hooks = b"ccollections\nOrderedDict\n)R"
        arguments = b"(" + storage + whole(0) + shape + strides + b"\x89" + no_hooks + b"t"
        return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"

    return b"\x80\x02" + encoded(value) + b"."
