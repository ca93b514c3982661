"""What Keras backends do differently when a network is run: precision on a GPU, and compiling."""

from __future__ import annotations

import contextlib

import keras


def full_precision():
    """Return a context that keeps JAX from computing with kernels in TF32 on a GPU; images' convolutions may use it.

    TensorFlow has one switch for the whole process, which is left to the user.
    """
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.default_matmul_precision("highest")


def compiled(function, exact: bool = True):
    """Compile a function of arrays that runs a network.

    Args:
        function: of arrays or nested dictionaries of them, made of ``keras.ops``.
        exact: keep JAX from the TF32 of a GPU.
    """
    if keras.backend.backend() == "jax":
        import jax

        def run(*args):
            with full_precision() if exact else contextlib.nullcontext():
                return function(*args)

        return jax.jit(run)
    import tensorflow as tf

    return tf.function(function, autograph=False, reduce_retracing=True)
