"""ONNX files: their constants are counted before any is read, then the graph is matched by ``onnx_span``."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from span_keras.checkpoints.files import MAX_TENSOR_BYTES, Contents, Tensor, check_size
from span_keras.checkpoints.onnx_graph import itemsize_of
from span_keras.checkpoints.onnx_span import SpanGraph
from span_keras.errors import CheckpointError


def read(path: Path, source: str) -> Contents:
    """Read an ``.onnx`` file: NCHW RGB, fused or training form, float32 or float16.

    Raises:
        CheckpointError: the file is no ONNX model, or its graph is not SPAN's.
    """
    model = onnx.load(path, load_external_data=False)
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    tensors = [*model.graph.initializer, *(attribute.t for attribute in attributes if attribute.HasField("t"))]
    files, claimed = [path], 0
    # Of all tensors before any is read: a short file may read one beside it a thousand times.
    for tensor in tensors:
        claimed += _claim(tensor, path, source)
        check_size(f"{source} with {tensor.name}", (claimed,), 1)
        if uses_external_data(tensor):
            files += [path.parent / entry.value for entry in tensor.external_data if entry.key == "location"]
    files = list(dict.fromkeys(files))
    if (size := sum(file.stat().st_size for file in files if file.is_file())) > MAX_TENSOR_BYTES:
        raise CheckpointError(
            f"{source} has {size:,} bytes in all its files, more than the {MAX_TENSOR_BYTES:,} allowed."
        )
    for tensor in filter(uses_external_data, tensors):
        load_external_data_for_tensor(tensor, str(path.parent))  # Refuses files outside the folder.
        tensor.data_location = onnx.TensorProto.DEFAULT
    if not model.graph.node:
        raise CheckpointError(f"{source} holds no ONNX graph.")
    layers, config = SpanGraph(model, claimed, source).span()
    tensors = {f"{layer}/{key}": Tensor.of(value) for layer, group in layers.items() for key, value in group.items()}
    return Contents(tensors, "keras", config, files=tuple(files))


def _claim(tensor, path: Path, source: str) -> int:
    """Return the bytes of a tensor by its shape, or those to read from a file beside the model if they are more."""
    claimed = check_size(f"{tensor.name} of {source}", tensor.dims, itemsize_of(tensor.data_type, tensor.name, source))
    if not uses_external_data(tensor):
        return claimed
    where = {entry.key: entry.value for entry in tensor.external_data}
    file = path.parent / where.get("location", "")
    rest = (file.stat().st_size if file.is_file() else 0) - int(where.get("offset", 0))
    length = int(where.get("length", 0))  # Some readers take 0 or less for the rest of the file.
    return max(claimed, length if length > 0 else rest)
