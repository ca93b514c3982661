"""Gradients on whichever backend is in force."""


def gradients_of(function):
    """``parameters -> gradients`` of a scalar function of named arrays, on the backend in force, compiled on JAX.

    The gradient is zero where nothing depends on an array.
    """
    import keras
    from keras import ops

    if keras.backend.backend() == "jax":
        import jax

        compute = jax.jit(jax.grad(function))
    else:
        import tensorflow as tf

        def compute(parameters):
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                value = function(parameters)
            return tape.gradient(value, parameters, unconnected_gradients="zero")

    def gradients(parameters: dict) -> dict:
        parameters = {name: ops.convert_to_tensor(value) for name, value in parameters.items()}
        return {name: ops.convert_to_numpy(value) for name, value in compute(parameters).items()}

    return gradients
