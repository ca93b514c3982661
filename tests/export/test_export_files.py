"""Several targets in one call: each file is whole or not there, all of them or none."""

import json
import re

import pytest

from helpers.export import run
from span_export import export
from span_export import verify as verifying
from span_export.export import export_model
from span_export.targets import TARGETS
from span_keras.ambient import installed
from span_keras.checkpoints import load_weights, save_weights
from span_keras.errors import ExportError
from span_keras.network.config import SpanConfig


@pytest.fixture
def weights_file(tmp_path, make_weights):
    """A network that every target can hold."""
    save_weights(make_weights(SpanConfig.official(2, 8, img_range=1.0)), tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


def files_for(folder) -> dict:
    """A path for every target that can be made here: LiteRT needs TensorFlow."""
    made = [name for name in TARGETS if name != "litert" or installed("tensorflow")]
    return {name: folder / f"w{TARGETS[name].suffixes[0]}" for name in made}


def left(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_targets_in_one_call(tmp_path, weights_file):
    files = files_for(tmp_path / "deep")
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    printed = run("--tfjs", tmp_path / "out", *options, "-w", weights_file).stdout.splitlines()
    assert [line.split(": ")[0] for line in printed] == [str(tmp_path / "out"), *map(str, files.values())]
    assert all(re.search(r": x2, 8 channels, variant official, none weights, 0\.\d\d\d MB", line) for line in printed)
    assert left(tmp_path / "deep") == sorted(path.name for path in files.values())


def test_a_file_alone_needs_no_folder(tmp_path, weights_file):
    run("--onnx", tmp_path / "w.onnx", "-w", weights_file)
    assert left(tmp_path) == ["w.onnx", "w.safetensors"]


def test_a_file_inside_the_folder_is_part_of_the_export(tmp_path, weights_file):
    out = tmp_path / "out"
    run("--tfjs", out, "--onnx", out / "onnx" / "w.onnx", "-w", weights_file)
    assert (out / "onnx" / "w.onnx").is_file()
    assert "onnx/w.onnx" in json.loads((out / ".span-export.json").read_text())["files"]
    run("--tfjs", out, "-w", weights_file)  # the next export replaces it as a whole
    assert not (out / "onnx").exists()


def test_an_earlier_file_is_replaced(tmp_path, weights_file):
    (tmp_path / "w.onnx").write_text("old")
    run("--onnx", tmp_path / "w.onnx", "-w", weights_file)
    assert load_weights(tmp_path / "w.onnx").config.scale == 2


def test_a_failure_of_one_leaves_all_as_they_were(tmp_path, weights_file, monkeypatch):
    (tmp_path / "w.onnx").write_text("old")

    def fail(*args):
        raise ExportError("cannot.")

    monkeypatch.setattr(TARGETS["onnx"].implementation(), "write", fail)
    run("--tfjs", tmp_path / "out", "--onnx", tmp_path / "w.onnx", "-w", weights_file, code=1)
    assert (tmp_path / "w.onnx").read_text() == "old"
    assert left(tmp_path) == ["w.onnx", "w.safetensors"]


def test_what_does_not_reproduce_is_not_written(tmp_path, weights_file, photos, monkeypatch):
    monkeypatch.setattr(verifying, "GOLDEN_ERROR", -1.0)
    options = ("--tfjs", tmp_path / "out", "--onnx", tmp_path / "w.onnx", "-w", weights_file, "--verify-data", photos)
    result = run(*options, code=1)
    assert "Nothing was written." in result.stderr
    assert left(tmp_path) == ["w.safetensors"]


def test_interrupted(tmp_path, make_weights):
    def interrupt(places, results):
        assert all(place.exists() for place in places)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights = make_weights(SpanConfig.official(2, 8, img_range=1.0))
        export_model(weights, tmp_path / "out", files=files_for(tmp_path), check=interrupt)
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", TARGETS)
def test_wrong_usage(tmp_path, weights_file, name):
    target = TARGETS[name]
    assert "ends in" in run(f"--{name}", tmp_path / "w.foo", "-w", weights_file, code=2).stderr
    path = tmp_path / f"w{target.suffixes[0]}"
    if "uint8" not in target.number_formats:
        message = run(f"--{name}", path, "--quantize", "uint8", "-w", weights_file, code=2).stderr
        assert f"--{name} stores " in message
    if not target.fixes_size:
        message = run(f"--{name}", path, "--fixed-size", "8x8", "-w", weights_file, code=2).stderr
        assert "takes images of any size" in message
    assert left(tmp_path) == ["w.safetensors"]


@pytest.mark.parametrize("option", ["--demo", "--perceptual", "--overwrite"])
def test_options_of_the_folder_need_one(tmp_path, weights_file, option):
    assert "is about the folder of --tfjs" in run("--onnx", tmp_path / "w.onnx", option, code=2).stderr


@pytest.mark.parametrize("size", ["8", "0x8", "8x", "8x8x8", "-1x8", "8.5x8"])
def test_sizes_that_are_none(tmp_path, size):
    message = run("--onnx", tmp_path / "w.onnx", "--fixed-size", size, code=2).stderr
    assert "expected height and width in pixels such as 256x256" in message


def test_a_folder_where_a_file_should_be(tmp_path, weights_file):
    (tmp_path / "w.onnx").mkdir()
    assert "found the folder" in run("--onnx", tmp_path / "w.onnx", "-w", weights_file, code=1).stderr


def test_a_file_that_cannot_be_written(weights_file):
    message = run("--onnx", "/proc/span/w.onnx", "-w", weights_file, code=1).stderr
    assert "/proc/span/w.onnx cannot be written" in message
    assert len(message.splitlines()) == 1


def test_nothing_to_write(tiny_weights):
    with pytest.raises(ExportError, match="expected a folder or a file to write"):
        export_model(tiny_weights)


def test_weights_that_are_not_numbers(tmp_path, tiny_weights):
    tiny_weights.layers["conv_2"]["bias"][3] = float("nan")
    with pytest.raises(ExportError, match="conv_2/bias of random holds values that are not finite"):
        export.export_model(tiny_weights, files=files_for(tmp_path))
    assert left(tmp_path) == []
