"""Fast upscaling with fixed weights on the TensorFlow or JAX backend of Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from span_keras.errors import CheckpointError, ConfigError, ImageError
from span_keras.images import tiling
from span_keras.network.weights import SpanWeights

TILE = 512
"""Default side of a tile in LR pixels: a ninth of the work is halo, the network's activations take some 400 MB."""


class Upscaler:
    """An image in, the larger image out; tiles it when it is larger than a tile.

    Example: ``Upscaler("bundled:x4")(image)``.

    Args:
        weights: ``SpanWeights`` or anything that ``load_weights`` reads.
        tile: side of a tile in LR pixels. Larger tiles waste less on halos and need more memory.
        batch: tiles per call of the network, 1 on a CPU.

    Attributes:
        config: the network's ``SpanConfig``; ``scale``, ``halo``, ``tile``, ``batch``: what tiles are cut by.

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: the tile is not larger than two halos, or Keras runs on neither TensorFlow nor JAX.
    """

    def __init__(self, weights: SpanWeights | str | Path = "bundled:x4", tile: int | None = None, batch: int = 1):
        if not isinstance(weights, SpanWeights):
            from span_keras.checkpoints import load_weights

            weights = load_weights(weights)
        self.config = weights.config
        self.scale, self.halo = self.config.scale, self.config.receptive_radius
        self.tile, self.batch = max(TILE, 4 * self.halo) if tile is None else tile, batch
        if self.tile <= 2 * self.halo:
            raise ConfigError(
                f"tile must be more than twice this network's halo of {self.halo} pixels, found {self.tile}; "
                f"ask for {2 * self.halo + 1} or more."
            )
        self._run, self._source = compile_network(weights), weights.source

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        """The network itself: (N, h, w, 3) float32 in [0, 1] -> (N, h·scale, w·scale, 3) float32, not clipped.

        Raises:
            CheckpointError: the weights make something other than finite numbers of finite ones.
        """
        made = self._run(np.ascontiguousarray(tiles, np.float32))
        # Rounding to whole levels would turn NaN into black and nobody would learn why.
        if not np.isfinite(made).all() and np.isfinite(tiles).all():
            raise CheckpointError(
                f"{self._source} makes values of this image that are no finite numbers, so its weights are damaged or "
                "its training went astray; use other weights."
            )
        return made

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) RGB float32 in [0, 1] -> (H·scale, W·scale, 3) float32 around [0, 1], not clipped.

        Raises:
            ImageError: the image has no pixels, is not floating point or has not three channels.
            CheckpointError: see ``predict``.
        """
        if image.ndim != 3 or image.shape[2] != 3 or not np.issubdtype(image.dtype, np.floating):
            raise ImageError(
                f"expected an image of shape (H, W, 3) and floating point in [0, 1], found {image.shape} "
                f"{image.dtype}; divide uint8 by 255."
            )
        return tiling.upscale_tiled(self.predict, image, self.scale, self.halo, self.tile, self.batch)


def compile_network(weights: SpanWeights) -> Callable[[np.ndarray], np.ndarray]:
    """The fused network with its weights as constants of a compiled function, NHWC float32 in and out.

    TensorFlow takes any shape without compiling again. JAX compiles for every new shape, which fixed tiles keep few.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ConfigError(f"KERAS_BACKEND must be tensorflow or jax to upscale, found {backend}.")
    model = weights.deploy_model()
    # Up to here the deploy form; its transposed convolution is for the browser, a plain shuffle is faster.
    features = keras.Model(model.input, model.get_layer("upsampler").output)
    return (_compile_tensorflow if backend == "tensorflow" else _compile_jax)(features, weights.config.scale)


def _compile_tensorflow(features, scale: int) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    function = tf.function(
        lambda x: tf.nn.depth_to_space(features(x, training=False), scale), signature, autograph=False
    )
    # As constants the kernels are rearranged for the CPU once instead of at every call.
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    return lambda tiles: frozen(tf.constant(tiles))[0].numpy()


def _compile_jax(features, scale: int) -> Callable[[np.ndarray], np.ndarray]:
    import jax

    from span_keras.network.layers import pixel_shuffle

    run = jax.jit(lambda x: pixel_shuffle(features(x, training=False), scale))
    return lambda tiles: np.asarray(run(tiles))
