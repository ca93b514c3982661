"""Re-parameterisation in both directions, on plain arrays: four convolutions to one, and one back to four.

Kernels are HWIO (height, width, input, output) as in Keras. Needs NumPy alone.
"""

from __future__ import annotations

import numpy as np

from span_keras.constants import REPCONV_GAIN

REPCONV_WEIGHTS = (
    "skip_kernel",
    "skip_bias",
    "expand_kernel",
    "expand_bias",
    "conv_kernel",
    "conv_bias",
    "project_kernel",
    "project_bias",
)
"""The weights of a RepConv in order: 1×1 skip, 1×1 expand, 3×3 conv, 1×1 project."""


def repconv_shapes(c: int, d: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a RepConv's weights by name, for c input and d output channels."""
    wide_c, wide_d = REPCONV_GAIN * c, REPCONV_GAIN * d
    kernels = ((1, 1, c, d), (1, 1, c, wide_c), (3, 3, wide_c, wide_d), (1, 1, wide_d, d))
    shapes = (shape for kernel in kernels for shape in (kernel, kernel[3:]))
    return dict(zip(REPCONV_WEIGHTS, shapes, strict=True))


def compose(
    skip_kernel, skip_bias, expand_kernel, expand_bias, conv_kernel, conv_bias, project_kernel, project_bias, xp=np
):
    """Compose a RepConv's four convolutions into one.

    Args:
        skip_kernel, ...: the weights in the order of ``REPCONV_WEIGHTS``, shapes as in ``repconv_shapes``. Any leading
            axes are batch axes: equal RepConvs stacked are composed by a few large products instead of many small ones.
        xp: ``numpy`` for arrays, ``keras.ops`` for tensors.

    Returns:
        ``(kernel (..., 3, 3, c, d), bias (..., d))``.
    """
    expand, project = expand_kernel[..., 0, :, :], project_kernel[..., 0, :, :]  # (..., 1, c, 2c), (..., 1, 2d, d)
    conv_project = xp.matmul(conv_kernel, project[..., None, :, :])  # (..., 3, 3, 2c, d)
    kernel = xp.matmul(expand[..., None, :, :], conv_project)  # (..., 3, 3, c, d)
    padding = [(0, 0)] * (len(kernel.shape) - 4) + [(1, 1), (1, 1), (0, 0), (0, 0)]
    kernel = kernel + xp.pad(skip_kernel, padding)
    # Zero padding comes before the first 1×1, so padded pixels carry expand_bias too: all nine taps see it.
    bias = xp.matmul(expand_bias[..., None, :], xp.sum(conv_project, axis=(-4, -3)))
    bias = bias + xp.matmul(conv_bias[..., None, :], project[..., 0, :, :])
    return kernel, bias[..., 0, :] + project_bias + skip_bias


def fuse(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the 3×3 convolution that equals a RepConv, composed in float64.

    Args:
        weights: the eight of ``REPCONV_WEIGHTS`` by name.

    Returns:
        ``{"kernel": (3, 3, c, d), "bias": (d,)}``, float32.
    """
    kernel, bias = compose(*(np.asarray(weights[name], np.float64) for name in REPCONV_WEIGHTS))
    return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}


def expand(kernel: np.ndarray, bias: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a trainable RepConv that computes exactly the given 3×3 convolution (up to float32 rounding).

    Half of the hidden channels carry the kernel unchanged; the other half is random behind a projection of zeros, so
    the function is the given one at the start and every weight can learn.

    Args:
        kernel: (3, 3, c, d).
        bias: (d,).
        rng: draws the half that is random.

    Returns:
        The eight weights of ``REPCONV_WEIGHTS``, float32.
    """
    c, d = kernel.shape[2:]
    shapes = repconv_shapes(c, d)
    random = lambda shape: rng.uniform(-1, 1, shape) / np.sqrt(np.prod(shape[:-1]))  # noqa: E731
    weights = {name: np.zeros(shape) for name, shape in shapes.items()}
    weights["skip_kernel"] = random(shapes["skip_kernel"])
    weights["expand_kernel"] = random(shapes["expand_kernel"])
    weights["expand_kernel"][0, 0, :, :c] = np.eye(c)
    weights["conv_kernel"] = random(shapes["conv_kernel"])
    weights["conv_kernel"][:, :, :c, :d] = kernel
    weights["conv_kernel"][:, :, c:, :d] = 0
    weights["conv_kernel"][1, 1, :c, :d] -= weights["skip_kernel"][0, 0]
    weights["project_kernel"][0, 0, :d] = np.eye(d)
    weights["project_bias"] = np.asarray(bias, np.float64)
    return {name: value.astype(np.float32) for name, value in weights.items()}


def shuffle_order(scale: int, colors: int = 3) -> np.ndarray:
    """Return the positions in PyTorch's channel-major pixel shuffle of TensorFlow's block-major channels.

    ``block_major = channel_major[..., shuffle_order(s)]`` turns the last axis of an upsampler kernel or bias.
    """
    return np.arange(colors * scale**2).reshape(colors, scale * scale).T.reshape(-1)


def shuffle_kernel(scale: int, colors: int = 3) -> np.ndarray:
    """Return the fixed Conv2DTranspose kernel (s, s, C, C·s²) that is a block-major pixel shuffle."""
    return np.eye(colors * scale**2, dtype=np.float32).reshape(scale, scale, colors, -1)


def resample_subpixels(channels: np.ndarray, old: int, new: int, colors: int = 3) -> np.ndarray:
    """Turn block-major upsampler channels of scale ``old`` into those of scale ``new``, by area.

    A pixel's new sub-pixels are means of its old ones, weighted by the area they share; the image stays in its place.

    Args:
        channels: (..., colors·old²), an upsampler's kernel or bias.

    Returns:
        (..., colors·new²) float32.
    """
    edges, cells = np.arange(new + 1) * old / new, np.arange(old)
    shared = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    mix = np.clip(shared, 0, None) * new / old  # (new, old), rows sum to 1
    grid = np.asarray(channels, np.float64).reshape(*channels.shape[:-1], old, old, colors)
    resampled = np.einsum("ti,uj,...ijc->...tuc", mix, mix, grid)
    return resampled.reshape(*channels.shape[:-1], colors * new**2).astype(np.float32)
