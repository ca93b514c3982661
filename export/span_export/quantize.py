"""Which tensors are stored in fewer bits, and what that may change."""

from __future__ import annotations

import numpy as np

from span_keras.errors import ExportError
from span_keras.network.weights import SpanWeights

NUMBER_FORMATS = ("none", "float16", "uint8")
"""What ``--quantize`` takes: ``"none"`` stores all in float32, the others convolution kernels in fewer bits."""

OUTLIER = 16
"""Standard deviations beyond which a kernel's largest value forbids uint8."""
MAX_COST = {"none": 0.001, "float16": 0.01, "uint8": 0.2}
"""PSNR in dB that storing a network this way may cost on photographs."""


def resolve(number_format: str | None, weights: SpanWeights) -> str:
    """Return the number format asked for; None takes float16 where every kernel survives it exactly, else ``"none"``.

    Args:
        number_format: one of ``NUMBER_FORMATS`` or None.
        weights: in deploy form.

    Raises:
        ExportError: ``number_format`` is not one of ``NUMBER_FORMATS``, or a kernel is beyond float16's 65504.
    """
    kernels = [group["kernel"] for group in weights.layers.values()]
    with np.errstate(over="ignore"):
        halves = [kernel.astype(np.float16) for kernel in kernels]
    if number_format is None:
        exact = all(np.array_equal(half, kernel) for half, kernel in zip(halves, kernels, strict=True))
        return "float16" if exact else "none"
    if number_format not in NUMBER_FORMATS:
        raise ExportError(f"quantisation must be one of {', '.join(NUMBER_FORMATS)}, found {number_format!r}.")
    if number_format != "none" and not all(np.isfinite(half).all() for half in halves):
        largest = max(np.abs(kernel).max() for kernel in kernels)
        raise ExportError(
            f"--quantize {number_format} stores values up to 65504, but {weights.source} has a weight of "
            f"{largest:.6g}; use --quantize none."
        )
    return number_format


def storage_types(number_format: str, weights: SpanWeights) -> dict[str, str]:
    """Return the number format of every tensor that is not stored in float32: weight name -> dtype.

    Only convolution kernels lose precision. Biases stay float32: they are few, and an error in one shifts a whole
    channel. So does the input normalisation, whose 1/255² is subnormal in float16. The pixel shuffle holds zeros and
    ones, which float16 keeps exactly.

    TF.js has one scale and minimum per tensor, so in uint8 an outlier coarsens a whole kernel. Kernels with outliers
    stay in float16, and so do ``conv_1`` and ``conv_cat``, small ones through which everything passes: all in uint8,
    the authors' x4 weights lose 3 dB; so, 0.04 dB.

    Args:
        number_format: one of ``NUMBER_FORMATS``.
        weights: in deploy form.
    """
    if number_format == "none":
        return {}
    types = {
        f"{name}/kernel": "uint8" if number_format == "uint8" and _bears_uint8(name, group["kernel"]) else "float16"
        for name, group in weights.layers.items()
    }
    return types | {"pixel_shuffle/kernel": "float16"}


def _bears_uint8(name: str, kernel: np.ndarray) -> bool:
    outlier = float(np.abs(kernel).max()) > OUTLIER * float(kernel.std())
    return not outlier and name not in ("conv_1", "conv_cat")


def max_weight_error(number_format: str, key: str, array: np.ndarray) -> float:
    """Return how far a stored tensor may lie from ``array`` by the rounding of its number format.

    Args:
        number_format: one of ``NUMBER_FORMATS``.
        key: ``kernel`` or ``bias``.
    """
    if number_format == "none" or key != "kernel":
        return 0.0
    if number_format == "float16":
        return max(float(np.abs(array).max()) * 2**-11, 2**-25)  # half a step, at worst that of subnormal numbers
    # TF.js shifts the 255 steps so that zero falls on one: half a step of rounding and half a step of shift.
    return 1.001 * float(np.ptp(array)) / 255
