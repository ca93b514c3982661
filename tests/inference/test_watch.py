"""Watched folders: what is complete is made once, whatever becomes of the disk and the folder."""

import builtins
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from span_keras.errors import ConfigError
from span_keras.inference import watch
from span_keras.inference.job import Outcome

PATIENCE_S = 60


def wait_for(condition):
    """Wait until something holds; a failure says that it never did."""
    for _ in range(PATIENCE_S * 20):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it never came to that")


def event(kind, path, to="", is_directory=False):
    return SimpleNamespace(event_type=kind, src_path=path, dest_path=to, is_directory=is_directory)


def test_a_file_is_complete_when_it_was_closed_and_is_quiet(monkeypatch):
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(watch, "time", clock)
    changes = watch.Changes()
    for kind in ("created", "opened", "modified"):
        changes.dispatch(event(kind, "in/a.png"))
    changes.dispatch(event("created", "in/gone.png"))
    changes.dispatch(event("created", "in/left.png"))
    clock.now += watch.QUIET_CLOSED
    assert changes.complete() == set()
    changes.dispatch(event("closed", "in/a.png"))
    changes.dispatch(event("closed_no_write", "in/other.png"))
    changes.dispatch(event("moved", "in/x.partial", "in/b.png"))
    changes.dispatch(event("moved", "", "in/moved in.png"))
    changes.dispatch(event("moved", "in/left.png", ""))
    changes.dispatch(event("created", "in/sub", is_directory=True))
    changes.dispatch(event("modified", "in", is_directory=True))
    changes.dispatch(event("deleted", "in/gone.png"))
    assert changes.complete() == set()
    clock.now += watch.QUIET_CLOSED
    assert changes.complete() == {Path("in/a.png"), Path("in/b.png"), Path("in/moved in.png"), Path("in/sub")}
    assert changes.complete() == set()
    changes.dispatch(event("created", "in/c.png"))  # its writer never closes it, or the system does not tell
    clock.now += watch.QUIET_OPEN
    assert changes.complete() == {Path("in/c.png")}


@pytest.fixture
def following(tmp_path, monkeypatch):
    """A watched folder ``in`` and what was made and told; stopped at the end."""
    pytest.importorskip("watchdog")
    monkeypatch.setattr(watch, "PAUSE", 0.02)
    monkeypatch.setattr(watch, "QUIET_CLOSED", 0.05)
    folder, stopped = tmp_path / "in", threading.Event()
    folder.mkdir()
    (folder / "first.png").touch()
    run = SimpleNamespace(folder=folder, made=[], told=[], full=False)

    def make(paths):
        found = [each for path in paths for each in ([path] if path.is_file() else sorted(path.rglob("*.png")))]
        run.made += [path.name for path in found]
        status = "failed" if run.full else "made"
        return [Outcome(str(path), status=status, again=run.full) for path in found]

    thread = threading.Thread(target=watch.follow, args=([folder], make, run.told.append, stopped))
    thread.start()
    wait_for(lambda: run.made == ["first.png"])
    yield run
    stopped.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_new_files_are_made_each_once(following):
    folder = following.folder
    (folder / "a.png").write_bytes(b"x")
    wait_for(lambda: "a.png" in following.made)
    (folder / "sub").mkdir()
    (folder / "sub" / "b.png").write_bytes(b"x")
    wait_for(lambda: "b.png" in following.made)
    (folder.parent / "c.tmp").write_bytes(b"x")
    (folder.parent / "c.tmp").rename(folder / "c.png")
    wait_for(lambda: "c.png" in following.made)
    assert following.made.count("a.png") == following.made.count("c.png") == 1


def test_a_file_that_is_being_written_is_waited_for(following):
    with (following.folder / "a.png").open("wb") as file:
        file.write(b"x")
        file.flush()
        (following.folder / "b.png").write_bytes(b"x")
        wait_for(lambda: "b.png" in following.made)
        assert "a.png" not in following.made
    wait_for(lambda: "a.png" in following.made)


def test_what_a_full_disk_refused_is_tried_again(following, monkeypatch):
    monkeypatch.setattr(watch, "RETRY", 0.1)
    following.full = True
    (following.folder / "a.png").write_bytes(b"x")
    wait_for(lambda: following.made.count("a.png") >= 3)
    following.full = False
    (following.folder / "b.png").write_bytes(b"x")
    wait_for(lambda: "b.png" in following.made)
    (following.folder / "c.png").write_bytes(b"x")
    wait_for(lambda: "c.png" in following.made)
    assert following.made.count("b.png") == 1


def test_a_folder_that_has_gone_is_waited_for(following):
    shutil.rmtree(following.folder)
    wait_for(lambda: following.told)
    assert following.told == [f"{following.folder} has gone; waiting until it is there again."]
    following.folder.mkdir()
    (following.folder / "back.png").write_bytes(b"x")
    wait_for(lambda: "back.png" in following.made)
    assert following.told[1:] == [f"{following.folder} is there again."]
    (following.folder / "more.png").write_bytes(b"x")
    wait_for(lambda: "more.png" in following.made)


def test_a_missing_watchdog_is_named(tmp_path, monkeypatch):
    imported = builtins.__import__

    def fail(name, *arguments, **options):
        if name.startswith("watchdog"):
            raise ImportError(name)
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ConfigError, match=r"--watch needs watchdog; pip install 'span-keras\[watch\]'"):
        watch.follow([tmp_path], lambda paths: [], print, threading.Event())
