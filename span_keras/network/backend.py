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


class Random:
    """Random numbers inside a compiled function: the same ones for the same seed and step, draw after draw.

    Args:
        seed: a whole number, known when the function is compiled.
        step: an integer tensor.

    Keras's own generators keep a state, which a pure function has no place for. The two backends give other numbers.
    """

    def __init__(self, seed: int, step):
        self._draws = 0
        if keras.backend.backend() == "jax":
            import jax

            self._key = jax.random.fold_in(jax.random.key(seed), step)
        else:
            import tensorflow as tf

            start = tf.constant([seed, 0], "int32")
            replica = tf.distribute.get_replica_context()
            start = tf.random.experimental.stateless_fold_in(start, replica.replica_id_in_sync_group if replica else 0)
            self._key = tf.random.experimental.stateless_fold_in(start, tf.cast(step, "int32"))

    def _next(self):
        self._draws += 1
        if keras.backend.backend() == "jax":
            import jax

            return jax.random.fold_in(self._key, self._draws)
        import tensorflow as tf

        return tf.random.experimental.stateless_fold_in(self._key, self._draws)

    def uniform(self, shape: tuple[int, ...], low: float, high: float):
        """Float32 numbers from ``low`` to ``high``."""
        if keras.backend.backend() == "jax":
            import jax

            numbers = jax.random.uniform(self._next(), shape)
        else:
            import tensorflow as tf

            numbers = tf.random.stateless_uniform(shape, self._next())
        return low + (high - low) * numbers

    def normal(self, shape: tuple[int, ...]):
        """Float32 numbers of mean 0 and standard deviation 1."""
        if keras.backend.backend() == "jax":
            import jax

            return jax.random.normal(self._next(), shape)
        import tensorflow as tf

        return tf.random.stateless_normal(shape, self._next())

    def chance(self, count: int, probability: float):
        """``count`` booleans, true with a probability."""
        return self.uniform((count,), 0.0, 1.0) < probability

    def integers(self, count: int, bound: int):
        """``count`` int32 numbers from 0 to below ``bound``."""
        # A uniform number can round up to its bound.
        numbers = keras.ops.floor(self.uniform((count,), 0.0, float(bound)))
        return keras.ops.cast(keras.ops.minimum(numbers, bound - 1), "int32")
