"""Settings that only older versions had: what a run folder, a recipe or a command that names one is told."""

from __future__ import annotations

from span_keras.errors import RetiredError

RETIRED = {
    "morph_steps": 0,
    "target": "photo",
    "lr_scales": [],
    "rgb_order": False,
    "contrast": 1.0,
    "rotate": False,
    "luma": 0.0,
    "hint_weight": 0.0,
}
"""Name -> the value with which it did nothing."""

RETIRED_CHOICES = {"loss": "charbonnier", "perceptual": "vgg19"}
"""Name of a setting that is still there -> a value that is not."""

LAST_COMMIT = "815b09f"
"""The last one with all of them."""


def without_retired(values: dict) -> dict:
    """Drop retired settings that were not in use.

    Args:
        values: name -> value, as ``config.json`` has them.

    Raises:
        RetiredError: one was in use.
    """
    used = [name for name, unused in RETIRED.items() if values.get(name, unused) != unused]
    if isinstance(values.get("degrade"), (list, tuple)):  # what threads did to patches, by name
        used += ["degrade"] if values["degrade"] else []
        values = {**values, "degrade": "none"} if not values["degrade"] else values
    used += [name for name, choice in RETIRED_CHOICES.items() if values.get(name) == choice]
    if used:
        raise RetiredError(f"{used[0]} = {values[used[0]]!r}")
    return {name: value for name, value in values.items() if name not in RETIRED}
