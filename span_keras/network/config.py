"""The hyper-parameters that define a SPAN network. Light: imports neither Keras nor a backend."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from span_keras.constants import BLOCKS, CHANNEL_PAIRS, CHANNELS, DIV2K_MEAN, MAX_SCALE, VARIANTS
from span_keras.errors import ConfigError

ACTIVATIONS = {"span": ("leaky_relu", ("tanh",)), "official": ("silu", ("sigmoid", "offset"))}
"""Variant -> its activation, and the layers that make its symmetric activation, in their order."""


@dataclass(frozen=True)
class SpanConfig:
    """Hold everything needed to build a SPAN network besides its weights.

    Args:
        scale: upscaling factor from 1 (a restorer) to 8; 2, 3 and 4 are trained here.
        channels: width C of every hidden convolution (the paper's 48; 52 is released too).
        blocks: number of SPAB blocks (6 in the paper).
        variant: ``"span"`` uses LeakyReLU(0.1) and the symmetric activation tanh;
            ``"official"`` uses SiLU and sigmoid - 0.5, as the authors' released code does.
        img_range: the normalised input is ``(x - rgb_mean) * img_range`` for x in [0, 1].
            The authors use 255; 1 keeps activations small enough for half precision.
        rgb_mean: mean in [0, 1] subtracted from the input, one value per input channel.
        in_channels, out_channels: 1 grey, 3 RGB, 4 RGB and alpha; one of ``CHANNEL_PAIRS``. Networks other than RGB to
            RGB are read and run, not trained here.

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
    rgb_mean: tuple[float, ...] = DIV2K_MEAN
    in_channels: int = 3
    out_channels: int = 3

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ConfigError(f"variant must be one of {VARIANTS}, found {self.variant!r}.")
        for name, largest in (("scale", MAX_SCALE), ("channels", 1024), ("blocks", 64)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
                raise ConfigError(f"{name} must be a whole number from 1 to {largest}, found {value!r}.")
        if (self.in_channels, self.out_channels) not in CHANNEL_PAIRS:
            pairs = ", ".join(f"{given} to {made}" for given, made in CHANNEL_PAIRS)
            raise ConfigError(
                f"in_channels and out_channels must be one of {pairs}, found {self.in_channels} to {self.out_channels}."
            )
        try:
            mean = tuple(float(m) for m in self.rgb_mean)
            img_range = float(self.img_range)
        except (TypeError, ValueError):
            raise ConfigError(
                f"img_range must be a number, rgb_mean several; found {self.img_range!r} and {self.rgb_mean!r}."
            ) from None
        if len(mean) != self.in_channels or not all(-1.0 <= m <= 2.0 for m in mean):
            raise ConfigError(
                f"rgb_mean must be a value near [0, 1] for each of {self.in_channels} channels, found "
                f"{self.rgb_mean!r}."
            )
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
        """Return a JSON-ready mapping; ``SpanConfig.from_dict`` inverts it.

        It names the channels only where they are not RGB's: versions that knew nothing else read it.
        """
        values = {**dataclasses.asdict(self), "rgb_mean": list(self.rgb_mean)}
        if (self.in_channels, self.out_channels) == (3, 3):
            del values["in_channels"], values["out_channels"]
        return values

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


def upsampling(in_channels: int, filters: int) -> tuple[int, int] | None:
    """Return ``(scale, out_channels)`` of a network whose last convolution has so many filters, or None.

    An input of as many channels allows one answer only, see ``CHANNEL_PAIRS``.
    """
    for given, made in CHANNEL_PAIRS:
        scale = math.isqrt(filters // made)
        if given == in_channels and 1 <= scale <= MAX_SCALE and made * scale**2 == filters:
            return scale, made
    return None


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
