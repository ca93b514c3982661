"""What a Keras model's JSON (of ``.keras`` or of a TF.js ``model.json``) says that weights alone do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import CheckpointError
from span_keras.network.config import variant_of


def config_of(description, source: str) -> dict:
    """Return variant and normalisation by the layers of a functional model, named as ``model.py`` names them.

    Args:
        description: the parsed JSON, the layers at any depth.

    Returns:
        Fields of ``SpanConfig``. The range and mean of a BatchNormalization are not among them: they are weights.

    Raises:
        CheckpointError: a LeakyReLU has another slope than SPAN's.
    """
    layers = {config["name"]: (kind, config) for kind, config in _layers(description)}
    found = config_of_names(layers)
    kind, config = layers.get("normalize", (None, {}))
    if kind == "Rescaling":
        img_range, offset = float(config["scale"]), config["offset"]
        offset = offset if isinstance(offset, list) else [offset] * 3  # a number is for RGB, as build_span writes lists
        # Digits that dividing leaves behind and nobody wrote: 15 digits of the 17.
        found |= {"img_range": img_range, "rgb_mean": [0.0 - float(f"{o / img_range:.14g}") for o in offset]}
    for name, (kind, config) in layers.items():
        slope = config.get("negative_slope", config.get("alpha", LEAKY_SLOPE))
        if kind == "LeakyReLU" and abs(float(slope) - LEAKY_SLOPE) > 1e-6:
            raise CheckpointError(f"{source} uses LeakyReLU with slope {slope} in {name}, expected {LEAKY_SLOPE}.")
    return found


def config_of_names(names: Iterable[str]) -> dict:
    """Return what the names of the layers tell alone: the variant, and the normalisation if there is none."""
    names = set(names)
    found = {}
    if "block_1_sym" in names:
        found["variant"] = variant_of(names)
        if "normalize" not in names:
            found |= {"img_range": 1.0, "rgb_mean": (0.0, 0.0, 0.0)}
    return found


def _layers(value) -> Iterator[tuple[str, dict]]:
    """Yield every ``(class name, configuration)`` in nested JSON."""
    if isinstance(value, dict):
        config = value.get("config")
        if isinstance(config, dict) and isinstance(config.get("name"), str) and "class_name" in value:
            yield str(value["class_name"]), config
        for item in value.values():
            yield from _layers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _layers(item)
