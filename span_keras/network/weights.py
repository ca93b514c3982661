"""A SPAN network as plain arrays: what every checkpoint format is read into and every model is built from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from span_keras.errors import CheckpointError
from span_keras.network import reparam
from span_keras.network.config import SpanConfig
from span_keras.network.deploy import build_deploy

PLAIN_LAYERS = ("conv_cat", "upsampler")
"""Convolutions that are not re-parameterised in the training form either."""


def layer_shapes(config: SpanConfig) -> dict[str, tuple[int, ...]]:
    """Return the kernel shapes (HWIO) of the fused network's convolutions by layer name, in forward order."""
    c = config.channels
    names = ["conv_1"]
    names += [f"block_{i}_c{j}" for i in range(1, config.blocks + 1) for j in (1, 2, 3)]
    shapes = {name: (3, 3, config.in_channels if name == "conv_1" else c, c) for name in [*names, "conv_2"]}
    shapes["conv_cat"] = (1, 1, 4 * c, c)
    shapes["upsampler"] = (3, 3, c, config.out_channels * config.scale**2)
    return shapes


def shape_problems(found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> list[str]:
    """Return what tells two sets of tensors apart: missing, unexpected and misshaped ones, one text each.

    Args:
        found, expected: shapes by name.
    """
    return [
        *(f"missing {key} {shape}" for key, shape in expected.items() if key not in found),
        *(f"unexpected {key} {shape}" for key, shape in found.items() if key not in expected),
        *(
            f"{key} has shape {found[key]}, expected {shape}"
            for key, shape in expected.items()
            if key in found and found[key] != shape
        ),
    ]


@dataclass(frozen=True)
class SpanWeights:
    """Hold the configuration and the weights of one SPAN network as plain arrays.

    Needs NumPy alone, so that files are read and networks averaged without Keras; the methods that make or read Keras
    models load it.

    Attributes:
        config: the network the weights belong to.
        layers: layer name -> weight name -> float32 array. Fused layers hold ``kernel`` (HWIO) and ``bias``; layers in
            training form hold the eight of ``reparam.REPCONV_WEIGHTS``. Upsampler channels are block-major.
        source: where the weights come from, for messages and metadata.
        metadata: anything worth carrying along (licence, iteration, file hash).

    Raises:
        CheckpointError: a tensor is missing, unexpected or of the wrong shape; all of them are listed.

    Example:
        >>> weights = load_weights("bundled:x4")
        >>> weights.config.scale, weights.form
        (4, 'deploy')
        >>> weights.layers["conv_1"]["kernel"].shape
        (3, 3, 3, 48)
        >>> model = weights.train_model()  # to be trained on
    """

    config: SpanConfig
    layers: dict[str, dict[str, np.ndarray]]
    source: str = "memory"
    metadata: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = {f"{name}/{key}": value.shape for name, group in self.layers.items() for key, value in group.items()}
        expected = {}
        for name, shape in layer_shapes(self.config).items():
            if set(self.layers.get(name, ())) & set(reparam.REPCONV_WEIGHTS) and name not in PLAIN_LAYERS:
                shapes = reparam.repconv_shapes(*shape[2:])
            else:
                shapes = {"kernel": shape, "bias": shape[3:]}
            expected |= {f"{name}/{key}": value for key, value in shapes.items()}
        problems = shape_problems(found, expected)
        if problems:
            raise CheckpointError(f"{self.source} does not hold this SPAN network: {'; '.join(problems)}.")

    @property
    def form(self) -> str:
        """Return ``"deploy"`` if every convolution is fused, else ``"train"``."""
        return "deploy" if all("kernel" in group for group in self.layers.values()) else "train"

    def fuse(self) -> SpanWeights:
        """Return the deploy form: every RepConv as one 3×3 convolution."""
        layers = {k: g if "kernel" in g else reparam.fuse(g) for k, g in self.layers.items()}
        return replace(self, layers=layers)

    def expand(self, seed: int = 0) -> SpanWeights:
        """Return the training form that computes the same function; layers already in that form are kept.

        Args:
            seed: of the weights that do not matter yet, see ``reparam.expand``.
        """
        rng = np.random.default_rng(seed)
        layers = {
            k: g if k in PLAIN_LAYERS or "kernel" not in g else reparam.expand(g["kernel"], g["bias"], rng)
            for k, g in self.layers.items()
        }
        return replace(self, layers=layers)

    def scale_range(self, img_range: float) -> SpanWeights:
        """Return the network of another input range that computes the same function.

        Padding follows normalisation, so ``conv_1`` can multiply instead.
        """
        if self.config.img_range == img_range:
            return self
        # Fused: ``expand`` gives its four convolutions ordinary sizes, however a file spreads the range over them.
        first = self.layers["conv_1"] if "kernel" in self.layers["conv_1"] else reparam.fuse(self.layers["conv_1"])
        first = {**first, "kernel": first["kernel"] * np.float32(self.config.img_range / img_range)}
        return replace(self, config=replace(self.config, img_range=img_range), layers={**self.layers, "conv_1": first})

    def resample(self, scale: int) -> SpanWeights:
        """Return the network of another scale whose output is this one's, resampled by area within each LR pixel.

        Args:
            scale: of the new network.
        """
        upsampler = {
            key: reparam.resample_subpixels(value, self.config.scale, scale, self.config.out_channels)
            for key, value in self.layers["upsampler"].items()
        }
        return replace(self, config=replace(self.config, scale=scale), layers={**self.layers, "upsampler": upsampler})

    def deploy_model(self, framework=None):
        """Return a fused model with these weights, of Keras or of another framework; see ``deploy.build_deploy``."""
        return self.fuse().assign_to(build_deploy(self.config, framework))

    def train_model(self, dtype: str | None = None):
        """Return a training-form Keras model with these weights; see ``model.build_span``."""
        return self.expand().assign_to(_models().build_span(self.config, dtype=dtype))

    def assign_to(self, model):
        """Write the weights into a model of the same form and return it."""
        for name, group in self.layers.items():
            keys = ("kernel", "bias") if "kernel" in group else reparam.REPCONV_WEIGHTS
            model.get_layer(name).set_weights([group[key] for key in keys])
        return model

    @classmethod
    def from_model(cls, model) -> SpanWeights:
        """Read the weights of a model made by ``build_span`` or ``build_deploy`` (Keras 3 or ``tf_keras``).

        Raises:
            CheckpointError: the model lacks SPAN's layers.
        """
        config = _models().config_of(model)
        layers = {}
        for name in layer_shapes(config):
            arrays = [np.asarray(w, np.float32) for w in model.get_layer(name).get_weights()]
            keys = ("kernel", "bias") if len(arrays) == 2 else reparam.REPCONV_WEIGHTS
            layers[name] = dict(zip(keys, arrays, strict=True))
        return cls(config, layers)


def _models():
    """Return the module that builds Keras models; importing it loads Keras and its backend."""
    from span_keras.network import model

    return model


def recoloured(weights: SpanWeights, matrix: np.ndarray, offset: np.ndarray) -> SpanWeights:
    """Return the network in deploy form whose every output pixel is ``pixel @ matrix + offset`` of the one before.

    Args:
        weights: of a network with RGB output, in either form.
        matrix: (3, 3).
        offset: (3,), where values are in [0, 1].
    """
    fused = weights.fuse()
    kernel, bias = (np.float64(fused.layers["upsampler"][key]) for key in ("kernel", "bias"))
    # The last convolution gives the colours of every subpixel, one subpixel after the other.
    kernel = (kernel.reshape(*kernel.shape[:3], -1, 3) @ matrix).reshape(kernel.shape)
    bias = (bias.reshape(-1, 3) @ matrix + offset).reshape(-1)
    layers = {**fused.layers, "upsampler": {"kernel": np.float32(kernel), "bias": np.float32(bias)}}
    return replace(fused, layers=layers)


def average(networks: Sequence[SpanWeights], shares: Sequence[float] | None = None) -> SpanWeights:
    """Return the mean of the fused weights of networks.

    Args:
        networks: one or more of the same configuration, in either form.
        shares: how much each counts, relative to the others; equally by default.

    Returns:
        A network in deploy form, with what all agree about in their metadata, such as a licence.

    Raises:
        CheckpointError: there are none, or the configurations differ.
    """
    fused = [network.fuse() for network in networks]
    if not fused:
        raise CheckpointError("expected networks to average, found none.")
    first = fused[0]
    for other in fused[1:]:
        ours, theirs = asdict(first.config), asdict(other.config)
        if differ := [name for name in ours if ours[name] != theirs[name]]:
            a, b = (", ".join(f"{name} {values[name]}" for name in differ) for values in (ours, theirs))
            raise CheckpointError(
                f"expected networks alike, found {first.source} with {a} and {other.source} with {b}."
            )
    layers = {
        name: {
            key: np.average([np.float64(n.layers[name][key]) for n in fused], axis=0, weights=shares).astype(np.float32)
            for key in group
        }
        for name, group in first.layers.items()
    }
    shared = {key: value for key, value in first.metadata.items() if all(n.metadata.get(key) == value for n in fused)}
    return replace(first, layers=layers, source="average", metadata=shared)
