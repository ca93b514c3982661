"""``scripts/keep_flats.py``."""

import importlib

import numpy as np
import pytest
from click.testing import CliRunner

from helpers.browser import make_scene
from helpers.environment import REPOSITORY
from helpers.weights import random_weights
from span_keras.checkpoints import load_weights, save_weights
from span_keras.images.picture import Picture
from span_keras.images.write import write_image
from span_keras.inference.upscaler import Upscaler
from span_keras.network.config import SpanConfig


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    return importlib.import_module("keep_flats")


def test_flat_areas_come_nearer_to_the_truth(script, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    write_image(photos / "scene.png", Picture(make_scene(480, 480)))
    save_weights(random_weights(SpanConfig(scale=2, channels=4, blocks=1)), tmp_path / "before.safetensors")
    arguments = [str(tmp_path / "before.safetensors"), str(photos), str(tmp_path / "after.safetensors")]
    run = CliRunner().invoke(script.main, [*arguments, "--steps", "20", "--rate", "0.01"])
    assert run.exit_code == 0, run.output
    assert "step 20: mean squared error" in run.output
    flat = np.full((1, 32, 32, 3), np.float32([0.5, 0.25, 0.75]))
    networks = (Upscaler(load_weights(tmp_path / f"{name}.safetensors")) for name in ("before", "after"))
    before, after = (np.abs(network.predict(flat) - flat[0, 0, 0])[:, 20:-20, 20:-20].mean() for network in networks)
    assert after < 0.7 * before


def test_local_means_keep_what_is_even(script):
    images = np.broadcast_to(np.float32([0.1, 0.2, 0.3]), (1, 32, 32, 3))
    np.testing.assert_allclose(script.local_means(images, 16), images, rtol=1e-4)


def test_black_stays_black_in_other_colours(script):
    assert not script.tinted(np.zeros((2, 8, 8, 3), np.uint8), np.random.default_rng(0)).any()
