"""The output folder is complete or untouched."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from span_export.publish import MARKER, publish
from span_keras.errors import ExportError


def write(target, files, **options):
    with publish(target, **options) as staged:
        for name, text in files.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_text(text)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file() and p.name != MARKER}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "out"


def siblings(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_creates_the_folder_and_its_parents(target):
    write(target, {"model.json": "{}", "ui/a.js": "x"})
    assert tree(target) == {"model.json": "{}", "ui/a.js": "x"}
    assert siblings(target) == ["out"]


def test_is_readable_like_any_new_folder(target):
    write(target, {"model.json": "{}"})
    plain = target.parent / "plain"
    plain.mkdir()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_nothing_is_visible_before_the_end(target):
    with publish(target) as staged:
        (staged / "model.json").write_text("{}")
        assert not target.exists()
    assert target.exists()


def test_replaces_an_earlier_export_as_a_whole(target):
    write(target, {"model.json": "1", "old.bin": "1"})
    write(target, {"model.json": "2", "new.bin": "2"})
    assert tree(target) == {"model.json": "2", "new.bin": "2"}
    assert siblings(target) == ["out"]


def test_accepts_an_empty_folder(target):
    target.mkdir(parents=True)
    write(target, {"model.json": "{}"})
    assert tree(target) == {"model.json": "{}"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_interruption_keeps_the_earlier_export(target, error):
    write(target, {"model.json": "good"})
    with pytest.raises(error), publish(target) as staged:
        (staged / "model.json").write_text("half")
        raise error
    assert tree(target) == {"model.json": "good"}
    assert siblings(target) == ["out"]


def test_interruption_leaves_nothing_where_nothing_was(target):
    with pytest.raises(KeyboardInterrupt), publish(target) as staged:
        (staged / "model.json").write_text("half")
        raise KeyboardInterrupt
    assert siblings(target) == []


def test_failure_of_the_last_rename_restores_the_earlier_export(target, monkeypatch):
    write(target, {"model.json": "good"})
    rename = type(target).rename

    def fail_once(self, to):
        if self.suffix == ".partial":
            raise PermissionError(13, "Permission denied")
        return rename(self, to)

    monkeypatch.setattr(type(target), "rename", fail_once)
    with pytest.raises(ExportError, match="cannot be written"):
        write(target, {"model.json": "new"})
    assert tree(target) == {"model.json": "good"}
    assert siblings(target) == ["out"]


@pytest.mark.parametrize("number", [1, 2])
def test_interruption_after_either_rename_leaves_one_whole_export(target, monkeypatch, number):
    write(target, {"model.json": "good"})
    rename, done = type(target).rename, []

    def interrupt(self, to):
        rename(self, to)
        done.append(to)
        if len(done) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(target), "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(target, {"model.json": "new"})
    assert tree(target) == {"model.json": "good" if number == 1 else "new"}
    assert siblings(target) == ["out"]


def test_only_what_is_about_the_folder_is_called_unwritable(target):
    with pytest.raises(FileNotFoundError, match=r"elsewhere/gone"), publish(target):
        Path("/elsewhere/gone").read_bytes()
    with pytest.raises(ExportError, match=r"cannot be written .No such file"), publish(target) as staged:
        (staged / "missing" / "a").write_bytes(b"")
    with pytest.raises(ExportError, match=r"cannot be written .No space left on device"), publish(target):
        Path("/dev/full").write_bytes(b"x")  # a file that is open: the error bears no name
    assert siblings(target) == []


def test_refuses_a_folder_with_files_of_others(target):
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"no export wrote \(thesis.txt\); .* or pass --overwrite"):
        write(target, {"model.json": "{}"})
    assert tree(target) == {"thesis.txt": "mine"}


def test_refuses_an_export_to_which_files_were_added(target):
    write(target, {"model.json": "{}"})
    (target / "x2").mkdir()
    (target / "x2" / "model.json").write_text("other")
    with pytest.raises(ExportError, match=r"x2/model\.json"):
        write(target, {"model.json": "new"})
    assert tree(target) == {"model.json": "{}", "x2/model.json": "other"}


def test_overwrite_keeps_the_files_of_others(target):
    write(target, {"model.json": "old", "old.bin": "old"})
    (target / "notes").mkdir()
    (target / "notes" / "a.txt").write_text("mine")
    write(target, {"model.json": "new"}, overwrite=True)
    assert tree(target) == {"model.json": "new", "notes/a.txt": "mine"}
    with pytest.raises(ExportError, match=r"notes/a\.txt"):  # still not ours
        write(target, {"model.json": "newer"})


def test_links_and_empty_folders_are_files_of_others(target, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_text("a photograph")
    (target / "empty").mkdir(parents=True)
    (target / "photos").symlink_to(tmp_path / "photos")
    with pytest.raises(ExportError, match=r"found files that no export wrote \(empty, photos\)"), publish(target):
        pass
    with publish(target, overwrite=True) as staged:
        (staged / "model.json").write_text("new")
    assert (target / "photos").is_symlink() and (target / "photos" / "a.png").read_text() == "a photograph"
    assert (target / "empty").is_dir() and (target / "model.json").read_text() == "new"


def test_a_file_where_the_export_has_a_folder(target):
    target.mkdir(parents=True)
    (target / "models").write_text("mine")
    with (
        pytest.raises(ExportError, match="models is in the way of a folder"),
        publish(target, overwrite=True) as staged,
    ):
        (staged / "models").mkdir()
        (staged / "models" / "a.json").write_text("new")
    assert (target / "models").read_text() == "mine"


def test_damaged_list_of_files_counts_as_none(target):
    write(target, {"model.json": "{}"})
    (target / MARKER).write_text(json.dumps({"files": 3}))
    with pytest.raises(ExportError, match="no export wrote"):
        write(target, {"model.json": "new"})


def test_a_file_in_the_way(target):
    target.parent.mkdir(parents=True)
    target.write_text("a file")
    with pytest.raises(ExportError, match="expected a folder to write to, found the file"):
        write(target, {"model.json": "{}"})


def test_a_file_among_the_parents(target):
    target.parent.write_text("a file")
    with pytest.raises(ExportError, match="cannot be written"):
        write(target, {"model.json": "{}"})


def test_the_current_folder(target, monkeypatch):
    target.mkdir(parents=True)
    monkeypatch.chdir(target)
    for name in (".", ".."):
        with pytest.raises(ExportError, match="current folder or above it"):
            write(target / name, {"model.json": "{}"})


def test_a_name_too_long(tmp_path):
    with pytest.raises(ExportError, match=r"aaa cannot be written \(File name too long\)"):
        write(tmp_path / ("a" * 300), {"model.json": "{}"})


def test_unwritable_parent():
    with pytest.raises(ExportError, match=r"out cannot be written .*choose a folder you may write to"):
        write(Path("/proc/span-export/out"), {"model.json": "{}"})  # not even root may


def test_killed(target):
    """No handler runs on SIGKILL: the earlier export stands untouched."""
    write(target, {"model.json": "good"})
    code = (
        "import os, sys, pathlib; from span_export.publish import publish\n"
        "with publish(pathlib.Path(sys.argv[1])) as staged:\n"
        "    (staged / 'model.json').write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == -9
    assert tree(target) == {"model.json": "good"}
    write(target, {"model.json": "next"})
    assert tree(target) == {"model.json": "next"}
