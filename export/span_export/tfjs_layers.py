"""The layers that we export, as TF.js builds them from JSON: a framework for ``build_deploy`` and ``perceptual.build``.

It has what the two use of Keras, under the same names: ``Input``, layers that are called on tensors, ``Model``. Nothing
is computed; a model knows its topology in TF.js's words, those of Keras 2, and its weights. What every reader assumes
of a layer is left out. Kernels start from zeros, which loads faster than random numbers.

``tensorflowjs`` writes the same of a ``tf_keras`` model, but needs TensorFlow, and takes seconds to import it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

KERAS = {"keras_version": "2.19.0", "backend": "tensorflow"}
"""What speaks this JSON."""


class Tensor(NamedTuple):
    """Name the layer that makes a tensor (N, H, W, channels), and those that were called before it."""

    layer: Layer
    channels: int


class Layer:
    """Hold a layer's configuration as TF.js reads it, its weights, and the layers whose outputs it takes."""

    variables: tuple[str, ...] = ()
    """The keys of its weights, in Keras's order."""

    def __init__(self, name: str, trainable: bool = True, dtype: str = "", data_format: str = "", **config):
        # TF.js assumes the last two: float32 and channels_last.
        self.name = name
        self.trainable = trainable
        self.config = config
        self.inputs: list[Tensor] = []
        self.weights: list[np.ndarray] = []

    def __call__(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        self.inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        self.weights = [np.zeros(shape, np.float32) for shape in self.weight_shapes()]
        return Tensor(self, self.channels())

    def channels(self) -> int:
        """Return the channels of its output."""
        return self.inputs[0].channels

    def weight_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of ``variables``."""
        return []

    def set_weights(self, arrays: Sequence[np.ndarray]) -> None:
        """Take over arrays of the shapes that the layer has.

        Raises:
            ValueError: they have others.
        """
        expected, found = [weight.shape for weight in self.weights], [np.shape(array) for array in arrays]
        if found != expected:
            raise ValueError(f"{self.name} expects weights of shapes {expected}, found {found}.")
        self.weights = [np.float32(array) for array in arrays]

    def to_json(self) -> dict:
        """Return the layer's entry in the topology."""
        config = {"name": self.name, **({} if self.trainable else {"trainable": False}), **self.config}
        nodes = [[[tensor.layer.name, 0, 0, {}] for tensor in self.inputs]] if self.inputs else []
        return {"class_name": type(self).__name__, "config": config, "name": self.name, "inbound_nodes": nodes}


class InputLayer(Layer):
    def __init__(self, shape: tuple, name: str):
        super().__init__(name, batch_input_shape=[None, *shape])


class BatchNormalization(Layer):
    variables = ("moving_mean", "moving_variance")

    def __init__(self, *, epsilon: float, center: bool, scale: bool, **options):
        super().__init__(**options, axis=[3], epsilon=epsilon, center=center, scale=scale)

    def weight_shapes(self):
        return [(self.channels(),)] * 2


class _Convolution(Layer):
    variables = ("kernel", "bias")

    def __init__(self, filters: int, size: int, strides: int = 1, padding: str = "valid", **options):
        if strides != 1:
            options["strides"] = [strides, strides]
        options.pop("kernel_initializer", None)
        super().__init__(
            filters=filters, kernel_size=[size, size], padding=padding, kernel_initializer="zeros", **options
        )

    def channels(self):
        return self.config["filters"]


class Conv2D(_Convolution):
    def weight_shapes(self):
        return [(*self.config["kernel_size"], self.inputs[0].channels, self.channels()), (self.channels(),)]


class Conv2DTranspose(_Convolution):
    variables = ("kernel",)

    def __init__(self, filters: int, size: int, strides: int, **options):
        super().__init__(filters, size, strides, **options)

    def weight_shapes(self):
        return [(*self.config["kernel_size"], self.channels(), self.inputs[0].channels)]


class MaxPooling2D(Layer):
    def __init__(self, size: int, strides: int, **options):
        super().__init__(pool_size=[size, size], padding="valid", strides=[strides, strides], **options)


class LeakyReLU(Layer):
    def __init__(self, slope: float, **options):
        super().__init__(alpha=float(np.float32(slope)), **options)


class ReLU(Layer):
    def __init__(self, **options):
        super().__init__(negative_slope=0.0, threshold=0.0, **options)


class Activation(Layer):
    def __init__(self, activation: str, **options):
        super().__init__(activation=activation, **options)


class Rescaling(Layer):
    def __init__(self, scale: float, offset: float, **options):
        super().__init__(scale=scale, offset=offset, **options)


class Add(Layer):
    pass


class Multiply(Layer):
    pass


class Concatenate(Layer):
    def __init__(self, **options):
        super().__init__(axis=-1, **options)

    def channels(self):
        return sum(tensor.channels for tensor in self.inputs)


def Input(shape: tuple, name: str, dtype: str = "float32") -> Tensor:
    """Return the tensor (N, *shape) that a model starts from."""
    return Tensor(InputLayer(shape, name), shape[-1])


class Model:
    """Collect the layers between an input and outputs.

    Attributes:
        name: of the model.
        layers: in an order in which each stands behind those whose outputs it takes.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor | Sequence[Tensor], name: str):
        self.name = name
        self._trainable = True
        self._outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        named: dict[str, Layer] = {inputs.layer.name: inputs.layer}
        for output in self._outputs:
            _collect(output.layer, named)
        self.layers = list(named.values())

    @property
    def trainable(self) -> bool:
        """Whether training may change any layer; setting it sets all of them."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = value
        for layer in self.layers[1:]:
            layer.trainable = value

    def get_layer(self, name: str) -> Layer:
        """Return the layer of a name."""
        return next(layer for layer in self.layers if layer.name == name)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all weights by ``LAYER/KEY``, in the order of files: layers by name, keys in Keras's order."""
        return {
            f"{layer.name}/{key}": weight
            for layer in sorted(self.layers, key=lambda layer: layer.name)
            for key, weight in zip(layer.variables, layer.weights, strict=True)
        }

    def topology(self) -> dict:
        """Return ``modelTopology`` of a ``model.json``."""
        config = {
            "name": self.name,
            "trainable": self._trainable,
            "layers": [layer.to_json() for layer in self.layers],
            "input_layers": [[self.layers[0].name, 0, 0]],
            "output_layers": [[output.layer.name, 0, 0] for output in self._outputs],
        }
        return {**KERAS, "model_config": {"class_name": "Functional", "config": config}}


def _collect(layer: Layer, named: dict[str, Layer]) -> None:
    if layer.name in named:
        return
    for tensor in layer.inputs:
        _collect(tensor.layer, named)
    named[layer.name] = layer


layers = sys.modules[__name__]
"""So that ``framework.layers`` is found where Keras has it."""
