"""Runs that are killed, stopped or starved of disk go on where they were, to the last digit."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.runs import tiny_flags, tiny_settings
from span_keras.data import dataset as dataset_module
from span_keras.data import working_sets
from span_keras.data.decode import load_pair
from span_keras.data.options import PRESETS
from span_keras.errors import SpanError, TrainingError
from span_keras.runs import folder as folder_module
from span_keras.runs import run as run_module
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.folder import RunFolder
from span_keras.runs.photographs import fingerprint, split_photographs
from span_keras.runs.progress import Decoding
from span_keras.runs.retired import RETIRED
from span_keras.runs.run import train
from span_keras.runs.settings import resolve
from span_keras.runs.signals import Signals
from span_keras.training.trainer import SpanTrainer

pytestmark = pytest.mark.usefixtures("compiled_once")

STEPS = 24
LENGTH = {"epochs": 3, "steps_per_epoch": STEPS // 3}


def settings(photos, **more):
    return tiny_settings(photos, **{**LENGTH, "rate_epochs": (1, 2), **more})


def sequence(out: Path) -> list[dict]:
    """What a run logged, all but the time it took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder(out).rows("log.csv")]


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(settings(photos), out, echo=lambda text: None)
    assert len(sequence(out)) == STEPS
    return out


def assert_equal_runs(one: Path, other: Path):
    assert sequence(one) == sequence(other)
    assert RunFolder(one).rows("validation.csv") == RunFolder(other).rows("validation.csv")
    a, b = (RunFolder(out).load_checkpoint().arrays for out in (one, other))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


KILLED = """
import os
import signal

from span_keras.runs.folder import RunFolder
from span_keras.train import main

append = RunFolder.append


def append_and_die(folder, name, row):
    append(folder, name, row)
    if name == "log.csv" and row["step"] == 10:
        os.kill(os.getpid(), signal.SIGKILL)


RunFolder.append = append_and_die
main()
"""


def test_killed_without_warning(photos, whole, tmp_path):
    """SIGKILL in the second epoch, between two checkpoints; then --resume."""
    out = tmp_path / "run"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[step]\nrate_epochs = [1, 2]\n[run]\ncheckpoint_every = 3\n")
    options = tiny_flags(**LENGTH, val_images=1, log_every=1)
    options += [f"--recipe={recipe}", f"--data={photos}", f"--out={out}"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *options], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert 6 <= RunFolder(out).load_checkpoint().progress["step"] < len(sequence(out)) == 10
    train(settings(photos), out, resume=True, echo=lambda text: None)
    assert_equal_runs(out, whole)


def test_a_discriminator_goes_on_where_it_was_killed(photos, tmp_path, monkeypatch):
    """SIGKILL as above, with everything that trains on photographs: degradations, mean colours, a discriminator.

    The degradations depend on seed and step; the run shows some degraded patches.
    """
    whole, parts, recipe = (tmp_path / name for name in ("whole", "parts", "recipe.toml"))
    recipe.write_text(
        "[step]\nrate_epochs = [1, 2]\nadversarial_weight = 0.1\ndiscriminator_channels = 2\ncolour_weight = 1.0\n"
        '[data]\ndegrade = "photo"\n[run]\ncheckpoint_every = 3\n'
    )
    options = tiny_flags(**LENGTH, patch_size=8, val_images=1, log_every=1)
    options += [f"--recipe={recipe}", f"--data={photos}", f"--out={parts}"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *options], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    same = resolve({}, RunFolder(parts).config)
    train(same, parts, resume=True, echo=lambda text: None)
    train(same, whole, echo=lambda text: None)
    assert_equal_runs(whole, parts)
    assert RunFolder(parts).load_checkpoint().arrays["discriminator_updates"] == STEPS
    with Image.open(whole / "samples" / "degraded.png") as strip:
        assert strip.size[0] > strip.size[1] > 160
    monkeypatch.setattr(run_module, "PatchDataset", None)  # told before any photograph to train on is decoded
    with pytest.raises(TrainingError, match="expected a checkpoint without a discriminator, found one with it"):
        train(same.having(adversarial_weight=0.0), parts, resume=True, echo=lambda text: None)


def test_stopped_by_the_clock_and_by_a_signal(photos, whole, tmp_path):
    out, said = tmp_path / "run", []
    train(settings(photos, max_minutes=1e-6), out, echo=said.append)
    assert "--max-minutes 1e-06 have passed; continue with --resume." in said[-2]
    assert len(sequence(out)) < STEPS

    def interrupt(text):
        if text.startswith("Epoch 2/3 4/8"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(settings(photos), out, resume=True, echo=interrupt)
    # The step after the one that was being reported may be done too.
    assert len(sequence(out)) in (12, 13)
    assert RunFolder(out).load_checkpoint().arrays["step"] == len(sequence(out))
    train(settings(photos), out, resume=True, echo=lambda text: None)
    assert_equal_runs(out, whole)


def test_changes_are_announced(photos, whole, tmp_path):
    out, said = tmp_path / "run", []
    train(settings(photos, epochs=1), out, echo=lambda text: None)
    train(settings(photos, learning_rate=2e-4, epochs=2), out, resume=True, echo=said.append)
    assert "Note: --learning-rate changes from 0.0001 to 0.0002" in " ".join(said)
    assert len(sequence(out)) == 16
    assert sequence(out)[:8] == sequence(whole)[:8]


def test_a_loss_of_other_parts_adds_columns(photos, whole, tmp_path):
    """Also where the checkpoint lies between two rows; the run can be resumed again and again."""
    out, said = tmp_path / "run", []
    teacher = str(whole / "weights.safetensors")
    train(settings(photos, max_minutes=1e-6, log_every=3), out, echo=lambda text: None)
    assert RunFolder(out).load_checkpoint().progress["unlogged"]
    changed = {"loss": "mse", "teacher": teacher, "log_every": 3, "epochs": 2}
    train(settings(photos, **changed), out, resume=True, echo=said.append)
    train(settings(photos, log_every=3), out, resume=True, echo=said.append)
    rows = sequence(out)
    assert [row["step"] for row in rows] == [3, 6, 9, 12, 15, 16, 18, 21, 24]
    assert {"mae", "mse", "teacher"} < rows[0].keys()
    for row in rows:
        old, new = row["step"] > 16, row["step"] <= 16
        assert np.isfinite([row["mae"], row["mse"], row["teacher"]]).tolist() == [old, new, new]
    assert "Wrote" in said[-1]


def test_another_loss_is_not_compared_with_the_one_before(photos, tmp_path):
    """Also where the run was stopped between the change and the next checkpoint."""
    out, said = tmp_path / "run", []
    guarded = {"spike_factor": 1.5, "learning_rate": 1e-6}
    train(settings(photos, loss="mse", **guarded), out, echo=lambda text: None)
    longer = settings(photos, epochs=6, **guarded)
    RunFolder(out).save_config(longer.to_dict())
    train(longer, out, resume=True, echo=said.append)
    rows = sequence(out)
    assert len(rows) == 2 * STEPS
    assert rows[-1]["loss"] > 1.5 * rows[0]["loss"]
    assert sum(row["skipped"] for row in rows[STEPS:]) <= 2


def test_only_a_change_of_the_loss_makes_losses_forgotten(photos, tmp_path, monkeypatch):
    """A checkpoint from before there was ``hr_scales`` had none; an older one may name what is retired."""
    out, forgotten = tmp_path / "run", []
    monkeypatch.setattr(SpanTrainer, "forget_losses", lambda trainer: forgotten.append(trainer.step))
    short = {"steps_per_epoch": 1, "rate_epochs": ()}
    train(settings(photos, epochs=1, **short), out, echo=lambda text: None)
    checkpoint = RunFolder(out).load_checkpoint()
    del checkpoint.progress["loss"]["hr_scales"]
    checkpoint.progress["loss"]["luma"] = 0.0
    RunFolder(out).save_checkpoint(checkpoint)
    train(settings(photos, epochs=2, **short), out, resume=True, echo=lambda text: None)
    assert not forgotten
    train(settings(photos, epochs=3, hr_scales=(0.9,), **short), out, resume=True, echo=lambda text: None)
    train(settings(photos, epochs=4, hr_scales=(0.9,), **short), out, resume=True, echo=lambda text: None)
    assert forgotten == [2]


def test_another_optimizer_needs_a_run_of_its_own(photos, tmp_path):
    """Its moments are others. With the one it was begun with, a run goes on exactly."""
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    train(settings(photos, optimizer="muon", max_minutes=1e-6), parts, echo=lambda text: None)
    with pytest.raises(TrainingError, match=r"--optimizer adam where the run has muon; use --init instead"):
        train(settings(photos), parts, resume=True, echo=lambda text: None)
    train(settings(photos, optimizer="muon"), parts, resume=True, echo=lambda text: None)
    train(settings(photos, optimizer="muon"), whole, echo=lambda text: None)
    assert_equal_runs(parts, whole)


def test_resuming_without_a_run_starts_one(photos, tmp_path):
    said = []
    train(settings(photos, epochs=1, steps_per_epoch=1), tmp_path / "new", resume=True, echo=said.append)
    assert len(sequence(tmp_path / "new")) == 1
    assert f"Note: no run in {tmp_path / 'new'} to resume; starting one." in said


def test_resuming_needs_no_initial_weights(photos, whole, tmp_path):
    init = tmp_path / "init.safetensors"
    init.write_bytes((whole / "weights.safetensors").read_bytes())
    more = {"init": str(init), "steps_per_epoch": 1, "epochs": 2, "rate_epochs": ()}
    train(settings(photos, **more, max_minutes=1e-6), tmp_path / "run", echo=lambda text: None)
    init.unlink()
    train(settings(photos, **more), tmp_path / "run", resume=True, echo=lambda text: None)
    assert len(sequence(tmp_path / "run")) == 2


def test_one_of_several_processes_ends_at_once_when_terminated():
    """It may be waiting for the others in native code, where no handler of Python runs."""
    mine = lambda number, frame: None  # noqa: E731
    before = signal.signal(signal.SIGTERM, mine)
    try:
        with Signals(enabled=False):
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_initial_weights_need_a_run_of_their_own(photos, whole, tmp_path):
    """Once there is a checkpoint, they would change nothing but what the folder tells of the run's origin."""
    out, init = tmp_path / "run", str(whole / "weights.safetensors")
    short = {"steps_per_epoch": 1, "rate_epochs": ()}
    train(settings(photos, init=init, epochs=1, **short), out, echo=lambda text: None)
    with pytest.raises(TrainingError, match=rf"began with, {re.escape(init)}, found bundled:x2; leave --init out"):
        train(settings(photos, init="bundled:x2", epochs=2, **short), out, resume=True)
    for epochs, given in ((2, None), (3, init), (4, os.path.relpath(init))):
        train(settings(photos, init=given, epochs=epochs, **short), out, resume=True, echo=lambda text: None)
        assert RunFolder(out).config["init"] == init and len(sequence(out)) == epochs
    with pytest.raises(TrainingError, match=r"began with, none, found"):
        train(settings(photos, init=init), whole, resume=True)
    for path in out.glob("*.ckpt"):
        path.unlink()
    other = str(whole / "best.safetensors")
    train(settings(photos, init=other, epochs=1, **short), out, resume=True, echo=lambda text: None)
    assert RunFolder(out).config["init"] == other


def test_fewer_steps_than_are_done(photos, whole):
    before = RunFolder(whole).config
    with pytest.raises(TrainingError, match=r"expected at least the 24 steps that .* has done, found 16 in all; give"):
        train(settings(photos, epochs=2), whole, resume=True, echo=lambda text: None)
    assert RunFolder(whole).config == before


def test_one_process_in_a_folder(photos, tmp_path):
    """Whether it begins a run or goes on with one; what a run leaves behind keeps nobody out."""
    pytest.importorskip("fcntl")
    short = settings(photos, epochs=1, steps_per_epoch=1, rate_epochs=())
    for resume in (False, True):
        with RunFolder(tmp_path).alone(), pytest.raises(TrainingError, match="expected no other process at work in"):
            train(short, tmp_path, resume=resume, echo=lambda text: None)
        train(short, tmp_path, resume=resume, echo=lambda text: None)
    assert len(sequence(tmp_path)) == 1


def test_a_folder_that_cannot_be_locked_is_used_without(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with RunFolder(tmp_path).alone(), RunFolder(tmp_path).alone():
        pass
    monkeypatch.setattr(folder_module, "fcntl", None)  # Windows
    with RunFolder(tmp_path / "new").alone():
        assert not list((tmp_path / "new").iterdir())


def test_a_best_figure_without_bound_is_chosen_anew(photos, tmp_path):
    """Older versions wrote it where a photograph to validate on was blank."""
    out, short = tmp_path / "run", {"steps_per_epoch": 1, "rate_epochs": ()}
    train(settings(photos, epochs=1, **short), out, echo=lambda text: None)
    found = RunFolder(out).load_checkpoint()
    older = {key: value for key, value in found.progress.items() if key not in ("best", "best_by")}
    RunFolder(out).save_checkpoint(Checkpoint(found.arrays, {**older, "best_psnr": float("inf")}))
    train(settings(photos, epochs=2, **short), out, resume=True, echo=lambda text: None)
    assert RunFolder(out).load_checkpoint().progress["best"] < 100


def test_other_photographs_are_announced(photos, tmp_path):
    """A folder that has moved is no change; another validation photograph begins the best anew."""
    out, before = tmp_path / "run", tmp_path / "before"
    (before / "val").mkdir(parents=True)
    for path in photos.iterdir():
        (before / ("val" if path.name == "photo_0.png" else ".") / path.name).write_bytes(path.read_bytes())

    def told(folder, epochs=1, resume=True):
        said = []
        more = {"val": str(folder / "val"), "steps_per_epoch": 1, "epochs": epochs, "rate_epochs": ()}
        train(settings(folder, **more), out, resume=resume, echo=said.append)
        return " ".join(said)

    def alter(**progress):
        checkpoint = RunFolder(out).load_checkpoint()
        progress = {k: v for k, v in {**checkpoint.progress, **progress}.items() if v is not None}
        RunFolder(out).save_checkpoint(Checkpoint(checkpoint.arrays, progress))

    told(before, resume=False)
    now = before.rename(tmp_path / "now")
    assert "are others than before" not in told(now)
    (now / "photo_1.png").unlink()
    said = told(now)
    assert "to train on are others than before" in said and "to validate on" not in said
    (now / "photo_2.png").replace(now / "val" / "photo_0.png")
    alter(best=99.0)
    assert "to validate on are others than before" in told(now, epochs=2)
    assert RunFolder(out).load_checkpoint().progress["best"] < 99
    assert "are others than before" not in told(now, epochs=2)
    # Checkpoints of older versions do not know the photographs.
    (now / "photo_3.png").unlink()
    alter(photos=None)
    assert "are others than before" not in told(now, epochs=2)


def test_validation_of_degraded_photographs_has_no_clean_ones(photos, tmp_path, monkeypatch):
    """A run that was validated on clean ones, too, is told that figures do not compare."""
    monkeypatch.setattr(run_module, "degraded_pairs", lambda pairs, options, scale: seen.append(options) or pairs)
    seen, said, out = [], [], tmp_path / "run"
    options = settings(photos, degrade="photo", patch_size=8, epochs=1, steps_per_epoch=1, rate_epochs=())
    train(options, out, echo=said.append)
    assert seen == [replace(PRESETS["photo"], clean=0.0)]
    checkpoint = RunFolder(out).load_checkpoint()
    photographs = split_photographs(options.data)
    before = fingerprint(photographs.validation, str(photos), PRESETS["photo"])
    progress = checkpoint.progress | {"photos": checkpoint.progress["photos"] | {"validation": before}}
    RunFolder(out).save_checkpoint(Checkpoint(checkpoint.arrays, progress))
    train(options.having(epochs=2), out, resume=True, echo=said.append)
    assert any("to validate on are others than before; figures do not compare" in line for line in said)


def test_what_a_killed_run_left_half_written_is_deleted(photos, tmp_path):
    out = tmp_path / "run"
    train(settings(photos, epochs=1, rate_epochs=()), out, echo=lambda text: None)
    half = [out / ".last.ckpt.0a1b2c3d.partial", out / ".best.safetensors.0a1b2c3d.partial.safetensors"]
    half.append(out / "samples" / ".step_00000001.png.0a1b2c3d.partial")
    for path in half:
        path.write_text("half")
        os.utime(path, (0, 0))  # long ago: what is new may be being written
    train(settings(photos, epochs=1, rate_epochs=()), out, resume=True, echo=lambda text: None)
    assert not any(path.exists() for path in half)
    assert not list(out.rglob(".*"))


def test_photographs_found_damaged_late_are_named(tmp_path, monkeypatch):
    """Those of working sets, which are decoded after the run has said what it trains on, and validation images."""
    monkeypatch.setattr(working_sets, "decoder_count", lambda: 1)
    rng, said = np.random.default_rng(0), []
    for folder, count in (("train", 16), ("val", 2)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            path = tmp_path / folder / f"{number}.png"
            Image.fromarray(rng.integers(0, 256, (600, 600, 3), np.uint8)).save(path, compress_level=0)
            if number % 2:
                path.write_bytes(path.read_bytes()[:100_000])
    options = settings(tmp_path / "train", val=str(tmp_path / "val"), val_images=2, cache_gb=0.02, steps_per_epoch=16)
    train(options, tmp_path / "run", echo=said.append)
    assert any("working sets" in line for line in said)
    assert any(line.startswith(f"Not used for validation: {tmp_path / 'val' / '1.png'} ") for line in said)
    left_out = [line.split(":")[0] for line in said if line.startswith("Left out ")]
    assert left_out and len(left_out) == len(set(left_out))
    assert {Path(line.removeprefix("Left out ")).name for line in left_out} <= {f"{i}.png" for i in range(1, 16, 2)}
    train(options, tmp_path / "run", resume=True, echo=said.append)
    assert not any("working sets changes" in line for line in said)
    train(options.having(cache_gb=1.0), tmp_path / "run", resume=True, echo=said.append)
    assert any(re.search(r"working sets changes from \d+ to 1;", line) for line in said)


def test_interrupted_while_decoding(photos, tmp_path, monkeypatch):
    """SIGTERM before the first step ends the command with a word on how to go on, and that works."""
    said, load, decoded = [], load_pair, []

    def interrupted(*arguments):
        if threading.current_thread() is not threading.main_thread():
            decoded.append(arguments)
            os.kill(os.getpid(), signal.SIGTERM)
            while not (said and said[-1].startswith("Stopped")):
                time.sleep(0.01)
        return load(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(dataset_module, "load_pair", interrupted)
        patched.setattr(working_sets, "decoder_count", lambda: 1)
        with pytest.raises(KeyboardInterrupt):
            train(settings(photos), tmp_path / "run", echo=said.append)
        time.sleep(1)
    assert len(decoded) == 1, "the other photographs are not decoded any more"
    assert said[-1].startswith("Stopped before training; start with --resume")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    short = settings(photos, epochs=1, steps_per_epoch=1, rate_epochs=())
    train(short, tmp_path / "run", resume=True, echo=said.append)
    assert len(sequence(tmp_path / "run")) == 1


def test_out_of_time_while_decoding(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Decoding, "QUIET", 0)
    with pytest.raises(TrainingError, match="decoded within --max-minutes 1e-06, found 1 of 4 done; give more minutes"):
        train(settings(photos, max_minutes=1e-6), tmp_path / "run", echo=lambda text: None)
    assert RunFolder(tmp_path / "run").config is None


@pytest.mark.parametrize(
    ("seconds", "photographs", "expected"),
    [
        (0.001, 1277, []),
        (1, 20, [5, 6, 8, 10, 12, 14, 16, 18]),
        (0.125, 100, [40, 50, 60, 70, 80, 90]),
        (7, 100, [3, 6, 9, 10, 13]),
    ],
)
def test_decoding_reports_now_and_then(monkeypatch, seconds, photographs, expected):
    """At most a line per tenth and at least one per 20 seconds, but none in the first 5."""
    now, said = 100.0, []
    monkeypatch.setattr(time, "monotonic", lambda: now)
    decoding = Decoding(said.append, now)
    for done in range(1, photographs + 1):
        now += seconds
        decoding(done, photographs)
    # Of many lines the first ones will do.
    expected = [f"Decoded {done} of {photographs} photographs." for done in expected]
    assert said[: len(expected)] == expected and (len(expected) == 5 or len(said) == len(expected))


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("writes", [0, 4, 9])
def test_a_run_on_a_full_disk_goes_on_later(photos, whole, tmp_path, monkeypatch, writes):
    """The disk fills up after so many files, whichever they are."""
    out, left = tmp_path / "run", writes
    fsync = os.fsync

    def fills_up(handle):
        nonlocal left
        left -= 1
        return fsync(handle) if left >= 0 else full()

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fills_up)
        with pytest.raises(SpanError, match="No space left on device"):
            train(settings(photos, checkpoint_every=3), out, echo=lambda text: None)
    train(settings(photos), out, resume=True, echo=lambda text: None)
    assert_equal_runs(out, whole)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("morph_steps", 12000),
        ("target", "teacher"),
        ("lr_scales", [0.5]),
        ("rgb_order", True),
        ("contrast", 4.0),
        ("rotate", True),
        ("luma", 0.5),
        ("hint_weight", 0.2),
        ("degrade", ["blur", "noise"]),
        ("loss", "charbonnier"),
        ("perceptual", "vgg19"),
    ],
)
def test_a_run_with_retired_settings_says_what_to_do(photos, tmp_path, name, value):
    """Those that were never used are nothing to speak of."""
    unused = RETIRED | {"degrade": []}  # which threads applied, by names
    saved = settings(photos).to_dict() | unused
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert resolve({}, RunFolder(tmp_path).config) == settings(photos)
    (tmp_path / "config.json").write_text(json.dumps(saved | {name: value}))
    found = re.escape(f"found {name} = {value!r} in {tmp_path / 'config.json'}; continue it with commit ")
    found += r"\w{7} of span-keras, or begin a run in another --out"
    with pytest.raises(TrainingError, match=found + r"\.$"):
        RunFolder(tmp_path).config  # noqa: B018
    best = tmp_path / "best.safetensors"
    best.touch()
    with pytest.raises(TrainingError, match=found + re.escape(f" with --init {best}.")):
        RunFolder(tmp_path).config  # noqa: B018
