"""Find a weights file, have its format's reader read it, and build the network that its tensors make up."""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from span_keras.checkpoints.archive import unpacked
from span_keras.checkpoints.content import kind_of, refuse_pretenders
from span_keras.checkpoints.detect import detect
from span_keras.checkpoints.files import MAX_TENSOR_BYTES, sha256, suffix_of
from span_keras.checkpoints.several import is_averaged
from span_keras.checkpoints.trial import RESEMBLES
from span_keras.errors import CheckpointError, named
from span_keras.network.weights import SpanWeights

BUNDLED = Path(__file__).parents[1] / "bundled"
"""Folder of the weights that come with the package, named ``bundled:NAME``."""

PREFIX = "bundled:"

READERS = {
    ".weights.h5": ("keras_file", "read_weights"),
    ".keras": ("keras_file", "read_model"),
    ".pth": ("torch_file", "read"),
    ".pt": ("torch_file", "read"),
    ".ckpt": ("torch_file", "read"),
    ".safetensors": ("safetensors_file", "read"),
    ".onnx": ("onnx_file", "read"),
    ".json": ("tfjs_file", "read"),
}
"""Module and function that read a suffix; a module loads its library, such as onnx, only when it is needed."""


def load_weights(
    path: str | os.PathLike,
    *,
    variant: str | None = None,
    img_range: float | None = None,
    rgb_mean: tuple[float, ...] | None = None,
) -> SpanWeights:
    """Read a weights file of any supported format; see the table of the package ``checkpoints``.

    Args:
        path: a file, a zip archive of one, or ``bundled:NAME``.
        variant, img_range, rgb_mean: what the file cannot tell; see ``SpanConfig``.

    Returns:
        The weights in the form the file has them, with ``metadata["format"]`` (the suffix), ``metadata["sha256"]`` (of
        the file; of ``model.json`` and its shards in order) and ``metadata["assumed"]``. Range and mean that are
        neither read nor stated are found by trial, or else the authors', see ``require_settled``.

    Raises:
        UnsafeCheckpointError: a pickle asks for a callable that weights have no need for.
        CheckpointError: the file is missing, damaged, not a SPAN network, or contradicts an argument.
    """
    asked = {"variant": variant, "img_range": img_range, "rgb_mean": rgb_mean}
    return _load(resolve(path), str(path), asked)


def _load(file: Path, source: str, asked: dict) -> SpanWeights:
    suffix = file.suffix
    try:
        if (size := file.stat().st_size) > MAX_TENSOR_BYTES:
            raise CheckpointError(
                f"{source} has {size:,} bytes, more than the {MAX_TENSOR_BYTES:,} that any SPAN network needs."
            )
        if not size:
            raise CheckpointError(f"{source} is empty, expected SPAN weights.")
        refuse_pretenders(file, source)
        suffix = _suffix(file)
        if suffix == ".zip":
            with unpacked(file, source, _is_weights) as inner:
                weights = _load(inner, f"{source} ({inner.name})", asked)
            return replace(weights, source=source)
        module, function = READERS[suffix]
        read = getattr(importlib.import_module(f"{__package__}.{module}"), function)
        contents = read(file, source)
        weights = detect(contents, source, asked)
        weights.metadata.update(format=suffix.removeprefix("."), sha256=sha256(contents.files))
        return weights
    except CheckpointError as error:
        if source in str(error):
            raise
        raise type(error)(f"{source}: {error}") from error
    except PermissionError as error:
        raise CheckpointError(f"{source} cannot be opened ({error.strerror}); you may not read it.") from error
    except Exception as error:  # A damaged or hostile file can make a parser raise anything.
        reason = named(error)[:200]
        raise CheckpointError(
            f"{source} could not be read as {suffix}: it is truncated, damaged or something else ({reason})."
        ) from error


def _suffix(file: Path) -> str:
    """Return the suffix of the reader for a file: by its name, but what is called otherwise than it is by its content.

    Raises:
        CheckpointError: neither tells.
    """
    try:
        named = suffix_of(file, (*READERS, ".zip"))
    except CheckpointError:
        if (kind := kind_of(file)) is None:
            raise
        return kind
    # Trainers call anything .ckpt; torch.save writes a zip archive; a library may be used under another's suffix.
    kind = kind_of(file) if named in (".pth", ".pt", ".ckpt", ".safetensors", ".zip") else None
    if (named, kind) in ((".pt", ".pth"), (".ckpt", ".pth")):
        return named
    return kind if kind in (".pth", ".safetensors") else named


def _is_weights(name: str) -> bool:
    """Return whether a file in an archive is one that ``load_weights`` reads by itself."""
    return name == "model.json" or (name.lower().endswith(tuple(READERS)) and not name.lower().endswith(".json"))


def notes(weights: SpanWeights) -> list[str]:
    """Return sentences about what ``load_weights`` chose or assumed, of which the user may know better."""
    source, found = weights.source, []
    if taken := weights.metadata.get("taken"):
        chosen = f"the averaged weights of {taken}" if is_averaged(taken) else f"{taken}, none being called averaged"
        found.append(f"Note: {source} holds several networks; took {chosen}.")
    if names := weights.metadata.get("assumed"):
        trial, told = weights.metadata.get("trial"), ""
        if trial and trial["resembles"]:
            further = f" (the next of {trial['tried']}: {trial['next_psnr']:.1f} dB)" if trial["tried"] > 1 else ""
            told = (
                f"; with these a test picture comes within {trial['psnr']:.1f} dB of its bicubic enlargement{further}"
            )
        found.append(
            f"Note: {source} does not tell all about its network; {'found' if told else 'assumed'} "
            f"{_values(weights, names)}{told}."
        )
    return found


def require_settled(*networks: SpanWeights) -> None:
    """Refuse networks whose range and mean neither their files tell nor a trial could find.

    Raises:
        CheckpointError: there is one.
    """
    for weights in networks:
        trial = weights.metadata.get("trial")
        if trial and not trial["resembles"]:
            raise CheckpointError(
                f"{weights.source} does not tell its input's range and mean, and with none of {trial['tried']} usual "
                f"ones its result resembles an enlargement (at best {trial['psnr']:.1f} dB, expected {RESEMBLES:g}); "
                "state --img-range and --rgb-mean as in its training (in Python those of load_weights, whose result "
                "save_weights keeps)."
            )


def require_rgb(weights: SpanWeights) -> None:
    """Refuse a network that is not from RGB to RGB, which can be run but not trained.

    Raises:
        CheckpointError: it is another.
    """
    if (channels := (weights.config.in_channels, weights.config.out_channels)) != (3, 3):
        raise CheckpointError(
            f"{weights.source} is a network from {channels[0]} to {channels[1]} channels, which can be run but not "
            "trained; name one from RGB to RGB."
        )


def _values(weights: SpanWeights, names: Sequence[str]) -> str:
    """Return fields of a configuration as text: ``img_range 255, rgb_mean 0.4488,0.4371,0.404``."""
    values = {name: getattr(weights.config, name) for name in names}
    parts = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}
    texts = (f"{name} {','.join(v if isinstance(v, str) else f'{v:g}' for v in part)}" for name, part in parts.items())
    return ", ".join(texts)


def bundled_names() -> list[str]:
    """Return the networks that come with the package, as ``bundled:NAME``, sorted."""
    # They are named by their scale (x4, x2-fast); the folder holds the perceptual loss's weights too.
    return sorted(f"{PREFIX}{found.stem}" for found in BUNDLED.glob("x[0-9]*.safetensors"))


def resolve(path: str | os.PathLike) -> Path:
    """Return the existing file that a path or ``bundled:NAME`` means.

    Raises:
        CheckpointError: there is none; the bundled names are listed, or the likely file in a folder is named. Or the
            path cannot be looked at.
    """
    name = str(path)
    if name.startswith(PREFIX):
        available = bundled_names()
        if name not in available:
            known = f"it has {', '.join(available)}; name one of these or" if available else "it bundles none; name"
            raise CheckpointError(f"{name} does not come with this installation; {known} a weights file.")
        return BUNDLED / f"{name.removeprefix(PREFIX)}.safetensors"
    try:
        file = Path(path).expanduser()
        is_folder = stat.S_ISDIR(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{name} does not exist; name a weights file or {PREFIX}NAME.") from error
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a locked folder; nobody's home; a null byte
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise CheckpointError(f"{name} cannot be opened ({reason}); name a weights file or {PREFIX}NAME.") from error
    if is_folder:
        hint = f"; did you mean {file / 'model.json'}?" if (file / "model.json").is_file() else "."
        raise CheckpointError(f"{name} is a folder, expected a weights file{hint}")
    return file
