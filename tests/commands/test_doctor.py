"""``--version``: one line that a bug report can start with."""

import re

import pytest
from click.testing import CliRunner

from span_export import page
from span_export.cli import main as span_export
from span_keras import __version__, doctor, evaluate, train, upscale
from span_keras.errors import BackendError, ExportError
from span_keras.training import devices

COMMANDS = [span_export, train.main, evaluate.main, upscale.main]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.callback.__module__)
def test_every_command_prints_it(command):
    result = CliRunner().invoke(command, ["--version"])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert re.match(
        rf"span-keras {re.escape(__version__)}, Python 3\.\d+\.\d+, \w+ \w+; Keras 3\.\S+ on (tensorflow|jax) \S+, ",
        line,
    )
    assert "; missing: " in line


def test_it_names_what_is_missing(monkeypatch, tmp_path):
    (tmp_path / "vendor").mkdir()
    monkeypatch.setattr(page, "find_page", lambda: tmp_path)
    monkeypatch.setattr(doctor, "installed", lambda name: name not in ("onnxruntime", "jax"))
    assert doctor.report().endswith("missing: onnxruntime (verifying ONNX exports), jax")
    monkeypatch.setattr(doctor, "installed", lambda name: True)
    assert doctor.report().endswith("missing: none")
    (tmp_path / "vendor").rmdir()
    assert doctor.report().endswith("missing: browser libraries of the page (it takes them from the network)")

    def fail():
        raise ExportError("No page.")

    monkeypatch.setattr(page, "find_page", fail)
    assert doctor.report().endswith("missing: the page")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BackendError("No backend."), "; No backend;"),
        (RuntimeError("driver\nmore"), "(RuntimeError: driver);"),
        (AssertionError(), "(AssertionError);"),
    ],
)
def test_it_never_fails(monkeypatch, error, words):
    def fail():
        raise error

    monkeypatch.setattr(devices, "device_kind", fail)
    assert words in doctor.report()


def test_gpus_seen_and_unseen(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "device_kind", lambda: "NVIDIA H100")
    assert ", GPU NVIDIA H100; missing" in doctor.report()
    monkeypatch.setattr(devices, "device_kind", lambda: "cpu")
    monkeypatch.setattr(doctor, "NVIDIA", tmp_path)
    assert ", cpu, no GPU; missing" in doctor.report()
    (tmp_path / "0000:01:00.0").mkdir()
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    assert ", cpu, 1 GPU that it does not see: pip install '" in doctor.report()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert ", cpu, 1 GPU hidden by the environment; missing" in doctor.report()
