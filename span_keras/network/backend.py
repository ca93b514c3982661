"""What Keras backends do differently when a network is run: precision on a GPU, and compiling."""

from __future__ import annotations

import contextlib

import keras

from span_keras.ambient import BACKENDS
from span_keras.errors import ConfigError


def require_backend() -> str:
    """Return the backend of Keras, which must be one of ``BACKENDS``.

    Raises:
        ConfigError: it is another one.
    """
    if (backend := keras.backend.backend()) not in BACKENDS:
        raise ConfigError(f"KERAS_BACKEND must be {' or '.join(BACKENDS)}, found {backend}.")
    return backend


def full_precision():
    """Return a context that keeps JAX from computing with kernels in TF32 on a GPU; images' convolutions may use it.

    TensorFlow has one switch for the whole process, which is left to the user.
    """
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.default_matmul_precision("highest")


def in_float32(function):
    """Have Keras turn whole numbers into float32 while a function is traced, whatever the user's ``floatx`` is."""

    def traced(*args, **kwargs):
        usual = keras.config.floatx()
        keras.config.set_floatx("float32")
        try:
            return function(*args, **kwargs)
        finally:
            keras.config.set_floatx(usual)

    return traced


def compiled(function, exact: bool = True):
    """Compile a function of arrays that runs a network.

    Args:
        function: of arrays or nested dictionaries of them, made of ``keras.ops``.
        exact: keep JAX from the TF32 of a GPU.

    Raises:
        ConfigError: Keras runs on another backend.
    """
    backend = require_backend()
    function = in_float32(function)
    if backend == "jax":
        import jax

        def run(*args):
            with full_precision() if exact else contextlib.nullcontext():
                return function(*args)

        return jax.jit(run)
    import tensorflow as tf

    return tf.function(function, autograph=False, reduce_retracing=True)


class Random:
    """Draw random numbers inside a compiled function: the same ones for the same seed and step, draw after draw.

    Args:
        seed: a whole number, known when the function is compiled.
        step: an integer tensor.

    Keras's own generators keep a state, which a pure function has no place for. The two backends give other numbers.
    """

    def __init__(self, seed: int, step):
        self._draws = 0
        if keras.backend.backend() == "jax":
            from jax import random

            self._fold_in, self._uniform, self._normal = random.fold_in, random.uniform, random.normal
            self._key = random.fold_in(random.key(seed), step)
            return
        import tensorflow as tf

        self._fold_in = tf.random.experimental.stateless_fold_in
        self._uniform = lambda key, shape: tf.random.stateless_uniform(shape, key)
        self._normal = lambda key, shape: tf.random.stateless_normal(shape, key)
        replica = tf.distribute.get_replica_context()
        key = self._fold_in(tf.constant([seed, 0], "int32"), replica.replica_id_in_sync_group if replica else 0)
        self._key = self._fold_in(key, tf.cast(step, "int32"))

    def _next(self):
        self._draws += 1
        return self._fold_in(self._key, self._draws)

    def uniform(self, shape: tuple[int, ...], low: float, high: float):
        """Draw float32 numbers from ``low`` to ``high``."""
        return low + (high - low) * self._uniform(self._next(), shape)

    def normal(self, shape: tuple[int, ...]):
        """Draw float32 numbers of mean 0 and standard deviation 1."""
        return self._normal(self._next(), shape)

    def chance(self, count: int, probability: float):
        """Draw ``count`` booleans, true with a probability."""
        return self.uniform((count,), 0.0, 1.0) < probability

    def integers(self, count: int, bound: int):
        """Draw ``count`` int32 numbers from 0 to below ``bound``."""
        # A uniform number can round up to its bound.
        numbers = keras.ops.floor(self.uniform((count,), 0.0, float(bound)))
        return keras.ops.cast(keras.ops.minimum(numbers, bound - 1), "int32")
