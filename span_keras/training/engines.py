"""Compile the train step and keep its state on the devices: JAX and TensorFlow."""

from __future__ import annotations

import contextlib

import keras
import numpy as np

from span_keras.network.backend import in_float32
from span_keras.training.devices import Devices
from span_keras.training.step import TrainStep


class JaxEngine:
    """Keep the state on JAX devices and run steps with ``jit`` and ``scan``.

    Args:
        devices: with a ``DataParallel``, batches are split over its devices, the state is copied to each, and XLA adds
            the reductions.
    """

    def __init__(self, step: TrainStep, state: dict, devices: Devices):
        import jax
        import jax.numpy as jnp

        step = in_float32(step)
        self._jax, self._distribution = jax, devices.strategy
        self.write(state)

        def gradient(function, parameters):
            return jax.value_and_grad(function, has_aux=True)(parameters)

        def one(state, inputs):
            return step(state, *inputs, gradient=gradient)

        def many(state, batches, rates):
            images = tuple(map(jnp.stack, zip(*batches, strict=True)))
            return jax.lax.scan(one, state, (images, rates))

        self._many = jax.jit(many, donate_argnums=0)

    def put(self, batch):
        if self._distribution is None:
            return self._jax.device_put(batch)
        # One process's share becomes part of the global batch, split on its first axis.
        return tuple(
            self._jax.make_array_from_process_local_data(
                self._distribution.get_data_layout(image.shape).backend_layout, image
            )
            for image in batch
        )

    def execute(self, batches, rates):
        self._state, logs = self._many(self._state, batches, rates)
        return logs

    def fetch(self, logs) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in self._jax.device_get(logs).items()}

    def read(self):
        return {name: np.asarray(value) for name, value in self._jax.device_get(self._state).items()}

    def write(self, state):
        if self._distribution is None:
            self._state = self._jax.device_put(state)
            return
        mesh = self._distribution.device_mesh
        self._state = {
            name: keras.distribution.distribute_tensor(
                self._jax.numpy.asarray(value), keras.distribution.TensorLayout([None] * np.ndim(value), mesh)
            )
            for name, value in state.items()
        }


class TensorFlowEngine:
    """Keep the state in ``tf.Variable``s and run steps in one ``tf.function``.

    Args:
        devices: with a synchronous ``tf.distribute.Strategy``, each replica computes the gradient of its share of the
            batch, all average them, and all make the same update.
    """

    def __init__(self, step: TrainStep, state: dict, devices: Devices):
        import tensorflow as tf

        step, strategy = in_float32(step), devices.strategy
        self._tf, self._strategy, self._local = tf, strategy, devices.replicas // devices.processes
        with strategy.scope() if strategy else contextlib.nullcontext():
            self._variables = {
                name: tf.Variable(
                    value,
                    trainable=False,
                    # Every replica assigns the same value.
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                    name=name.replace("/", "_"),
                )
                for name, value in state.items()
            }

        def gradient(function, parameters):
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                loss, parts = function(parameters)
            return (loss, parts), tape.gradient(loss, parameters)

        def mean(tree):
            if strategy is None:
                return tree
            context = tf.distribute.get_replica_context()
            return tf.nest.map_structure(lambda t: context.all_reduce(tf.distribute.ReduceOp.MEAN, t), tree)

        def many(batches, rates):
            state = {name: tf.convert_to_tensor(variable) for name, variable in self._variables.items()}
            logs = []
            for i, images in enumerate(batches):
                state, log = step(state, images, rates[i], gradient, mean)
                logs.append(log)
            for name, value in state.items():
                self._variables[name].assign(value)
            return {name: tf.stack([log[name] for log in logs]) for name in logs[0]}

        # AutoGraph would find no Python to convert, and take seconds for it.
        @tf.function(autograph=False, jit_compile=strategy is None and bool(tf.config.list_physical_devices("GPU")))
        def run(batches, rates):
            if strategy is None:
                return many(batches, rates)
            logs = strategy.run(many, (batches, rates))
            return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

        self._run = run

    def put(self, batch):
        tf, strategy = self._tf, self._strategy
        if strategy is None:
            return tuple(tf.convert_to_tensor(image) for image in batch)

        def share(image):
            parts = np.split(image, self._local)

            def of_replica(context):
                return tf.convert_to_tensor(parts[context.replica_id_in_sync_group % self._local])

            return strategy.experimental_distribute_values_from_function(of_replica)

        return tuple(share(image) for image in batch)

    def execute(self, batches, rates):
        return self._run(batches, self._tf.constant(rates))

    def fetch(self, logs) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in logs.items()}

    def read(self):
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def write(self, state):
        for name, value in state.items():
            self._variables[name].assign(value)
