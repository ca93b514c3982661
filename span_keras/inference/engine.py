"""Choose what runs the network: own kernels on a CPU, or the backend of Keras. Loads neither before it is chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from span_keras.ambient import installed
from span_keras.inference import device
from span_keras.inference.device import Precision
from span_keras.network.weights import SpanWeights


def compile_network(weights: SpanWeights, precision: Precision = "float32") -> Callable[[np.ndarray], np.ndarray]:
    """Return the fused network as a function, NHWC float32 in and out, that threads may call at the same time.

    In float32 on a CPU it is ``winograd``'s, where Numba is installed, and nothing else is loaded. Otherwise Keras's
    backend compiles it.

    Args:
        weights: any form.
        precision: see ``Upscaler``.

    Raises:
        ConfigError: Keras would be needed, and runs on neither TensorFlow nor JAX.
    """
    if precision == "float32" and installed("numba") and not device.accelerated():
        from span_keras.inference import winograd

        return winograd.compile_network(weights)
    from span_keras.inference import compiled

    return compiled.compile_network(weights, precision)
