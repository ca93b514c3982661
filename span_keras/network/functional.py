"""The training network as a pure function of few arrays: what the train step differentiates.

All RepConvs but the first have the same shapes, so their weights are stored stacked: 20 arrays stand for the 164 of
``build_span``. The kernels of all layers are then composed by three batched products, and optimizer, averaging and
guard touch 20 arrays instead of hundreds. The function is that of ``build_span`` with the same weights (tested).
"""

from __future__ import annotations

import numpy as np
from keras import ops

from span_keras.constants import LEAKY_SLOPE
from span_keras.network.backend import full_precision
from span_keras.network.config import ACTIVATIONS, SpanConfig
from span_keras.network.layers import pixel_shuffle
from span_keras.network.reparam import REPCONV_WEIGHTS, compose
from span_keras.network.topology import topology
from span_keras.network.weights import PLAIN_LAYERS, SpanWeights, layer_shapes

FIRST = "conv_1"

STACK = "stack"
"""Name of the group that holds every RepConv but the first."""


def stack_names(config: SpanConfig) -> list[str]:
    """Return the names of the stacked layers, in the order of the leading axis."""
    return [name for name in layer_shapes(config) if name not in (FIRST, *PLAIN_LAYERS)]


def stack(weights: SpanWeights) -> dict[str, np.ndarray]:
    """Return training-form weights as ``{"group/weight": array}``; group ``stack`` has a leading layer axis."""
    layers = weights.expand().layers
    names = stack_names(weights.config)
    arrays = {f"{FIRST}/{key}": layers[FIRST][key] for key in REPCONV_WEIGHTS}
    arrays |= {f"{STACK}/{key}": np.stack([layers[name][key] for name in names]) for key in REPCONV_WEIGHTS}
    arrays |= {f"{name}/{key}": layers[name][key] for name in PLAIN_LAYERS for key in ("kernel", "bias")}
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def unstack(arrays: dict[str, np.ndarray], config: SpanConfig, source: str = "memory", **metadata) -> SpanWeights:
    """Return the training-form ``SpanWeights`` that ``stack`` makes these arrays of."""
    layers = {FIRST: {key: np.asarray(arrays[f"{FIRST}/{key}"]) for key in REPCONV_WEIGHTS}}
    for i, name in enumerate(stack_names(config)):
        layers[name] = {key: np.asarray(arrays[f"{STACK}/{key}"][i]) for key in REPCONV_WEIGHTS}
    for name in PLAIN_LAYERS:
        layers[name] = {key: np.asarray(arrays[f"{name}/{key}"]) for key in ("kernel", "bias")}
    return SpanWeights(config, layers, source, metadata)


def fuse(arrays: dict, config: SpanConfig) -> dict:
    """Compose stacked tensors into ``{layer: (kernel, bias)}`` of the deploy form, differentiably, in float32."""
    names = stack_names(config)
    with full_precision():
        fused = {FIRST: compose(*(arrays[f"{FIRST}/{key}"] for key in REPCONV_WEIGHTS), xp=ops)}
        kernels, biases = compose(*(arrays[f"{STACK}/{key}"] for key in REPCONV_WEIGHTS), xp=ops)
    # Split, not index: the gradient of a split is one concatenation.
    kernels, biases = ops.split(kernels, len(names)), ops.split(biases, len(names))
    for name, kernel, bias in zip(names, kernels, biases, strict=True):
        fused[name] = (ops.squeeze(kernel, 0), ops.squeeze(bias, 0))
    return fused | {name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in PLAIN_LAYERS}


def fused_arrays(weights: SpanWeights) -> dict:
    """Return ``{layer: (kernel, bias)}`` as arrays, for a network that is only run, such as a teacher."""
    return {name: (group["kernel"], group["bias"]) for name, group in weights.fuse().layers.items()}


def apply(fused: dict, x, config: SpanConfig, dtype: str = "float32"):
    """Run the network.

    Args:
        fused: ``{layer: (kernel, bias)}``, from ``fuse`` or ``fused_arrays``.
        x: (N, H, W, in_channels) float32 in [0, 1].
        dtype: of the hidden convolutions. Normalisation and the last convolution stay in float32, as in ``build_span``.

    Returns:
        (N, H·scale, W·scale, out_channels) float32, not clipped.
    """
    return topology(x, config, functions(config, fused, dtype))


def functions(config: SpanConfig, fused: dict, dtype: str = "float32"):
    """Return the layer factory that ``topology`` asks for, with the convolutions of ``fused``; see ``apply``."""

    def conv(name, precision):
        kernel, bias = (ops.cast(ops.convert_to_tensor(w), precision) for w in fused[name])
        return lambda x: ops.conv(ops.cast(x, precision), kernel, padding="same", data_format="channels_last") + bias

    mean = np.float32(config.rgb_mean)
    activations = {"leaky_relu": lambda x: ops.leaky_relu(x, LEAKY_SLOPE), "silu": ops.silu}
    plain = {
        "normalize": lambda x: (x - mean) * np.float32(config.img_range),
        "act": activations[ACTIVATIONS[config.variant][0]],
        "sigmoid": ops.sigmoid,
        "offset": lambda x: x - ops.cast(0.5, x.dtype),
        "tanh": ops.tanh,
        "add": lambda pair: pair[0] + pair[1],
        "multiply": lambda pair: pair[0] * pair[1],
        "concatenate": lambda parts: ops.concatenate(parts, axis=-1),
        "pixel_shuffle": lambda x: pixel_shuffle(x, config.scale),
    }

    def layer(kind, name):
        if name in fused:
            return conv(name, "float32" if name == "upsampler" else dtype)
        return plain[kind]

    return layer
