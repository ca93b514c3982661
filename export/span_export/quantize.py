"""Which tensors are stored in fewer bits, and what that may change."""

from __future__ import annotations

import numpy as np

from span_keras.errors import ExportError
from span_keras.state import SpanWeights

MODES = ("none", "float16", "uint8")


def resolve_mode(mode: str | None, weights: SpanWeights) -> str:
    """``None`` chooses float16 where every weight of the fused network survives it exactly, else ``"none"``.

    Raises:
        ExportError: ``mode`` is not one of ``MODES``, or a weight is beyond float16's 65504.
    """
    fused = weights.fuse()
    tensors = [array for group in fused.layers.values() for array in group.values()]
    with np.errstate(over="ignore"):
        halves = [array.astype(np.float16) for array in tensors]
    if mode is None:
        exact = all(np.array_equal(half.astype(np.float32), full) for half, full in zip(halves, tensors, strict=True))
        return "float16" if exact else "none"
    if mode not in MODES:
        raise ExportError(f"quantisation must be one of {', '.join(MODES)}, found {mode!r}.")
    if mode == "float16" and not all(np.isfinite(half).all() for half in halves):
        largest = max(np.abs(array).max() for array in tensors)
        raise ExportError(
            f"float16 holds values up to 65504, but {weights.source} has a weight of {largest:.6g}; "
            "use --quantize none."
        )
    return mode


def dtype_map(mode: str, layer_names) -> dict[str, list[str]]:
    """The ``quantization_dtype_map`` of the TF.js converter: dtype -> weight names.

    Only convolution weights lose precision. The input normalisation (1/255² is subnormal in float16) stays float32.
    The pixel shuffle holds zeros and ones: float16 keeps them exactly. In uint8 mode, one scale and minimum per kernel
    as TF.js decodes it; biases stay float32, because they are few and errors in them shift whole channels.

    Args:
        mode: one of ``MODES``.
        layer_names: names of the convolutions with ``kernel`` and ``bias``.
    """
    kernels = [f"{name}/kernel" for name in layer_names]
    biases = [f"{name}/bias" for name in layer_names]
    return {
        "none": {},
        "float16": {"float16": [*kernels, *biases, "pixel_shuffle/kernel"]},
        "uint8": {"uint8": kernels, "float16": ["pixel_shuffle/kernel"]},
    }[mode]
