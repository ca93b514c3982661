"""The README's commands exist, with every option it shows."""

import re
import shlex
from pathlib import Path

import click
import pytest

from span_export.cli import main as span_export
from span_keras.evaluate import main as span_evaluate
from span_keras.train import main as span_train
from span_keras.upscale import main as span_upscale

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = {
    "span-export": span_export,
    "span-evaluate": span_evaluate,
    "span-train": span_train,
    "span-upscale": span_upscale,
}
SHOWN = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("span-")
]


def test_every_command_is_shown():
    assert {words[0] for words in SHOWN} == set(COMMANDS)


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_shown_command_parses(words, tmp_path, monkeypatch):
    """Each command line is accepted as it stands, paths aside."""
    monkeypatch.chdir(tmp_path)
    for word in words[1:]:
        if word.endswith("/"):
            Path(word).mkdir(parents=True, exist_ok=True)
        elif re.search(r"\.(jpg|png|pth)$", word):
            Path(word).touch()
    command = COMMANDS[words[0]]
    assert isinstance(command, click.Command)
    command.make_context(words[0], words[1:])


def test_every_benchmark_is_listed_and_exists():
    listed = set(re.findall(r"benchmarks/(\w+\.\w+)", README))
    assert listed == {path.name for path in (ROOT / "benchmarks").iterdir() if path.is_file()}


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
