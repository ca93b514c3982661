"""From named tensors to a SPAN network: scale, width, depth and form are read off names and shapes."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np

from span_keras.checkpoints import trial
from span_keras.checkpoints.files import MAX_TENSOR_BYTES, Contents, Tensor
from span_keras.checkpoints.relatives import usual
from span_keras.checkpoints.several import one_network
from span_keras.constants import CHANNEL_PAIRS, DIV2K_MEAN, MAX_SCALE
from span_keras.errors import CheckpointError, ConfigError
from span_keras.network.config import SpanConfig, upsampling
from span_keras.network.reparam import REPCONV_WEIGHTS, repconv_shapes, shuffle_order
from span_keras.network.weights import PLAIN_LAYERS, SpanWeights, layer_shapes, shape_problems

ASSUMED = {
    "torch": {"variant": "official", "img_range": 255.0, "rgb_mean": DIV2K_MEAN},
    "keras": {"variant": "span", "img_range": 1.0, "rgb_mean": DIV2K_MEAN},
}
"""What a file that cannot tell is taken for, by whose names its tensors have; documented in ``checkpoints``. Range and
mean only where a trial finds none."""

KINDS = ", ".join(f"{given} to {made}" for given, made in CHANNEL_PAIRS)

MAX_PROBLEMS = 6
"""Differences that a message lists, of a file that is not the SPAN network it seems to be."""

TORCH_PARTS = {"skip": "sk", "expand": "conv.0", "conv": "conv.1", "project": "conv.2"}
"""Submodules of the authors' Conv3XC by our weight's name."""


def torch_name(layer: str, key: str) -> str:
    """Return the authors' name of a weight: ``block_1_c1``, ``skip_kernel`` -> ``block_1.c1_r.sk.weight``."""
    module = re.sub(r"^(block_\d+)_(c\d)$", r"\1.\2_r", layer)
    part, _, kind = key.rpartition("_")
    parameter = "weight" if kind == "kernel" else "bias"
    if layer == "upsampler":
        return f"upsampler.0.{parameter}"
    if layer in PLAIN_LAYERS:
        return f"{layer}.{parameter}"
    return f"{module}.{TORCH_PARTS[part] if part else 'eval_conv'}.{parameter}"


def detect(contents: Contents, source: str, asked: dict) -> SpanWeights:
    """Build the network that a file's tensors make up.

    Args:
        contents: what the format's reader found.
        source: the file's name for messages.
        asked: ``variant``, ``img_range`` and ``rgb_mean`` as the caller states them, ``None`` where not.

    Returns:
        Weights whose ``metadata["assumed"]`` lists the configuration that was neither read nor asked for. Where range
        or mean are among it, ``metadata["trial"]`` tells how they were found, see ``trial.Found``. Where the file holds
        several networks, ``metadata["taken"]`` names the one.

    Raises:
        CheckpointError: the tensors are not a SPAN network's, or are not finite, or contradict what was asked.
    """
    tensors, torch_names = dict(contents.tensors), contents.naming == "torch"
    metadata = {name: value for name, value in contents.metadata.items() if name not in ("trial", "taken")}
    known = {k: v for k, v in contents.config.items() if k in {f.name for f in dataclasses.fields(SpanConfig)}}
    if torch_names:
        tensors, taken = one_network(tensors, source)
        metadata |= {"taken": taken} if taken is not None else {}
        # The authors register this buffer in networks built with norm=False, which skip mean and range altogether.
        if tensors.pop("no_norm", None):
            known |= {"img_range": 1.0, "rgb_mean": ()}
    else:
        stored = _batch_normalization(tensors, source)
        check_stated(known, stored, "tensors", source)
        known = {**stored, **known}
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("pixel_shuffle/")}

    config, assumed, stated = _config(tensors, torch_names, known, asked, source)
    names = _expected_names(config, tensors, torch_names)
    _check(tensors, names, config, torch_names, source)

    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, (layer, key, _shape) in names.items():
        value = _finite(np.asarray(tensors[name].read()), name, source)
        if torch_names:
            value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
            value = value[..., shuffle_order(config.scale, config.out_channels)] if layer == "upsampler" else value
        layers.setdefault(layer, {})[key] = np.ascontiguousarray(value)
    weights = SpanWeights(config, layers, source, metadata | {"assumed": assumed})
    return _with_normalisation(weights, stated) if {"img_range", "rgb_mean"} & set(assumed) else weights


def _with_normalisation(weights: SpanWeights, stated: dict) -> SpanWeights:
    """Return the network with the range and mean that a trial finds; as it is if nothing resembles."""
    found = trial.find(weights, {name: stated[name] for name in ("img_range", "rgb_mean") if name in stated})
    resembles = found.psnr >= trial.RESEMBLES
    told = {"resembles": resembles, "psnr": found.psnr, "next_psnr": found.next_psnr, "tried": found.tried}
    config = dataclasses.replace(weights.config, img_range=found.img_range, rgb_mean=found.rgb_mean)
    return dataclasses.replace(
        weights, config=config if resembles else weights.config, metadata={**weights.metadata, "trial": told}
    )


def check_stated(stated: dict, found: dict, where: str, source: str) -> None:
    """Refuse a file that states another configuration than its layers or tensors have; both are fields by name.

    Raises:
        CheckpointError: they differ by more than float32 rounds.
    """
    for name, value in found.items():
        if name in stated and not _same(stated[name], value):
            raise CheckpointError(f"{source} states {name} {stated[name]!r}, but its {where} have {name} {value!r}.")


def _batch_normalization(tensors: dict[str, Tensor], source: str) -> dict:
    """Return range and mean of the deploy form's frozen BatchNormalization; take its tensors out."""
    mean, variance = (tensors.pop(f"normalize/{key}", None) for key in ("moving_mean", "moving_variance"))
    if not mean or not variance:
        return {}
    if mean.shape != variance.shape or mean.shape not in {(given,) for given, _made in CHANNEL_PAIRS}:
        raise CheckpointError(
            f"{source} normalises with shapes {mean.shape} and {variance.shape}, expected one value per channel each."
        )
    mean, variance = (_finite(t.read(), "normalize", source).tolist() for t in (mean, variance))
    if min(variance) <= 0 or max(variance) > min(variance) * (1 + 1e-6):
        raise CheckpointError(f"{source} has the input variances {variance}, expected one positive value for all.")
    # float32 storage leaves digits behind that the user never wrote.
    return {"img_range": float(f"{variance[0] ** -0.5:.6g}"), "rgb_mean": [float(f"{m:.7g}") for m in mean]}


def _config(tensors, torch_names: bool, known: dict, asked: dict, source: str) -> tuple[SpanConfig, list[str], dict]:
    """Return the configuration from shapes, from what the file states, from what the caller asks, from the defaults.

    Returns:
        The configuration; the names of its fields that are assumed; and those stated or asked for, by name.
    """
    read = _sizes(tensors, torch_names, source)
    # "None" in a file that does not count the channels.
    if isinstance(known.get("rgb_mean"), list | tuple) and not any(known["rgb_mean"]):
        known["rgb_mean"] = (0.0,) * read["in_channels"]
    for name, value in known.items():
        if name in read and value != read[name]:
            raise CheckpointError(f"{source} states {name} {value!r}, but its tensors have {name} {read[name]}.")
    for name, value in asked.items():
        if value is not None and name in known and not _same(value, known[name]):
            raise CheckpointError(f"{source} has {name} {known[name]}, but {value} was asked for; leave {name} out.")
    stated = {**{name: value for name, value in asked.items() if value is not None}, **known}
    assumed = dict(ASSUMED["torch" if torch_names else "keras"])
    if read["in_channels"] != len(assumed["rgb_mean"]):  # the authors' code has no normalisation for these
        assumed |= {"img_range": 1.0, "rgb_mean": (0.0,) * read["in_channels"]}
    assumed = {name: value for name, value in assumed.items() if name not in stated}
    try:
        return SpanConfig(**{**assumed, **stated, **read}), sorted(assumed), stated
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{source} describes a network that cannot be built: {error}") from error


def _sizes(tensors, torch_names: bool, source: str) -> dict[str, int]:
    """Return scale, width, depth and channels by the shapes of tensors.

    Raises:
        CheckpointError: a tensor that tells them is missing, or the network is none of ours.
    """

    def size(layer: str, axis: int, *keys: str) -> int | None:
        """Return how many outputs (axis 0) or inputs (axis 1) a convolution has."""
        for key in keys:
            tensor = tensors.get(torch_name(layer, key) if torch_names else f"{layer}/{key}")
            if tensor and len(tensor.shape) == 4:
                return tensor.shape[axis if torch_names else 3 - axis]
        return None

    pattern = r"block_(\d+)\." if torch_names else r"block_(\d+)_c\d/"
    blocks = max((int(match[1]) for match in map(re.compile(pattern).match, tensors) if match), default=None)
    inner = ["conv_1", "conv_2", *(f"block_{i}_c{j}" for i in range(1, min(blocks or 0, 64) + 1) for j in (1, 2, 3))]
    widths = {layer: size(layer, 0, "skip_kernel", "kernel", "project_kernel") for layer in (*inner, "conv_cat")}
    widths = {layer: width for layer, width in widths.items() if width}
    read = {
        "channels": usual(widths.values()),
        "in_channels": size("conv_1", 1, "skip_kernel", "kernel", "expand_kernel") or 3,
        "scale": size("upsampler", 0, "kernel"),
        "blocks": blocks,
    }
    if missing := [name for name, value in read.items() if not value]:
        raise CheckpointError(f"{source} is not SPAN: it lacks the tensors that tell its {' and '.join(missing)}.")
    pruned = {layer: width for layer, width in widths.items() if width != read["channels"]}
    if pruned and torch_names:
        some = ", ".join(f"{layer} with {width}" for layer, width in list(pruned.items())[:3])
        raise CheckpointError(
            f"{source} is a pruned SPAN, not SPAN: most of its layers have {read['channels']} channels, but it has "
            f"{some}{', ...' if len(pruned) > 3 else ''}; use the network it was pruned from."
        )
    found = upsampling(read["in_channels"], read["scale"])
    if found is None:
        raise CheckpointError(
            f"{source} has {read['in_channels']} input and {read['scale']} upsampler channels, expected a network from "
            f"{KINDS}, and s² times the output channels for a scale s from 1 to {MAX_SCALE}."
        )
    return read | {"scale": found[0], "out_channels": found[1]}


def _same(a, b) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    if not np.any(a) and not np.any(b):
        return True  # no mean, for however many channels
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-5, atol=1e-7)


def _expected_names(config: SpanConfig, tensors, torch_names: bool) -> dict[str, tuple[str, str, tuple[int, ...]]]:
    """Return ``{name in the file: (layer, weight, our shape)}`` for every tensor that the network needs."""
    names = {}
    for layer, shape in layer_shapes(config).items():
        make = (
            (lambda key, layer=layer: torch_name(layer, key))
            if torch_names
            else (lambda key, layer=layer: f"{layer}/{key}")
        )
        # Where both forms exist eval_conv may be stale: the authors refresh it only when switching to evaluation.
        expanded = layer not in PLAIN_LAYERS and any(make(key) in tensors for key in REPCONV_WEIGHTS)
        shapes = repconv_shapes(*shape[2:]) if expanded else {"kernel": shape, "bias": shape[3:]}
        names |= {make(key): (layer, key, value) for key, value in shapes.items()}
    return names


def _check(tensors, names, config: SpanConfig, torch_names: bool, source: str) -> None:
    """Compare names and shapes with what the network needs before anything is read."""
    expected = {
        name: tuple(shape[axis] for axis in (3, 2, 0, 1)) if torch_names and len(shape) == 4 else shape
        for name, (_layer, _key, shape) in names.items()
    }
    if (size := sum(4 * math.prod(shape) for shape in expected.values())) > MAX_TENSOR_BYTES:
        raise CheckpointError(
            f"{source} describes a network of {size:,} bytes, more than the {MAX_TENSOR_BYTES:,} allowed."
        )
    # A stale eval_conv beside the expanded weights.
    ignored = {torch_name(layer, key) for layer in layer_shapes(config) for key in ("kernel", "bias") if torch_names}
    found = {name: t.shape for name, t in tensors.items() if name in expected or name not in ignored}
    if problems := shape_problems(found, expected):
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise CheckpointError(
            f"{source} does not hold a SPAN network of scale {config.scale}, {config.channels} channels and "
            f"{config.blocks} blocks: {'; '.join(problems[:MAX_PROBLEMS])}{more}."
        )


def _finite(values: np.ndarray, name: str, source: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if bad := int(values.size - np.isfinite(values).sum()):
        raise CheckpointError(
            f"{source} has {bad} values in {name} that are NaN, infinite or beyond float32: not usable."
        )
    return values
