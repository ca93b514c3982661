"""``python -m span_keras.train``: train a network as a recipe and the command line say."""

from __future__ import annotations

import itertools

import click

from span_keras.cli import CONTEXT, reports_errors, version_option
from span_keras.errors import ConfigError
from span_keras.images.folders import left_out
from span_keras.quiet import hushed
from span_keras.runs.option import Option
from span_keras.runs.options import BY_NAME, GROUPS, OPTIONS
from span_keras.runs.retired import LAST_COMMIT, RETIRED

HEADINGS = {"run": "Run", "network": "Network", "data": "Data", "step": "Loss and optimizer"}


class TrainCommand(click.Command):
    """Show the options under headings, and explain those that only recipe files or older versions have."""

    def format_options(self, context, formatter):
        groups: dict[str, list] = {heading: [] for heading in HEADINGS.values()}
        for parameter in self.get_params(context):
            option = BY_NAME.get(parameter.name)
            groups[HEADINGS[option.group if option else "run"]].append(parameter.get_help_record(context))
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def parse_args(self, context, args):
        given = list(args)
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            name = error.option_name.removeprefix("--").removeprefix("no-").replace("-", "_")
            if name in RETIRED:
                raise click.UsageError(
                    f"{error.option_name} was retired; leave it out, or use commit {LAST_COMMIT} of span-keras."
                ) from error
            if name not in BY_NAME:
                raise
            setting = BY_NAME[name].to_toml(_value_of(error.option_name, given))
            what = f"write {setting} in one and name it with --recipe"
            if "--resume" in given:
                what = "change it in config.json or stages.json of the run"
            raise click.UsageError(f"{error.option_name} is an option of recipe files: {what}.") from error


def _value_of(flag: str, arguments: list[str]) -> str | None:
    """Return what stands behind a flag: ``--flag value`` or ``--flag=value``."""
    for one, following in itertools.zip_longest(arguments, arguments[1:]):
        if one == flag:
            return following
        if one.startswith(f"{flag}="):
            return one.partition("=")[2]
    return None


def _click_option(option: Option):
    """Return the decorator that adds an entry of the table to a command."""
    plain = option.type if option.element is option.type else str
    metavar = option.metavar or (option.is_list and "LIST") or {int: "N", float: "F"}.get(option.type)
    if option.choices:
        metavar = f"[{'|'.join(map(str, option.choices))}]"
    return click.option(option.flag, option.name, type=plain, callback=_parsed, metavar=metavar, help=_help(option))


def _help(option: Option) -> str:
    shown = option.default if option.unset is None else option.unset
    if shown in (None, ()):
        shown = "none"
    return f"{option.help}. [default: {f'{shown:g}' if isinstance(shown, float) else shown}]"


def _parsed(context, parameter, value):
    option = BY_NAME[parameter.name]
    try:
        value = option.parse(value) if option.is_list and value is not None else value
        option.check(value) if value is not None else None
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    return value


def table_options(function):
    """Add all options of the table that the command line has."""
    for option in reversed([one for group in GROUPS for one in OPTIONS if one.group == group and one.shown]):
        function = _click_option(option)(function)
    return function


@click.command(cls=TrainCommand, context_settings={**CONTEXT, "max_content_width": 110})
@click.option(
    "--recipe", metavar="NAME|FILE", help="Recipe with all other values: a name or a .toml file. [default: default]"
)
@click.option("--out", default="runs/span", show_default=True, metavar="DIR", help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Continue the run in --out; options not given keep its values.")
@table_options
@version_option
@reports_errors
def main(out: str, resume: bool, **given) -> None:
    """Train a SPAN network.

    Without --data a small bundled set of photographs is used. The defaults in brackets are those of a recipe that says
    nothing else; the recipes default and paper do, see the folder recipes. OUT receives the configuration, logs,
    curves, samples, checkpoints and, at the end, weights.safetensors.
    """
    try:
        with hushed():  # it loads NumPy, with --init also Keras, which --help need not wait for
            from span_keras.runs.stages import plan, run_stages

            stages = plan(given, out, resume)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    for folder in filter(None, (given.get("data"), given.get("lr"), given.get("val"))):
        for sentence in left_out(folder):
            click.echo(sentence, err=True)
    with hushed():
        from span_keras.runs import run  # noqa: F401 (so that it loads in silence)
    run_stages(stages, out, resume)


if __name__ == "__main__":
    main()
