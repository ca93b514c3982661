"""Files that appear whole or not at all."""

import os
import signal
import subprocess
import sys

import pytest

from span_keras import atomic


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a" + "é" * 127, "x" * 240 + ".png"], ids=range(4))
def test_names_as_long_as_names_may_be(tmp_path, name):
    with atomic.replaced(tmp_path / name, ".keras") as temporary:
        assert temporary.name.startswith(".") and temporary.name.endswith(".partial.keras")
        temporary.name.encode()  # of whole characters
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "new"


def test_names_that_the_locale_cannot_express(tmp_path):
    """As where files keep their UTF-8 names and the locale is an old one."""
    script = "import os, sys; from pathlib import Path; from span_keras import atomic\n"
    script += "with atomic.replaced(Path(sys.argv[1])) as written: written.write_text('new')"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "ü.png"], env=os.environ | plain, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ü.png").read_text() == "new"


def test_what_a_killed_program_left_is_removed(tmp_path):
    """But not what is being written, nor what other programs call so."""
    (tmp_path / "photo.partial").touch()
    (tmp_path / ".photo.partial").touch()
    script = f"""
import os, signal
from pathlib import Path
from span_keras import atomic
with atomic.replaced(Path({str(tmp_path / ("a" * 255))!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 3
    with atomic.replaced(tmp_path / "b.png") as written:
        for path in tmp_path.iterdir():
            os.utime(path, (0, 0))
        atomic.remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"photo.partial", ".photo.partial", written.name}


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_has_appeared_is_kept(tmp_path, monkeypatch, links):
    if not links:  # as on FAT

        def fail(*arguments):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", fail)
    path = tmp_path / "a.png"
    with pytest.raises(FileExistsError), atomic.replaced(path, overwrite=False) as temporary:
        temporary.write_text("ours")
        path.write_text("theirs")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"] and path.read_text() == "theirs"
    path.unlink()
    with atomic.replaced(path, overwrite=False) as temporary:
        temporary.write_text("ours")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"] and path.read_text() == "ours"
