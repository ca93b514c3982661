"""Write SPAN weights as an ONNX model, and run one in onnxruntime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from span_export import metadata
from span_export.targets import WriteOptions
from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import ExportError
from span_keras.network.config import ACTIVATIONS, SpanConfig
from span_keras.network.reparam import shuffle_order
from span_keras.network.topology import topology
from span_keras.network.weights import SpanWeights

OPSET, IR_VERSION = 13, 7
"""Every operation of SPAN has its present meaning since opset 13, which onnxruntime 1.8, DirectML 1.6 and
onnxruntime-web read."""
EXACT = ("normalize", "upsampler", "pixel_shuffle")
"""Parts that stay in float32, as in mixed-precision training: float16 has half a level's error at white."""


def write(weights: SpanWeights, path: Path, options: WriteOptions) -> None:
    """Write an ``.onnx`` file: ``input`` (N, C, H, W) float32 in [0, 1] -> ``output`` (N, D, H·scale, W·scale).

    C and D are the network's input and output channels.

    With ``float16``, the hidden layers hold and compute float16; input, output, and what ``EXACT`` names, stay float32.
    ``metadata_props["span"]`` holds ``metadata.describe`` as JSON.

    Args:
        weights: fused.
        path: created.
        options: the size is that of H and W; N is 1 if it is fixed.
    """
    graph = _GraphWriter(weights, options.number_format == "float16")
    topology("input", weights.config, graph.layer)
    graph.nodes[-1].output[0] = "output"
    height, width = options.fixed_size or ("height", "width")
    config = weights.config
    scale, batch = config.scale, 1 if options.fixed_size else "batch"
    larger = [side * scale if options.fixed_size else f"{scale}*{side}" for side in (height, width)]
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"span_x{scale}",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, config.in_channels, height, width])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, config.out_channels, *larger])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="span-export",
    )
    helper.set_model_props(proto, {"span": json.dumps(metadata.describe(graph.written(), options.number_format))})
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


class _GraphWriter:
    """Collect the nodes and constants that SPAN's layers become; values are names of tensors."""

    def __init__(self, weights: SpanWeights, half: bool):
        self.weights = weights
        self.half = half
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._halves: set[str] = set()
        config = weights.config
        self._operations = {
            "act": {"leaky_relu": self._leaky_relu, "silu": self._silu}[ACTIVATIONS[config.variant][0]],
            "sigmoid": lambda name, x: self._node("Sigmoid", name, x),
            "offset": lambda name, x: self._node("Sub", name, x, self._constant(f"{name}/half", np.float32(0.5))),
            "tanh": lambda name, x: self._node("Tanh", name, x),
            "add": lambda name, pair: self._node("Add", name, *pair),
            "multiply": lambda name, pair: self._node("Mul", name, *pair),
            "concatenate": lambda name, parts: self._node("Concat", name, *parts, axis=1),
            "normalize": self._normalize,
            # PyTorch's order of channels, which its exporter has made the one that every runtime knows.
            "pixel_shuffle": lambda name, x: self._node("DepthToSpace", name, x, blocksize=config.scale, mode="CRD"),
        }

    def layer(self, kind: str, name: str):
        """Return the factory's layer for ``topology``: from tensors' names to a tensor's name."""
        apply = self._convolution if name in self.weights.layers else self._operations[kind]
        exact = not self.half or name in EXACT

        def call(inputs):
            many = isinstance(inputs, list)
            cast = [self._cast(value, exact) for value in (inputs if many else [inputs])]
            return apply(name, cast if many else cast[0])

        return call

    def written(self) -> SpanWeights:
        """Return the weights as they are stored."""
        if not self.half:
            return self.weights
        layers = {
            name: group if name in EXACT else {key: np.float32(np.float16(value)) for key, value in group.items()}
            for name, group in self.weights.layers.items()
        }
        return replace(self.weights, layers=layers)

    def _cast(self, value: str, exact: bool) -> str:
        """Return the tensor in float32 if ``exact``, else in float16."""
        if (value not in self._halves) == exact:
            return value
        name = f"{value}/{'float32' if exact else 'float16'}"
        if not any(name in node.output for node in self.nodes):
            kind = TensorProto.FLOAT if exact else TensorProto.FLOAT16
            self.nodes.append(helper.make_node("Cast", [value], [name], name, to=kind))
            if not exact:
                self._halves.add(name)
        return name

    def _node(self, operation: str, name: str, *inputs: str, **attributes) -> str:
        self.nodes.append(helper.make_node(operation, inputs, [name], name, **attributes))
        if any(value in self._halves for value in inputs):
            self._halves.add(name)
        return name

    def _constant(self, name: str, value: np.ndarray, exact: bool | None = None) -> str:
        exact = not self.half if exact is None else exact
        self.initializers.append(numpy_helper.from_array(np.asarray(value, "f4" if exact else "f2"), name))
        return name

    def _convolution(self, name: str, x: str) -> str:
        group = self.weights.layers[name]
        kernel, bias = group["kernel"], group["bias"]
        if name == "upsampler":
            order = np.argsort(shuffle_order(self.weights.config.scale, len(bias) // self.weights.config.scale**2))
            kernel, bias = kernel[..., order], bias[order]
        exact, size = not self.half or name in EXACT, len(kernel)
        constants = (
            self._constant(f"{name}/kernel", kernel.transpose(3, 2, 0, 1), exact),
            self._constant(f"{name}/bias", bias, exact),
        )
        return self._node("Conv", name, x, *constants, kernel_shape=[size, size], pads=[size // 2] * 4)

    def _leaky_relu(self, name: str, x: str) -> str:
        return self._node("LeakyRelu", name, x, alpha=LEAKY_SLOPE)

    def _silu(self, name: str, x: str) -> str:
        return self._node("Mul", name, x, self._node("Sigmoid", f"{name}/sigmoid", x))

    def _normalize(self, name: str, x: str) -> str:
        config = self.weights.config
        if any(config.rgb_mean):
            mean = self._constant(f"{name}/mean", np.reshape(config.rgb_mean, (1, -1, 1, 1)), True)
            x = self._node("Sub", name if config.img_range == 1 else f"{name}/centre", x, mean)
        if config.img_range != 1:
            x = self._node("Mul", name, x, self._constant(f"{name}/range", config.img_range, True))
        return x


def load(path: Path, config: SpanConfig):
    """Return ``("onnxruntime VERSION", run)``, on the CPU; see ``targets``.

    Raises:
        ExportError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ExportError(
            f"verifying an ONNX file needs onnxruntime ({error}); pip install onnxruntime, or leave --verify out."
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run(image):
        x = np.float32(image.transpose(2, 0, 1)[np.newaxis]) / np.float32(255)
        return session.run(["output"], {"input": x})[0][0].transpose(1, 2, 0)

    return f"onnxruntime {onnxruntime.__version__}", run
