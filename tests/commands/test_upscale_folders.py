"""span-upscale on folders as people have them: every file is made, named or counted, and scripts can tell which."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from helpers.image_files import random_samples
from helpers.weights import random_weights
from span_keras.checkpoints import save_weights
from span_keras.images.formats import READABLE
from span_keras.images.picture import Picture
from span_keras.images.read import read_image
from span_keras.images.write import write_image
from span_keras.inference.batch import plan
from span_keras.network.config import SpanConfig
from span_keras.upscale import main

SHAPE = (12, 16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(random_weights(SpanConfig(scale=2, channels=4, blocks=1)), path)
    return path


@pytest.fixture
def run(weights):
    return lambda *arguments: CliRunner().invoke(main, [*map(str, arguments), "-w", str(weights)])


def save(path, channels=3):
    write_image(path, Picture(random_samples(channels, shape=SHAPE)))


def decodable(form):
    Image.init()
    if form.module:
        plugin = pytest.importorskip(form.module)
        getattr(plugin, "register_heif_opener", lambda: None)()
    return form


@pytest.fixture
def messy(tmp_path):
    """A folder of every kind of file."""
    folder = tmp_path / "in"
    folder.mkdir()
    image = Image.fromarray(random_samples(3, shape=SHAPE))
    for suffix, form in READABLE.items():
        decodable(form)
        image.save(folder / f"a{suffix}_{suffix}", form.name)
    for path in list(folder.iterdir()):  # each under a stem of its own
        path.rename(folder / f"{path.name[2:].split('_')[0]}{path.suffix}")
    (folder / "sub" / "deeper").mkdir(parents=True)
    save(folder / "sub" / "deeper" / "x.png", 4)
    (folder / "damaged.jpg").write_bytes((folder / "jpg.jpg").read_bytes()[:100])
    (folder / "page.png").write_bytes(b"<html>404</html>")
    (folder / "photo.cr2").touch()
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("hello")
    (folder / "Thumbs.db").touch()
    (folder / ".DS_Store").touch()
    (folder / "gone.jpg").symlink_to(folder / "nothing")
    image.save(folder / "IMG_0001", "PNG")
    return folder


def test_every_file_of_a_messy_folder_is_made_named_or_counted(run, messy, tmp_path):
    result = run(messy, "-o", tmp_path / "out")
    assert result.exit_code == 1, result.output
    made = {os.path.relpath(line, tmp_path / "out") for line in result.stdout.splitlines()}
    assert made == {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    expected = {f"{suffix[1:]}{suffix if form.written else form.becomes}" for suffix, form in READABLE.items()}
    assert made == expected | {"sub/deeper/x.png"}
    for name in made:
        assert read_image(tmp_path / "out" / name).samples.shape[:2] == (24, 32)
    for named in (
        "Error: {}/damaged.jpg is damaged or truncated",
        "Error: {}/page.png is an HTML page; download the image itself.",
        "Error: {}/empty.png is empty",
        "Error: {}/IMG_0001 should end in one of .png, ",
        "{}/photo.cr2 is a camera's raw file, which is not read; develop it to TIFF or JPEG.",
        "{}/gone.jpg is a link to nothing.",
        "{}: passed over what is no picture: 1 .db, 1 .txt and 1 hidden.",
    ):
        assert named.format(messy) in result.stderr
    assert result.stderr.rstrip().endswith(f"4 of {len(READABLE) + 7} images could not be upscaled.")
    assert "Traceback" not in result.output


def test_a_plan_of_some_files_is_part_of_the_plan_of_all(messy, tmp_path):
    names = ("sub", "jpg.jpg", "page.png", "photo.cr2", "notes.txt")
    some, every = (
        plan([messy], tmp_path / "out", among={messy / name for name in names}),
        plan([messy], tmp_path / "out"),
    )
    assert {job.source.name for job in some.jobs} == {"x.png", "jpg.jpg", "page.png"}
    assert set(some.jobs) < set(every.jobs)
    assert [Path(outcome.source).name for outcome in some.settled] == ["photo.cr2"]
    nothing = plan([messy], tmp_path / "out", among={messy / "notes.txt"})
    assert (nothing.jobs, nothing.settled) == ([], [])


def test_scripts_read_what_has_become_of_every_file(run, messy, tmp_path):
    result = run(messy, "-o", tmp_path / "out", "--json", "--strict")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == len({line["source"] for line in lines}) == len(READABLE) + 7
    by_name = {os.path.relpath(line["source"], messy): line for line in lines}
    assert by_name["png.png"] == {
        **{"source": str(messy / "png.png"), "target": str(tmp_path / "out" / "png.png"), "status": "made"},
        **{"width": 32, "height": 24, "notes": [], "reason": "", "again": False},
    }
    assert {name for name, line in by_name.items() if line["status"] == "skipped"} == {"photo.cr2", "gone.jpg"}
    assert by_name["page.png"]["status"] == "failed" and "HTML" in by_name["page.png"]["reason"]
    assert result.stderr.rstrip().endswith(f"6 of {len(READABLE) + 7} images could not be upscaled.")  # --strict
    again = run(messy, "-o", tmp_path / "out", "--json")
    statuses = [json.loads(line)["status"] for line in again.stdout.splitlines()]
    assert statuses.count("kept") == len(READABLE) + 1 and "made" not in statuses


def test_images_without_a_suffix_are_made_in_the_format_asked_for(run, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(random_samples(3, shape=SHAPE)).save(tmp_path / "in" / "IMG_0001", "JPEG")
    Image.fromarray(random_samples(3, shape=SHAPE)).save(tmp_path / "in" / "photo.v2", "GIF")
    assert run(tmp_path / "in", "-o", tmp_path / "webp", "--format", "webp").exit_code == 0
    assert run(tmp_path / "in", "-o", tmp_path / "auto", "--format", "auto").exit_code == 0
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("webp", "auto")]
    assert names == [["IMG_0001.webp", "photo.v2.webp"], ["IMG_0001.jpg", "photo.v2.png"]]


def test_clashing_names_fail_one_image_alone(run, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.png", "b.png"):
        save(tmp_path / "in" / name)
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--format", "webp")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.webp", "b.webp"]
    assert "a.jpg and " in result.stderr and "a.png would both become " in result.stderr
    assert "a.png into another folder." in result.stderr  # in this one its name is taken
    assert result.stderr.rstrip().endswith("1 of 3 images could not be upscaled.")


def test_a_name_that_becomes_too_long_fails_one_image_alone(run, tmp_path):
    images = [tmp_path / "a.png", tmp_path / f"{'b' * 251}.png"]
    for path in images:
        save(path)
    result = run(*images)
    assert result.exit_code == 1
    assert (tmp_path / "a_x2.png").is_file()
    assert "_x2.png cannot be written (File name too long); choose another output." in result.stderr


def test_results_lie_beside_their_sources_where_no_output_is_named(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png")
    (tmp_path / "in" / "sub").mkdir(parents=True)
    save(tmp_path / "in" / "sub" / "x.bmp")
    for arguments, names in (
        (["photo.png"], ["photo_x2.png"]),
        (["photo.png", "--width", 40, "--format", "jpg"], ["photo_w40.jpg"]),
        (["in", "--outscale", 3], ["in_x3/sub/x.bmp"]),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        assert [os.path.relpath(line) for line in result.stdout.splitlines()] == names
        assert all((tmp_path / name).is_file() for name in names)
    again = run("photo.png", "photo_x2.png")  # as *.png would name them
    assert again.exit_code == 0 and again.stdout == ""
    assert "photo_x2.png is a result of before, and is kept." in again.stderr
    monkeypatch.chdir(tmp_path / "in")
    assert run(".").exit_code == 0
    assert (tmp_path / "in_x2" / "sub" / "x.bmp").is_file()


def test_several_sizes_colours_that_are_none_and_devices_that_are_none_are_wrong_usage(run, tmp_path):
    save(tmp_path / "a.png")
    out = tmp_path / "b.png"
    for arguments, code, message in (
        (["--width", 3, "--height", 4], 2, "expected one of --outscale, --width, --height and --longest"),
        (["--outscale", 17], 2, "Invalid value for '--outscale'"),
        (["--outscale", 0], 2, "Invalid value for '--outscale'"),
        (["--outscale", "nan"], 2, "Invalid value for '--outscale': expected a finite number, found nan"),
        (["--width", 0], 2, "Invalid value for '--width'"),
        (["--background", "reddish"], 2, "expected a colour such as white or #ffffff, found 'reddish'"),
        (["--device", "tpu"], 1, "expected the device auto, cpu, gpu or gpu:NUMBER, found 'tpu'"),
    ):
        result = run(tmp_path / "a.png", "-o", out, *arguments)
        assert (result.exit_code, message in result.stderr) == (code, True), result.output
    assert not out.exists()


def test_a_result_too_large_for_its_format_is_told_or_becomes_another(run, tmp_path):
    write_image(tmp_path / "a.webp", Picture(random_samples(3, shape=(2, 9000))))
    result = run(tmp_path / "a.webp", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "WebP holds at most 16383 pixels per side, a.webp would be 18000×4; write a .png." in result.stderr
    result = run(tmp_path / "a.webp", "-o", tmp_path / "out", "--format", "auto")
    assert result.exit_code == 0
    assert f"a.webp cannot hold the result of {tmp_path / 'a.webp'}, so it becomes a.png." in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert result.stdout.splitlines() == [str(tmp_path / "out" / "a.png")]
    assert run(tmp_path / "a.webp", "-o", tmp_path / "out", "--format", "auto").stdout == ""  # it is kept


def test_transparency_over_a_background(run, tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png", 4)
    save(tmp_path / "in" / "b.png", 3)
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--format", "jpg")
    assert result.exit_code == 1 and "which a.jpg would need" in result.stderr
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--format", "jpg", "--background", "white")
    assert result.exit_code == 0
    assert "a.png has transparency, which a.jpg cannot hold; it is laid over #ffffff." in result.stderr
    assert read_image(tmp_path / "out" / "a.jpg").samples.shape == (24, 32, 3)


def in_a_process(code, weights, folder):
    """Run the command on ``folder/in`` into ``folder/out``, after code that changes ``PngWriter`` or ``folder``."""
    script = f"""
        import os, signal
        from pathlib import Path
        from span_keras import upscale
        from span_keras.images.encoders import PngWriter
        folder, write = Path({str(folder)!r}), PngWriter.write
        def changed(self, rows):
            write(self, rows)
            {code}
        PngWriter.write = changed
        upscale.main([str(folder / "in"), "-o", str(folder / "out"), "-w", {str(weights)!r}])
    """
    return subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)


def test_an_output_that_has_appeared_meanwhile_is_kept(weights, tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png")
    done = in_a_process('(folder / "out" / "a.png").write_bytes(b"theirs")', weights, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "out/a.png exists and is kept; --overwrite replaces it." in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert (tmp_path / "out" / "a.png").read_bytes() == b"theirs"


def test_leftovers_of_a_killed_run_are_removed_by_the_next(run, weights, tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png")
    done = in_a_process("os.kill(os.getpid(), signal.SIGKILL)", weights, tmp_path)
    assert done.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "out").iterdir()
    os.utime(left, (0, 0))
    assert run(tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_a_closed_terminal_leaves_nothing_behind(weights, tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png")
    done = in_a_process("os.kill(os.getpid(), signal.SIGHUP)", weights, tmp_path)
    assert done.returncode == 128 + signal.SIGHUP, done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_closed_streams_take_no_part_of_a_result(run, weights, tmp_path):
    """A service may start programs without standard streams; what is opened first would get their numbers."""
    save(tmp_path / "a.png")
    command = [sys.executable, "-m", "span_keras.upscale", str(tmp_path / "a.png"), "-w", str(weights)]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command, "-o", str(tmp_path / "b.png")])
    assert done.returncode == 0
    assert run(tmp_path / "a.png", "-o", tmp_path / "c.png").exit_code == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_programs_that_a_command_starts_have_standard_streams():
    code = """if True:
        import subprocess, sys
        from span_keras.cli import reports_errors
        opened = "import os, sys; sys.exit(os.open(os.devnull, os.O_RDONLY))"
        sys.exit(reports_errors(lambda: subprocess.run([sys.executable, "-c", opened]).returncode)())"""
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code])
    assert done.returncode == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give up root's right to enter every folder")
def test_a_folder_that_cannot_be_entered_is_an_error(weights, tmp_path):
    (tmp_path / "in" / "locked").mkdir(parents=True)
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "locked").chmod(0)
    tmp_path.chmod(0o777)
    script = f"""
        import ctypes
        from span_keras import upscale
        libc = ctypes.CDLL(None)
        for number in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH leave the bounding and the effective set
            libc.prctl(24, number, 0, 0, 0)
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        libc.capget(header, data)
        for place in range(3):
            data[place] &= ~0b110
        assert libc.capset(header, data) == 0
        upscale.main([{str(tmp_path / "in")!r}, "-o", {str(tmp_path / "out")!r}, "-w", {str(weights)!r}])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "in/locked cannot be entered (Permission denied); change its permissions." in done.stderr
    assert read_image(tmp_path / "out" / "a.png").samples.shape == (24, 32, 3)
