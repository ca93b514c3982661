"""SPAN as Keras functional models: the form that trains and the fused form that runs everywhere else."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import CheckpointError
from span_keras.network.config import ACTIVATIONS, SpanConfig, upsampling, variant_of
from span_keras.network.layers import PixelShuffle, RepConv
from span_keras.network.reparam import shuffle_kernel
from span_keras.network.topology import topology


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
        "upsampler": lambda **kw: layers.Conv2D(config.out_channels * config.scale**2, 3, padding="same", **conv, **kw),
    }


def build_span(config: SpanConfig | None = None, dtype: str | None = None) -> keras.Model:
    """Build the training form of SPAN.

    Fully convolutional: (N, H, W, in_channels) float32 in [0, 1] -> (N, H·scale, W·scale, out_channels) float32, not
    clipped.

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

    inputs = keras.Input((None, None, config.in_channels), dtype="float32", name="input")
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
            config.out_channels, config.scale, strides=config.scale, use_bias=False, trainable=False, **zeros, **kw
        ),
    }
    inputs = layers.Input((None, None, config.in_channels), name="input")
    outputs = topology(inputs, config, lambda kind, name: make[kind](name=name))
    model = framework.Model(inputs, outputs, name=f"span_x{config.scale}")
    if config.normalizes:
        model.get_layer("normalize").set_weights(
            [np.float32(config.rgb_mean), np.float32([config.img_range**-2.0] * config.in_channels)]
        )
    model.get_layer("pixel_shuffle").set_weights([shuffle_kernel(config.scale, config.out_channels)])
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
    in_channels = model.inputs[0].shape[-1]
    if (found := upsampling(in_channels, named["upsampler"].filters)) is None:
        raise CheckpointError(f"{model.name} is not a SPAN model: its last convolution has no channels for a scale.")
    img_range, mean = 1.0, (0.0,) * in_channels
    if normalize := named.get("normalize"):
        if type(normalize).__name__ == "Rescaling":
            img_range = float(normalize.scale)
            mean = tuple(-np.asarray(normalize.offset, np.float64) / img_range)
        else:
            moving_mean, moving_variance = normalize.get_weights()
            img_range, mean = float(moving_variance[0]) ** -0.5, tuple(map(float, moving_mean))
    return SpanConfig(
        scale=found[0],
        channels=named["conv_1"].filters,
        blocks=blocks,
        variant=variant_of(set(named)),
        # float32 storage leaves digits behind that the user never wrote.
        img_range=float(f"{img_range:.6g}"),
        rgb_mean=tuple(float(f"{m:.6g}") for m in mean),
        in_channels=in_channels,
        out_channels=found[1],
    )
