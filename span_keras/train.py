"""``python -m span_keras.train``: the command line of ``training.train``."""

from __future__ import annotations

import click

from span_keras.cli import CONTEXT, parse_mean, reports_errors
from span_keras.constants import SCALES, VARIANTS
from span_keras.errors import ConfigError
from span_keras.quiet import hushed
from span_keras.runs.settings import Settings, resolve
from span_keras.training.options import OPTIMIZERS, PRECISIONS


class Grouped(click.Command):
    """Shows the options of ``--help`` under headings."""

    def format_options(self, context, formatter):
        groups: dict[str, list] = {}
        for parameter in self.get_params(context):
            if record := parameter.get_help_record(context):
                groups.setdefault(getattr(parameter, "group", "Other"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class Option(click.Option):
    def __init__(self, *args, group: str = "Other", **kwargs):
        super().__init__(*args, **kwargs)
        self.group = group


def _numbers(context, parameter, value):
    """``"200,300"`` -> ``(200, 300)``; an empty text -> ``()``."""
    return _list_of(int, "whole numbers such as 200,300", value)


def _factors(context, parameter, value):
    """``"0.7,0.5"`` -> ``(0.7, 0.5)``; an empty text -> ``()``."""
    return _list_of(float, "numbers such as 0.7,0.5", value)


def _list_of(kind, expected: str, value: str | None):
    if value is None:
        return None
    try:
        return tuple(kind(part) for part in value.split(",") if part)
    except ValueError:
        raise click.BadParameter(f"expected {expected}, found {value!r}.") from None


def _names(context, parameter, value):
    return None if value is None else tuple(part for part in value.split(",") if part)


def options(group: str, *declared):
    """Decorator that adds options under a heading; ``declared`` are ``(flag, keyword arguments)``."""

    def decorate(function):
        for flags, kwargs in reversed(declared):
            function = click.option(*flags.split(), cls=Option, group=group, **kwargs)(function)
        return function

    return decorate


FOLDER = click.Path(file_okay=False)


@click.command(cls=Grouped, context_settings={**CONTEXT, "show_default": False, "max_content_width": 110})
@options(
    "Run",
    ("--data", {"metavar": "DIR", "help": "Photographs to train on, searched with subfolders [a small bundled set]."}),
    ("--val", {"metavar": "DIR", "help": "Photographs to validate on [some of --data, held out]."}),
    ("--out", {"default": "runs/span", "show_default": True, "metavar": "DIR", "help": "Folder of the run."}),
    ("--resume", {"is_flag": True, "help": "Continue the run in --out; options not given keep its values."}),
    ("--recipe", {"type": click.Choice(["default", "paper"]), "help": "Where all other values come from [default]."}),
    ("--seed", {"type": int, "help": "Of initial weights and data order [0]."}),
)
@options(
    "Network",
    ("--scale", {"type": click.Choice([str(s) for s in SCALES]), "help": "Upscaling factor [4]."}),
    ("--variant", {"type": click.Choice(VARIANTS), "help": "LeakyReLU and tanh, or SiLU and sigmoid - 0.5 [span]."}),
    ("--channels", {"type": int, "metavar": "N", "help": "Width [48]."}),
    ("--blocks", {"type": int, "metavar": "N", "help": "Number of attention blocks [6]."}),
    ("--img-range", {"type": float, "metavar": "R", "help": "Range of the normalised input [1]."}),
    ("--rgb-mean", {"callback": parse_mean, "metavar": "R,G,B", "help": "Mean subtracted from the input [DIV2K's]."}),
    ("--init", {"metavar": "W", "help": "Start from weights: bundled:NAME or any file that evaluate reads."}),
)
@options(
    "Length and data",
    ("--epochs", {"type": int, "metavar": "N", "help": "Epochs in all [500; paper 1000]."}),
    ("--steps-per-epoch", {"type": int, "metavar": "N", "help": "Steps per epoch [100; paper 1000]."}),
    ("--batch-size", {"type": int, "metavar": "N", "help": "Patches per step over all devices [4; paper 64]."}),
    ("--patch-size", {"type": int, "metavar": "N", "help": "Side of the LR patch [48; paper 256 / scale]."}),
    ("--degrade", {"callback": _names, "metavar": "LIST", "help": "Any of blur,noise,jpeg for real photographs."}),
    (
        "--hr-scales",
        {"callback": _factors, "metavar": "LIST", "help": "Also use every photograph reduced by these factors [none]."},
    ),
    (
        "--contrast",
        {"type": float, "metavar": "F", "help": "Also use every photograph with up to F times its contrast [1: no]."},
    ),
    ("--rotate/--no-rotate", {"default": None, "help": "Rotate the copies of the three above by any angle [no]."}),
    ("--workers", {"type": int, "metavar": "N", "help": "Threads that make batches [4]."}),
    ("--cache-gb", {"type": float, "metavar": "GB", "help": "Bound for decoded photographs [4]."}),
)
@options(
    "Loss",
    ("--loss", {"type": click.Choice(["mae", "mse"]), "help": "Pixel loss [mae]."}),
    (
        "--luma",
        {"type": float, "metavar": "S", "help": "Share of luma in the pixel loss and the distance to the teacher [0]."},
    ),
    (
        "--perceptual",
        {"type": click.Choice(["vgg16", "none"]), "help": "Feature network [vgg16; paper none]."},
    ),
    ("--vgg-weight", {"type": float, "metavar": "W", "help": "Weight of the perceptual part [0.001; paper 0]."}),
    ("--perceptual-weights", {"metavar": "FILE", "help": "Weights of the feature network."}),
    (
        "--teacher",
        {
            "metavar": "W",
            "help": "Network of the same scale whose output, averaged over orientations, is a target, too.",
        },
    ),
    ("--teacher-weight", {"type": float, "metavar": "W", "help": "Weight of the distance to the teacher [1]."}),
    (
        "--hint-weight",
        {"type": float, "metavar": "W", "help": "Weight of what no linear map to the teacher's features explains [0]."},
    ),
    ("--teacher-cache", {"metavar": "DIR", "help": "Keep the teacher's output there for further runs [nowhere]."}),
)
@options(
    "Optimisation",
    (
        "--optimizer",
        {"type": click.Choice(OPTIMIZERS), "help": "Muon is for hidden kernels, Adam for the rest [adam]."},
    ),
    ("--learning-rate", {"type": float, "metavar": "R", "help": "Initial rate [1e-4; paper 5e-4]."}),
    ("--schedule", {"type": click.Choice(["piecewise", "cosine"]), "help": "Of the rate [piecewise]."}),
    ("--rate-epochs", {"callback": _numbers, "metavar": "LIST", "help": "Epochs at which the rate falls [200,300]."}),
    (
        "--rate-steps",
        {"callback": _numbers, "metavar": "LIST", "help": "Steps instead of epochs [paper: every 200,000]."},
    ),
    ("--rate-factor", {"type": float, "metavar": "F", "help": "Factor at each of them [0.5]."}),
    ("--warmup-steps", {"type": int, "metavar": "N", "help": "Steps over which the rate rises at first [0]."}),
    ("--weight-decay", {"type": float, "metavar": "D", "help": "Decoupled, on kernels only [1e-4; paper 0]."}),
    ("--beta-1", {"type": float, "metavar": "B", "help": "Of Adam [0.9]."}),
    ("--beta-2", {"type": float, "metavar": "B", "help": "Of Adam [0.999; paper 0.99]."}),
    ("--clip-norm", {"type": float, "metavar": "N", "help": "Largest global norm of the gradient, 0 for none [1]."}),
    ("--ema-decay", {"type": float, "metavar": "D", "help": "Of the averaged weights [0.999]."}),
    (
        "--spike-factor",
        {"type": float, "metavar": "F", "help": "Skip steps with so many times the usual loss [10; paper 4]."},
    ),
    ("--precision", {"type": click.Choice(PRECISIONS), "help": "Of the convolutions [float32]."}),
)
@options(
    "Devices and files",
    (
        "--strategy",
        {"type": click.Choice(["auto", "none", "mirrored", "multiworker"]), "help": "Use of several devices [auto]."},
    ),
    ("--steps-per-execution", {"type": int, "metavar": "N", "help": "Steps per call of the device [20 on a GPU]."}),
    ("--val-every", {"type": int, "metavar": "N", "help": "Epochs between validations [1]."}),
    ("--val-images", {"type": int, "metavar": "N", "help": "Validation images at most [20]."}),
    ("--log-every", {"type": int, "metavar": "N", "help": "Steps per row of log.csv [100]."}),
    ("--checkpoint-every", {"type": int, "metavar": "N", "help": "Steps between checkpoints [an epoch]."}),
    ("--checkpoint-minutes", {"type": float, "metavar": "M", "help": "Minutes between checkpoints at most [5]."}),
    ("--max-minutes", {"type": float, "metavar": "M", "help": "Stop cleanly after this time; --resume goes on."}),
)
@reports_errors
def main(out: str, resume: bool, **given) -> None:
    """Train a SPAN network.

    Without --data a small bundled set of photographs is used. The defaults shown in brackets are those of the
    recipe. OUT receives the configuration, logs, curves, samples, checkpoints and, at the end, weights.safetensors.
    """
    given["scale"] = given["scale"] and int(given["scale"])
    settings = _settings(given, out, resume)
    click.echo(f"{out}: " + ", ".join(f"{k}={v}" for k, v in settings.to_dict().items() if v not in (None, [])))
    with hushed():
        from span_keras.runs.run import train

    train(settings, out, resume=resume)


def _settings(given: dict, out: str, resume: bool) -> Settings:
    """The resolved configuration; impossible values are wrong usage (exit code 2)."""
    from span_keras.runs.folder import RunFolder

    try:
        saved = RunFolder(out).config if resume else None
        begun = saved and saved.get("recipe", Settings.recipe)
        if begun and given["recipe"] not in (None, begun):
            raise ConfigError(
                f"--resume expected a run of the recipe {given['recipe']}, found one of {begun} in {out}; the recipe "
                "is fixed when a run begins, so leave --recipe out and give the values to change."
            )
        if saved is None and given["init"]:
            given = _network_of(given)
        return resolve(given, saved)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _network_of(given: dict) -> dict:
    """Fill what the user left open about the network from the ``--init`` file, all but the input range."""
    from span_keras.checkpoints import load_weights

    config = load_weights(given["init"], rgb_mean=given["rgb_mean"]).config
    # Training folds a range into the first convolution, see ``SpanWeights.fold_range``.
    names = ("scale", "variant", "channels", "blocks")
    left_open = {name: getattr(config, name) for name in names if given[name] is None}
    return {**given, **left_open, "rgb_mean": config.rgb_mean}


if __name__ == "__main__":
    main()
