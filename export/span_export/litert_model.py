"""Write SPAN weights as a LiteRT (TensorFlow Lite) model, and run one in its interpreter."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib import metadata as distributions
from pathlib import Path

import numpy as np

from span_export import metadata
from span_export.targets import WriteOptions
from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import ExportError
from span_keras.network.config import ACTIVATIONS, SpanConfig
from span_keras.network.topology import topology
from span_keras.network.weights import SpanWeights
from span_keras.quiet import hushed


def write(weights: SpanWeights, path: Path, options: WriteOptions) -> None:
    """Write a ``.tflite`` file: ``input`` (N, H, W, C) float32 in [0, 1] -> ``output`` (N, H·scale, W·scale, D).

    C and D are the network's input and output channels. The file has one signature, ``serving_default``. An input of
    any size is resized in the interpreter before tensors are allocated. With ``float16`` the weights are stored so;
    runtimes compute in what suits them. A metadata entry ``span`` holds ``metadata.describe`` as JSON.

    Args:
        weights: fused.
        path: created.
        options: the size is that of H and W; N is 1 if it is fixed.

    Raises:
        ExportError: TensorFlow, whose converter makes the file, is not installed.
    """
    written = weights
    if options.number_format == "float16":
        written = replace(weights, layers=_halves(weights.layers))
    described = metadata.describe(written, options.number_format)
    with hushed():  # the converter tells of its passes
        model = _converted(weights, options)
        model = _with_metadata(model, json.dumps(described).encode())
    path.write_bytes(model)


def _converted(weights: SpanWeights, options: WriteOptions) -> bytes:
    tf = _tensorflow()
    height, width = options.fixed_size or (None, None)
    spec = tf.TensorSpec(
        [1 if options.fixed_size else None, height, width, weights.config.in_channels], tf.float32, "input"
    )
    module = tf.Module()
    module.span = tf.function(
        lambda input: {"output": topology(input, weights.config, _layers(tf, weights))}, [spec], autograph=False
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.span.get_concrete_function()], module)
    if options.number_format == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _tensorflow():
    try:
        import tensorflow
    except ImportError as error:
        raise ExportError(
            f"a LiteRT file is made by TensorFlow's converter, which cannot be imported ({error}); "
            "install tensorflow beside the backend you use, or leave --litert out."
        ) from error
    return tensorflow


def _layers(tf, weights: SpanWeights):
    """Return the factory of layers for ``topology``."""
    config = weights.config
    activations = {"leaky_relu": lambda x: tf.nn.leaky_relu(x, LEAKY_SLOPE), "silu": lambda x: x * tf.sigmoid(x)}
    plain = {
        "normalize": lambda x: (x - np.float32(config.rgb_mean)) * np.float32(config.img_range),
        "act": activations[ACTIVATIONS[config.variant][0]],
        "sigmoid": tf.sigmoid,
        "offset": lambda x: x - 0.5,
        "tanh": tf.tanh,
        "add": lambda pair: pair[0] + pair[1],
        "multiply": lambda pair: pair[0] * pair[1],
        "concatenate": lambda parts: tf.concat(parts, -1),
        "pixel_shuffle": lambda x: tf.nn.depth_to_space(x, config.scale) if config.scale > 1 else x,
    }

    def convolution(kernel, bias):
        return lambda x: tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)

    return lambda kind, name: convolution(**weights.layers[name]) if name in weights.layers else plain[kind]


def _halves(layers: dict) -> dict:
    return {
        name: {key: value.astype(np.float16).astype(np.float32) for key, value in group.items()}
        for name, group in layers.items()
    }


def _with_metadata(model: bytes, span: bytes) -> bytes:
    """Add the metadata entry ``span`` to the bytes of a model."""
    # TensorFlow has no public way to add an entry, and tflite-support, which has one, no wheels for Python 3.12.
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(span, np.uint8)
    entry.name, entry.buffer = "span", len(tree.buffers)
    tree.buffers.append(buffer)
    tree.metadata = [*(tree.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def load(path: Path, config: SpanConfig):
    """Return ``("LiteRT VERSION", run)``, by ``ai-edge-litert`` or TensorFlow's own interpreter; see ``targets``.

    Raises:
        ExportError: neither is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter

        runtime = f"LiteRT {distributions.version('ai-edge-litert')}"
    except ImportError:
        tensorflow = _tensorflow()
        Interpreter, runtime = tensorflow.lite.Interpreter, f"TensorFlow Lite {tensorflow.__version__}"
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=os.cpu_count())
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(image):
        x = np.float32(image[np.newaxis]) / np.float32(255)
        interpreter.resize_tensor_input(source["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])[0]

    return runtime, run
