"""SPAN as a Keras functional model in the form that trains, and what a model of either form tells of itself."""

from __future__ import annotations

import keras
import numpy as np

from span_keras.errors import CheckpointError
from span_keras.network.config import SpanConfig, upsampling, variant_of
from span_keras.network.deploy import stock_layers
from span_keras.network.layers import PixelShuffle, RepConv
from span_keras.network.topology import topology


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
        **stock_layers(config, keras.layers),
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
