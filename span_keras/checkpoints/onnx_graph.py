"""An ONNX graph as lookups: what makes a value, and which values are constants."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np
from onnx import TensorProto
from onnx.helper import get_attribute_value, tensor_dtype_to_np_dtype
from onnx.numpy_helper import to_array
from onnx.reference import ReferenceEvaluator

from span_keras.checkpoints.files import MAX_TENSOR_BYTES
from span_keras.errors import CheckpointError

RESHAPING = ("Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")

FOLDED = ("Add", "Concat", "ConstantOfShape", "Div", "Gather", "Mul", "Neg", "Reciprocal", "Slice", "Sqrt", "Sub")
"""Operations on constants that exporters leave in the graph. They may grow their result, unlike those of
``RESHAPING``, so they are computed on a few numbers only."""

LAYOUTS = ((0, 3, 1, 2), (0, 2, 3, 1))
"""Permutations between NHWC and NCHW."""

FEW = 1024

MAX_GROWTH = 16
"""Constants that the graph computes may take this many times the room of those it holds: a few casts of float16, say,
and a transposition. Each intermediate result is kept."""


def itemsize_of(data_type: int, name: str, source: str) -> int:
    """Return the bytes that a number of ONNX's type takes in memory."""
    # NumPy gives every text of an array the room of the longest, and adds texts by joining them.
    if data_type == TensorProto.STRING:
        raise CheckpointError(f"{source} holds texts in {name}, expected numbers.")
    return tensor_dtype_to_np_dtype(data_type).itemsize


class Graph:
    """Look up what makes a value of a graph, and whether it is a constant.

    Args:
        model: the ``onnx.ModelProto``.
        held: bytes of the constants that the model holds.
        source: the file's name for messages.
    """

    def __init__(self, model, held: int, source: str):
        graph, self.source = model.graph, source
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self.producers = {output: node for node in graph.node for output in node.output}
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in self.initializers]
        self.outputs = [value.name for value in graph.output]
        self.constants: dict[str, np.ndarray | None] = {}
        self.room = min(MAX_TENSOR_BYTES, MAX_GROWTH * held + 2**20)  # A megabyte for the small ones.

    def skip(self, value: str, *more: str) -> str:
        """Return the value behind nodes that change nothing here, such as a change between NCHW and NHWC."""
        for _ in range(len(self.producers) + 1):
            node = self.producers.get(value)
            if node is None or not (
                node.op_type in ("Identity", "Cast", "Dropout", *more)
                or (node.op_type == "Transpose" and tuple(self.attributes(node).get("perm", ())) in LAYOUTS)
            ):
                return value
            value = node.input[0]
        raise CheckpointError(f"{self.source} has a cycle in its graph.")

    def both_ways(self, node) -> list[tuple[str, str]]:
        """Return the two inputs of a node in either order."""
        left, right = map(self.skip, node.input)
        return [(left, right), (right, left)]

    def expect(self, value: str, *operations: str):
        """Return the node that makes a value; it has to be one of these operations."""
        node = self.producers.get(value)
        if node is None or node.op_type not in operations:
            self.fail(" or ".join(operations), value)
        return node

    def fail(self, expected: str, value: str) -> NoReturn:
        """Refuse the graph: something else than expected makes a value."""
        node = self.producers.get(value)
        found = f"{node.op_type} (node {node.name!r})" if node is not None else "an input"
        raise CheckpointError(
            f"{self.source} is not SPAN's graph: expected {expected} to make {value!r}, found {found}; "
            "a model exported from unchanged PyTorch or Keras code can be read."
        )

    def attributes(self, node) -> dict:
        """Return the attributes of a node by name."""
        return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}

    def dimensions(self, value: str) -> list[int | None]:
        """Return the numbers of a shape that a graph puts together, None for each that depends on the image."""
        node = self.producers.get(value)
        if (known := self.constant(value)) is not None:
            return [int(number) for number in known.reshape(-1)]
        if node is not None and node.op_type in ("Cast", "Identity"):
            return self.dimensions(node.input[0])
        if node is None or node.op_type != "Concat":
            return [None]
        # One number of each part that is not constant, as exporters take shapes apart.
        parts = [self.constant(part) for part in node.input]
        return [n for part in parts for n in ([None] if part is None else [int(number) for number in part.reshape(-1)])]

    def pads(self, node) -> list[int]:
        """Return the padding of a Conv on its four sides; empty where there is none."""
        attributes = self.attributes(node)
        if attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
            kernel = self.constant(node.input[1])
            return (
                [side // 2 for side in kernel.shape[2:]] * 2 if kernel is not None and max(kernel.shape[2:]) > 1 else []
            )
        sides = list(attributes.get("pads", ()))
        return sides if any(sides) else []

    def constant(self, value: str) -> np.ndarray | None:
        """Return the value as an array if the graph fixes it, else None."""
        if value not in self.constants:
            self.constants[value] = None  # What a cycle in the graph finds.
            self.constants[value] = self._constant(value)
        return self.constants[value]

    def _constant(self, value: str) -> np.ndarray | None:
        if value in self.initializers:
            return to_array(self.initializers[value])
        node = self.producers.get(value)
        if node is None or len(node.output) != 1:  # One of many outputs would be computed for each.
            return None
        attributes = self.attributes(node)
        if node.op_type == "Constant":
            if "value" in attributes:
                return to_array(attributes["value"])
            kinds = ("value_float", "value_floats", "value_int", "value_ints")
            return next((np.asarray(attributes[kind]) for kind in kinds if kind in attributes), None)
        operands = [self.constant(name) for name in node.input]
        if not operands or any(operand is None for operand in operands):
            return None
        few = sum(operand.size for operand in operands) <= FEW
        if node.op_type == "ConstantOfShape":
            few = few and math.prod(operands[0].tolist()) <= FEW
        if node.op_type not in RESHAPING and not (node.op_type in FOLDED and few):
            return None
        if node.op_type == "Cast":
            self.take(value, operands[0].size * itemsize_of(attributes["to"], value, self.source))
        evaluator = ReferenceEvaluator(node, opsets=self.opsets)
        result = evaluator.run(None, dict(zip(node.input, operands, strict=True)))[0]
        if node.op_type != "Cast":  # These give as much as they take, or little.
            self.take(value, result.nbytes)
        return result

    def take(self, value: str, size: int) -> None:
        """Count the bytes of a constant that the graph computes."""
        self.room -= size
        if self.room < 0:
            raise CheckpointError(
                f"{self.source} computes constants, up to {value!r}, of more than {MAX_GROWTH} times the size of those "
                "it holds; fold them into weights, as onnxsim does."
            )
