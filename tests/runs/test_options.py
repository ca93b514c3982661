"""The table of options: what follows from an entry, and that nothing else is needed for a new one."""

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from click.testing import CliRunner

from span_keras.constants import CLIP_NORM
from span_keras.errors import ConfigError
from span_keras.runs.option import FLOATS, INTS, TEXTS, Option
from span_keras.runs.options import BY_NAME, GROUPS, OPTIONS, PARTS, layered
from span_keras.runs.retired import RETIRED
from span_keras.train import main
from span_keras.training.options import StepOptions

WITH_AN_OPTION_MORE = """
import json
import sys
from importlib import util
from pathlib import Path

spec = util.find_spec("span_keras.runs.options")
table = Path(spec.origin).read_text()
head, entries = table.split("OPTIONS = (\\n")
entry = 'Option("data", "dropout", float, 0.25, "Part of the pixels that is left out", 0, 0.5),'
module = sys.modules[spec.name] = util.module_from_spec(spec)
exec(compile(f"{head}OPTIONS = (\\n{entry}\\n{entries}", spec.origin, "exec"), module.__dict__)

from click.testing import CliRunner

from span_keras.errors import ConfigError
from span_keras.runs.settings import Settings, resolve
from span_keras.train import main

found = {"help": CliRunner().invoke(main, ["--help"], terminal_width=200).output}
found["refused"] = CliRunner().invoke(main, ["--dropout", "0.6"]).output
recipe = Path(sys.argv[1])
recipe.write_text("[data]\\ndropout = 0.5\\n")
found["recipe"] = resolve({"recipe": str(recipe)}).data.dropout
found["default"] = resolve({}).data.dropout
found["given"] = resolve({"recipe": str(recipe), "dropout": 0.125}).data.dropout
found["changed"] = resolve({"dropout": 0.125}).changed_from(resolve({}).to_dict())
older = resolve({}).to_dict()
del older["dropout"]
found["older"] = Settings.from_dict(older).data.dropout
recipe.write_text("[data]\\ndropout = 7\\n")
try:
    resolve({"recipe": str(recipe)})
except ConfigError as error:
    found["absurd"] = str(error)
print(json.dumps(found))
"""


def test_a_new_option_is_one_entry(tmp_path):
    """In a copy of the table: command line, help, checks, recipe files, resuming."""
    command = [sys.executable, "-c", WITH_AN_OPTION_MORE, str(tmp_path / "new.toml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert re.search(r"--dropout F +Part of the pixels that is left out\. \[default: 0\.25\]", found["help"])
    assert "--dropout must be a number from 0 to 0.5, found 0.6." in found["refused"]
    assert (found["recipe"], found["default"], found["given"], found["older"]) == (0.5, 0.25, 0.125, 0.25)
    assert found["changed"] == {"dropout": [0.25, 0.125]}
    assert found["absurd"].endswith("new.toml: --dropout must be a number from 0 to 0.5, found 7.0.")


def test_every_default_is_a_value():
    for option in OPTIONS:
        option.check(option.default)
        assert option.group in GROUPS and hasattr(PARTS[option.group](), option.name)


def test_names_are_unique_and_not_retired():
    assert len(BY_NAME) == len(OPTIONS)
    assert not RETIRED.keys() & BY_NAME.keys()


def test_what_an_entry_refers_to_exists():
    for option in OPTIONS:
        assert option.resume in ("fixed", "result", "free")
        assert {need.partition("=")[0] for need in option.needs} <= BY_NAME.keys()
        assert option.excludes is None or BY_NAME[option.excludes].excludes == option.name


def test_the_command_line_and_help_have_what_the_table_shows():
    shown = {option.name for option in OPTIONS if option.shown}
    assert {parameter.name for parameter in main.params} == shown | {"recipe", "out", "resume", "version"}
    text = CliRunner().invoke(main, ["--help"], terminal_width=200).output
    for option in OPTIONS:
        assert bool(re.search(rf"^  {option.flag}\b", text, re.MULTILINE)) == option.shown
        assert (option.help in " ".join(text.split())) >= option.shown


def test_the_trainer_can_be_handed_the_options_of_the_step():
    """Those of ``StepOptions`` that are no options of a run are constants of the algorithm."""
    own = {field.name for field in fields(StepOptions)} - {o.name for o in OPTIONS if o.group == "step"}
    assert own == {"epsilon", "max_skipped"}
    assert isinstance(PARTS["step"](), StepOptions)


def test_a_trainer_without_a_run_has_the_defaults_of_one():
    run, alone = PARTS["step"](), StepOptions()
    assert all(getattr(run, field.name) == getattr(alone, field.name) for field in fields(StepOptions))
    assert alone.clip_norm == CLIP_NORM and BY_NAME["clip_norm"].high == 1e9


NUMBER = Option("step", "rate_x", float, 1.0, "A number", 0.5, 2)
WHOLE = Option("run", "count", int, 1, "A whole number", 0, 5000)
LIST = Option("step", "bounds", INTS, (), "A list", 1, 9, ascending=True)
CHOICE = Option("run", "how", str, "a", "One", choices=("a", "b"), shown=False)
PATH = Option("data", "folder", str, None, "A folder")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (NUMBER, 3, "--rate-x must be a number from 0.5 to 2, found 3."),
        (NUMBER, "1", "--rate-x must be a number from 0.5 to 2, found '1'."),
        (NUMBER, True, "--rate-x must be a number from 0.5 to 2, found True."),
        (NUMBER, None, "--rate-x must be a number from 0.5 to 2, found None."),
        (NUMBER, float("inf"), "--rate-x must be a finite number, found inf."),
        (WHOLE, 1.0, "--count must be a whole number from 0 to 5,000, found 1.0."),
        (WHOLE, 5001, "--count must be a whole number from 0 to 5,000, found 5001."),
        (LIST, 3, "--bounds must be a list of whole numbers, found 3."),
        (LIST, (2, 10), "--bounds must be whole numbers from 1 to 9, found 10."),
        (LIST, (2, 2), "--bounds must be ascending whole numbers, found [2, 2]."),
        (CHOICE, "c", "[run] how must be one of a, b, found 'c'."),
        (PATH, 5, "--folder must be a text, found 5."),
    ],
)
def test_values_that_cannot_be(option, value, message):
    with pytest.raises(ConfigError) as error:
        option.check(value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("option", "value"),
    [(NUMBER, 1), (NUMBER, 0.5), (WHOLE, 5000), (LIST, (1, 9)), (LIST, ()), (PATH, None)],
)
def test_values_that_can_be(option, value):
    option.check(value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (INTS, "1,20", (1, 20)),
        (FLOATS, "0.5", (0.5,)),
        (INTS, "", ()),
        (TEXTS, "a b.h5,c", ("a b.h5", "c")),
        (float, "2", 2.0),
    ],
)
def test_texts_of_the_command_line(kind, text, value):
    assert Option("run", "x", kind, None, "").parse(text) == value


def test_an_option_unsets_the_one_that_it_excludes():
    both = {"rate_epochs": (1,), "rate_steps": (5,)}
    assert layered({"rate_epochs": (1,)}, {"rate_steps": (5,)}) == {"rate_epochs": (), "rate_steps": (5,)}
    assert layered(both) == both
    assert layered({"rate_steps": (5,)}, {"seed": 3}) == {"rate_steps": (5,), "rate_epochs": (), "seed": 3}
