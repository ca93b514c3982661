"""The mean of networks' weights, in Python and on the command line."""

import os
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from helpers.weights import random_weights
from span_keras import Upscaler, load_weights, save_weights
from span_keras.average import main
from span_keras.errors import CheckpointError
from span_keras.network.config import SpanConfig
from span_keras.network.weights import average, recoloured

CONFIG = SpanConfig(scale=2, channels=6, blocks=1)


def test_is_the_mean_of_the_fused_weights():
    a, b, c = (random_weights(CONFIG, seed) for seed in range(3))
    found = average([a, b.expand(1), c])  # in either form
    assert found.form == "deploy" and found.config == CONFIG and found.metadata == {}
    for name, group in found.layers.items():
        for key, value in group.items():
            assert value.dtype == np.float32
            expected = (a.layers[name][key] + b.layers[name][key] + c.layers[name][key]) / 3
            np.testing.assert_allclose(value, expected, atol=1e-5)


def test_of_neighbours_computes_about_the_mean_of_their_outputs():
    start = random_weights(CONFIG)
    rng = np.random.default_rng(0)

    def moved():
        layers = {
            name: {key: value + np.float32(0.02) * rng.normal(size=value.shape) for key, value in group.items()}
            for name, group in start.layers.items()
        }
        return type(start)(CONFIG, {n: {k: np.float32(v) for k, v in g.items()} for n, g in layers.items()})

    a, b = moved(), moved()
    image = rng.random((12, 12, 3), np.float32)
    ours, of_a, of_b = (Upscaler(weights).upscale_rgb(image) for weights in (average([a, b]), a, b))
    theirs, apart = (of_a + of_b) / 2, np.abs(of_a - of_b).mean()
    assert np.abs(ours - theirs).mean() < 0.1 * apart


def test_shares_say_how_much_each_counts():
    a, b = (random_weights(CONFIG, seed) for seed in range(2))
    found = average([a, b], [3, 1])
    for name, group in found.layers.items():
        for key, value in group.items():
            np.testing.assert_allclose(value, 0.75 * a.layers[name][key] + 0.25 * b.layers[name][key], atol=1e-5)


def test_recolouring_is_a_matrix_on_every_output_pixel():
    weights, image = random_weights(CONFIG), np.random.default_rng(0).random((9, 12, 3), np.float32)
    matrix, offset = np.float64([[0.9, 0.1, 0], [0, 1, 0.2], [0.1, 0, 0.8]]), np.float64([0.01, 0, -0.02])
    before, after = (Upscaler(w).predict(image[None]) for w in (weights, recoloured(weights, matrix, offset)))
    np.testing.assert_allclose(after, before @ matrix + offset, atol=1e-4)


@pytest.mark.parametrize("shares", ["", "1,x", "1,0", "1,-2", "inf,1", "1", "1,2,3"])
def test_shares_that_cannot_be_are_refused(shares, tmp_path):
    done = CliRunner().invoke(
        main, ["bundled:x2", "bundled:x2", "-o", str(tmp_path / "o.safetensors"), "--shares", shares]
    )
    assert done.exit_code == 2
    assert "expected" in done.output and "found" in done.output


def test_keeps_the_metadata_that_all_share():
    a, b = (replace(random_weights(CONFIG), metadata={"license": "MIT", "steps": steps}) for steps in (1, 2))
    assert average([a, b]).metadata == {"license": "MIT"}
    assert average([a, random_weights(CONFIG)]).metadata == {}


def test_of_nothing():
    with pytest.raises(CheckpointError, match="expected networks to average, found none"):
        average([])


def test_networks_that_differ():
    others = {"channels": SpanConfig(scale=2, channels=5, blocks=1), "scale": SpanConfig(scale=3, channels=6, blocks=1)}
    for name, config in others.items():
        wanted, found = getattr(CONFIG, name), getattr(config, name)
        message = rf"expected networks alike, found random with {name} {wanted} and random with {name} {found}\."
        with pytest.raises(CheckpointError, match=message):
            average([random_weights(CONFIG), random_weights(config)])


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    for seed, path in enumerate(paths):
        save_weights(random_weights(CONFIG, seed), path)
    return list(map(str, paths))


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_command(files, tmp_path, dtype):
    out = tmp_path / "mean.safetensors"
    result = run(*files, "--out", out, "--dtype", dtype)
    assert result.exit_code == 0, result.output
    assert result.output == f"Wrote {out}, the mean of 2 networks.\n"
    expected = average([load_weights(file) for file in files])
    for name, group in load_weights(out).layers.items():
        np.testing.assert_allclose(
            group["kernel"], expected.layers[name]["kernel"], rtol=0 if dtype == "float32" else 1e-3
        )
    assert (out.stat().st_size < 8_000) == (dtype == "float16")


def test_writing_is_hushed(files, tmp_path, monkeypatch, capfd):
    """Models are built for it, of which TensorFlow's C++ has much to say."""
    monkeypatch.setattr("span_keras.checkpoints.save_weights", lambda *args, **options: os.write(2, b"chatter"))
    assert run(*files, "--out", tmp_path / "mean.keras").exit_code == 0
    assert capfd.readouterr().err == ""


def test_command_with_wrong_input(files, tmp_path):
    out = tmp_path / "mean.safetensors"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((tmp_path / "0.safetensors").read_bytes()[:500])
    assert "expected two or more networks" in run(files[0], "--out", out).output
    for arguments, message in {
        (files[0], damaged): "damaged.safetensors",
        (files[0], tmp_path / "missing.safetensors"): "missing.safetensors",
        (*files, "bundled:x4"): "expected networks alike, found ",
    }.items():
        result = run(*arguments, "--out", out)
        assert result.exit_code == 1
        assert message in result.output
    result = run(*files, "--out", tmp_path / "mean.keras", "--dtype", "float16")
    assert result.exit_code == 1
    assert "cannot hold float16" in result.output
    assert not out.exists()
