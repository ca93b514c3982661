"""The network: configuration, both forms, shapes, names, precision, gradients, and the JAX backend alone."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.environment import QUICK_JAX
from span_keras.constants import LEAKY_SLOPE
from span_keras.errors import CheckpointError, ConfigError
from span_keras.network.config import SpanConfig
from span_keras.network.deploy import build_deploy
from span_keras.network.layers import PixelShuffle, RepConv
from span_keras.network.model import build_span, config_of
from span_keras.network.reparam import (
    REPCONV_WEIGHTS,
    expand,
    fuse,
    repconv_shapes,
    resample_subpixels,
    shuffle_kernel,
    shuffle_order,
)
from span_keras.network.topology import topology
from span_keras.network.weights import PLAIN_LAYERS, SpanWeights, layer_shapes

tf = pytest.importorskip("tensorflow")


def training_weights(config: SpanConfig, seed: int = 0) -> SpanWeights:
    """Random weights of the training form, every bias included, with activations of order 1."""
    rng = np.random.default_rng(seed)
    layers = {}
    for name, shape in layer_shapes(config).items():
        plain = name in PLAIN_LAYERS
        shapes = {"kernel": shape, "bias": shape[3:]} if plain else repconv_shapes(*shape[2:])
        layers[name] = {
            key: np.float32(rng.normal(0, 0.1 if key.endswith("bias") else 0.7 * np.prod(size[:-1]) ** -0.5, size))
            for key, size in shapes.items()
        }
    return SpanWeights(config, layers)


def run(model, image: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(image[None]))[0]


def relative(found, expected) -> float:
    """Largest difference relative to the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# Configuration -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 9}, r"scale must be a whole number from 1 to 8, found 9"),
        ({"scale": 0}, r"scale must be a whole number"),
        ({"scale": 2.0}, r"scale must be a whole number from 1 to 8, found 2.0"),
        ({"scale": "4"}, r"scale must be a whole number .* found '4'"),
        ({"in_channels": 3, "out_channels": 4}, r"must be one of 3 to 3, 1 to 1, 4 to 4, 1 to 3, 3 to 1, found 3 to 4"),
        ({"in_channels": 1, "out_channels": 1}, r"rgb_mean must be a value near \[0, 1\] for each of 1 channels"),
        ({"variant": "tanh"}, r"variant must be one of \('span', 'official'\), found 'tanh'"),
        ({"channels": 0}, r"channels must be a whole number from 1 to 1024, found 0"),
        ({"channels": 48.0}, r"channels must be a whole number"),
        ({"channels": True}, r"channels must be a whole number"),
        ({"channels": 4096}, r"channels must be a whole number"),
        ({"blocks": 0}, r"blocks must be a whole number from 1 to 64, found 0"),
        ({"img_range": 0}, r"img_range must be between 0 and 65535, found 0"),
        ({"img_range": float("nan")}, r"img_range must be between"),
        ({"img_range": "wide"}, r"img_range must be a number"),
        (
            {"rgb_mean": (0.5, 0.5)},
            r"rgb_mean must be a value near \[0, 1\] for each of 3 channels, found \(0.5, 0.5\)",
        ),
        ({"rgb_mean": (114, 111, 103)}, r"rgb_mean must be a value near \[0, 1\] for each of 3 channels"),
        ({"rgb_mean": 0.5}, r"rgb_mean several; found 1.0 and 0.5"),
    ],
)
def test_impossible_configurations(values, message):
    with pytest.raises(ConfigError, match=message):
        SpanConfig(**values)


def test_configuration_round_trip_and_presets():
    config = SpanConfig(2, 52, 4, "official", 255, [0.1, 0.2, 0.3])
    assert SpanConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert SpanConfig() == SpanConfig(4, 48, 6, "span", 1.0, (0.4488, 0.4371, 0.4040))
    assert SpanConfig.official(2) == SpanConfig(2, 48, 6, "official", 255.0)
    assert (config.normalizes, SpanConfig(rgb_mean=(0, 0, 0)).normalizes) == (True, False)
    with pytest.raises(ConfigError, match=r"unknown configuration keys \['width'\]"):
        SpanConfig.from_dict({"width": 48})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.scale = 3


# Shapes, names, sizes ------------------------------------------------------------------------------------------------

NAMES = {
    "span": """input normalize conv_1 block_1_c1 block_1_act1 block_1_c2 block_1_act2 block_1_c3 block_1_sym block_1_add
        block_1_attend conv_2 concatenate conv_cat upsampler pixel_shuffle""",
    "official": """input normalize conv_1 block_1_c1 block_1_act1 block_1_c2 block_1_act2 block_1_c3 block_1_sigmoid
        block_1_sym block_1_add block_1_attend conv_2 concatenate conv_cat upsampler pixel_shuffle""",
}
"""Names that files and the page rely on."""


@pytest.mark.parametrize("variant", NAMES)
@pytest.mark.parametrize("build", [build_span, build_deploy])
def test_layer_names_are_fixed(variant, build):
    model = build(SpanConfig(2, 8, 1, variant))
    assert {layer.name for layer in model.layers} == set(NAMES[variant].split())
    assert model.name == "span_x2"
    bare = build(SpanConfig(2, 8, 1, variant, rgb_mean=(0, 0, 0)))
    assert {layer.name for layer in bare.layers} == set(NAMES[variant].split()) - {"normalize"}


def test_deploy_form_is_made_of_stock_layers(tiny_config):
    assert {type(layer).__module__.split(".")[0] for layer in build_deploy(tiny_config).layers} == {"keras"}


@pytest.mark.parametrize(("scale", "parameters"), [(2, 410_700), (3, 417_195), (4, 426_288)])
def test_parameters_of_the_fused_network(scale, parameters):
    model = build_deploy(SpanConfig(scale=scale))
    fixed = ("normalize", "pixel_shuffle")
    assert sum(layer.count_params() for layer in model.layers if layer.name not in fixed) == parameters
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters


@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize(("scale", "channels"), [(2, 52), (3, 28), (4, 8)])
def test_both_forms_are_the_same_function(image, variant, scale, channels):
    weights = training_weights(SpanConfig(scale, channels, 2, variant))
    train, deploy = weights.train_model(), weights.deploy_model()
    expected = run(train, image)
    assert expected.shape == (13 * scale, 10 * scale, 3)
    assert expected.std() > 0.05
    # Whole images, borders included.
    assert relative(run(deploy, image), expected) <= 1e-5
    assert config_of(train) == config_of(deploy) == weights.config


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 17), (2, 7, 5), (1, 64, 3)])
@pytest.mark.parametrize("form", ["train_model", "deploy_model"])
def test_any_height_width_and_batch(tiny_weights, shape, form):
    batch = np.random.default_rng(0).random((*shape, 3), np.float32)
    model = getattr(tiny_weights, form)()
    found = keras.ops.convert_to_numpy(model(batch))
    assert found.shape == (shape[0], 2 * shape[1], 2 * shape[2], 3)
    assert model.output_shape == (None, None, None, 3)
    np.testing.assert_allclose(found[-1], run(model, batch[-1]), atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2])
def test_receptive_radius(blocks):
    config = SpanConfig(2, 4, blocks)
    model = build_deploy(config)
    for name in layer_shapes(config):
        kernel, bias = model.get_layer(name).get_weights()
        # Positive kernels: nothing cancels, so what reaches a pixel shows there.
        model.get_layer(name).set_weights([np.full_like(kernel, 1.5 / np.prod(kernel.shape[:-1])), bias])
    radius = config.receptive_radius
    middle = radius + 2
    image = np.full((2 * middle + 1, 2 * middle + 1, 3), 0.6, np.float32)
    changed = image.copy()
    changed[middle, middle] += 1
    rows, columns = np.nonzero(np.abs(run(model, changed) - run(model, image)).max(-1))
    first, last = 2 * (middle - radius), 2 * (middle + radius) + 1
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (first, last, first, last)


def test_other_models_are_not_span():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="dense")
    with pytest.raises(CheckpointError, match=r"dense is not a SPAN model: it has no layers \['conv_1'"):
        config_of(model)


# Re-parameterisation -------------------------------------------------------------------------------------------------


def test_fusing_and_expanding_are_inverse():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 5, 7)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    expanded = expand(kernel, bias, rng)
    assert {key: value.shape for key, value in expanded.items()} == repconv_shapes(5, 7)
    assert tuple(expanded) == REPCONV_WEIGHTS
    again = fuse(expanded)
    np.testing.assert_allclose(again["kernel"], kernel, atol=1e-6)
    np.testing.assert_allclose(again["bias"], bias, atol=1e-6)


@pytest.mark.parametrize("form", ["deploy", "train"])
def test_folding_the_input_range_keeps_the_function(tiny_official_config, make_weights, image, form):
    """Borders included: they are padded after normalisation."""
    weights = make_weights(tiny_official_config)
    weights.layers["conv_1"]["kernel"][...] /= 255
    weights = weights if form == "deploy" else weights.expand()
    folded = weights.scale_range(1.0)
    assert folded.config == dataclasses.replace(tiny_official_config, img_range=1.0)
    assert folded.scale_range(1.0) is folded
    expected = np.asarray(weights.deploy_model()(image[None]))
    for model in (folded.deploy_model(), folded.train_model()):
        np.testing.assert_allclose(np.asarray(model(image[None])), expected, atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [(4, 2), (4, 3), (2, 4), (3, 2), (2, 2)])
def test_resampling_the_scale_averages_areas(make_weights, image, old, new):
    """Both outputs have the same mean over every LR pixel; where one scale divides the other, over its pixels."""
    weights = make_weights(SpanConfig(scale=old, channels=8, blocks=1)).expand()
    resampled = weights.resample(new)
    assert resampled.config.scale == new
    before, after = (np.asarray(w.deploy_model()(image[None]))[0] for w in (weights, resampled))
    step = math.gcd(old, new)
    h, w = image.shape[0] * step, image.shape[1] * step
    means = [y.reshape(h, len(y) // h, w, len(y) // h, 3).mean((1, 3)) for y in (before, after)]
    np.testing.assert_allclose(*means, atol=1e-5)


def test_resampling_weighs_by_the_shared_area():
    """Of 4×4 sub-pixels, the first of 3×3 covers one and a third of the next, in both directions."""
    grid = np.random.default_rng(0).random((4, 4, 3))
    found = resample_subpixels(grid.reshape(-1), 4, 3).reshape(3, 3, 3)
    np.testing.assert_allclose(
        found[0, 1], np.tensordot(np.outer([3 / 4, 1 / 4], [1 / 2, 1 / 2]), grid[:2, 1:3]), rtol=1e-6
    )


def test_an_expanded_start_can_learn_everywhere(tiny_weights, image):
    """A fused network made trainable computes the same, and every tensor has a gradient."""
    train = tiny_weights.train_model()
    assert relative(run(train, image), run(tiny_weights.deploy_model(), image)) <= 1e-5
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(train(image[None]) - 0.5))
    gradients = tape.gradient(loss, [variable.value for variable in train.trainable_variables])
    for variable, gradient in zip(train.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pixel_shuffles_agree(scale):
    """The layer, the fixed transposed convolution, and the channel-major order that PyTorch uses."""
    x = np.random.default_rng(0).random((2, 3, 5, 3 * scale**2), np.float32)
    block_major = x[..., shuffle_order(scale)]
    found = keras.ops.convert_to_numpy(PixelShuffle(scale)(block_major))
    pytorch = x.reshape(2, 3, 5, 3, scale, scale).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3 * scale, 5 * scale, 3)
    np.testing.assert_array_equal(found, pytorch)
    fixed = keras.ops.conv_transpose(block_major, shuffle_kernel(scale), scale, "valid")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(fixed), pytorch)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(tf.nn.depth_to_space(block_major, scale)), pytorch)
    assert PixelShuffle(scale).compute_output_shape((None, 4, None, 3 * scale**2)) == (None, 4 * scale, None, 3)


# The composed form against four convolutions one after the other ------------------------------------------------------


def four_convolutions(config: SpanConfig, weights: dict[str, dict[str, tf.Variable]], x):
    """SPAN as the authors write it: every Conv3XC runs its four convolutions on padded images."""

    def layer(kind, name):
        w = weights.get(name, {})
        if kind == "normalize":
            return lambda x: (x - np.float32(config.rgb_mean)) * np.float32(config.img_range)
        if kind == "conv3x3":

            def conv3xc(x):
                y = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
                for part in ("expand", "conv", "project"):
                    y = tf.nn.conv2d(y, w[f"{part}_kernel"], 1, "VALID") + w[f"{part}_bias"]
                return y + tf.nn.conv2d(x, w["skip_kernel"], 1, "VALID") + w["skip_bias"]

            return conv3xc
        if kind in ("conv1x1", "upsampler"):
            return lambda x: tf.nn.conv2d(x, w["kernel"], 1, "SAME") + w["bias"]
        return {
            "act": tf.nn.silu if config.variant == "official" else lambda x: tf.nn.leaky_relu(x, LEAKY_SLOPE),
            "sigmoid": tf.sigmoid,
            "offset": lambda x: x - 0.5,
            "tanh": tf.tanh,
            "add": lambda pair: pair[0] + pair[1],
            "multiply": lambda pair: pair[0] * pair[1],
            "concatenate": lambda parts: tf.concat(parts, -1),
            "pixel_shuffle": lambda x: tf.nn.depth_to_space(x, config.scale),
        }[kind]

    return topology(x, config, layer)


@pytest.mark.parametrize("variant", ["span", "official"])
def test_composed_gradients_equal_those_of_four_convolutions(variant):
    config = SpanConfig(2, 12, 2, variant)
    start = training_weights(config)
    rng = np.random.default_rng(5)
    lr, hr = rng.random((2, 11, 9, 3), np.float32), rng.random((2, 22, 18, 3), np.float32)

    model = start.train_model()
    with tf.GradientTape() as tape:
        composed = model(lr)
        loss = tf.reduce_mean((composed - hr) ** 2)
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    found = {"/".join(v.path.split("/")[-2:]): g for v, g in zip(model.trainable_variables, found, strict=True)}

    variables = {name: {k: tf.Variable(v) for k, v in group.items()} for name, group in start.layers.items()}
    with tf.GradientTape() as tape:
        serial = four_convolutions(config, variables, lr)
        loss = tf.reduce_mean((serial - hr) ** 2)
    expected = tape.gradient(loss, variables)

    assert relative(composed.numpy(), serial.numpy()) <= 1e-5
    expected = {f"{name}/{key}": g for name, group in expected.items() for key, g in group.items()}
    assert set(found) == set(expected)
    worst = {name: relative(found[name].numpy(), expected[name].numpy()) for name in expected}
    assert max(worst.values()) <= 1e-4, max(worst.items(), key=lambda item: item[1])


# Precision -----------------------------------------------------------------------------------------------------------


def test_mixed_precision(image):
    weights = training_weights(SpanConfig(2, 8, 2))
    model = weights.train_model(dtype="mixed_bfloat16")
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.get_layer("block_1_c1").compute_dtype == "bfloat16"
    assert {model.get_layer(name).compute_dtype for name in ("normalize", "upsampler", "pixel_shuffle")} == {"float32"}
    found = run(model, image)
    assert found.dtype == np.float32
    error = relative(found, run(weights.train_model(), image))
    assert 0 < error < 0.03  # It computes in bfloat16, and nothing worse.


def test_kernels_are_composed_in_float32_under_mixed_precision():
    layer = RepConv(4, dtype="mixed_bfloat16")
    layer.build((None, None, None, 3))
    assert {keras.backend.standardize_dtype(part.dtype) for part in layer.compose()} == {"float32"}
    assert keras.backend.standardize_dtype(layer(np.zeros((1, 4, 4, 3))).dtype) == "bfloat16"
    assert layer.compute_output_shape((2, None, 5, 3)) == (2, None, 5, 4)


# Saving with Keras alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["train_model", "deploy_model"])
@pytest.mark.parametrize("variant", ["span", "official"])
def test_keras_round_trips_exactly(tmp_path, image, form, variant):
    weights = training_weights(SpanConfig(3, 8, 2, variant, img_range=2.0))
    model = getattr(weights, form)()
    model.save(tmp_path / "a.keras")
    model.save_weights(tmp_path / "a.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    filled = (build_span if form == "train_model" else build_deploy)(weights.config)
    filled.load_weights(tmp_path / "a.weights.h5")
    expected = run(model, image)
    for again in (loaded, filled):
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        for found, wanted in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(run(again, image), expected)
        assert config_of(again) == weights.config


# JAX, with TensorFlow not there --------------------------------------------------------------------------------------

JAX = """
import sys
from pathlib import Path
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tensorflowjs", "tf_keras", "torch"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Refuse())
import keras, numpy as np
from span_keras import SpanConfig, build_deploy, build_span, load_weights
from span_keras.checkpoints import save_weights
assert keras.backend.backend() == "jax"
# Weights are assigned anyway; drawing random ones first takes JAX half a second of compilation per shape.
keras.initializers.VarianceScaling.__call__ = lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
scratch = Path(sys.argv[1])
for path, golden, reference in zip(sys.argv[2::3], sys.argv[3::3], sys.argv[4::3]):
    weights = load_weights(path)
    with np.load(golden) as golden:
        x, expected = np.float32(golden["lr"])[None] / np.float32(255), golden[reference]
    for model in (weights.train_model(), weights.deploy_model()):
        found = keras.ops.convert_to_numpy(model(x))[0]
        print("error", np.abs(found - expected).max() / np.abs(expected).max())
    for suffix in (".keras", ".weights.h5", ".safetensors"):
        save_weights(weights, scratch / f"a{suffix}")
        again = load_weights(scratch / f"a{suffix}")
        assert again.config == weights.config
        assert all(np.array_equal(v, again.layers[k][n]) for k, g in weights.layers.items() for n, v in g.items())
assert build_span(SpanConfig(2, 8, 1), dtype="mixed_bfloat16")(x).dtype == "float32"
assert "tensorflow" not in sys.modules
"""


def errors_on_jax(scratch: Path, *triples) -> list[float]:
    """Errors relative to the largest value of both forms of each ``(weights, golden, name in golden)``."""
    environment = {**os.environ, **QUICK_JAX}
    command = [sys.executable, "-c", JAX, scratch, *(item for triple in triples for item in triple)]
    result = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [float(line.split()[1]) for line in result.stdout.splitlines() if line.startswith("error")]


def test_jax_without_tensorflow(goldens, tmp_path):
    errors = errors_on_jax(tmp_path, (goldens / "train_x2.pth", goldens / "checkpoints.npz", "train_x2"))
    assert len(errors) == 2
    assert max(errors) <= 2e-6


def test_official_goldens_on_jax(shared, tmp_path):
    folder, names = shared / "official", ("random_x4_ch48", "random_x2_ch16")
    errors = errors_on_jax(tmp_path, *((folder / f"{n}.pth", folder / f"{n}_golden.npz", "sr_eval") for n in names))
    assert len(errors) == 4
    assert max(errors) <= 1e-5
