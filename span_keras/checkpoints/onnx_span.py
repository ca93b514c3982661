"""Recognise SPAN in an ONNX graph, so that the names of tensors and nodes do not matter.

The graph is walked from its output to its input. Each step expects one part of SPAN and says what it found instead.
Read this way, variant, normalisation and channel order are facts of the file, not assumptions.
"""

from __future__ import annotations

import numpy as np

from span_keras.checkpoints.onnx_graph import Graph
from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import CheckpointError
from span_keras.network.reparam import shuffle_order

MAX_BLOCKS = 64

ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}

SHUFFLES = {(0, 1, 4, 2, 5, 3): ("CRD", 2), (0, 3, 4, 1, 5, 2): ("DCR", 2), (0, 1, 3, 2, 4, 5): ("DCR", 3)}
"""Pixel shuffles written as reshape, transpose, reshape: the permutation tells the channel order, and which of the six
axes has the scale; the last is that of NHWC."""


class SpanGraph(Graph):
    """Match the parts of SPAN in a graph, from its output back to its input."""

    def span(self) -> tuple[dict[str, dict[str, np.ndarray]], dict]:
        """Return layers by our names (HWIO, block-major) and fields of ``SpanConfig``.

        Raises:
            CheckpointError: the graph is not SPAN's.
        """
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
        channels = next(conv_1[key].shape[2] for key in ("kernel", "skip_kernel") if key in conv_1)
        config, balance = self.normalisation(value, channels)

        layers = {"conv_1": conv_1}
        for i, block in enumerate(blocks, 1):
            layers |= {f"block_{i}_c{j}": layer for j, layer in enumerate(block, 1)}
        if balance is not None:
            for key in ("kernel", "skip_kernel", "expand_kernel"):
                if key in conv_1:
                    conv_1[key] = conv_1[key] * balance[:, None]
        colors, rest = divmod(len(upsampler["bias"]), scale**2)
        if rest or not colors:
            raise CheckpointError(
                f"{self.source} shuffles {len(upsampler['bias'])} channels by {scale}, expected a multiple of {scale}²."
            )
        if order == "CRD":
            upsampler = {key: value[..., shuffle_order(scale, colors)] for key, value in upsampler.items()}
        layers |= {"conv_2": conv_2, "conv_cat": conv_cat, "upsampler": upsampler}
        return layers, {"variant": kinds.pop(), **config}

    def pixel_shuffle(self, value: str) -> tuple[str, str, int]:
        """Return input, channel order and scale of the pixel shuffle that makes a value.

        Order CRD is PyTorch's, DCR is block-major.
        """
        value = self.uncropped(value)
        node = self.expect(value, "DepthToSpace", "Reshape", "ConvTranspose")
        if node.op_type == "DepthToSpace":
            attributes = self.attributes(node)
            return self.skip(node.input[0]), attributes.get("mode", b"DCR").decode(), int(attributes["blocksize"])
        if node.op_type == "ConvTranspose":
            return self.skip(node.input[0]), *self.transposed_shuffle(node)
        transpose = self.expect(self.skip(node.input[0]), "Transpose")
        order, axis = SHUFFLES.get(tuple(self.attributes(transpose).get("perm", ())), (None, 0))
        if order is None:
            self.fail("a Transpose that shuffles pixels", self.skip(node.input[0]))
        split = self.expect(self.skip(transpose.input[0]), "Reshape")
        shape = self.dimensions(split.input[1])
        if len(shape) != 6 or shape[axis] is None:
            self.fail("a Reshape to six axes of known scale before the Transpose", self.skip(transpose.input[0]))
        return self.skip(split.input[0]), order, shape[axis]

    def uncropped(self, value: str) -> str:
        """Return the value behind the Slice and Pad by which exporters give a transposed convolution its size.

        They depend on the image, and take nothing away where kernel and stride are equal.
        """
        for kind in ("Pad", "Slice"):
            node = self.producers.get(value)
            if node is not None and node.op_type == kind and self.constant(node.input[1]) is None:
                value = self.skip(node.input[0])
        return value

    def transposed_shuffle(self, node) -> tuple[str, int]:
        """Return channel order and scale of a transposed convolution that moves every channel to its own place."""
        kernel, attributes = self.constant(node.input[1]), self.attributes(node)
        scale = kernel.shape[-1] if kernel is not None and kernel.ndim == 4 else 0
        plain = (
            scale
            and kernel.shape == (kernel.shape[1] * scale**2, kernel.shape[1], scale, scale)
            and attributes.get("strides") == [scale, scale]
            and attributes.get("group", 1) == 1
            and not self.pads(node)
            and len(node.input) < 3
        )
        if plain:
            # (C·s², C, s, s): a one at the place of each channel. Block-major, the place counts before the colour.
            ones = np.eye(len(kernel), dtype=kernel.dtype)
            colors = kernel.shape[1]
            if np.array_equal(kernel, ones.reshape(-1, scale, scale, colors).transpose(0, 3, 1, 2)):
                return "DCR", scale
            if np.array_equal(kernel, ones.reshape(kernel.shape)):
                return "CRD", scale
        return self.fail("a ConvTranspose that shuffles pixels", node.output[0])

    def spab(self, value: str) -> tuple[list[dict], str, str, set[str]]:
        """Return a block's three layers, its input, ``act(c1)``, and the variants its activations belong to."""
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
        """Return the variant whose symmetric activation makes the value, or ``None``, and what it is applied to."""
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
        """Return the variant whose activation makes the value, and what it is applied to."""
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
        """Return a Conv3XC in either form and its input."""
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
        """Return kernel (HWIO) and bias of the convolution that makes a value, and its input.

        Args:
            value: its output.
            size: side of the kernel.
            pad: padding on every side, by default that of "same".
        """
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

    def normalisation(self, value: str, channels: int) -> tuple[dict, np.ndarray | None]:
        """Return range and mean of the chain of constants between the graph's input and the first convolution.

        Args:
            value: the convolution's input.
            channels: of the graph's input.

        Returns:
            Fields of ``SpanConfig``, and per-channel factors for the first kernel if the channels' ranges differ.
        """
        steps, value = [], self.skip(value)
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
                or constant.size not in (1, channels)
                or (constant.size > 1 and constant.shape[-3:] not in ((channels, 1, 1), (channels,), (1, 1, channels)))
            ):
                self.fail("a constant per colour in the normalisation", node.output[0])
            steps.append((node.op_type, constant.astype(np.float64).reshape(-1)))
        factor, shift = np.ones(channels), np.zeros(channels)  # What the chain computes: factor · x + shift.
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
