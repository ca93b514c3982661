"""The hyper-parameters that define a SPAN network. Light: imports neither Keras nor a backend."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from span_keras.constants import BLOCKS, CHANNELS, DIV2K_MEAN, SCALES, VARIANTS
from span_keras.errors import ConfigError

ACTIVATIONS = {"span": ("leaky_relu", ("tanh",)), "official": ("silu", ("sigmoid", "offset"))}
"""Variant -> its activation, and the layers that make its symmetric activation, in their order."""


@dataclass(frozen=True)
class SpanConfig:
    """Hold everything needed to build a SPAN network besides its weights.

    Args:
        scale: upscaling factor, 2, 3 or 4.
        channels: width C of every hidden convolution (the paper's 48; 52 is released too).
        blocks: number of SPAB blocks (6 in the paper).
        variant: ``"span"`` uses LeakyReLU(0.1) and the symmetric activation tanh;
            ``"official"`` uses SiLU and sigmoid - 0.5, as the authors' released code does.
        img_range: the normalised input is ``(x - rgb_mean) * img_range`` for x in [0, 1].
            The authors use 255; 1 keeps activations small enough for half precision.
        rgb_mean: mean RGB in [0, 1] subtracted from the input.

    Raises:
        ConfigError: a value is outside its range.

    Source: "Swift Parameter-free Attention Network for Efficient Super-Resolution",
    Wan et al., CVPR Workshops 2024, section 3.

    Example:
        >>> config = SpanConfig(scale=2, channels=32)
        >>> config.receptive_radius
        21
        >>> SpanConfig.from_dict(config.to_dict()) == config
        True
    """

    scale: int = 4
    channels: int = CHANNELS
    blocks: int = BLOCKS
    variant: str = "span"
    img_range: float = 1.0
    rgb_mean: tuple[float, float, float] = DIV2K_MEAN

    def __post_init__(self) -> None:
        if not isinstance(self.scale, int) or self.scale not in SCALES:
            raise ConfigError(f"scale must be one of {SCALES}, found {self.scale!r}.")
        if self.variant not in VARIANTS:
            raise ConfigError(f"variant must be one of {VARIANTS}, found {self.variant!r}.")
        for name, largest in (("channels", 1024), ("blocks", 64)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
                raise ConfigError(f"{name} must be a whole number from 1 to {largest}, found {value!r}.")
        try:
            mean = tuple(float(m) for m in self.rgb_mean)
            img_range = float(self.img_range)
        except (TypeError, ValueError):
            raise ConfigError(
                f"img_range must be a number, rgb_mean three; found {self.img_range!r} and {self.rgb_mean!r}."
            ) from None
        if len(mean) != 3 or not all(-1.0 <= m <= 2.0 for m in mean):
            raise ConfigError(f"rgb_mean must be three values near [0, 1], found {self.rgb_mean!r}.")
        if not 0.0 < img_range <= 65535.0:
            raise ConfigError(f"img_range must be between 0 and 65535, found {self.img_range!r}.")
        object.__setattr__(self, "rgb_mean", mean)
        object.__setattr__(self, "img_range", img_range)

    @classmethod
    def official(cls, scale: int = 4, channels: int = CHANNELS, **overrides) -> SpanConfig:
        """Return the configuration of the authors' released weights (input range 255)."""
        return cls(**{"scale": scale, "channels": channels, "variant": "official", "img_range": 255.0, **overrides})

    @property
    def receptive_radius(self) -> int:
        """Return the pixels of low-resolution context that an output pixel sees on every side.

        It is one per serial 3×3 convolution.
        """
        return 3 * self.blocks + 3

    @property
    def normalizes(self) -> bool:
        """Return whether the input is changed at all before the first convolution."""
        return self.img_range != 1.0 or any(self.rgb_mean)

    def to_dict(self) -> dict:
        """Return a JSON-ready mapping; ``SpanConfig.from_dict`` inverts it."""
        return {**dataclasses.asdict(self), "rgb_mean": list(self.rgb_mean)}

    @classmethod
    def from_dict(cls, values: dict) -> SpanConfig:
        """Build a configuration from what ``to_dict`` returned.

        Raises:
            ConfigError: a key is unknown, or a value outside its range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"unknown configuration keys {unknown}; known are {sorted(known)}.")
        return cls(**{**values, "rgb_mean": tuple(values.get("rgb_mean", DIV2K_MEAN))})


def variant_of(names: set[str]) -> str:
    """Return the variant of a network from the names that ``topology.topology`` gives its layers.

    Raises:
        ConfigError: no variant, or more than one, has layers of these names.
    """
    helpers = {variant: {f"block_1_{kind}" for kind in kinds[:-1]} for variant, (_, kinds) in ACTIVATIONS.items()}
    present = set().union(*helpers.values()) & names
    found = [variant for variant, layers in helpers.items() if layers == present]
    if len(found) != 1:
        raise ConfigError(f"expected layers that tell one of {VARIANTS}, found those of {found}; state the variant.")
    return found[0]
