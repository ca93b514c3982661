"""ONNX models: the network is recognised in the graph, so names of tensors and nodes do not matter.

The graph is walked from its output to its input. Each step expects one part of SPAN and says what it found instead.
Read this way, variant, normalisation and channel order are facts of the file, not assumptions.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from span_keras.checkpoints.files import MAX_BYTES, Contents, Tensor, check_size
from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import CheckpointError
from span_keras.network.reparam import shuffle_order

MAX_BLOCKS = 64
RESHAPING = ("Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
FOLDED = ("Add", "Concat", "ConstantOfShape", "Div", "Gather", "Mul", "Neg", "Reciprocal", "Slice", "Sqrt", "Sub")
"""Operations on constants that exporters leave in the graph. Those of the second kind may grow their result, so they
are computed on a few numbers only."""
FEW = 1024
MAX_GROWTH = 16
"""Constants that the graph computes may take as many times the room of those it holds: a few casts of float16, say, and
a transposition. Each intermediate result is kept."""
ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
SHUFFLES = {(0, 1, 4, 2, 5, 3): "CRD", (0, 3, 4, 1, 5, 2): "DCR"}
"""Pixel shuffles written as reshape, transpose, reshape: the permutation tells the channel order."""


def read(path: Path, source: str) -> Contents:
    """Read an ``.onnx`` file: NCHW RGB, fused or training form, float32 or float16.

    Raises:
        CheckpointError: the file is no ONNX model, or its graph is not SPAN's.
    """
    import onnx
    from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

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
    if (size := sum(file.stat().st_size for file in files if file.is_file())) > MAX_BYTES:
        raise CheckpointError(f"{source} has {size:,} bytes in all its files, more than the {MAX_BYTES:,} allowed.")
    for tensor in filter(uses_external_data, tensors):
        load_external_data_for_tensor(tensor, str(path.parent))  # Refuses files outside the folder.
        tensor.data_location = onnx.TensorProto.DEFAULT
    if not model.graph.node:
        raise CheckpointError(f"{source} holds no ONNX graph.")
    layers, config = _Graph(model, claimed, source).span()
    tensors = {f"{layer}/{key}": Tensor.of(value) for layer, group in layers.items() for key, value in group.items()}
    return Contents(tensors, "keras", config, files=tuple(files))


def _claim(tensor, path: Path, source: str) -> int:
    """Bytes of a tensor by its shape, or those to read from a file beside the model if they are more."""
    from onnx.external_data_helper import uses_external_data

    claimed = check_size(f"{tensor.name} of {source}", tensor.dims, _itemsize(tensor.data_type, tensor.name, source))
    if not uses_external_data(tensor):
        return claimed
    where = {entry.key: entry.value for entry in tensor.external_data}
    file = path.parent / where.get("location", "")
    rest = (file.stat().st_size if file.is_file() else 0) - int(where.get("offset", 0))
    length = int(where.get("length", 0))  # Some readers take 0 or less for the rest of the file.
    return max(claimed, length if length > 0 else rest)


def _itemsize(data_type: int, name: str, source: str) -> int:
    """Bytes that a number of ONNX's type takes in memory."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    # NumPy gives every text of an array the room of the longest, and adds texts by joining them.
    if data_type == TensorProto.STRING:
        raise CheckpointError(f"{source} holds texts in {name}, expected numbers.")
    return tensor_dtype_to_np_dtype(data_type).itemsize


class _Graph:
    """A graph as lookups from a value's name to what makes it.

    Args:
        held: bytes of the constants that the model holds.
    """

    def __init__(self, model, held: int, source: str):
        graph, self.source = model.graph, source
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self.producers = {output: node for node in graph.node for output in node.output}
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in self.initializers]
        self.outputs = [value.name for value in graph.output]
        self.constants: dict[str, np.ndarray | None] = {}
        self.room = min(MAX_BYTES, MAX_GROWTH * held + 2**20)  # A megabyte for the small ones.

    # The parts of SPAN, from the output back to the input ------------------------------------------------------------

    def span(self) -> tuple[dict[str, dict[str, np.ndarray]], dict]:
        """Layers by our names (HWIO, block-major) and fields of ``SpanConfig``."""
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            raise CheckpointError(
                f"{self.source} has {len(self.inputs)} inputs and {len(self.outputs)} outputs, expected one image each."
            )
        value = self.skip(self.outputs[0], "Clip")
        value, order, scale = self.pixel_shuffle(value)
        upsampler, value = self.conv(value, 3)
        conv_cat, value = self.conv(value, 1)
        concat = self.expect(value, "Concat")
        if len(concat.input) != 4 or self.attributes(concat).get("axis") not in (1, -3):
            self.fail(f"a Concat of four features, not {len(concat.input)},", value)
        head, tail, first, activated = map(self.skip, concat.input)
        conv_2, features = self.repconv(tail)

        blocks, kinds = [], set()
        while features != head:
            if len(blocks) == MAX_BLOCKS:
                raise CheckpointError(
                    f"{self.source} has more than {MAX_BLOCKS} blocks, or does not start from conv_1."
                )
            output = features
            block, features, last, kind = self.spab(output)
            kinds |= kind
            if not blocks and last != activated:
                self.fail("the activated first convolution of the last block as fourth feature", activated)
            blocks.insert(0, block)
        if not blocks or first != output:
            self.fail("the first block's output as third feature", first)
        if len(kinds) != 1:
            raise CheckpointError(
                f"{self.source} mixes activations, expected LeakyReLU with tanh or SiLU with sigmoid - 0.5."
            )
        conv_1, value = self.repconv(head)
        config, balance = self.normalisation(value)

        layers = {"conv_1": conv_1}
        for i, block in enumerate(blocks, 1):
            layers |= {f"block_{i}_c{j}": layer for j, layer in enumerate(block, 1)}
        if balance is not None:
            for key in ("kernel", "skip_kernel", "expand_kernel"):
                if key in conv_1:
                    conv_1[key] = conv_1[key] * balance[:, None]
        if 3 * scale**2 != len(upsampler["bias"]):
            raise CheckpointError(
                f"{self.source} shuffles {len(upsampler['bias'])} channels by {scale}, expected 3 colours."
            )
        if order == "CRD":
            upsampler = {key: value[..., shuffle_order(scale)] for key, value in upsampler.items()}
        layers |= {"conv_2": conv_2, "conv_cat": conv_cat, "upsampler": upsampler}
        return layers, {"variant": kinds.pop(), **config}

    def pixel_shuffle(self, value: str) -> tuple[str, str, int]:
        """Input, channel order (CRD is PyTorch's, DCR is block-major) and scale of the pixel shuffle that makes it."""
        node = self.expect(value, "DepthToSpace", "Reshape")
        if node.op_type == "DepthToSpace":
            attributes = self.attributes(node)
            return self.skip(node.input[0]), attributes.get("mode", b"DCR").decode(), int(attributes["blocksize"])
        transpose = self.expect(self.skip(node.input[0]), "Transpose")
        order = SHUFFLES.get(tuple(self.attributes(transpose).get("perm", ())))
        if order is None:
            self.fail("a Transpose that shuffles pixels", self.skip(node.input[0]))
        split = self.expect(self.skip(transpose.input[0]), "Reshape")
        shape = self.constant(split.input[1])
        if shape is None or len(shape) != 6:
            self.fail("a constant Reshape to six axes before the shuffling Transpose", self.skip(transpose.input[0]))
        return self.skip(split.input[0]), order, int(shape[2])

    def spab(self, value: str) -> tuple[list[dict], str, str, set[str]]:
        """A block's three layers, its input, ``act(c1)``, and the variants its activations belong to."""
        product = self.expect(value, "Mul")
        for gate, total in self.both_ways(product):
            kind, gated = self.symmetric(gate)
            addition = self.producers.get(total)
            if kind and addition is not None and addition.op_type == "Add":
                for o3, features in self.both_ways(addition):
                    if o3 == gated:
                        c3, x = self.repconv(o3)
                        second, x = self.activation(x)
                        c2, activated = self.repconv(x)
                        third, x = self.activation(activated)
                        c1, x = self.repconv(x)
                        if x != features:
                            self.fail("the block's input added to its last convolution", features)
                        return [c1, c2, c3], features, activated, {kind, second, third}
        return self.fail("(o3 + x) times tanh(o3) or times sigmoid(o3) - 0.5", value)

    def symmetric(self, value: str) -> tuple[str | None, str]:
        """The variant whose symmetric activation makes the value, or ``None``, and what it is applied to."""
        node = self.producers.get(value)
        if node is not None and node.op_type == "Tanh":
            return "span", self.skip(node.input[0])
        if node is not None and node.op_type in ("Sub", "Add"):
            sigmoid = self.producers.get(self.skip(node.input[0]))
            offset = self.constant(node.input[1])
            half = 0.5 if node.op_type == "Sub" else -0.5
            if sigmoid is not None and sigmoid.op_type == "Sigmoid" and offset is not None and np.all(offset == half):
                return "official", self.skip(sigmoid.input[0])
        return None, value

    def activation(self, value: str) -> tuple[str, str]:
        """The variant whose activation makes the value, and what it is applied to."""
        node = self.expect(value, "LeakyRelu", "PRelu", "Mul", "Swish")
        x = self.skip(node.input[0])
        if node.op_type in ("LeakyRelu", "PRelu"):
            slope = (
                self.attributes(node).get("alpha", 0.01)
                if node.op_type == "LeakyRelu"
                else self.constant(node.input[1])
            )
            if slope is None or np.any(np.abs(np.float64(slope) - LEAKY_SLOPE) > 1e-3 * LEAKY_SLOPE):
                self.fail(f"LeakyReLU with slope {LEAKY_SLOPE}, not {slope},", value)
            return "span", x
        if node.op_type == "Swish":
            return "official", x
        for x, gate in self.both_ways(node):
            sigmoid = self.producers.get(gate)
            if sigmoid is not None and sigmoid.op_type == "Sigmoid" and self.skip(sigmoid.input[0]) == x:
                return "official", x
        return self.fail("SiLU or LeakyReLU", value)

    def repconv(self, value: str) -> tuple[dict[str, np.ndarray], str]:
        """A Conv3XC in either form and its input."""
        node = self.expect(value, "Conv", "Add")
        if node.op_type == "Conv":
            return self.conv(value, 3)
        for main, skip in self.both_ways(node):
            project, inner = self.conv(main, 1)
            if (conv := self.producers.get(inner)) is None or conv.op_type != "Conv":
                continue
            middle, inner = self.conv(inner, 3, pad=0)
            pad = self.producers.get(inner)
            expand, x = self.conv(inner, 1, pad=1 if pad is not None and self.pads(pad) else 0)
            if (pad := self.producers.get(x)) is not None and pad.op_type == "Pad":
                sides = self.constant(pad.input[1])
                if sides is None or sides.tolist() != [0, 0, 1, 1, 0, 0, 1, 1]:
                    self.fail("a padding of one pixel", x)
                x = self.skip(pad.input[0])
            direct, start = self.conv(skip, 1)
            if start != x:
                self.fail("a skip convolution from the same input", skip)
            parts = {"skip": direct, "expand": expand, "conv": middle, "project": project}
            return {f"{part}_{key}": group[key] for part, group in parts.items() for key in ("kernel", "bias")}, x
        return self.fail("the four convolutions of a Conv3XC", value)

    def conv(self, value: str, size: int, pad: int | None = None) -> tuple[dict[str, np.ndarray], str]:
        """Kernel (HWIO) and bias of the convolution that makes the value, and its input; padding "same" by default."""
        node = self.expect(value, "Conv")
        attributes = self.attributes(node)
        kernel = self.constant(node.input[1])
        bias = self.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        pad = size // 2 if pad is None else pad
        plain = (
            kernel is not None
            and kernel.shape[2:] == (size, size)
            and (len(node.input) < 3 or not node.input[2] or bias is not None)
            and set(attributes.get("strides", ())) <= {1}
            and set(attributes.get("dilations", ())) <= {1}
            and attributes.get("group", 1) == 1
            and (self.pads(node) or [0] * 4) == [pad] * 4
        )
        if not plain:
            self.fail(f"a plain {size}×{size} convolution with constant weights and a padding of {pad}", value)
        bias = np.zeros(kernel.shape[0], kernel.dtype) if bias is None else bias
        return {"kernel": kernel.transpose(2, 3, 1, 0), "bias": bias}, self.skip(node.input[0])

    def normalisation(self, value: str) -> tuple[dict, np.ndarray | None]:
        """Range and mean of the chain of constants between the graph's input and the first convolution.

        Returns:
            Fields of ``SpanConfig``, and per-channel factors for the first kernel if the channels' ranges differ.
        """
        steps = []
        while value != self.inputs[0]:
            if len(steps) > len(self.producers):
                raise CheckpointError(f"{self.source} has a cycle in its graph.")
            node = self.expect(value, "Sub", "Add", "Mul", "Div")
            left, right = (self.constant(name) for name in node.input)
            if right is None and left is not None and node.op_type in ("Add", "Mul"):
                constant, value = left, self.skip(node.input[1])
            else:
                constant, value = right, self.skip(node.input[0])
            if (
                constant is None
                or constant.size not in (1, 3)
                or (constant.size == 3 and constant.shape[-3:] != (3, 1, 1))
            ):
                self.fail("a constant per colour in the normalisation", node.output[0])
            steps.append((node.op_type, constant.astype(np.float64).reshape(-1)))
        factor, shift = np.ones(3), np.zeros(3)  # What the chain computes: factor · x + shift.
        for operation, constant in reversed(steps):
            if operation in ("Mul", "Div"):
                factor, shift = (ARITHMETIC[operation](part, constant) for part in (factor, shift))
            else:
                shift = ARITHMETIC[operation](shift, constant)
        if not np.all(factor) or not np.isfinite([factor, shift]).all():
            raise CheckpointError(
                f"{self.source} multiplies its input by {factor.tolist()}, expected finite non-zero numbers."
            )
        balance = factor / factor[0]
        # float32 storage leaves digits behind that nobody wrote.
        config = {"img_range": float(f"{factor[0]:.6g}"), "rgb_mean": [0.0 - float(f"{m:.7g}") for m in shift / factor]}
        return config, None if np.allclose(balance, 1, rtol=1e-6) else balance

    # Lookups ---------------------------------------------------------------------------------------------------------

    def skip(self, value: str, *more: str) -> str:
        """The value behind nodes that change nothing here."""
        for _ in range(len(self.producers) + 1):
            node = self.producers.get(value)
            if node is None or node.op_type not in ("Identity", "Cast", "Dropout", *more):
                return value
            value = node.input[0]
        raise CheckpointError(f"{self.source} has a cycle in its graph.")

    def both_ways(self, node) -> list[tuple[str, str]]:
        left, right = map(self.skip, node.input)
        return [(left, right), (right, left)]

    def expect(self, value: str, *operations: str):
        node = self.producers.get(value)
        if node is None or node.op_type not in operations:
            self.fail(" or ".join(operations), value)
        return node

    def fail(self, expected: str, value: str):
        node = self.producers.get(value)
        found = f"{node.op_type} (node {node.name!r})" if node is not None else "an input"
        raise CheckpointError(
            f"{self.source} is not SPAN's graph: expected {expected} to make {value!r}, found {found}; "
            "a model exported from the unchanged PyTorch code can be read."
        )

    def attributes(self, node) -> dict:
        from onnx.helper import get_attribute_value

        return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}

    def pads(self, node) -> list[int]:
        """Padding of a Conv on its four sides; empty where there is none."""
        attributes = self.attributes(node)
        if attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
            kernel = self.constant(node.input[1])
            return (
                [side // 2 for side in kernel.shape[2:]] * 2 if kernel is not None and max(kernel.shape[2:]) > 1 else []
            )
        sides = list(attributes.get("pads", ()))
        return sides if any(sides) else []

    def constant(self, value: str) -> np.ndarray | None:
        """The value as an array if the graph fixes it, else ``None``."""
        if value not in self.constants:
            self.constants[value] = None  # What a cycle in the graph finds.
            self.constants[value] = self._constant(value)
        return self.constants[value]

    def _constant(self, value: str) -> np.ndarray | None:
        from onnx.numpy_helper import to_array
        from onnx.reference import ReferenceEvaluator

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
            self.take(value, operands[0].size * _itemsize(attributes["to"], value, self.source))
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
