"""A U-Net discriminator with spectral normalisation as pure functions of few arrays.

It says of every pixel how real its surroundings look, as in "A U-Net Based Discriminator for Generative Adversarial
Networks" (Schönfeld et al., CVPR 2020) and "Real-ESRGAN" (Wang et al., ICCVW 2021). Three strided convolutions halve
the image each, three convolutions double it again, and every size is added to what came down at that size.

All kernels but the first and the last are divided by their largest singular value ("Spectral Normalization for
Generative Adversarial Networks", Miyato et al., ICLR 2018), which one step of the power method per update follows.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from span_keras.network.layers import doubled

SLOPE = 0.2
"""Of the leaky ReLUs, as in Real-ESRGAN."""

DOWN, UP = ("down_1", "down_2", "down_3"), ("up_3", "up_2", "up_1")

NORMALISED = (*DOWN, *UP, "merge")

VECTORS = "vector"
"""Name of the group that holds a right singular vector of every kernel that is normalised."""


def shapes(channels: int) -> dict[str, tuple[int, int, int, int]]:
    """Return layer -> shape of its kernel, (rows, columns, inputs, outputs).

    Args:
        channels: at the image's size; each halving doubles them.
    """
    one, two, four, eight = (channels * factor for factor in (1, 2, 4, 8))
    return {
        "first": (3, 3, 3, one),
        "down_1": (4, 4, one, two),
        "down_2": (4, 4, two, four),
        "down_3": (4, 4, four, eight),
        "up_3": (3, 3, eight, four),
        "up_2": (3, 3, four, two),
        "up_1": (3, 3, two, one),
        "merge": (3, 3, one, one),
        "last": (3, 3, one, 1),
    }


def initialise(channels: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return fresh arrays by name: those to train, and the singular vectors ``vector/layer``.

    Kernels are normal with the variance that keeps activations as large as the input ("Delving Deep into Rectifiers",
    He et al., ICCV 2015). Normalised layers have no bias.
    """
    random, arrays, vectors = np.random.default_rng(seed), {}, {}
    for name, shape in shapes(channels).items():
        deviation = np.sqrt(2 / (1 + SLOPE**2) / np.prod(shape[:3]))
        arrays[f"{name}/kernel"] = np.float32(deviation * random.normal(size=shape))
        if name in NORMALISED:
            vector = random.normal(size=shape[3])
            vectors[f"{VECTORS}/{name}"] = np.float32(vector / np.linalg.norm(vector))
        else:
            arrays[f"{name}/bias"] = np.zeros(shape[3], np.float32)
    return arrays, vectors


def power_step(arrays: dict, vectors: dict) -> dict:
    """Return the singular vectors after one step of the power method."""
    after = {}
    for name in NORMALISED:
        kernel, vector = arrays[f"{name}/kernel"], vectors[f"{VECTORS}/{name}"]
        # Sums, not products of matrices: a GPU rounds the factors of those to TF32.
        left = ops.sum(kernel * vector, axis=-1, keepdims=True)
        vector = ops.sum(kernel * left, axis=(0, 1, 2))
        after[f"{VECTORS}/{name}"] = vector / (ops.sqrt(ops.sum(ops.square(vector))) + 1e-12)
    return after


def normalised(arrays: dict, vectors: dict) -> dict:
    """Divide the kernels by their largest singular values; the vectors count as constants for the gradient."""
    arrays = dict(arrays)
    for name in NORMALISED:
        kernel, vector = arrays[f"{name}/kernel"], ops.stop_gradient(vectors[f"{VECTORS}/{name}"])
        # The length of W·v has the gradient u·vᵀ, that of the singular value.
        value = ops.sqrt(ops.sum(ops.square(ops.sum(kernel * vector, axis=-1))) + 1e-24)
        arrays[f"{name}/kernel"] = kernel / value
    return arrays


def apply(arrays: dict, x, dtype: str = "float32"):
    """Judge images.

    Args:
        arrays: from ``normalised``.
        x: (N, H, W, 3), RGB in [0, 1], H and W at least 8.
        dtype: of the convolutions.

    Returns:
        (N, H, W, 1) float32: logits, positive where the surroundings look real.
    """

    def conv(name, x, strides=1):
        kernel = ops.cast(arrays[f"{name}/kernel"], dtype)
        return ops.conv(x, kernel, strides=strides, padding="same", data_format="channels_last")

    def biased(name, x):
        return conv(name, x) + ops.cast(arrays[f"{name}/bias"], dtype)

    def act(x):
        return ops.leaky_relu(x, SLOPE)

    # Centred, so that bfloat16 rounds the colours half as much.
    x = act(biased("first", ops.cast(x - 0.5, dtype)))
    sizes = [x]
    for name in DOWN:
        sizes.append(act(conv(name, sizes[-1], strides=2)))
    x = sizes.pop()
    for name in UP:
        skip = sizes.pop()
        x = doubled(x)[:, : skip.shape[1], : skip.shape[2]]  # a side that is odd was rounded up
        x = act(conv(name, x)) + skip
    x = act(conv("merge", x))
    return ops.cast(biased("last", x), "float32")
