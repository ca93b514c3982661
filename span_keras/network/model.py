"""SPAN as Keras functional models: the form that trains and the fused form that runs everywhere else."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np

from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import CheckpointError
from span_keras.network.config import ACTIVATIONS, SpanConfig, variant_of
from span_keras.network.layers import PixelShuffle, RepConv
from span_keras.network.reparam import shuffle_kernel

Layer = Callable[[str, str], Callable]
"""``layer(kind, name)`` gives the callable of that name; the kinds are the keys of ``_train_layers``."""


def topology(x, config: SpanConfig, layer: Layer):
    """Apply SPAN's graph, written once and independent of what its layers are.

    ``build_span`` passes trainable layers, ``build_deploy`` stock ones, ``init`` layers that measure.

    Args:
        x: tensor or KerasTensor (N, H, W, 3), RGB in [0, 1].
        layer: the factory, see ``Layer``.

    Returns:
        (N, H·scale, W·scale, 3), RGB around [0, 1], not clipped.

    Source: figure 2 of the paper, ``SPAN.forward`` in the authors' ``span_arch.py``.
    """
    if config.normalizes:
        x = layer("normalize", "normalize")(x)
    head = layer("conv3x3", "conv_1")(x)
    features, first = head, None
    for i in range(1, config.blocks + 1):
        features, activated = _spab(features, f"block_{i}", config, layer)
        first = features if first is None else first
    tail = layer("conv3x3", "conv_2")(features)
    # The last block contributes the *activated* output of its first convolution: the authors' SiLU works in place.
    x = layer("concatenate", "concatenate")([head, tail, first, activated])
    x = layer("conv1x1", "conv_cat")(x)
    x = layer("upsampler", "upsampler")(x)
    return layer("pixel_shuffle", "pixel_shuffle")(x)


def _spab(x, name: str, config: SpanConfig, layer: Layer):
    """Apply a swift parameter-free attention block.

    Returns:
        ``(c3(act(c2(act(c1 x)))) + x) · sym(c3 ...)``, and ``act(c1 x)``.
    """
    activated = layer("act", f"{name}_act1")(layer("conv3x3", f"{name}_c1")(x))
    y = layer("act", f"{name}_act2")(layer("conv3x3", f"{name}_c2")(activated))
    y = layer("conv3x3", f"{name}_c3")(y)
    attention, (*before, last) = y, ACTIVATIONS[config.variant][1]
    for kind in before:
        attention = layer(kind, f"{name}_{kind}")(attention)
    attention = layer(last, f"{name}_sym")(attention)
    y = layer("add", f"{name}_add")([y, x])
    return layer("multiply", f"{name}_attend")([y, attention]), activated


def _stock_layers(config: SpanConfig, layers, **conv) -> dict[str, Callable]:
    """Return constructors by kind that Keras 3, tf_keras and TF.js share; ``conv`` goes to the convolutions."""
    activations = {
        "leaky_relu": lambda **kw: layers.LeakyReLU(LEAKY_SLOPE, **kw),
        "silu": lambda **kw: layers.Activation("swish", **kw),
    }
    return {
        "act": activations[ACTIVATIONS[config.variant][0]],
        "sigmoid": lambda **kw: layers.Activation("sigmoid", **kw),
        "offset": lambda **kw: layers.Rescaling(1.0, offset=-0.5, **kw),
        "tanh": lambda **kw: layers.Activation("tanh", **kw),
        "add": layers.Add,
        "multiply": layers.Multiply,
        "concatenate": layers.Concatenate,
        "conv1x1": lambda **kw: layers.Conv2D(config.channels, 1, **conv, **kw),
        "upsampler": lambda **kw: layers.Conv2D(3 * config.scale**2, 3, padding="same", **conv, **kw),
    }


def build_span(config: SpanConfig | None = None, dtype: str | None = None) -> keras.Model:
    """Build the training form of SPAN.

    Fully convolutional: (N, H, W, 3) float32 RGB in [0, 1] -> (N, H·scale, W·scale, 3) float32, not clipped.

    Args:
        config: defaults to ``SpanConfig()`` (x4, 48 channels, variant ``span``).
        dtype: Keras dtype policy of the hidden layers, e.g. ``"mixed_bfloat16"``; the global policy by default.
            The input and the last convolution stay in float32: 8-bit pixels do not survive bfloat16.

    The weights come from Keras's initialisers; ``span_keras.initialise`` makes them a start that trains.
    """
    config = config or SpanConfig()
    make = {
        **_stock_layers(config, keras.layers),
        "normalize": lambda **kw: keras.layers.Rescaling(
            config.img_range, offset=[-m * config.img_range for m in config.rgb_mean], **kw
        ),
        "conv3x3": lambda **kw: RepConv(config.channels, **kw),
        "pixel_shuffle": lambda **kw: PixelShuffle(config.scale, **kw),
    }
    exact = {"normalize", "upsampler", "pixel_shuffle"}

    def layer(kind, name):
        return make[kind](name=name, dtype="float32" if kind in exact else dtype)

    inputs = keras.Input((None, None, 3), dtype="float32", name="input")
    return keras.Model(inputs, topology(inputs, config, layer), name=f"span_x{config.scale}")


def build_deploy(config: SpanConfig | None = None, framework=None) -> keras.Model:
    """Build the fused form of SPAN out of stock layers only, each RepConv one 3×3 Conv2D.

    Pixel shuffle is a fixed Conv2DTranspose and the per-channel mean a frozen BatchNormalization, so that a plain
    ``tf.loadLayersModel`` reads it and TF.js can differentiate through it. The convolutions are zero until weights are
    assigned: drawing random numbers first takes JAX seconds of compilation.

    Args:
        config: defaults to ``SpanConfig()``.
        framework: ``keras`` by default, or ``tf_keras`` (the twin that the TF.js converter understands).
    """
    config, framework = config or SpanConfig(), framework or keras
    layers = framework.layers
    zeros = {"kernel_initializer": "zeros"}
    make = {
        **_stock_layers(config, layers, **zeros),
        "normalize": lambda **kw: layers.BatchNormalization(
            epsilon=0.0, center=False, scale=False, trainable=False, **kw
        ),
        "conv3x3": lambda **kw: layers.Conv2D(config.channels, 3, padding="same", **zeros, **kw),
        "pixel_shuffle": lambda **kw: layers.Conv2DTranspose(
            3, config.scale, strides=config.scale, use_bias=False, trainable=False, **zeros, **kw
        ),
    }
    inputs = layers.Input((None, None, 3), name="input")
    outputs = topology(inputs, config, lambda kind, name: make[kind](name=name))
    model = framework.Model(inputs, outputs, name=f"span_x{config.scale}")
    if config.normalizes:
        model.get_layer("normalize").set_weights(
            [np.float32(config.rgb_mean), np.float32([config.img_range**-2.0] * 3)]
        )
    model.get_layer("pixel_shuffle").set_weights([shuffle_kernel(config.scale)])
    return model


def config_of(model) -> SpanConfig:
    """Read the configuration back off a model made by ``build_span`` or ``build_deploy`` (Keras 3 or ``tf_keras``).

    Raises:
        CheckpointError: the model lacks SPAN's layers.
    """
    named = {layer.name: layer for layer in model.layers}
    blocks = sum(f"block_{i}_c1" in named for i in range(1, len(named) + 1))
    if missing := [name for name in ("conv_1", "block_1_c1", "conv_cat", "upsampler") if name not in named]:
        raise CheckpointError(f"{model.name} is not a SPAN model: it has no layers {missing}.")
    img_range, mean = 1.0, (0.0, 0.0, 0.0)
    if normalize := named.get("normalize"):
        if type(normalize).__name__ == "Rescaling":
            img_range = float(normalize.scale)
            mean = tuple(-np.asarray(normalize.offset, np.float64) / img_range)
        else:
            moving_mean, moving_variance = normalize.get_weights()
            img_range, mean = float(moving_variance[0]) ** -0.5, tuple(map(float, moving_mean))
    return SpanConfig(
        scale=math.isqrt(named["upsampler"].filters // 3),
        channels=named["conv_1"].filters,
        blocks=blocks,
        variant=variant_of(set(named)),
        # float32 storage leaves digits behind that the user never wrote.
        img_range=float(f"{img_range:.6g}"),
        rgb_mean=tuple(float(f"{m:.6g}") for m in mean),
    )
