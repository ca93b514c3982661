"""The two layers that stock Keras lacks: the re-parameterised convolution and the pixel shuffle."""

from __future__ import annotations

import keras
from keras import ops

from span_keras.network.reparam import REPCONV_WEIGHTS, compose, repconv_shapes

PACKAGE = "span_keras"


@keras.saving.register_keras_serializable(PACKAGE)
class RepConv(keras.layers.Layer):
    """Train the weights of four convolutions and run as one 3×3 convolution: the paper's Conv3XC.

    The authors compute ``1×1 (c→2c) · 3×3 (2c→2d) · 1×1 (2d→d) + 1×1 skip (c→d)`` with zero padding on the input of
    the first 1×1. That is linear in the input, so the four kernels are composed into one 3×3 kernel first and the
    image is convolved once: the same function and the same gradients at a fraction of the time. Composition is done
    in the variables' own precision, also under a mixed-precision policy.

    Input (N, H, W, c), output (N, H, W, filters), zero padding ("same").

    Args:
        filters: number of output channels d.

    Source: section 3.2 of the paper; ``Conv3XC`` in the authors' ``span_arch.py``.

    Example:
        >>> layer = RepConv(48)
        >>> tuple(layer(np.zeros((1, 32, 32, 3), np.float32)).shape)
        (1, 32, 32, 48)
        >>> kernel, bias = layer.compose()  # the same convolution
        >>> tuple(kernel.shape), tuple(bias.shape)
        ((3, 3, 3, 48), (48,))
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        for name, shape in repconv_shapes(input_shape[-1], self.filters).items():
            # Variance 1/(3·fan_in) is PyTorch's default, hence the authors'; network.init rescales it per layer.
            uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
            initializer = uniform if name.endswith("kernel") else "zeros"
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False))

    def compose(self):
        """Return the equivalent ``(kernel (3, 3, c, d), bias (d,))`` in the variables' precision."""
        return compose(*(ops.convert_to_tensor(getattr(self, name)) for name in REPCONV_WEIGHTS), xp=ops)

    def call(self, x):
        """Convolve (N, H, W, c) to (N, H, W, filters) by the composed kernel, in the precision of ``x``."""
        kernel, bias = self.compose()
        y = ops.conv(x, ops.cast(kernel, x.dtype), padding="same", data_format="channels_last")
        return y + ops.cast(bias, y.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def pixel_shuffle(x, scale: int):
    """Move depth to space: (N, H, W, C·s²) -> (N, H·s, W·s, C), block-major channels ``(i·s + j)·C + c``.

    The order is TensorFlow's and TF.js's ``depth_to_space``; PyTorch's is channel-major, ``c·s² + i·s + j``.
    """
    n, h, w, c = ops.shape(x)
    x = ops.reshape(x, (n, h, w, scale, scale, c // scale**2))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (n, h * scale, w * scale, c // scale**2))


@keras.saving.register_keras_serializable(PACKAGE)
class PixelShuffle(keras.layers.Layer):
    """Apply ``pixel_shuffle`` as a layer.

    Args:
        scale: the upscaling factor s.
    """

    def __init__(self, scale: int, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x):
        """Rearrange (N, H, W, C·scale²) to (N, H·scale, W·scale, C)."""
        return pixel_shuffle(x, self.scale)

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        s = self.scale
        return (n, h and h * s, w and w * s, c // s**2)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def doubled(x):
    """Enlarge (N, H, W, C) twice by bilinear interpolation, with edges repeated: (N, 2·H, 2·W, C)."""
    for axis in (1, 2):
        count = x.shape[axis]

        def take(first, last, x=x, axis=axis):
            return x[:, first:last] if axis == 1 else x[:, :, first:last]

        before = ops.concatenate([take(0, 1), take(0, count - 1)], axis=axis)
        after = ops.concatenate([take(1, count), take(count - 1, count)], axis=axis)
        pair = ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
        shape = list(x.shape)
        shape[axis] = 2 * count
        x = ops.reshape(pair, (-1, *shape[1:]))
    return x
