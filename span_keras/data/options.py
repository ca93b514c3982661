"""What a dataset can be told, and its limits. Imports no backend."""

from __future__ import annotations

from dataclasses import dataclass, fields

from span_keras.errors import ConfigError

STRENGTHS = {
    "clean": ("Fraction of patches that are only reduced by bicubic interpolation", 0, 1),
    "blur": ("Probability of a Gaussian blur before each resizing", 0, 1),
    "blur_sigma": ("Range of its standard deviation along each axis, in LR pixels", 0, 2),
    "isotropic": ("Fraction of blurs that are round", 0, 1),
    "first_pass": ("Probability of a first resizing, noise and JPEG before the reduction to LR", 0, 1),
    "first_size": ("Range of the side after the first resizing, as a multiple of the LR side", 0.25, 4.4),
    "noise": ("Probability of noise in each pass", 0, 1),
    "noise_sigma": ("Range of its standard deviation, in levels of 255", 0, 100),
    "grey_noise": ("Fraction of noise that is the same in all channels", 0, 1),
    "shot_noise": ("Fraction of noise whose variance grows with brightness, as Poisson's does", 0, 1),
    "first_jpeg": ("Probability of JPEG compression in the first pass", 0, 1),
    "first_quality": ("Range of the JPEG quality in the first pass", 1, 100),
    "jpeg": ("Probability of JPEG compression at the end", 0, 1),
    "quality": ("Range of the JPEG quality at the end", 1, 100),
    "subsampled": ("Fraction of JPEGs whose chroma has half the resolution (4:2:0)", 0, 1),
}
"""Field of ``Degradations`` -> what it is, and its limits."""


@dataclass(frozen=True)
class Degradations:
    """Hold probabilities and ranges of what happens to LR patches; ``STRENGTHS`` explains each.

    Strengths are drawn evenly within a range, for each patch on its own.

    Raises:
        ConfigError: a value is outside its limits.
    """

    clean: float = 0.15
    blur: float = 0.7
    blur_sigma: tuple[float, float] = (0.05, 0.55)
    isotropic: float = 0.6
    first_pass: float = 0.6
    first_size: tuple[float, float] = (1.0, 4.4)
    noise: float = 0.5
    noise_sigma: tuple[float, float] = (0.0, 8.0)
    grey_noise: float = 0.4
    shot_noise: float = 0.3
    first_jpeg: float = 0.5
    first_quality: tuple[float, float] = (50.0, 97.0)
    jpeg: float = 0.8
    quality: tuple[float, float] = (40.0, 97.0)
    subsampled: float = 0.75

    def __post_init__(self) -> None:
        for field in fields(self):
            value, pair = getattr(self, field.name), isinstance(field.default, tuple)
            _, low, high = STRENGTHS[field.name]
            try:
                values = [float(one) for one in (value if pair else (value,))]
            except (TypeError, ValueError):
                values = []
            if len(values) != 1 + pair or values != sorted(values) or not low <= values[0] <= values[-1] <= high:
                what = "two ascending numbers" if pair else "a number"
                raise ConfigError(
                    f"[data] degrade_{field.name} must be {what} from {low:g} to {high:g}, found {value!r}."
                )


PRESETS = {
    "light": Degradations(
        clean=0.3,
        blur=0.5,
        blur_sigma=(0.05, 0.35),
        first_pass=0.3,
        noise=0.3,
        noise_sigma=(0.0, 4.0),
        jpeg=0.7,
        quality=(60.0, 97.0),
    ),
    "photo": Degradations(),
    "strong": Degradations(
        clean=0.1,
        blur=0.8,
        blur_sigma=(0.05, 0.8),
        first_pass=0.8,
        noise=0.7,
        noise_sigma=(0.0, 20.0),
        first_jpeg=0.7,
        first_quality=(30.0, 95.0),
        jpeg=0.9,
        quality=(25.0, 95.0),
    ),
}
"""What ``--degrade`` may name besides ``none``."""
