"""Small files of TensorFlow.js and ONNX that describe large networks: a typed error, at once."""

import itertools
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.refusals import refused, refused_at_once

PIECE = 2**20
"""Bytes of a file that is referred to again and again."""
TIMES = 2**30 // PIECE + 1


@pytest.mark.parametrize("paths", [1, TIMES])
def test_one_shard_listed_again_and_again(tmp_path, paths):
    (tmp_path / "a.bin").write_bytes(bytes(PIECE))

    def group(name):
        return {
            "paths": ["a.bin"] * paths,
            "weights": [{"name": name, "shape": [paths * PIECE // 4], "dtype": "float32"}],
        }

    groups = [group(f"layer_{i}/kernel") for i in range(TIMES // paths)]
    (tmp_path / "model.json").write_text(json.dumps({"modelTopology": {}, "weightsManifest": groups}))
    refused(tmp_path / "model.json", "has shards of 1,074,790,400 bytes, more than the 1,073,741,824 allowed")


@pytest.fixture
def model(goldens) -> onnx.ModelProto:
    """A valid ONNX model of 25 kB of weights."""
    return onnx.load(goldens / "fused_x4.onnx")


def save_onnx(path, model):
    path.write_bytes(model.SerializeToString())  # As it is: onnx.save would read the files beside it.
    return path


def external(name: str, dims: list[int], **more: int) -> TensorProto:
    """A tensor that is kept in a.data."""
    tensor = TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "a.data", **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize(
    ("dims", "more"),
    [
        ([PIECE // 4], {"length": PIECE}),
        ([1], {"length": PIECE}),
        ([1], {}),
        ([1], {"offset": 4}),
        ([1], {"length": 0}),
    ],
    ids=["true", "untrue", "whole", "rest", "empty"],
)
@pytest.mark.parametrize("kind", ["initializer", "node"])
def test_one_file_read_into_many_tensors(tmp_path, model, dims, more, kind):
    (tmp_path / "a.data").write_bytes(bytes(PIECE))
    tensors = [external(f"w{i}", dims, **more) for i in range(TIMES)]
    if kind == "initializer":
        model.graph.initializer.extend(tensors)
    else:
        model.graph.node.extend(helper.make_node("Constant", [], [t.name], value=t) for t in tensors)
    refused(save_onnx(tmp_path / "a.onnx", model), r"with w\d+ claims 1,07\d,\d{3},\d{3} bytes, more than")


def test_claims_of_all_tensors_are_summed(tmp_path, model):
    for i in range(3):
        model.graph.initializer.append(TensorProto(name=f"w{i}", dims=[2**27], data_type=TensorProto.FLOAT))
    refused(save_onnx(tmp_path / "a.onnx", model), r"with w1 claims 1,073,\d{3},\d{3} bytes, more than")


def test_endless_dimensions(tmp_path, model):
    model.graph.initializer.append(TensorProto(name="w", dims=[2**62] * 300_000, data_type=TensorProto.FLOAT))
    refused_at_once((save_onnx(tmp_path / "a.onnx", model), "w of .* claims the impossible shape"))


def replace_last_kernel(model, *nodes, **constants) -> None:
    """Let the last convolution take its kernel from the output ``kernel`` of new nodes."""
    conv = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    conv.input[1] = "kernel"
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def test_a_weight_behind_many_casts(tmp_path, model):
    """A megabyte, of which every cast makes two or one."""
    names = ["start", *(f"cast_{i}" for i in range(99)), "kernel"]
    casts = [
        helper.make_node("Cast", [old], [new], to=TensorProto.FLOAT if i % 2 else TensorProto.DOUBLE)
        for i, (old, new) in enumerate(itertools.pairwise(names))
    ]
    replace_last_kernel(model, *casts, start=np.zeros((48, 600, 3, 3), np.float32))
    refused(
        save_onnx(tmp_path / "a.onnx", model), "computes constants, up to 'cast_.*', of more than 16 times the size"
    )


def test_many_sums_that_grow(tmp_path, model):
    """Each is of two times 512 numbers and has 2**18."""
    sums = [helper.make_node("Add", ["rows", "columns"], [f"sum_{i}"]) for i in range(9)]
    both = helper.make_node("Concat", [node.output[0] for node in sums], ["kernel"], axis=0)
    replace_last_kernel(model, *sums, both, rows=np.zeros((512, 1), "f4"), columns=np.zeros((1, 512), "f4"))
    refused(save_onnx(tmp_path / "a.onnx", model), "computes constants, up to 'sum_.*', of more than 16 times the size")


def test_texts_in_a_graph(tmp_path, model):
    text = TensorProto(name="text", dims=[2], data_type=TensorProto.STRING, string_data=[b"x" * 9, b""])
    model.graph.initializer.append(text)
    refused(save_onnx(tmp_path / "a.onnx", model), "holds texts in text, expected numbers")
    model.graph.initializer.pop()
    cast = helper.make_node("Cast", ["start"], ["kernel"], to=TensorProto.STRING)
    replace_last_kernel(model, cast, start=np.zeros((48, 8, 3, 3), np.float32))
    refused(save_onnx(tmp_path / "a.onnx", model), "holds texts in kernel, expected numbers")


def test_a_normalisation_that_never_starts(tmp_path, model):
    """Two multiplications, each of the other's result."""
    for node in model.graph.node:
        node.input[:] = ["first" if name == "image" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2), "two"))
    for result, operand in (("first", "second"), ("second", "first")):
        model.graph.node.append(helper.make_node("Mul", [operand, "two"], [result]))
    refused_at_once((save_onnx(tmp_path / "a.onnx", model), "has a cycle in its graph"))
