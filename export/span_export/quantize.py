"""Which tensors are stored in fewer bits, and what that may change."""

from __future__ import annotations

import numpy as np

from span_keras.errors import ExportError
from span_keras.state import SpanWeights

MODES = ("none", "float16", "uint8")


def resolve_mode(mode: str | None, weights: SpanWeights) -> str:
    """``None`` chooses float16 where every kernel survives it exactly, else ``"none"``; ``weights`` are fused.

    Raises:
        ExportError: ``mode`` is not one of ``MODES``, or a kernel is beyond float16's 65504.
    """
    kernels = [group["kernel"] for group in weights.layers.values()]
    with np.errstate(over="ignore"):
        halves = [kernel.astype(np.float16) for kernel in kernels]
    if mode is None:
        exact = all(np.array_equal(half, kernel) for half, kernel in zip(halves, kernels, strict=True))
        return "float16" if exact else "none"
    if mode not in MODES:
        raise ExportError(f"quantisation must be one of {', '.join(MODES)}, found {mode!r}.")
    if mode == "float16" and not all(np.isfinite(half).all() for half in halves):
        largest = max(np.abs(kernel).max() for kernel in kernels)
        raise ExportError(
            f"float16 holds values up to 65504, but {weights.source} has a weight of {largest:.6g}; "
            "use --quantize none."
        )
    return mode


def dtype_map(mode: str, layer_names) -> dict[str, list[str]]:
    """The ``quantization_dtype_map`` of the TF.js converter: dtype -> weight names.

    Only convolution kernels lose precision; in uint8 each has one scale and minimum, as TF.js decodes it. Biases stay
    float32: they are few, and an error in one shifts a whole channel. So does the input normalisation, whose 1/255² is
    subnormal in float16. The pixel shuffle holds zeros and ones, which float16 keeps exactly.

    Args:
        mode: one of ``MODES``.
        layer_names: names of the convolutions.
    """
    kernels = [f"{name}/kernel" for name in layer_names]
    exact = ["pixel_shuffle/kernel"]
    return {"none": {}, "float16": {"float16": kernels + exact}, "uint8": {"uint8": kernels, "float16": exact}}[mode]
