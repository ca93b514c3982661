"""Random weights of any network."""

import numpy as np

from span_keras.network.config import SpanConfig
from span_keras.network.weights import SpanWeights, layer_shapes


def random_weights(config: SpanConfig, seed: int = 0) -> SpanWeights:
    """Fused weights whose activations stay of order 1 and whose biases are not zero, so that borders matter."""
    rng = np.random.default_rng(seed)
    layers = {}
    for name, shape in layer_shapes(config).items():
        kernel = rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
        layers[name] = {"kernel": np.float32(kernel), "bias": np.float32(rng.normal(0, 0.1, shape[-1:]))}
    return SpanWeights(config, layers, source="random")


def flatten(weights: SpanWeights) -> np.ndarray:
    """All weights in the order of the page's ``weightTable``."""
    return np.concatenate(
        [weights.layers[n][k].ravel() for n in layer_shapes(weights.config) for k in ("kernel", "bias")]
    )


def unflatten(config: SpanConfig, values) -> SpanWeights:
    """The inverse of ``flatten``."""
    layers, offset, values = {}, 0, np.float32(values)
    for name, shape in layer_shapes(config).items():
        layers[name] = {}
        for key, part in (("kernel", shape), ("bias", shape[3:])):
            size = int(np.prod(part))
            layers[name][key] = values[offset : offset + size].reshape(part)
            offset += size
    assert offset == len(values)
    return SpanWeights(config, layers)


def browser_config(config: SpanConfig) -> dict:
    """The configuration as the page names its parts."""
    names = {"img_range": "imgRange", "rgb_mean": "rgbMean"}
    return {names.get(key, key): value for key, value in config.to_dict().items()}


def nearest_weights(config: SpanConfig) -> SpanWeights:
    """Fused weights that repeat every pixel ``scale`` times, if run with the range and mean of ``config``."""
    layers = {
        name: {"kernel": np.zeros(shape, np.float32), "bias": np.zeros(shape[3:], np.float32)}
        for name, shape in layer_shapes(config).items()
    }
    for channel in range(config.in_channels):
        layers["conv_1"]["kernel"][1, 1, channel, channel] = 1
        layers["conv_cat"]["kernel"][0, 0, channel, channel] = 1
    for output in range(config.out_channels * config.scale**2):
        color = output % config.out_channels
        # From grey to RGB all colours are the grey; from RGB to grey it is the mean of all.
        sources = range(config.in_channels) if config.out_channels == 1 else [min(color, config.in_channels - 1)]
        for channel in sources:
            layers["upsampler"]["kernel"][1, 1, channel, output] = 1 / config.img_range / len(sources)
            layers["upsampler"]["bias"][output] += config.rgb_mean[channel] / len(sources)
    return SpanWeights(config, layers, source="nearest")
