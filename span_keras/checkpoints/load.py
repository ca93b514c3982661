"""Find a weights file, have its format's reader read it, and build the network that its tensors make up."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from span_keras.checkpoints.detect import detect
from span_keras.checkpoints.files import MAX_BYTES, sha256, suffix_of
from span_keras.errors import CheckpointError
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
    rgb_mean: tuple[float, float, float] | None = None,
) -> SpanWeights:
    """Read a weights file of any supported format; see the table of the package ``checkpoints``.

    Args:
        path: a file, or ``bundled:NAME``.
        variant, img_range, rgb_mean: what the file cannot tell; see ``SpanConfig``.

    Returns:
        The weights in the form the file has them, with ``metadata["format"]`` (the suffix), ``metadata["sha256"]`` (of
        the file; of ``model.json`` and its shards in order) and ``metadata["assumed"]``.

    Raises:
        UnsafeCheckpointError: a pickle asks for a callable that weights have no need for.
        CheckpointError: the file is missing, damaged, not a SPAN network, or contradicts an argument.
    """
    source, file = str(path), resolve(path)
    suffix = suffix_of(file, tuple(READERS))
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise CheckpointError(
                f"{source} has {size:,} bytes, more than the {MAX_BYTES:,} that any SPAN network needs."
            )
        if not size:
            raise CheckpointError(f"{source} is empty, expected SPAN weights.")
        module, function = READERS[suffix]
        read = getattr(importlib.import_module(f"{__package__}.{module}"), function)
        contents = read(file, source)
        weights = detect(contents, source, {"variant": variant, "img_range": img_range, "rgb_mean": rgb_mean})
        weights.metadata.update(format=suffix.removeprefix("."), sha256=sha256(contents.files))
        return weights
    except CheckpointError as error:
        if source in str(error):
            raise
        raise type(error)(f"{source}: {error}") from error
    except Exception as error:  # A damaged or hostile file can make a parser raise anything.
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
        raise CheckpointError(
            f"{source} could not be read as {suffix}: it is truncated, damaged or something else ({reason})."
        ) from error


def assumption(weights: SpanWeights) -> str | None:
    """Return a sentence about the configuration that ``load_weights`` had to assume; None if nothing."""
    if not (names := weights.metadata.get("assumed")):
        return None
    values = {name: getattr(weights.config, name) for name in names}
    parts = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}
    texts = (f"{name} {','.join(v if isinstance(v, str) else f'{v:g}' for v in part)}" for name, part in parts.items())
    return f"Note: {weights.source} does not tell all about its network; assumed {', '.join(texts)}."


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
        is_folder, exists = file.is_dir(), file.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a locked folder; a home folder of nobody
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise CheckpointError(f"{name} cannot be opened ({reason}); name a weights file or {PREFIX}NAME.") from error
    if is_folder:
        hint = f"; did you mean {file / 'model.json'}?" if (file / "model.json").is_file() else "."
        raise CheckpointError(f"{name} is a folder, expected a weights file{hint}")
    if not exists:
        raise CheckpointError(f"{name} does not exist; name a weights file or {PREFIX}NAME.")
    return file
