"""The fused network as a function compiled by TensorFlow or JAX, its weights constants in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from keras import ops

from span_keras.inference.device import Precision
from span_keras.network import functional
from span_keras.network.backend import require_backend
from span_keras.network.topology import topology
from span_keras.network.weights import SpanWeights

EXACT_SHAPES = 3
"""Shapes that JAX compiles as they are: tiles have one or two, photographs of one camera two. Each takes 0.7 s."""

SMALLEST_SIDE = 64
"""Sides of other shapes are padded to this times a power of two: 16 shapes in all up to a tile of 512."""


def compile_network(weights: SpanWeights, precision: Precision = "float32") -> Callable[[np.ndarray], np.ndarray]:
    """Return the fused network as a compiled function, NHWC float32 in and out.

    TensorFlow takes any shape without compiling again. JAX compiles for every shape, so that few are used.

    Args:
        weights: any form.
        precision: see ``Upscaler``.

    Raises:
        ConfigError: Keras runs on neither.
    """
    return (_compile_tensorflow if require_backend() == "tensorflow" else _compile_jax)(weights, precision)


def _compile_tensorflow(weights: SpanWeights, precision: Precision) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    # It has no public name: ``tf.compat.v1.graph_util`` does the same with a session's graph alone.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    config = weights.config
    plain = functional.functions(config, functional.fused_arrays(weights), precision)
    # Instead of the three operations that other backends need.
    shuffle = (lambda x: tf.nn.depth_to_space(x, config.scale)) if config.scale > 1 else tf.identity
    layer = lambda kind, name: shuffle if kind == "pixel_shuffle" else plain(kind, name)  # noqa: E731
    signature = [tf.TensorSpec((None, None, None, config.in_channels), tf.float32)]
    function = tf.function(lambda x: topology(x, config, layer), signature, autograph=False)
    # As constants the kernels are rearranged for the CPU once instead of at every call.
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    return lambda tiles: frozen(tf.constant(tiles))[0].numpy()


def _compile_jax(weights: SpanWeights, precision: Precision) -> Callable[[np.ndarray], np.ndarray]:
    import jax

    config, fused = weights.config, functional.fused_arrays(weights)
    exact, scale = jax.jit(lambda x: functional.apply(fused, x, config, precision)), config.scale
    padded, shapes = jax.jit(padded_network(weights, precision)), set()

    def run(tiles: np.ndarray) -> np.ndarray:
        if len(shapes) < EXACT_SHAPES:
            shapes.add(tiles.shape)
        if tiles.shape in shapes:
            return np.asarray(exact(tiles))
        height, width = tiles.shape[1:3]
        missing = [(0, padded_side(side) - side) for side in (height, width)]
        made = padded(np.pad(tiles, [(0, 0), *missing, (0, 0)]), height, width)
        return np.asarray(made[:, : height * scale, : width * scale])

    return run


def padded_side(side: int) -> int:
    """Return ``SMALLEST_SIDE`` times the least power of two that gives at least ``side``."""
    return SMALLEST_SIDE << max(0, -(-side // SMALLEST_SIDE) - 1).bit_length()


def padded_network(weights: SpanWeights, precision: Precision = "float32") -> Callable:
    """Return the network as a function of images padded at the bottom and right, and of their height and width.

    Every convolution pads the image with zeros. What the one before makes of the padding is not zero, so it is made
    zero in front of each: then the image's own pixels come out as without padding.
    """
    config = weights.config
    plain = functional.functions(config, functional.fused_arrays(weights), precision)

    def network(x, height, width):
        rows, columns = ops.arange(x.shape[1]) < height, ops.arange(x.shape[2]) < width
        inside = ops.cast(rows[:, None, None] & columns[None, :, None], "float32")

        def layer(kind, name):
            apply = plain(kind, name)
            return (lambda x: apply(x * inside)) if kind in ("conv3x3", "upsampler") else apply

        return topology(x, config, layer)

    return network
