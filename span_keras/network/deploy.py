"""SPAN's fused form out of stock layers: Keras's, or those of another framework, for which Keras is not loaded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from span_keras.constants import LEAKY_SLOPE
from span_keras.network.config import ACTIVATIONS, SpanConfig
from span_keras.network.reparam import shuffle_kernel
from span_keras.network.topology import topology

LAST = {"data_format": "channels_last"}
"""Stated, as the precision is, because the user's ``keras.json`` or global policy may say otherwise."""


def stock_layers(config: SpanConfig, layers, **conv) -> dict[str, Callable]:
    """Return constructors by kind that Keras 3, tf_keras and TF.js share; ``conv`` goes to the convolutions."""
    conv |= LAST
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


def build_deploy(config: SpanConfig | None = None, framework=None):
    """Build the fused form of SPAN out of stock layers only, each RepConv one 3×3 Conv2D.

    Pixel shuffle is a fixed Conv2DTranspose and the per-channel mean a frozen BatchNormalization, so that a plain
    ``tf.loadLayersModel`` reads it and TF.js can differentiate through it. The convolutions are zero until weights are
    assigned: drawing random numbers first takes JAX seconds of compilation.

    Args:
        config: defaults to ``SpanConfig()``.
        framework: ``keras`` by default; or a module with ``Model`` and ``layers`` alike, such as ``tf_keras``.
    """
    if framework is None:
        import keras as framework
    config, layers = config or SpanConfig(), framework.layers
    zeros = {"kernel_initializer": "zeros", **LAST}
    make = {
        **stock_layers(config, layers, kernel_initializer="zeros"),
        "normalize": lambda **kw: layers.BatchNormalization(
            epsilon=0.0, center=False, scale=False, trainable=False, **kw
        ),
        "conv3x3": lambda **kw: layers.Conv2D(config.channels, 3, padding="same", **zeros, **kw),
        "pixel_shuffle": lambda **kw: layers.Conv2DTranspose(
            config.out_channels, config.scale, strides=config.scale, use_bias=False, trainable=False, **zeros, **kw
        ),
    }
    inputs = layers.Input((None, None, config.in_channels), dtype="float32", name="input")
    outputs = topology(inputs, config, lambda kind, name: make[kind](name=name, dtype="float32"))
    model = framework.Model(inputs, outputs, name=f"span_x{config.scale}")
    if config.normalizes:
        model.get_layer("normalize").set_weights(
            [np.float32(config.rgb_mean), np.float32([config.img_range**-2.0] * config.in_channels)]
        )
    model.get_layer("pixel_shuffle").set_weights([shuffle_kernel(config.scale, config.out_channels)])
    return model
