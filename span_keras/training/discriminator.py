"""A U-Net that tells photographs from a network's output, pixel by pixel, as a pure function of few arrays.

Encoder and decoder of three levels with skips, spectral normalisation on all but the first and the last convolution:
the discriminator of "Real-ESRGAN" (Wang et al., ICCVW 2021, section 3.4). Spectral normalisation ("Spectral
Normalization for Generative Adversarial Networks", Miyato et al., ICLR 2018) divides a kernel by its largest singular
value, which one step of the power method follows from update to update.
"""

from __future__ import annotations

import numpy as np
from keras import ops

LEVELS = 3
"""Times that the encoder halves its input; the sides of images are multiples of ``2 ** LEVELS``."""
SLOPE = 0.2
"""Negative slope of the LeakyReLU behind every convolution."""
VECTOR = "vector"
"""Name of the left singular vectors that the power method goes on with; they have no gradient."""


def shapes(features: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays by ``layer/name``: HWIO kernels, biases and, of normalised layers, ``vector``.

    Args:
        features: channels of the first convolution; Real-ESRGAN has 64.
    """
    f = features
    kernels = {"first": (3, 3, 3, f)}
    kernels |= {f"down_{i}": (4, 4, f * 2 ** (i - 1), f * 2**i) for i in range(1, LEVELS + 1)}
    kernels |= {f"up_{i}": (3, 3, f * 2**i, f * 2 ** (i - 1)) for i in range(LEVELS, 0, -1)}
    kernels |= {"merge": (3, 3, f, f), "last": (3, 3, f, 1)}
    found = {}
    for name, shape in kernels.items():
        found[f"{name}/kernel"] = shape
        found[f"{name}/{'bias' if name in ('first', 'last') else VECTOR}"] = shape[-1:]
    return found


def initial(features: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays to start from: kernels by He's rule for the LeakyReLU, biases of zero, random unit vectors."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes(features).items():
        if name.endswith("kernel"):
            deviation = np.sqrt(2 / (1 + SLOPE**2) / np.prod(shape[:3]))
            arrays[name] = rng.normal(0, deviation, shape).astype(np.float32)
        elif name.endswith(VECTOR):
            vector = rng.normal(size=shape)
            arrays[name] = (vector / np.linalg.norm(vector)).astype(np.float32)
        else:
            arrays[name] = np.zeros(shape, np.float32)
    return arrays


def normalised(arrays: dict) -> tuple[dict, dict]:
    """Divide kernels by their largest singular values, after one step of the power method.

    Args:
        arrays: of ``shapes``, as tensors.

    Returns:
        The arrays with normalised kernels, and the vectors to go on with, by their names in ``arrays``.
    """
    found, vectors = dict(arrays), {}
    for name, vector in arrays.items():
        if name.endswith(VECTOR):
            kernel = arrays[name.replace(VECTOR, "kernel")]
            matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
            # The vectors are constants for the gradient, as the method's authors have it.
            fixed = ops.stop_gradient(matrix)
            right = _unit(ops.matmul(fixed, ops.stop_gradient(vector)))
            left = _unit(ops.matmul(right, fixed))
            largest = ops.sum(ops.matmul(right, matrix) * left)
            found[name.replace(VECTOR, "kernel")] = kernel / largest
            vectors[name] = left
    return found, vectors


def _unit(vector):
    return vector / (ops.sqrt(ops.sum(ops.square(vector))) + 1e-12)


def apply(arrays: dict, x, dtype: str = "float32"):
    """Judge images.

    Args:
        arrays: from ``normalised``.
        x: (N, H, W, 3) in [0, 1], H and W multiples of 8.
        dtype: of all convolutions but the last.

    Returns:
        (N, H, W, 1) float32 logits: positive where a pixel looks like a photograph's.
    """

    def conv(name, x, stride=1, precision=dtype):
        kernel = ops.cast(arrays[f"{name}/kernel"], precision)
        x = ops.conv(ops.cast(x, precision), kernel, stride, padding="same", data_format="channels_last")
        bias = arrays.get(f"{name}/bias")
        return x if bias is None else x + ops.cast(bias, precision)

    def active(x):
        return ops.leaky_relu(x, SLOPE)

    levels = [active(conv("first", x))]
    for i in range(1, LEVELS + 1):
        levels.append(active(conv(f"down_{i}", levels[-1], stride=2)))
    x = levels.pop()
    for i in range(LEVELS, 0, -1):
        skip = levels.pop()
        x = ops.image.resize(x, skip.shape[1:3], interpolation="bilinear", data_format="channels_last")
        x = active(conv(f"up_{i}", ops.cast(x, dtype))) + skip
    return conv("last", active(conv("merge", x)), precision="float32")


def generator_loss(logits):
    """What the network is to lower: the judge's doubt about its output; a float32 scalar."""
    return ops.mean(ops.softplus(-logits))


def discriminator_loss(real, made):
    """What the judge is to lower: its errors about photographs and about the network's output; a float32 scalar."""
    return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(made))
