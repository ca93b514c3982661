"""Muon: the step of a hidden kernel is its momentum made orthogonal, so that all directions of the matrix learn alike.

Adam scales every weight by itself; a kernel's gradient, though, is dominated by few directions, and the others hardly
move. Muon gives them all the same length. The first and last convolution and all biases stay with Adam, as is usual.

``keras.optimizers.Muon`` is no substitute: it takes AdamW for all kernels that are no matrices, hence for convolutions.

Sources: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), for the iteration and its
coefficients; J. Liu et al., "Muon is Scalable for LLM Training" (arXiv:2502.16982, section 2.2), for the factor
``0.2·√max(rows, columns)``, with which an update is as large as Adam's and the same learning rates fit both.
"""

from __future__ import annotations

from collections import defaultdict

import keras
import numpy as np
from keras import ops

from span_keras.network.backend import full_precision
from span_keras.network.functional import FIRST

MOMENTUM = 0.95

RMS = 0.2
"""Root mean square of an update before the learning rate: what is usual with Adam."""

COEFFICIENTS = 3.4445, -4.7750, 2.0315

ITERATIONS = 5


def takes(name: str) -> bool:
    """Return whether Muon is for the array of this name in ``stack``: hidden kernels."""
    return name.endswith("kernel") and not name.startswith((f"{FIRST}/", "upsampler/"))


def step(gradients: dict, momenta: dict) -> tuple[dict, dict]:
    """Compute what to subtract, before the learning rate, and the new momenta.

    Args:
        gradients, momenta: name -> (..., height, width, input, output) float32. Leading axes are several kernels.
    """
    momenta = {name: MOMENTUM * momenta[name] + gradient for name, gradient in gradients.items()}
    # Nesterov's: the momentum as it will be once the same gradient comes again.
    ahead = {name: _matrix(gradient + MOMENTUM * momenta[name]) for name, gradient in gradients.items()}
    steps = {}
    for name, matrix in orthogonal(ahead).items():
        length = RMS * max(matrix.shape[-2:]) ** 0.5
        steps[name] = length * ops.reshape(matrix, gradients[name].shape)
    return steps, momenta


def _matrix(kernel):
    """Reshape (..., height, width, input, output) to (..., height·width·input, output)."""
    return ops.reshape(kernel, (*kernel.shape[:-4], -1, kernel.shape[-1]))


def orthogonal(matrices: dict) -> dict:
    """Bring all singular values near 1 (0.7 to 1.2) and leave the singular vectors.

    The iteration is ``X <- X·(a + b·XᵀX + c·(XᵀX)²)``. All its factors are polynomials in the Gram matrix of the start,
    so it runs on that, whose side is the smaller one of the matrix, and matrices of many layers run together.

    Args:
        matrices: name -> (..., rows, columns) float32.

    Returns:
        The same shapes. Singular values below about 1e-3 of the norm stay smaller; a matrix of zeros stays one.
    """
    # The Gram matrix squares what rounding does to small singular values: TF32 would make negative ones of them.
    # TensorFlow can forbid it for a whole process alone.
    exact = "float64" if keras.backend.backend() == "tensorflow" else "float32"
    wide = {name for name, matrix in matrices.items() if matrix.shape[-2] < matrix.shape[-1]}
    tall = {n: ops.cast(ops.swapaxes(m, -1, -2) if n in wide else m, exact) for n, m in matrices.items()}
    groups = defaultdict(list)
    for name, matrix in tall.items():
        groups[matrix.shape[-1]].append(name)
    result = {}
    with full_precision():
        for side, names in groups.items():
            grams = [ops.matmul(ops.swapaxes(tall[name], -1, -2), tall[name]) for name in names]
            factors = _factors(ops.concatenate([ops.reshape(gram, (-1, side, side)) for gram in grams]))
            taken = 0
            for name in names:
                matrix, count = tall[name], int(np.prod(tall[name].shape[:-2]))
                factor = ops.reshape(factors[taken : taken + count], (*matrix.shape[:-2], side, side))
                taken += count
                result[name] = ops.cast(ops.matmul(matrix, factor), "float32")
    return {name: ops.swapaxes(result[name], -1, -2) if name in wide else result[name] for name in matrices}


def _factors(grams):
    """Compute from XᵀX, (N, side, side), what X is to be multiplied with from the right."""
    a, b, c = COEFFICIENTS
    identity = ops.eye(grams.shape[-1], dtype=keras.backend.standardize_dtype(grams.dtype))
    square = ops.sum(grams * identity, axis=(-2, -1), keepdims=True) + 1e-14
    gram, total = grams / square, identity / ops.sqrt(square)
    for _ in range(ITERATIONS):
        factor = a * identity + b * gram + c * ops.matmul(gram, gram)
        total = ops.matmul(total, factor)
        gram = ops.matmul(ops.matmul(gram, factor), factor)
    return total
