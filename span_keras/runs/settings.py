"""The resolved configuration of a training run, in parts that are handed over whole. Imports no backend."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from span_keras.errors import ConfigError
from span_keras.network.config import SpanConfig
from span_keras.runs.options import (
    BY_NAME,
    OPTIONS,
    PARTS,
    DataSettings,
    NetworkSettings,
    RunSettings,
    StepSettings,
    defaults,
    layered,
)
from span_keras.runs.recipes import Stage, load
from span_keras.runs.retired import without_retired
from span_keras.training.schedule import Schedule


@dataclass(frozen=True)
class Settings:
    """Everything a training run is told; ``resolve`` fills it from a recipe.

    Args:
        network, data, step, run: the options of each group, see ``options.OPTIONS``.
        recipe: where the values that nobody gave come from: a name or a file.

    Raises:
        ConfigError: two options contradict each other.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    data: DataSettings = field(default_factory=DataSettings)
    step: StepSettings = field(default_factory=StepSettings)
    run: RunSettings = field(default_factory=RunSettings)
    recipe: str = "default"

    def __post_init__(self) -> None:
        step = self.step
        if step.rate_epochs and step.rate_steps:
            raise ConfigError("[step] expected rate_epochs or rate_steps, not both; leave one of them out.")
        if self.data.degrade != "none" and self.data.teacher:
            raise ConfigError("[data] expected degrade or teacher, not both; a teacher's output is of clean LR images.")
        if self.data.lr and (self.data.degrade != "none" or self.data.hr_scales):
            other = "degrade" if self.data.degrade != "none" else "hr_scales"
            raise ConfigError(
                f"[data] expected lr or {other}, not both; LR images that are given are taken as they are."
            )
        # Their limits are checked where they are made.
        self.data.degradations  # noqa: B018
        self.config  # noqa: B018
        self.schedule  # noqa: B018

    @property
    def config(self) -> SpanConfig:
        """The network to train."""
        names = {one.name for one in dataclasses.fields(SpanConfig)}  # but for the channels: only RGB is trained
        return SpanConfig(**{name: value for name, value in vars(self.network).items() if name in names})

    @property
    def schedule(self) -> Schedule:
        """The learning rate by step."""
        step, run = self.step, self.run
        common = {"kind": step.schedule, "factor": step.rate_factor, "warmup_steps": step.warmup_steps}
        if step.rate_epochs:
            epochs = {"steps_per_epoch": run.steps_per_epoch, "epochs": run.epochs, "boundaries": step.rate_epochs}
            return Schedule.by_epoch(step.learning_rate, **epochs, **common)
        return Schedule(step.learning_rate, run.epochs * run.steps_per_epoch, boundaries=step.rate_steps, **common)

    def to_dict(self) -> dict:
        """Return name -> value of every option and ``recipe``, ready for JSON; ``from_dict`` inverts it."""
        values = {option.name: getattr(getattr(self, option.group), option.name) for option in OPTIONS}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"recipe": self.recipe, **values}

    @classmethod
    def from_dict(cls, values: dict) -> Settings:
        """Build from ``to_dict`` output, also an older version's.

        Raises:
            RetiredError: a setting that this version no longer has was in use.
            ConfigError: a name is unknown, or a value outside its limits.
        """
        values = {"recipe": "default", **without_retired(values)}
        recipe = values.pop("recipe")
        if unknown := sorted(values.keys() - BY_NAME.keys()):
            raise ConfigError(f"unknown settings {', '.join(map(repr, unknown))}.")
        parts = {group: {} for group in PARTS}
        for name, value in values.items():
            parts[BY_NAME[name].group][name] = tuple(value) if isinstance(value, list) else value
        return cls(**{group: PARTS[group](**found) for group, found in parts.items()}, recipe=recipe)

    def having(self, **changes) -> Settings:
        """Return a copy with other values, by the names of options."""
        return self.from_dict(self.to_dict() | changes)

    def changed_from(self, saved: dict) -> dict[str, tuple]:
        """Return where the result could differ from that of a saved run: name -> the run's value and this one."""
        before, now = Settings.from_dict(saved).to_dict(), self.to_dict()
        changed = {name: (before[name], value) for name, value in now.items() if before[name] != value}
        return {name: pair for name, pair in changed.items() if name == "recipe" or BY_NAME[name].resume != "free"}

    def of_the_loss(self) -> dict:
        """Return the values with which losses compare."""
        return {name: value for name, value in self.to_dict().items() if name in BY_NAME and BY_NAME[name].loss}


def resolve(given: dict, saved: dict | None = None, stage: Stage | None = None) -> Settings:
    """Make settings of what the user gave, on top of a saved run's or else of a recipe's.

    Args:
        given: name -> value that the user chose, and ``recipe``; ``None`` or absent means not chosen.
        saved: ``Settings.to_dict()`` of the run to resume.
        stage: of the recipe; its only one by default.

    Raises:
        ConfigError: a value is outside its limits, or given or in the recipe although nothing would use it.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if saved is not None:
        values = layered(saved, given)
    else:
        name = given.get("recipe", "default")
        stage = stage or load(name).only_stage
        values = layered(defaults(), stage.values, given) | {"recipe": name}
    _complete_perceptual(values, given, saved or {})
    _check_needs(values, given)
    if saved is None:
        _check_stage(values, given, stage, name)
    if (side := values.get("hr_patch_size")) and isinstance(scale := values.get("scale"), int) and scale > 0:
        values["patch_size"] = side // scale
    settings = Settings.from_dict(values)
    _check_distinct(given)
    if given.get("warmup_steps", 0) > settings.run.total_steps:
        raise ConfigError(
            f"--warmup-steps expected at most the {settings.run.total_steps} steps of the run, found "
            f"{settings.step.warmup_steps}."
        )
    return settings


def _check_distinct(given: dict) -> None:
    """Refuse factors that are named twice now; a run that was begun with them goes on."""
    factors = given.get("hr_scales", ())
    if len(set(factors)) < len(factors):
        raise ConfigError(
            f"--hr-scales expected factors that differ from each other, found {','.join(f'{f:g}' for f in factors)}; "
            "name each once."
        )


def _check_needs(values: dict, given: dict) -> None:
    """Refuse what is given although nothing uses it. Zero needs nothing: it says that there is no such part."""
    for name, value in given.items():
        for need in unmet(name, values) if name in BY_NAME and value else ():
            other, _, wanted = need.partition("=")
            if wanted:
                raise ConfigError(
                    f"{BY_NAME[name].spelling} expected {BY_NAME[other].flag} {wanted}, found "
                    f"{values.get(other, BY_NAME[other].default)}; leave one of them out."
                )
            raise ConfigError(
                f"{BY_NAME[name].spelling} expected a {BY_NAME[other].flag} that uses it, found none; name one or "
                "leave it out."
            )


def unmet(name: str, values: dict) -> list[str]:
    """Return what an option needs and values do not have: then nothing uses the option."""
    missing = []
    for need in BY_NAME[name].needs:
        other, _, wanted = need.partition("=")
        found = values.get(other, BY_NAME[other].default)
        if found != wanted if wanted else found in (None, "none", 0):
            missing.append(need)
    return missing


def _check_stage(values: dict, given: dict, stage: Stage, recipe: str) -> None:
    """Refuse what a recipe says although nothing uses it, unless the user's choice of now is the reason."""
    decided = layered(given)  # with what the choice unsets
    own = {}
    for name, value in stage.values.items():
        # A choice may leave a value of the recipe unused, as --schedule cosine does with rate_epochs.
        needed = {need.partition("=")[0] for need in BY_NAME[name].needs}
        if not decided.keys() & {name, *needed}:
            own[name] = value
    try:
        _check_needs(values, own)
    except ConfigError as error:
        place = f"{recipe}, stage {stage.name}" if stage.name else recipe
        raise ConfigError(f"{place}: {error}") from None


def _complete_perceptual(values: dict, given: dict, saved: dict) -> None:
    """Give a feature network that is asked for a weight, and a weight a feature network, if the recipe has none.

    Repeating what a run was started with asks for nothing new.
    """
    asked = {name: value for name, value in given.items() if name not in saved or saved[name] != value}
    if asked.get("perceptual", "none") != "none" and "vgg_weight" not in given and values.get("vgg_weight") == 0:
        values["vgg_weight"] = BY_NAME["vgg_weight"].default
    if asked.get("vgg_weight") and "perceptual" not in given and values.get("perceptual") == "none":
        values["perceptual"] = BY_NAME["perceptual"].default
