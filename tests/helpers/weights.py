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
