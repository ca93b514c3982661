"""Several processes or devices give what one gives. On loopback, with the command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from helpers.environment import QUICK_JAX, free_ports
from helpers.runs import tiny_flags
from helpers.weights import random_weights
from span_keras.checkpoints import load_weights, save_weights
from span_keras.errors import TrainingError
from span_keras.network.config import SpanConfig
from span_keras.runs.folder import RunFolder
from span_keras.runs.settings import resolve
from span_keras.runs.start import make_trainer
from span_keras.train import main
from span_keras.training.devices import Devices, span_processes

TINY = tiny_flags(batch_size=4, steps_per_epoch=4, log_every=1, learning_rate=1e-3)


@pytest.fixture(scope="module")
def inputs(photos, tmp_path_factory) -> list[str]:
    """Photographs, and a teacher: batches of three images are shared out, too."""
    teacher = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_weights(random_weights(SpanConfig(scale=2, channels=4, blocks=1)), teacher)
    return [f"--data={photos}", f"--teacher={teacher}"]


def launch(inputs, out, *arguments, **environment):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}
    command = [sys.executable, "-m", "span_keras.train", *TINY, *inputs, f"--out={out}", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes, code: int = 0) -> list[str]:
    """Wait until all have ended with an exit code; what each printed."""
    texts = []
    try:
        for process in processes:
            texts.append(process.communicate()[0])
            assert process.returncode == code, texts[-1][-3000:]
    finally:
        for process in processes:
            process.kill()  # the others of one that failed may wait for it for ever
    return texts


def assert_same_result(one: Path, other: Path):
    a, b = (RunFolder(out).rows("log.csv") for out in (one, other))
    assert [row["step"] for row in a] == [row["step"] for row in b] == list(range(1, 9))
    # The sums are the same but for the order of their terms.
    np.testing.assert_allclose([r["loss"] for r in a], [r["loss"] for r in b], rtol=1e-4)
    np.testing.assert_allclose([r["grad_norm"] for r in a], [r["grad_norm"] for r in b], rtol=1e-3)
    a, b = (load_weights(out / "weights.safetensors").layers for out in (one, other))
    for name in a:
        np.testing.assert_allclose(a[name]["kernel"], b[name]["kernel"], atol=1e-4, err_msg=name)


def test_two_tensorflow_workers(inputs, tmp_path):
    """Two processes, each with its half of every batch, against one; the second starts from nothing but TF_CONFIG."""
    workers = [f"localhost:{port}" for port in free_ports(2)]
    config = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}) for index in (0, 1)
    ]
    both = [launch(inputs, tmp_path / "two", "--strategy=multiworker", TF_CONFIG=c) for c in config]
    finish(*both)
    alone = CliRunner().invoke(main, [*TINY, *inputs, f"--out={tmp_path / 'one'}", "--strategy=none"])
    assert alone.exit_code == 0, alone.output
    assert_same_result(tmp_path / "two", tmp_path / "one")


BOTH = """
import sys

from span_keras.train import main

one, two, *options = sys.argv[1:]
main([*options, f"--out={one}", "--strategy=none"], standalone_mode=False)
main([*options, f"--out={two}", "--strategy=mirrored"], standalone_mode=False)
"""


@pytest.fixture(scope="module")
def on_jax_devices(inputs, tmp_path_factory):
    """The folders of a run on one device and of one on two, of the same process: JAX takes long to load."""
    folder = tmp_path_factory.mktemp("jax")
    devices = f"{QUICK_JAX['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    command = [sys.executable, "-c", BOTH, folder / "one", folder / "two", *TINY, *inputs]
    environment = {**os.environ, **QUICK_JAX, "XLA_FLAGS": devices}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "one", folder / "two"


@pytest.fixture
def on_one_jax_device(on_jax_devices):
    return on_jax_devices[0]


def test_two_jax_devices(on_jax_devices):
    assert_same_result(*reversed(on_jax_devices))


def test_two_jax_processes(inputs, tmp_path, on_one_jax_device):
    group = {**QUICK_JAX, "SPAN_COORDINATOR": f"localhost:{free_ports(1)[0]}", "SPAN_PROCESSES": "2"}
    finish(*(launch(inputs, tmp_path / "two", "--strategy=multiworker", SPAN_PROCESS=str(i), **group) for i in (0, 1)))
    assert_same_result(tmp_path / "two", on_one_jax_device)


def test_two_jax_processes_that_share_no_folder(inputs, tmp_path, on_one_jax_device):
    """One resumes, the other finds nothing to resume: neither trains."""
    group = {**QUICK_JAX, "SPAN_COORDINATOR": f"localhost:{free_ports(1)[0]}", "SPAN_PROCESSES": "2"}
    shutil.copytree(on_one_jax_device, tmp_path / "0")
    both = [
        launch(inputs, tmp_path / str(i), "--strategy=multiworker", "--resume", SPAN_PROCESS=str(i), **group)
        for i in (0, 1)
    ]
    for printed in finish(*both, code=1):
        assert "expected all processes to start at the same step, found step 8, no checkpoint; --out must be" in printed
    assert not (tmp_path / "1" / "config.json").exists()


@pytest.mark.parametrize(
    ("coordinator", "count", "index", "message"),
    [
        ("host-a", "2", "0", "SPAN_COORDINATOR to be a host and a port such as host-a:2222, found 'host-a'"),
        (":2222", "2", "0", "found ':2222'"),
        ("host-a:port", "2", "0", "found 'host-a:port'"),
        ("host-a:99999", "2", "0", "found 'host-a:99999'"),
        ("host-a:2222", "2", "2", "SPAN_PROCESS to be 0 or more and below SPAN_PROCESSES, found 2 and 2"),
        ("host-a:2222", "2", "-1", "found -1 and 2"),
        ("host-a:2222", "0", "0", "found 0 and 0"),
        ("host-a:2222", "two", "0", "expected whole numbers in SPAN_PROCESSES and SPAN_PROCESS, found: .*'two'"),
    ],
)
def test_processes_that_cannot_be(monkeypatch, coordinator, count, index, message):
    monkeypatch.setenv("SPAN_PROCESSES", count)
    monkeypatch.setenv("SPAN_PROCESS", index)
    with pytest.raises(TrainingError, match=message):
        span_processes(coordinator)


@pytest.mark.parametrize("coordinator", ["host-a:2222", "10.0.0.1:1", "[::1]:65535"])
def test_processes_that_can_be(monkeypatch, coordinator):
    monkeypatch.setenv("SPAN_PROCESSES", "2")
    monkeypatch.setenv("SPAN_PROCESS", "1")
    assert span_processes(coordinator) == (2, 1)


def test_a_batch_that_cannot_be_shared():
    with pytest.raises(TrainingError, match="--batch-size must be a multiple of the 3 devices, found 4"):
        make_trainer(resolve({"batch_size": 4}), Devices(replicas=3))
