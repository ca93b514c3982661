"""Weights in other clothes: objects beside them, archives around them, wrong endings; and what is no weights file."""

import argparse
import collections
import datetime
import decimal
import json
import pathlib
import types
import uuid
import zipfile

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from helpers.torch_files import Call, Embedded, state_dict, write_legacy, write_zip
from helpers.weights import nearest_weights
from span_keras.checkpoints import load_weights, save_weights
from span_keras.errors import CheckpointError, UnsafeCheckpointError
from span_keras.network.config import SpanConfig


@pytest.fixture
def weights():
    return nearest_weights(SpanConfig.official(2, 4, blocks=1))


# Objects beside the weights ------------------------------------------------------------------------------------------

BESIDE = {
    "namespace": argparse.Namespace(scale=2, files=["a"]),
    "simple namespace": types.SimpleNamespace(scale=2),
    "numpy scalar": np.float64(31.5),
    "numpy array": np.arange(6.0).reshape(2, 3),
    "numpy dtype": np.dtype("float32"),
    "numpy state": np.random.default_rng(1),
    "default dictionary": collections.defaultdict(list, loss=[1.0]),
    "counter": collections.Counter("span"),
    "queue": collections.deque([1, 2], 3),
    "path": pathlib.PurePosixPath("/a/b"),
    "time": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    "decimal": decimal.Decimal("1.5"),
    "identifier": uuid.UUID(int=1),
    "set": {1, 2},
    "frozen set": frozenset([1]),
    "complex": 1j,
    "type": float,
    "bytes": b"\x00\xff",
}


@pytest.mark.parametrize("kind", BESIDE)
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_plain_objects_beside_weights_are_passed_over(tmp_path, weights, kind, protocol, write):
    beside = {"beside": Embedded([BESIDE[kind]], protocol)}
    for saved in (beside | {"state_dict": state_dict(weights)}, {"state_dict": state_dict(weights)} | beside):
        assert load_weights(write(tmp_path / "a.ckpt", saved)).config == weights.config


@pytest.mark.parametrize(
    "name", ["omegaconf.dictconfig.DictConfig", "pytorch_lightning.utilities.parsing.AttributeDict"]
)
def test_configurations_of_trainers_are_passed_over(tmp_path, weights, name):
    module, _, name = name.rpartition(".")
    path = write_zip(tmp_path / "a.ckpt", {"hyper_parameters": Call(module, name), "state_dict": state_dict(weights)})
    assert load_weights(path).config == weights.config


@pytest.mark.parametrize("wrap", [lambda state: [state], lambda state: (3, {"model": state})], ids=["list", "tuple"])
def test_lists_may_hold_the_weights(tmp_path, weights, wrap):
    assert load_weights(write_zip(tmp_path / "a.pth", wrap(state_dict(weights)))).config == weights.config


def test_a_default_dictionary_may_hold_the_weights(tmp_path, weights):
    pickled = Call("collections", "defaultdict", (Call("builtins", "dict"),))
    path = write_zip(tmp_path / "a.pth", {"state_dict": state_dict(weights), "log": pickled})
    assert load_weights(path).config == weights.config


class Trainer:
    """A class of somebody's own."""


def test_objects_of_unknown_classes_are_refused_still(tmp_path, weights):
    saved = {"state_dict": state_dict(weights), "trainer": Embedded(Trainer())}
    with pytest.raises(UnsafeCheckpointError, match=r"asks Python to call .*Trainer, .* refused and not executed"):
        load_weights(write_zip(tmp_path / "a.ckpt", saved))


# Archives and endings ------------------------------------------------------------------------------------------------


def zipped(path, files: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["fused_x4.onnx", "train_x2.pth"])
def test_zip_around_a_weights_file(tmp_path, goldens, name):
    files = {"models/README.txt": b"x4", f"models/{name}": (goldens / name).read_bytes(), "__MACOSX/._a.onnx": b"x"}
    loaded = load_weights(zipped(tmp_path / "ONNX.zip", files))
    direct = load_weights(goldens / name)
    assert (loaded.config, loaded.metadata) == (direct.config, direct.metadata)
    assert loaded.source == str(tmp_path / "ONNX.zip")


def test_zip_around_an_onnx_file_with_its_data_beside(tmp_path, goldens):
    model = onnx.load(goldens / "fused_x4.onnx")
    options = {"save_as_external_data": True, "size_threshold": 0, "location": "weights.data"}
    onnx.save(model, tmp_path / "a.onnx", **options)
    files = {name: (tmp_path / name).read_bytes() for name in ("a.onnx", "weights.data")}
    assert load_weights(zipped(tmp_path / "a.zip", files)).config.scale == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.txt": b"x"}, "is a zip archive with no weights file, expected one"),
        ({"a.onnx": b"x", "b.pth": b"x"}, r"with several weights files \(a\.onnx, b\.pth\), expected one"),
        ({"a.onnx": b"x", "../b.txt": b"x"}, r"holds '\.\./b\.txt', outside of its folder"),
        ({"a.onnx": b"x"}, r"a\.zip \(a\.onnx\) could not be read as \.onnx"),
        ({f"{i}.txt": b"" for i in range(1001)} | {"a.pth": b""}, "unpacks to 1002 files"),
    ],
)
def test_zip_archives_that_are_refused(tmp_path, files, message):
    with pytest.raises(CheckpointError, match=message):
        load_weights(zipped(tmp_path / "a.zip", files))


@pytest.mark.parametrize("ending", [".bin", ".pkl", ".model", "", ".safetensors", ".ckpt"])
def test_content_tells_where_the_ending_does_not(tmp_path, weights, ending):
    for number, write in enumerate((write_zip, lambda path, state: save_file(state, path))):
        path = tmp_path / f"{number}{ending}"
        write(path, state_dict(weights))
        assert load_weights(path).config == weights.config
    if ending not in (".safetensors", ".ckpt"):
        save_weights(weights, tmp_path / "a.weights.h5")
        assert load_weights((tmp_path / "a.weights.h5").rename(tmp_path / f"h5{ending}")).config == weights.config


def test_an_unknown_ending_and_content(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"has an unknown ending, expected one of"):
        load_weights(tmp_path / "a.dat")


# Files that are something else ---------------------------------------------------------------------------------------

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 1672832\n"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx", ".keras", ".weights.h5", ".json", ".bin"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER, "is a git-lfs pointer, a short text that stands for 1,672,832 bytes; run git lfs pull"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page, not weights; download the file itself"),
        (b"\xef\xbb\xbf<html>", "is a web page, not weights"),
        (b"Entry not found", "is a server's answer, 'Entry not found', not weights; download the file again"),
    ],
)
def test_what_downloads_leave_is_called_by_its_name(tmp_path, suffix, content, message):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"a{suffix} {message}"):
        load_weights(tmp_path / f"a{suffix}")


def test_the_state_of_a_run_is_called_by_its_name(tmp_path):
    save_file(
        {"a": np.zeros(3, np.float32)}, tmp_path / "last.ckpt", {"format": "span-run-1", "progress": json.dumps({})}
    )
    with pytest.raises(
        CheckpointError, match=r"last\.ckpt is the state of a training run, not weights; name best\.saf"
    ):
        load_weights(tmp_path / "last.ckpt")


def test_a_file_that_may_not_be_read(tmp_path, weights, monkeypatch):
    save_file(state_dict(weights), tmp_path / "a.safetensors")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"a\.safetensors cannot be opened \(Permission denied\)"):
        load_weights(tmp_path / "a.safetensors")
