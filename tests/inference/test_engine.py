"""What runs a network: own kernels on a CPU, Keras's backend elsewhere."""

import os
import subprocess
import sys

import numpy as np
import pytest

from span_keras.inference import compiled, device, engine
from span_keras.network import arrays
from span_keras.network.config import SpanConfig


def test_a_cpu_needs_no_backend():
    code = """
import sys
import numpy as np
from span_keras.inference.upscaler import Upscaler
assert Upscaler("bundled:x2-fast")(np.zeros((8, 12, 3), np.uint8)).shape == (16, 24, 3)
print(*{"keras", "tensorflow", "jax"} & set(sys.modules))
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(("asked", "expected"), [("", 4), ("3", 3), ("9", 4), ("0", 4), ("2,1", 4), ("many", 4)])
def test_cores_are_bounded_by_the_environment(monkeypatch, asked, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(4), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert device.cores() == expected


@pytest.mark.parametrize(
    ("numba", "accelerated", "precision"),
    [(False, False, "float32"), (True, True, "float32"), (True, False, "bfloat16")],
)
def test_the_backend_runs_what_it_is_needed_for(make_weights, monkeypatch, numba, accelerated, precision):
    weights, images = make_weights(SpanConfig(2, 8, 1)), np.random.default_rng(0).random((1, 9, 10, 3), np.float32)
    called = []
    compile_network = compiled.compile_network
    monkeypatch.setattr(compiled, "compile_network", lambda *given: called.append(given) or compile_network(*given))
    monkeypatch.setattr(engine, "installed", lambda name: numba)
    monkeypatch.setattr(device, "accelerated", lambda: accelerated)
    expected = arrays.apply(weights, images)
    tolerance = {"float32": 1e-5, "bfloat16": 2**-5}[precision] * np.abs(expected).max()
    np.testing.assert_allclose(engine.compile_network(weights, precision)(images), expected, atol=tolerance)
    assert called == [(weights, precision)]


def test_the_backend_is_asked_where_there_may_be_an_accelerator(monkeypatch, tmp_path):
    import keras

    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "Path", lambda path: tmp_path)
    monkeypatch.setattr(device.sys, "platform", "linux")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "gpu:0"])
    assert not device.accelerated()
    (tmp_path / "nvidia0").touch()
    assert device.accelerated()
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    assert not device.accelerated()
