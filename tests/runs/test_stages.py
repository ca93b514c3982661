"""Recipes of several stages: their folders, what each begins from, and going on after any end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from span_keras.checkpoints import load_weights
from span_keras.errors import ConfigError, TrainingError
from span_keras.runs.folder import RunFolder
from span_keras.runs.run import train as train_run
from span_keras.runs.settings import resolve
from span_keras.runs.stages import plan
from span_keras.runs.start import start_weights
from span_keras.train import main

pytestmark = pytest.mark.usefixtures("compiled_once")

RECIPE = """
description = "Two short stages."

[network]
scale = 2
channels = 4
blocks = 1

[data]
batch_size = 2
patch_size = 12
val_images = 1

[step]
perceptual = "none"
learning_rate = 1e-3

[run]
epochs = 2
steps_per_epoch = 4
log_every = 1
checkpoint_every = 3
seed = 5

[[stages]]
name = "start"

[[stages]]
name = "mse"

[stages.step]
loss = "mse"
schedule = "cosine"

[stages.run]
epochs = 3
stop_at = 10
seed = 6
"""
STEPS = {"1-start": 8, "2-mse": 10}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "two.toml"
    path.write_text(RECIPE)
    return path


def train(*arguments, code=0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def whole(photos, recipe, tmp_path_factory):
    """A recipe that nothing interrupts: its folder and what it printed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, train("--recipe", recipe, "--data", photos, "--out", out)


def steps_in(folder: Path) -> list[int]:
    return [int(row["step"]) for row in RunFolder(folder, make=False).rows("log.csv")]


def assert_equal_runs(one: Path, other: Path):
    for name in STEPS:
        tables = [
            [
                [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder(out / name).rows(table)]
                for table in ("log.csv", "validation.csv")
            ]
            for out in (one, other)
        ]
        assert tables[0] == tables[1]
        a, b = (RunFolder(out / name).load_checkpoint().arrays for out in (one, other))
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=f"{name}: {key}")
    a, b = (load_weights(out / "weights.safetensors").layers for out in (one, other))
    for name in a:
        np.testing.assert_array_equal(a[name]["kernel"], b[name]["kernel"], err_msg=name)


def test_every_stage_has_a_run_of_its_own(whole):
    out, printed = whole
    assert {name: len(steps_in(out / name)) for name in STEPS} == STEPS
    configs = [json.loads((out / name / "config.json").read_text()) for name in STEPS]
    assert [config["loss"] for config in configs] == ["mae", "mse"]
    assert configs[1]["init"] == str(out / "1-start" / "weights.safetensors")
    assert (out / "weights.safetensors").read_bytes() == (out / "2-mse" / "weights.safetensors").read_bytes()
    assert "Stage 1 of 2, start: recipe=" in printed and "Stage 2 of 2, mse: recipe=" in printed
    assert printed.rstrip().endswith(f"Wrote {out / 'weights.safetensors'}.")


def test_a_stage_is_the_run_that_its_settings_describe(whole, photos, tmp_path):
    """By hand, with --init: the same to the last digit."""
    out, _ = whole
    config = RunFolder(out / "2-mse").config
    train_run(resolve({}, config), tmp_path / "hand", echo=lambda text: None)
    a, b = (RunFolder(folder).load_checkpoint().arrays for folder in (out / "2-mse", tmp_path / "hand"))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    first = load_weights(out / "1-start" / "weights.safetensors")
    begun = start_weights(resolve({}, config)).fuse().layers
    for name in first.layers:
        np.testing.assert_allclose(begun[name]["kernel"], first.layers[name]["kernel"], atol=1e-5, err_msg=name)
    assert first.metadata["steps"] == 8


KILLED = """
import os
import signal
import sys

import span_keras.runs.run  # what takes long to import is imported once
from span_keras.runs.folder import RunFolder
from span_keras.train import main

places, out, *options = sys.argv[1:]
for place in places.split():
    if not (child := os.fork()):
        break
    _, status = os.waitpid(child, 0)
    print(place, os.waitstatus_to_exitcode(status), os.path.exists(os.path.join(out, "weights.safetensors")))
    options = ["--resume"]
if child:
    sys.exit()

place, step = place.split(":")
append, write, save = RunFolder.append, RunFolder.write, RunFolder.save_checkpoint


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def append_and_die(folder, name, row):
    append(folder, name, row)
    if folder.path.name == place and name == "log.csv" and row["step"] == int(step):
        die()


def save_or_die(folder, checkpoint):
    if folder.path.name == place and step == "begin" and checkpoint.progress["step"] == 0:
        die()
    save(folder, checkpoint)


def write_or_die(folder, name, content):
    if step == "end" and name == "weights.safetensors":
        die()
    write(folder, name, content)


RunFolder.append, RunFolder.write = append_and_die, write_or_die
RunFolder.save_checkpoint = save_or_die
main([*options, f"--out={out}"])
"""


def test_killed_without_warning(whole, recipe, photos, tmp_path):
    """Inside a stage, at the boundary to the next, before the last file: --resume needs neither recipe nor --data."""
    out, places = tmp_path / "run", ("1-start:5", "2-mse:begin", "2-mse:7", "run:end")
    command = [sys.executable, "-u", "-c", KILLED, " ".join(places), out, f"--recipe={recipe}", f"--data={photos}"]
    killed = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    ends = [line for line in killed.stdout.splitlines() if line.startswith(places)]
    assert ends == [f"{place} {-signal.SIGKILL:d} False" for place in places], killed.stderr
    resumed = train("--out", out, "--resume")
    assert "Stage 1 of 2, start: finished before." in resumed and "Stage 2 of 2, mse: finished before." in resumed
    assert_equal_runs(out, whole[0])


def test_stopped_by_the_clock_and_moved(whole, recipe, photos, tmp_path):
    """The stages after it do not begin; the folder may have another name when it is resumed."""
    out = tmp_path / "run"
    printed = train("--recipe", recipe, "--data", photos, "--out", out, "--max-minutes", 1e-6)
    assert "continue with --resume" in printed and not (out / "2-mse").exists()
    assert 0 < len(steps_in(out / "1-start")) < 8 and not (out / "weights.safetensors").exists()
    out = out.rename(tmp_path / "moved")
    train("--out", out, "--resume", "--max-minutes", 0)
    assert_equal_runs(out, whole[0])


def test_what_is_given_wins_in_every_stage(recipe, photos, tmp_path):
    out = tmp_path / "run"
    train("--recipe", recipe, "--data", photos, "--out", out, "--epochs", 1, "--steps-per-epoch", 2, "--loss", "mse")
    for name in STEPS:
        config = RunFolder(out / name).config
        assert (config["epochs"], config["loss"], len(steps_in(out / name))) == (1, "mse", 2)


def test_initial_weights_are_those_of_the_first_stage(whole, recipe, tmp_path):
    init = str(whole[0] / "weights.safetensors")
    first, second = plan({"recipe": str(recipe), "init": init}, str(tmp_path / "run"), False)
    assert first.settings.network.init == init
    assert second.settings.network.init == str(tmp_path / "run" / "1-start" / "weights.safetensors")


def test_the_network_of_initial_weights_is_that_of_all_stages(whole, tmp_path):
    """But for what a stage asks for."""
    text = "[[stages]]\nname = 'a'\n[[stages]]\nname = 'b'\n[stages.network]\nscale = 3\n"
    (tmp_path / "open.toml").write_text(text)
    given = {"recipe": str(tmp_path / "open.toml"), "init": str(whole[0] / "weights.safetensors")}
    stages = plan(given, str(tmp_path / "run"), False)
    assert [(s.settings.config.channels, s.settings.config.scale) for s in stages] == [(4, 2), (4, 3)]


def test_a_folder_that_holds_stages_is_kept(whole, recipe, photos):
    out, _ = whole
    before = (out / "stages.json").read_bytes()
    printed = train("--recipe", recipe, "--data", photos, "--out", out, code=1)
    assert "expected a folder without a run, found one in" in printed and "--resume" in printed
    printed = train("--recipe", "paper", "--out", out, "--resume", code=2)
    assert f"expected a run of the recipe paper, found one of {recipe} in" in " ".join(printed.split())
    assert (out / "stages.json").read_bytes() == before


def test_one_stage_is_a_run_as_ever(photos, tmp_path):
    (tmp_path / "one.toml").write_text(RECIPE[: RECIPE.rindex("[[stages]]")])
    out = tmp_path / "run"
    train("--recipe", tmp_path / "one.toml", "--data", photos, "--out", out, "--epochs", 1)
    assert len(steps_in(out)) == 4 and not (out / "stages.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"stages": 3}', '{"stages": [{"name": "a", "settings": {"foo": 1}}]}'])
def test_stages_that_cannot_be_read_say_so(tmp_path, content):
    (tmp_path / "stages.json").write_text(content)
    with pytest.raises(TrainingError, match=r"expected the stages of a run in .*; restore the file or choose another"):
        plan({}, str(tmp_path), True)


def test_stages_with_retired_settings_say_what_to_do(tmp_path):
    """With the best weights of the newest stage that has some."""
    stages = [{"name": name, "settings": {"morph_steps": 5}} for name in ("a", "b", "c")]
    (tmp_path / "stages.json").write_text(json.dumps({"stages": stages}))
    found = r"found morph_steps = 5 in .*stages\.json; continue it with commit \w{7} of span-keras, or begin a run in "
    with pytest.raises(TrainingError, match=found + r"another --out\.$"):
        plan({}, str(tmp_path), True)
    for name in ("1-a", "2-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.safetensors").touch()
    with pytest.raises(TrainingError, match=found + r"another --out with --init .*/2-b/best\.safetensors\.$"):
        plan({}, str(tmp_path), True)


def test_a_value_that_no_stage_can_have_is_refused_before_any_begins(recipe, tmp_path):
    with pytest.raises(ConfigError, match="--warmup-steps expected at most the 8 steps of the run, found 9"):
        plan({"recipe": str(recipe), "warmup_steps": 9}, str(tmp_path / "run"), False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "file", "option", "source"),
    [
        ("x4-fast", "ntire2026_span_ch28.pth", "init", "the NTIRE 2026 efficient SR challenge's baseline (MIT)"),
        (
            "x3",
            "spanx4_ch48.safetensors",
            "teacher",
            "the authors' release (github.com/hongyuanyu/SPAN), keys as released",
        ),
    ],
)
def test_files_of_a_recipe_that_do_not_exist_are_told_first(tmp_path, monkeypatch, recipe, file, option, source):
    """With the place where to get them; before there is a folder, or anything is decoded."""
    monkeypatch.chdir(tmp_path)
    printed = train("--recipe", recipe, "--out", "run", code=1)
    expected = f"{recipe} expected a file at {file} for its {option}, found none"
    assert printed == f"Error: {expected}; get it from {source}, and put it there.\n"
    assert not (tmp_path / "run").exists()


def test_the_teacher_of_a_later_stage_is_looked_for_first(tmp_path):
    file = tmp_path / "taught.toml"
    file.write_text("[[stages]]\nname = 'a'\n[[stages]]\nname = 'b'\n[stages.data]\nteacher = 'gone.pth'\n")
    with pytest.raises(
        TrainingError, match=r"taught\.toml expected a file at gone\.pth for its teacher, found none; check"
    ):
        plan({"recipe": str(file)}, str(tmp_path / "run"), False)
    first, second = plan({"recipe": str(file), "degrade": "photo"}, str(tmp_path / "run"), False)
    assert (first.settings.data.teacher, second.settings.data.teacher) == (None, None), "degradations leave it out"


def test_feature_weights_that_nothing_uses_may_be_missing(tmp_path):
    (tmp_path / "deep.toml").write_text("[step]\nperceptual = 'vgg16-deep'\nperceptual_weights = 'gone.h5'\n")
    given, out = {"recipe": str(tmp_path / "deep.toml")}, str(tmp_path / "run")
    with pytest.raises(TrainingError, match=r"file at gone\.h5 for its perceptual weights, found none; check the path"):
        plan(given, out, False)
    for unused in ({"perceptual": "none"}, {"vgg_weight": 0.0}):
        plan({**given, **unused}, out, False)


@pytest.mark.parametrize("option", ["init", "teacher", "perceptual-weights"])
def test_files_that_are_given_and_do_not_exist_are_told_first(tmp_path, option):
    printed = train(f"--{option}", tmp_path / "gone.pth", "--out", tmp_path / "run", code=1)
    assert f"--{option} expected a file at {tmp_path / 'gone.pth'}, found none; check the path" in printed
    assert not (tmp_path / "run").exists()
