"""The folder of a run: checkpoints that survive a kill at any moment, tables that survive a half-written line."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from span_keras.errors import TrainingError
from span_keras.runs import checkpoint as checkpoint_module
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.folder import CHECKPOINTS, RunFolder

# -- the folder itself


@pytest.mark.parametrize("error", [TrainingError, KeyboardInterrupt])
def test_a_folder_in_which_nothing_was_written_goes_again(tmp_path, error):
    folder = RunFolder(tmp_path / "runs" / "new")
    with pytest.raises(error), folder.alone():
        assert folder.path.is_dir()
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_or_is_written_to_stays(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("there", "written"):
        folder = RunFolder(tmp_path / name)
        with pytest.raises(TrainingError), folder.alone():
            if name == "written":
                folder.write("config.json", b"{}")
            raise TrainingError
        assert folder.path.is_dir()
    assert (tmp_path / "written" / "config.json").read_bytes() == b"{}"


# -- checkpoints


@pytest.fixture
def folder(tmp_path):
    """A run folder with two checkpoints, of steps 1 and 2."""
    folder = RunFolder(tmp_path / "run")
    for step in (1, 2):
        folder.save_checkpoint(checkpoint(step))
    return folder


def checkpoint(step: int) -> Checkpoint:
    arrays = {"step": np.int32(step), "weights/a": np.full((64, 64), step, np.float32)}
    return Checkpoint(arrays, {"step": step, "best": float("-inf"), "best_by": "psnr_y", "unlogged": {"loss": [0.1]}})


def test_a_checkpoint_comes_back_as_it_was(folder):
    found, expected = folder.load_checkpoint(), checkpoint(2)
    assert found.progress == expected.progress
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype and found.arrays[name].shape == array.shape
        np.testing.assert_array_equal(found.arrays[name], array)


def damage(path: Path, how: str):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = b""
    elif how == "altered":
        content[-100] ^= 1
    else:
        content = b"something else"
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "empty", "altered", "foreign"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(folder, how):
    damage(folder.path / "last.ckpt", how)
    said = []
    assert folder.load_checkpoint(said.append).progress["step"] == 1
    assert "expected a complete checkpoint in" in said[0] and "last.ckpt" in said[0]


def test_two_damaged_checkpoints_say_what_to_do(folder):
    for name in ("last.ckpt", "previous.ckpt"):
        damage(folder.path / name, "truncated")
    with pytest.raises(TrainingError, match="No complete checkpoint is left; start anew with another --out"):
        folder.load_checkpoint(lambda text: None)


def test_a_checkpoint_of_another_format_says_so(folder, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "FORMAT", "span-run-2")
        folder.save_checkpoint(checkpoint(3))
    said = []
    assert folder.load_checkpoint(said.append).progress["step"] == 2
    assert "expected a checkpoint of format span-run-1 in" in said[0] and "found span-run-2; a run goes on" in said[0]


def test_a_damaged_checkpoint_does_not_replace_the_one_before(folder, monkeypatch):
    """The run goes on from the one before, and its next save fails, or does not."""
    damage(folder.path / "last.ckpt", "truncated")
    folder = RunFolder(folder.path)
    assert folder.load_checkpoint(lambda text: None).progress["step"] == 1
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(TrainingError):
            folder.save_checkpoint(checkpoint(3))
    assert folder.load_checkpoint(lambda text: None).progress["step"] == 1
    for step, before in ((3, 1), (4, 3)):
        folder.save_checkpoint(checkpoint(step))
        assert [Checkpoint.read(folder.path / name).progress["step"] for name in CHECKPOINTS] == [step, before]


def test_two_names_of_one_checkpoint(folder):
    """As a version left them that was killed while saving."""
    (folder.path / "previous.ckpt").unlink()
    os.link(folder.path / "last.ckpt", folder.path / "previous.ckpt")
    folder.load_checkpoint()
    folder.save_checkpoint(checkpoint(3))
    assert [Checkpoint.read(folder.path / name).progress["step"] for name in CHECKPOINTS] == [3, 2]
    assert not list(folder.path.glob(".*"))


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("number", range(12))
def test_killed_while_saving(folder, monkeypatch, number, damaged):
    """However far the third save comes, a complete checkpoint can be loaded: the third or the newest one before it."""
    if damaged:
        damage(folder.path / "last.ckpt", "truncated")
    before = folder.load_checkpoint(lambda text: None).progress["step"]
    assert before == (1 if damaged else 2)

    class Killed(BaseException):
        pass

    calls = 0

    def counted(function):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls > number:
                raise Killed
            return function(*args, **kwargs)

        return call

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "open"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    finished = False
    try:
        folder.save_checkpoint(checkpoint(3))
        finished = True
    except Killed:
        pass
    monkeypatch.undo()
    assert folder.load_checkpoint(lambda text: None).progress["step"] in ((3,) if finished else (before, 3))
    # The next save is not hindered by what was left lying about.
    folder.save_checkpoint(checkpoint(4))
    assert folder.load_checkpoint().progress["step"] == 4


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_the_old_checkpoint(folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"found: No space left on device; free space .* --resume"):
        folder.save_checkpoint(checkpoint(3))
    monkeypatch.undo()
    assert folder.load_checkpoint().progress["step"] == 2
    assert not list(folder.path.glob("*.partial"))


# -- tables


def test_an_unfinished_line_is_not_a_row(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (1, 2, 3):
        folder.append("log.csv", {"step": step, "epoch": 1, "loss": 0.1 * step})
    with (tmp_path / "log.csv").open("a") as file:
        file.write("4,1,0.")
    assert [row["step"] for row in folder.rows("log.csv")] == [1, 2, 3]
    folder.forget_after(2)
    assert (tmp_path / "log.csv").read_text() == "step,epoch,loss\n1,1,0.1\n2,1,0.2\n"


def test_a_row_of_other_columns_widens_the_table(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append("log.csv", {"step": 1, "mae": 0.25, "rate": 1.0})
    folder.append("log.csv", {"step": 2, "mse": 0.5, "rate": 1.0})
    folder.append("log.csv", {"rate": 2.0, "step": 3})
    assert (tmp_path / "log.csv").read_text() == "step,mae,rate,mse\n1,0.25,1.0,\n2,,1.0,0.5\n3,,2.0,\n"
    np.testing.assert_equal([row["mse"] for row in folder.rows("log.csv")], [np.nan, 0.5, np.nan])


@pytest.mark.parametrize("line", ["2,1,0.5,0.5", "2", "2,1,0.5.", "", '"', "\0\0", ",1,0.5"])
def test_damaged_rows_are_left_out(tmp_path, line):
    """Of too many or too few cells, or of something else than numbers."""
    folder = RunFolder(tmp_path)
    (tmp_path / "log.csv").write_text(f"step,epoch,loss\n1,1,0.5\n{line}\n3,1,0.5\n")
    assert [row["step"] for row in folder.rows("log.csv")] == [1, 3]
    folder.forget_after(3)
    assert (tmp_path / "log.csv").read_text() == "step,epoch,loss\n1,1,0.5\n3,1,0.5\n"


@pytest.mark.parametrize("content", ["", "step,ep", "\n\n", "\xff,1\n2,3\n"])
def test_a_damaged_table_is_begun_anew(tmp_path, content):
    folder = RunFolder(tmp_path)
    (tmp_path / "log.csv").write_text(content)
    folder.forget_after(0)
    folder.append("log.csv", {"step": 1, "loss": 0.5})
    assert folder.rows("log.csv") == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize(
    "content", ["{", "[]", "null", "7", '{"foo": 1}', '{"hr_scales": 5}', '{"degrade": 7}', '{"rate_epochs": ["a"]}']
)
def test_settings_that_cannot_be_read_say_so(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(TrainingError, match=r"expected the run's settings in .*[^.]; restore the file or choose"):
        RunFolder(tmp_path).config  # noqa: B018
