"""From the authors' activations to this project's while a network is trained, without losing what it knows.

Variant ``official`` computes with SiLU and sigmoid - 0.5, variant ``span`` with LeakyReLU and tanh, which take fewer
kernels in a browser. Weights of one are worth nothing in the other. But as ``sigmoid(2v) - 0.5 = tanh(v) / 2``, a block
of the authors' is ``(v + x / 2) · tanh(v)``, where ``v`` is half of what its last convolution puts out: but for one
factor a block of ours. So training begins with SiLU and the factor 1/2, that is with the very function of the given
weights, and ends with LeakyReLU and the factor 1. In between both change evenly, and slowly, so that the weights follow
(homotopy or continuation, "Numerical Continuation Methods", Allgower & Georg, 1990).
"""

from __future__ import annotations

from dataclasses import replace

from keras import ops

from span_keras.errors import CheckpointError
from span_keras.network.weights import SpanWeights


def convert(weights: SpanWeights) -> SpanWeights:
    """Weights of variant ``official`` -> those of variant ``span`` that compute the same function at share 0.

    The first block needs no factor, because its input can be halved where it is made, in ``conv_1``: what else takes
    it, ``block_1_c1`` and ``conv_cat``, are convolutions, whose kernels make up for that.

    Returns:
        The deploy form.

    Raises:
        CheckpointError: the weights are of another variant.
    """
    config = weights.config
    if config.variant != "official":
        raise CheckpointError(f"{weights.source} expected to be of variant official, found {config.variant}.")
    layers = {name: dict(group) for name, group in weights.fuse().layers.items()}
    for name in ("conv_1", *(f"block_{i}_c3" for i in range(1, config.blocks + 1))):
        layers[name] = {key: value / 2 for key, value in layers[name].items()}
    layers["block_1_c1"]["kernel"] = 2 * layers["block_1_c1"]["kernel"]
    kernel = layers["conv_cat"]["kernel"].copy()
    kernel[:, :, : config.channels] *= 2  # the first of the four parts is the output of conv_1
    layers["conv_cat"]["kernel"] = kernel
    return replace(weights, config=replace(config, variant="span"), layers=layers)


def share_at(step, steps: int):
    """How much of the way is behind at a step: 0 to 1, a float32 scalar."""
    return ops.minimum(ops.cast(step, "float32") / steps, 1.0)


def functions(layer, share):
    """``stacked.functions`` of variant ``span`` on the way to it.

    Args:
        layer: the factory to change, that of variant ``span``.
        share: scalar from 0 to 1; at 1 the functions are those of ``layer``.
    """

    def act(leaky):
        def run(x):
            part = ops.cast(share, x.dtype)
            return (1 - part) * ops.silu(x) + part * leaky(x)

        return run

    def add(pair):
        y, x = pair
        return y + ops.cast(0.5 + 0.5 * share, x.dtype) * x

    def changed(kind, name):
        if kind == "act":
            return act(layer(kind, name))
        if kind == "add" and name != "block_1_add":
            return add
        return layer(kind, name)

    return changed
