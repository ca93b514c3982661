"""A start from which SPAN learns: layer-sequential scaling on synthetic images, no photographs needed.

Every SPAB multiplies its features by ``sym(o3)``. If ``o3`` is tiny the block passes almost nothing on and gets almost
no gradient; if it is large, activations grow from block to block. Both stall the training. So the output of every
convolution is given a chosen standard deviation, one layer after the other in forward order.

Source: "All you need is a good init" (LSUV), Mishkin & Matas, ICLR 2016. The batch is noise with the 1/f amplitude
spectrum and colour correlation of natural images (Field, "Relations between the statistics of natural images", 1987),
which stands in for photographs: a convolution's output variance depends on its input's second moments alone.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from span_keras.constants import (
    ATTENTION_STD,
    FEATURE_STD,
    NOISE_MEAN,
    NOISE_MIX,
    NOISE_SLOPE,
    NOISE_STD,
    OUTPUT_STD,
)
from span_keras.network.layers import RepConv
from span_keras.network.model import config_of
from span_keras.network.topology import topology


def natural_noise(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Draw noise images with the second-order statistics of photographs.

    Args:
        count: number of images.
        size: their side in pixels.
        seed: of the noise.

    Returns:
        (count, size, size, 3) float32 in [0, 1], mean about 0.45, standard deviation about 0.27.
    """
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1 / size
    white = rng.standard_normal((count, 3, size, size))
    pink = np.fft.irfft2(np.fft.rfft2(white) * frequency**NOISE_SLOPE, s=(size, size))
    pink /= pink.std(axis=(1, 2, 3), keepdims=True)
    images = NOISE_MEAN + NOISE_STD * np.einsum("oc,nchw->nhwo", np.array(NOISE_MIX), pink)
    return np.clip(images, 0, 1).astype(np.float32)


def initialise(model, seed: int = 0) -> dict[str, float]:
    """Scale the convolutions of a freshly built training model in place so that signal and gradients survive.

    Args:
        model: from ``build_span``; its biases are expected to be zero.
        seed: of the synthetic images.

    Returns:
        The standard deviation found at the output of each scaled layer, by name, before it was scaled.
    """
    config = config_of(model)
    found = {}

    def layer(kind, name):
        keras_layer = model.get_layer(name)
        if name != "upsampler" and not isinstance(keras_layer, RepConv):
            return keras_layer

        def scaled(x):
            y = keras_layer(x)
            found[name] = float(ops.std(ops.cast(y, "float32")))
            if name == "upsampler":
                keras_layer.bias.assign(ops.full(keras_layer.bias.shape, 0.5))
                kernels, target = (keras_layer.kernel,), OUTPUT_STD
            else:
                # The layer is linear and its biases are zero, so two of its kernels scale its output.
                kernels = (keras_layer.skip_kernel, keras_layer.project_kernel)
                target = ATTENTION_STD[config.variant] if name.endswith("_c3") else FEATURE_STD
            for kernel in kernels:
                kernel.assign(ops.convert_to_tensor(kernel) * (target / found[name]))
            return keras_layer(x)

        return scaled

    topology(ops.convert_to_tensor(natural_noise(8, 48, seed)), config, layer)
    return found
