"""Everything a training run can be told, its recipes and its limits. Light: imports no backend."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from span_keras.constants import (
    BETA_1,
    BETA_2,
    BLOCKS,
    CHANNELS,
    CLIP_NORM,
    DEFAULTS,
    DIV2K_MEAN,
    EMA_DECAY,
    MIN_PATCH_SIZE,
    SPIKE_FACTOR,
)
from span_keras.data.options import DEGRADATIONS, MOST_CONTRAST
from span_keras.errors import ConfigError, RetiredError
from span_keras.network.config import SpanConfig
from span_keras.runs.recipes import PAPER_HR_PATCH, RECIPES
from span_keras.training.options import MOST_LUMA, OPTIMIZERS, PRECISIONS

FIXED = ("scale", "variant", "channels", "blocks", "img_range", "rgb_mean", "optimizer")
"""What may not change when a run is resumed."""

CONVENIENCE = (
    *("workers", "cache_gb", "teacher_cache", "max_minutes"),
    *("log_every", "val_every", "checkpoint_every", "checkpoint_minutes"),
)
"""What may change without changing the result; of ``cache_gb`` as long as the working sets stay the same."""

OF_THE_LOSS = (
    *("loss", "luma", "perceptual", "perceptual_weights", "vgg_weight", "degrade", "contrast"),
    *("teacher", "teacher_weight", "hint_weight", "hr_scales", "rotate"),
)
"""With another one of these, losses do not compare with those before."""

USED_BY = {
    "perceptual_weights": "perceptual",
    "teacher_weight": "teacher",
    "teacher_cache": "teacher",
    "hint_weight": "teacher",
}
"""Settings without meaning unless another one is chosen."""


RETIRED = {"morph_steps": 0, "target": "photo", "lr_scales": [], "rgb_order": False}
"""Settings of older versions, and the value with which each did nothing."""

RETIRED_CHOICES = {"loss": "charbonnier", "perceptual": "vgg19"}
"""Values of settings that older versions knew."""

LAST_WITH_RETIRED = "815b09f"
"""The last commit that had them."""


@dataclass(frozen=True)
class Settings:
    """The resolved configuration of a run; ``resolve`` fills it from a recipe.

    Raises:
        ConfigError: a value is outside its range.
    """

    recipe: str = "default"
    # network
    scale: int = 4
    variant: str = "span"
    channels: int = CHANNELS
    blocks: int = BLOCKS
    img_range: float = 1.0
    rgb_mean: tuple[float, float, float] = DIV2K_MEAN
    init: str | None = None
    # data
    data: str | None = None
    val: str | None = None
    val_images: int = 20
    patch_size: int = DEFAULTS["patch_size"]
    batch_size: int = DEFAULTS["batch_size"]
    epochs: int = DEFAULTS["epochs"]
    steps_per_epoch: int = DEFAULTS["steps_per_epoch"]
    degrade: tuple[str, ...] = ()
    hr_scales: tuple[float, ...] = ()
    contrast: float = 1.0
    rotate: bool = False
    # loss
    loss: str = "mae"
    luma: float = 0.0
    perceptual: str = "vgg16"
    perceptual_weights: str | None = None
    vgg_weight: float = DEFAULTS["vgg_weight"]
    teacher: str | None = None
    teacher_weight: float = 1.0
    teacher_cache: str | None = None
    hint_weight: float = 0.0
    # optimisation
    optimizer: str = "adam"
    learning_rate: float = DEFAULTS["learning_rate"]
    schedule: str = "piecewise"
    rate_epochs: tuple[int, ...] = ()
    rate_steps: tuple[int, ...] = ()
    rate_factor: float = 0.5
    warmup_steps: int = 0
    weight_decay: float = DEFAULTS["weight_decay"]
    beta_1: float = BETA_1
    beta_2: float = BETA_2
    clip_norm: float = CLIP_NORM
    ema_decay: float = EMA_DECAY
    spike_factor: float = SPIKE_FACTOR
    precision: str = "float32"
    seed: int = DEFAULTS["seed"]
    # running
    val_every: int = 1
    log_every: int = 100
    checkpoint_every: int = 0
    checkpoint_minutes: float = 5.0
    max_minutes: float = 0.0
    workers: int = 4
    cache_gb: float = 4.0
    steps_per_execution: int = 0
    strategy: str = "auto"

    def __post_init__(self) -> None:
        self.network()
        whole = {
            "batch_size": (1, 65536),
            "patch_size": (MIN_PATCH_SIZE, 4096),
            "epochs": (1, 10**9),
            "steps_per_epoch": (1, 10**9),
            "val_images": (1, 10**6),
            "warmup_steps": (0, 10**9),
            "seed": (0, 2**31 - 1),
            "val_every": (1, 10**9),
            "log_every": (1, 10**9),
            "checkpoint_every": (0, 10**9),
            "workers": (1, 256),
            "steps_per_execution": (0, 1000),
        }
        numbers = {
            "learning_rate": (1e-12, 10.0),
            "rate_factor": (1e-6, 1.0),
            "weight_decay": (0.0, 1.0),
            "beta_1": (0.0, 0.9999999),
            "beta_2": (0.0, 0.9999999),
            "clip_norm": (0.0, 1e9),
            "ema_decay": (0.0, 0.9999999),
            "spike_factor": (1.5, 1e9),
            "luma": (0.0, MOST_LUMA),
            "vgg_weight": (0.0, 1e3),
            "teacher_weight": (0.0, 1e3),
            "hint_weight": (0.0, 1e3),
            "contrast": (1.0, MOST_CONTRAST),
            "checkpoint_minutes": (0.0, 1e6),
            "max_minutes": (0.0, 1e6),
            "cache_gb": (0.01, 1e5),
        }
        for name, (least, most) in (whole | numbers).items():
            value = getattr(self, name)
            kinds = int if name in whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
                what = "a whole number" if name in whole else "a number"
                form = "," if name in whole else "g"
                raise ConfigError(
                    f"--{option(name)} must be {what} from {least:{form}} to {most:{form}}, found {value!r}."
                )
        choices = {
            "loss": ("mae", "mse"),
            "perceptual": ("vgg16", "none"),
            "schedule": ("piecewise", "cosine"),
            "optimizer": OPTIMIZERS,
            "precision": PRECISIONS,
            "strategy": ("auto", "none", "mirrored", "multiworker"),
        }
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise ConfigError(f"--{option(name)} must be one of {values}, found {getattr(self, name)!r}.")
        if unknown := sorted(set(self.degrade) - set(DEGRADATIONS)):
            raise ConfigError(f"--degrade must name some of {DEGRADATIONS}, found {', '.join(map(repr, unknown))}.")
        for factor in self.hr_scales:
            if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < 1:
                raise ConfigError(f"--hr-scales must be numbers above 0 and below 1, found {factor!r}.")
        if self.hint_weight and self.degrade:
            raise ConfigError(
                "--hint-weight expected no --degrade, because a teacher's output is for the LR image before it and "
                f"hints would be for the one after it; found --degrade {','.join(self.degrade)}; leave one out."
            )
        if self.rotate and not self.hr_scales and self.contrast == 1:
            raise ConfigError(
                "--rotate expected copies to rotate, which --hr-scales and --contrast make, found none; name one, or "
                "give --no-rotate."
            )
        for name in ("rate_epochs", "rate_steps"):
            bounds = list(getattr(self, name))
            if bounds != sorted(set(bounds)) or any(isinstance(b, bool) or not isinstance(b, int) for b in bounds):
                raise ConfigError(f"--{option(name)} must be ascending whole numbers, found {bounds}.")
        if self.rate_epochs and self.rate_steps:
            raise ConfigError("give the rate's boundaries as --rate-epochs or as --rate-steps, not both.")
        self.schedule_object()

    def network(self) -> SpanConfig:
        """The network to train."""
        return SpanConfig(self.scale, self.channels, self.blocks, self.variant, self.img_range, self.rgb_mean)

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def schedule_object(self):
        """The learning rate by step."""
        from span_keras.training.schedule import Schedule

        common = {"kind": self.schedule, "factor": self.rate_factor, "warmup_steps": self.warmup_steps}
        if self.rate_epochs:
            epochs = {"steps_per_epoch": self.steps_per_epoch, "epochs": self.epochs, "boundaries": self.rate_epochs}
            return Schedule.by_epoch(self.learning_rate, **epochs, **common)
        return Schedule(self.learning_rate, self.total_steps, boundaries=self.rate_steps, **common)

    def to_dict(self) -> dict:
        """JSON-ready mapping; ``Settings.from_dict`` inverts it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    def changed_from(self, saved: dict) -> dict[str, tuple]:
        """Where the result could differ from that of a saved run: name -> the run's value and this one."""
        before = Settings.from_dict(saved).to_dict()
        now = self.to_dict()
        return {k: (before[k], v) for k, v in now.items() if before[k] != v and k not in CONVENIENCE}

    @classmethod
    def from_dict(cls, values: dict) -> Settings:
        """Build from ``to_dict`` output, also an older version's.

        Raises:
            RetiredError: a setting that this version no longer has was in use.
            ConfigError: a key is unknown, or a value outside its range.
        """
        used = [name for name, unused in RETIRED.items() if values.get(name, unused) != unused]
        used += [name for name, choice in RETIRED_CHOICES.items() if values.get(name) == choice]
        if used:
            raise RetiredError(f"{used[0]} = {values[used[0]]!r}")
        values = {name: value for name, value in values.items() if name not in RETIRED}
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"unknown settings {', '.join(map(repr, unknown))}.")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def option(name: str) -> str:
    """The command line's spelling of a setting."""
    return name.replace("_", "-")


def resolve(given: dict, saved: dict | None = None) -> Settings:
    """Settings from what the user gave, on top of a saved run's or else of a recipe's.

    Args:
        given: the values the user chose; ``None`` or absent means not chosen.
        saved: ``Settings.to_dict()`` of the run to resume.

    Raises:
        ConfigError: a value is outside its range, or given although nothing would use it.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if saved is not None:
        values = {**saved, **given}
    else:
        name = given.get("recipe", "default")
        if name not in RECIPES:
            raise ConfigError(f"--recipe must be one of {tuple(RECIPES)}, found {name!r}.")
        values = {**RECIPES[name], **given, "recipe": name}
        if values["patch_size"] is None:
            scale = values.get("scale", Settings.scale)
            values["patch_size"] = PAPER_HR_PATCH // scale if isinstance(scale, int) and scale > 0 else PAPER_HR_PATCH
    _complete_perceptual(values, given, saved or {})
    factors = given.get("hr_scales", ())  # only what is given now: a run that was begun with some can go on with them
    if len(set(factors)) < len(factors):
        raise ConfigError(
            f"--hr-scales expected factors that differ from each other, found {','.join(f'{f:g}' for f in factors)}; "
            "name each once."
        )
    for part, whole in USED_BY.items():
        # Zero needs nothing: it says that there is no such part.
        if given.get(part) and values.get(whole, getattr(Settings, whole)) in (None, "none"):
            raise ConfigError(
                f"--{option(part)} expected a --{whole} that uses it, found none; name one or leave it out."
            )
    if values.get("schedule") == "cosine" and (
        unused := [name for name in ("rate_epochs", "rate_steps", "rate_factor") if given.get(name)]
    ):
        raise ConfigError(f"--{option(unused[0])} expected --schedule piecewise, found cosine; leave one of them out.")
    for name, what in {"perceptual_weights": "--vgg-weight above 0", "vgg_weight": "--perceptual"}.items():
        if given.get(name) and (values.get("perceptual") == "none" or values.get("vgg_weight") == 0):
            raise ConfigError(f"--{option(name)} expected a {what} that uses it, found none; leave it out.")
    for one, other in (("rate_epochs", "rate_steps"), ("rate_steps", "rate_epochs")):
        if one in given and other not in given:
            values[other] = ()
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{option(name)} must be a finite number, found {value!r}.")
    settings = Settings.from_dict(values)
    if given.get("warmup_steps", 0) > settings.total_steps:
        raise ConfigError(
            f"--warmup-steps expected at most the {settings.total_steps} steps of the run, found "
            f"{settings.warmup_steps}."
        )
    return settings


def _complete_perceptual(values: dict, given: dict, saved: dict) -> None:
    """Whoever asks for a feature network wants a weight for it, and the other way round, whatever the recipe has.

    Repeating what a run was started with asks for nothing new.
    """
    asked = {name: value for name, value in given.items() if name not in saved or saved[name] != value}
    if asked.get("perceptual", "none") != "none" and "vgg_weight" not in given and values.get("vgg_weight") == 0:
        values["vgg_weight"] = Settings.vgg_weight
    if asked.get("vgg_weight") and "perceptual" not in given and values.get("perceptual") == "none":
        values["perceptual"] = Settings.perceptual
