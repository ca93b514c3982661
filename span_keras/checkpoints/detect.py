"""From named tensors to a SPAN network: scale, width, depth and form are read off names and shapes."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np

from span_keras.checkpoints.files import MAX_BYTES, Contents, Tensor
from span_keras.constants import DIV2K_MEAN
from span_keras.errors import CheckpointError, ConfigError
from span_keras.network.config import SpanConfig
from span_keras.network.reparam import REPCONV_WEIGHTS, repconv_shapes, shuffle_order
from span_keras.network.weights import PLAIN_LAYERS, SpanWeights, layer_shapes, shape_problems

ASSUMED = {
    "torch": {"variant": "official", "img_range": 255.0, "rgb_mean": DIV2K_MEAN},
    "keras": {"variant": "span", "img_range": 1.0, "rgb_mean": DIV2K_MEAN},
}
"""What a file that cannot tell is taken for, by whose names its tensors have; documented in ``checkpoints``."""

TORCH_PARTS = {"skip": "sk", "expand": "conv.0", "conv": "conv.1", "project": "conv.2"}
"""Submodules of the authors' Conv3XC by our weight's name."""

PREFERRED_ROOTS = ("params_ema", "ema", "params", "state_dict", "model", "net_g", "generator")
"""Which network to take from a file that holds several, best first: averaged weights before raw ones."""

OTHER_ARCHITECTURES = (
    (r"(^|\.)(RRDB_trunk|rdb\d)\.|(^|\.)RDB\d\.|(^|\.)model\.1\.sub\.", "ESRGAN (RRDBNet)"),
    (r"(^|\.)layers\.\d+\.residual_group\.", "SwinIR or a relative of it"),
    (r"(^|\.)block_\d+\.esa\.", "RLFN"),
    (r"(^|\.)feats\.\d+\.", "SPAN+"),
    (r"(^|\.)(head|tail)\.0\.(weight|\d)", "EDSR or RCAN"),
    (r"(^|\.)feats?\d*\.|(^|\.)aggr\.", "another efficient network"),
    (r"(^|\.)body\.\d+\.weight$", "SRVGGNetCompact (Real-ESRGAN compact)"),
)
"""Names in the state dictionaries of networks that people mistake for SPAN."""


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
        Weights whose ``metadata["assumed"]`` lists the configuration that was neither read nor asked for.

    Raises:
        CheckpointError: the tensors are not a SPAN network's, or are not finite, or contradict what was asked.
    """
    tensors, torch_names = dict(contents.tensors), contents.naming == "torch"
    known = {k: v for k, v in contents.config.items() if k in {f.name for f in dataclasses.fields(SpanConfig)}}
    if torch_names:
        tensors = _strip_prefix(tensors, source)
        # The authors register this buffer in networks built with norm=False, which skip mean and range altogether.
        if tensors.pop("no_norm", None):
            known |= {"img_range": 1.0, "rgb_mean": (0.0, 0.0, 0.0)}
    else:
        stored = _batch_normalization(tensors, source)
        check_stated(known, stored, "tensors", source)
        known = {**stored, **known}
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("pixel_shuffle/")}

    config, assumed = _config(tensors, torch_names, known, asked, source)
    names = _expected_names(config, tensors, torch_names)
    _check(tensors, names, config, torch_names, source)

    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, (layer, key, _shape) in names.items():
        value = _finite(np.asarray(tensors[name].read()), name, source)
        if torch_names:
            value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
            value = value[..., shuffle_order(config.scale)] if layer == "upsampler" else value
        layers.setdefault(layer, {})[key] = np.ascontiguousarray(value)
    return SpanWeights(config, layers, source, {**contents.metadata, "assumed": assumed})


def check_stated(stated: dict, found: dict, where: str, source: str) -> None:
    """Refuse a file that states another configuration than its layers or tensors have; both are fields by name.

    Raises:
        CheckpointError: they differ by more than float32 rounds.
    """
    for name, value in found.items():
        if name in stated and not _same(stated[name], value):
            raise CheckpointError(f"{source} states {name} {stated[name]!r}, but its {where} have {name} {value!r}.")


def _strip_prefix(tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Keep the tensors of one network, under the authors' names: without ``params_ema.``, ``module.`` and the like."""
    marks = re.compile(
        r"^(|.*\.)(?:conv_1\.(?:sk|eval_conv|conv\.0)|block_1\.c1_r\.(?:sk|eval_conv|conv\.0)|conv_cat)\.weight$"
    )
    prefixes = {match[1] for match in map(marks.match, tensors) if match}
    if not prefixes:
        names = "\n".join(tensors)
        other = next((kind for mark, kind in OTHER_ARCHITECTURES if re.search(mark, names, re.MULTILINE)), None)
        some = ", ".join(list(tensors)[:4])
        raise CheckpointError(
            f"{source} is not SPAN: expected tensors such as conv_1.sk.weight or conv_1.eval_conv.weight, found "
            f"{f'those of {other}' if other else f'{len(tensors)} others'} ({some}, ...)."
        )

    def rank(prefix: str):
        parts = prefix.split(".")
        return min((PREFERRED_ROOTS.index(part) for part in parts if part in PREFERRED_ROOTS), default=99), prefix

    best = min(prefixes, key=rank)
    if [rank(prefix)[0] for prefix in prefixes].count(rank(best)[0]) > 1:
        raise CheckpointError(f"{source} holds several SPAN networks, {sorted(prefixes)}; save the one you mean alone.")
    return {name.removeprefix(best): tensor for name, tensor in tensors.items() if name.startswith(best)}


def _batch_normalization(tensors: dict[str, Tensor], source: str) -> dict:
    """Return range and mean of the deploy form's frozen BatchNormalization; take its tensors out."""
    mean, variance = (tensors.pop(f"normalize/{key}", None) for key in ("moving_mean", "moving_variance"))
    if not mean or not variance:
        return {}
    if mean.shape != (3,) or variance.shape != (3,):
        raise CheckpointError(f"{source} normalises with shapes {mean.shape} and {variance.shape}, expected (3,) each.")
    mean, variance = (_finite(t.read(), "normalize", source).tolist() for t in (mean, variance))
    if min(variance) <= 0 or max(variance) > min(variance) * (1 + 1e-6):
        raise CheckpointError(f"{source} has the input variances {variance}, expected one positive value three times.")
    # float32 storage leaves digits behind that the user never wrote.
    return {"img_range": float(f"{variance[0] ** -0.5:.6g}"), "rgb_mean": [float(f"{m:.7g}") for m in mean]}


def _config(tensors, torch_names: bool, known: dict, asked: dict, source: str) -> tuple[SpanConfig, list[str]]:
    """Return the configuration from shapes, from what the file states, from what the caller asks, from the defaults."""

    def size(layer: str, *keys: str) -> int | None:
        for key in keys:
            tensor = tensors.get(torch_name(layer, key) if torch_names else f"{layer}/{key}")
            if tensor and tensor.shape:
                return tensor.shape[-1 if key.endswith("bias") or not torch_names else 0]
        return None

    pattern = r"block_(\d+)\." if torch_names else r"block_(\d+)_c\d/"
    read = {
        "channels": size("conv_cat", "kernel", "bias") or size("conv_1", "skip_kernel", "kernel", "project_bias"),
        "scale": size("upsampler", "kernel", "bias"),
        "blocks": max((int(match[1]) for match in map(re.compile(pattern).match, tensors) if match), default=None),
    }
    if missing := [name for name, value in read.items() if not value]:
        raise CheckpointError(f"{source} is not SPAN: it lacks the tensors that tell its {' and '.join(missing)}.")
    scale = math.isqrt(read["scale"] // 3)
    if 3 * scale**2 != read["scale"]:
        raise CheckpointError(
            f"{source} has {read['scale']} upsampler channels, expected 3·s² for a scale s of 2, 3 or 4."
        )
    read["scale"] = scale

    for name, value in known.items():
        if name in read and value != read[name]:
            raise CheckpointError(f"{source} states {name} {value!r}, but its tensors have {name} {read[name]}.")
    for name, value in asked.items():
        if value is not None and name in known and not _same(value, known[name]):
            raise CheckpointError(f"{source} has {name} {known[name]}, but {value} was asked for; leave {name} out.")
    stated = {**{name: value for name, value in asked.items() if value is not None}, **known}
    assumed = {k: v for k, v in ASSUMED["torch" if torch_names else "keras"].items() if k not in stated}
    try:
        return SpanConfig(**{**assumed, **stated, **read}), sorted(assumed)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{source} describes a network that cannot be built: {error}") from error


def _same(a, b) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a == b
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
    if (size := sum(4 * math.prod(shape) for shape in expected.values())) > MAX_BYTES:
        raise CheckpointError(f"{source} describes a network of {size:,} bytes, more than the {MAX_BYTES:,} allowed.")
    # A stale eval_conv beside the expanded weights.
    ignored = {torch_name(layer, key) for layer in layer_shapes(config) for key in ("kernel", "bias") if torch_names}
    found = {name: t.shape for name, t in tensors.items() if name in expected or name not in ignored}
    if problems := shape_problems(found, expected):
        raise CheckpointError(
            f"{source} does not hold a SPAN network of scale {config.scale}, {config.channels} channels and "
            f"{config.blocks} blocks: {'; '.join(problems)}."
        )


def _finite(values: np.ndarray, name: str, source: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if bad := int(values.size - np.isfinite(values).sum()):
        raise CheckpointError(
            f"{source} has {bad} values in {name} that are NaN, infinite or beyond float32: not usable."
        )
    return values
