"""What is written: a layers model of stock layers, its metadata, its golden tile, quantised tensors."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from span_export import golden, quantize, tfjs_files, tfjs_model
from span_export.export import export_model
from span_keras.checkpoints import save_weights
from span_keras.errors import ExportError
from span_keras.network.config import SpanConfig
from span_keras.network.weights import SpanWeights
from span_keras.quiet import hushed

STOCK = {
    "InputLayer",
    "BatchNormalization",
    "Conv2D",
    "LeakyReLU",
    "Activation",
    "Rescaling",
    "Add",
    "Multiply",
    "Concatenate",
    "Conv2DTranspose",
}
"""Layers that a plain ``tf.loadLayersModel`` knows."""


def read(folder):
    return json.loads((folder / "model.json").read_text())


def stored(folder):
    """Weight name -> (array as TF.js decodes it, storage dtype), by TF.js's own Python reader."""
    pytest.importorskip("tensorflowjs")
    with hushed():
        import tensorflow  # noqa: F401
        from tensorflowjs.read_weights import read_weights
    manifest = read(folder)["weightsManifest"]
    types = {w["name"]: w.get("quantization", w)["dtype"] for group in manifest for w in group["weights"]}
    return {e["name"]: (e["data"], types[e["name"]]) for e in read_weights(manifest, str(folder), flatten=True)}


def halves(weights: SpanWeights) -> SpanWeights:
    """The weights with kernels that float16 holds exactly."""
    layers = {
        name: {"kernel": group["kernel"].astype(np.float16).astype(np.float32), "bias": group["bias"]}
        for name, group in weights.layers.items()
    }
    return replace(weights, layers=layers)


@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_model_has_stock_layers_only_and_names_kept(tmp_path, make_weights, variant, scale):
    weights = make_weights(SpanConfig(scale=scale, channels=4, blocks=2, variant=variant))
    export_model(weights, tmp_path / "out", "none")
    document = read(tmp_path / "out")
    layers = document["modelTopology"]["model_config"]["config"]["layers"]
    assert document["format"] == "layers-model"
    assert {layer["class_name"] for layer in layers} <= STOCK
    names = {layer["config"]["name"] for layer in layers}
    assert {"input", "normalize", *weights.layers, "pixel_shuffle"} <= names
    shapes = {layer["name"]: layer["config"].get("batch_input_shape") for layer in layers}
    assert shapes["input"] == [None, None, None, 3]


@pytest.mark.parametrize("variant", ["span", "official"])
def test_shortened_topology_still_builds_the_same_network(tmp_path, make_weights, image, variant):
    """The layer settings that are left out are exactly those a reader assumes."""
    pytest.importorskip("tensorflowjs")
    weights = make_weights(SpanConfig(scale=2, channels=4, blocks=2, variant=variant, img_range=3.0))
    export_model(weights, tmp_path / "out", "none")
    with hushed():
        import tensorflow  # noqa: F401
        import tensorflowjs

        model = tensorflowjs.converters.load_keras_model(str(tmp_path / "out" / "model.json"))
    expected = np.asarray(weights.deploy_model()(image[None]))
    np.testing.assert_allclose(model(image[None]).numpy(), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_metadata(tmp_path, make_weights):
    config = SpanConfig(scale=3, channels=5, blocks=2, variant="official", img_range=255.0, rgb_mean=(0.1, 0.2, 0.3))
    weights = replace(make_weights(config), source="a/mine.safetensors", metadata={"license": "CC0", "sha256": "12ab"})
    (result,) = export_model(weights, tmp_path / "out", "uint8")
    span = read(tmp_path / "out")["userDefinedMetadata"]["span"]
    assert SpanConfig.from_dict({key: span[key] for key in config.to_dict()}) == config
    assert span["halo"] == config.receptive_radius == 9
    assert span["format"] == 1
    assert span["generator"].startswith("span-export ")
    assert span["quantization"] == result["number_format"] == "uint8"
    assert span["source"] == {"name": "mine.safetensors", "sha256": "12ab"}
    assert span["license"] == "CC0"


def test_metadata_without_a_source_file(tmp_path, tiny_weights):
    export_model(tiny_weights, tmp_path / "out")
    span = read(tmp_path / "out")["userDefinedMetadata"]["span"]
    assert span["source"] == {"name": "random", "sha256": None}
    assert span["license"].startswith("Not stated")


def test_reports_the_models_files_and_their_size(tmp_path, tiny_weights):
    (result,) = export_model(tiny_weights, tmp_path / "out")
    assert result["files"] == ["model.json", "group1-shard1of1.bin"]
    assert result["bytes"] == sum((tmp_path / "out" / name).stat().st_size for name in result["files"])


@pytest.mark.parametrize("mode", quantize.NUMBER_FORMATS)
def test_golden_is_what_the_written_weights_compute(tmp_path, make_weights, mode):
    weights = make_weights(SpanConfig(scale=2, channels=8, blocks=2))
    export_model(weights, tmp_path / "out", mode)
    tile, expected, tolerance = golden.decode(read(tmp_path / "out")["userDefinedMetadata"]["span"]["golden"])
    arrays = stored(tmp_path / "out")
    written = replace(
        weights, layers={n: {key: arrays[f"{n}/{key}"][0] for key in group} for n, group in weights.layers.items()}
    )
    run = lambda w: np.asarray(w.deploy_model()(np.float32(tile[None]) / 255))[0]  # noqa: E731
    assert expected.shape == (10, 14, 3)
    np.testing.assert_allclose(run(written), expected, rtol=0, atol=1e-5)
    assert tolerance >= 0.5 / 255
    if mode == "uint8":  # the golden is not that of the weights before quantisation
        assert np.abs(run(weights) - expected).max() > 1e-4


def test_golden_tile_holds_black_and_white_and_detail():
    tile = golden.golden_input()
    pixels = {tuple(pixel) for pixel in tile.reshape(-1, 3).tolist()}
    assert {(0, 0, 0), (255, 255, 255)} <= pixels
    assert len(pixels) > 20
    assert tile.shape[0] != tile.shape[1]  # swapped axes show


def test_tolerance_grows_with_the_values():
    tile = golden.golden_input()
    expected = np.full((14, 18, 3), -20, np.float32)
    assert golden.encode(tile, expected)["tolerance"] == pytest.approx(20 * 0.5 / 255)


@pytest.mark.parametrize("mode", quantize.NUMBER_FORMATS)
def test_only_kernels_lose_precision(tmp_path, make_weights, mode):
    weights = make_weights(SpanConfig.official(scale=3, channels=4, blocks=1))
    export_model(weights, tmp_path / "out", mode)
    arrays = stored(tmp_path / "out")
    for name, group in weights.layers.items():
        array, dtype = arrays[f"{name}/kernel"]
        kept = "float16" if name in ("conv_1", "conv_cat") else "uint8"
        assert dtype == {"none": "float32", "float16": "float16", "uint8": kept}[mode]
        largest, spread = np.abs(group["kernel"]).max(), np.ptp(group["kernel"])
        step = {"none": 0, "float16": largest * 2**-10, "uint8": spread / 255}[mode]
        assert np.abs(array - group["kernel"]).max() <= step
        np.testing.assert_array_equal(arrays[f"{name}/bias"][0], group["bias"])
    reference = weights.deploy_model()
    exact = {"normalize/moving_mean", "normalize/moving_variance", "pixel_shuffle/kernel"}
    for name in exact:
        layer, key = name.split("/")
        values = {w.path.split("/")[-1]: w.numpy() for w in reference.get_layer(layer).weights}
        np.testing.assert_array_equal(arrays[name][0], values[key])
    assert set(arrays) == exact | {f"{name}/{key}" for name, group in weights.layers.items() for key in group}


def test_a_kernel_with_an_outlier_stays_in_float16(tmp_path, tiny_weights):
    kernel = tiny_weights.layers["block_1_c2"]["kernel"]
    kernel[1, 1, 0, 0] = 30 * kernel.std()
    export_model(tiny_weights, tmp_path / "out", "uint8")
    types = {name: dtype for name, (_, dtype) in stored(tmp_path / "out").items()}
    assert types["block_1_c2/kernel"] == "float16"
    assert types["block_1_c1/kernel"] == "uint8"


def test_storage_shrinks(tmp_path, make_weights):
    weights = make_weights(SpanConfig(scale=2, channels=24, blocks=2))
    sizes = [export_model(weights, tmp_path / mode, mode)[0]["bytes"] for mode in quantize.NUMBER_FORMATS]
    assert sizes[0] > 1.7 * sizes[1] > 1.7 * 1.5 * sizes[2]


def test_default_is_float16_only_where_nothing_is_lost(tmp_path, tiny_weights):
    assert export_model(tiny_weights, tmp_path / "a")[0]["number_format"] == "none"
    assert export_model(halves(tiny_weights), tmp_path / "b")[0]["number_format"] == "float16"


def test_training_form_is_fused(tmp_path, tiny_weights):
    export_model(tiny_weights.expand(), tmp_path / "out", "none")
    assert set(stored(tmp_path / "out")) >= {"conv_1/kernel", "conv_1/bias"}


def test_unknown_quantisation(tmp_path, tiny_weights):
    with pytest.raises(ExportError, match="must be one of none, float16, uint8, found 'int4'"):
        export_model(tiny_weights, tmp_path / "out", "int4")


def test_weights_beyond_float16(tmp_path, tiny_weights):
    tiny_weights.layers["conv_1"]["kernel"][0, 0, 0, 0] = 1e5
    with pytest.raises(ExportError, match="random has a weight of 100000; use --quantize none"):
        export_model(tiny_weights, tmp_path / "out", "float16")
    assert export_model(tiny_weights, tmp_path / "out")[0]["number_format"] == "none"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_numbers(tmp_path, tiny_weights, bad):
    tiny_weights.layers["conv_2"]["bias"][3] = bad
    with pytest.raises(ExportError, match=r"conv_2/bias of random holds values that are not finite"):
        export_model(tiny_weights, tmp_path / "out", "none")


def test_an_interruption_leaves_the_earlier_export(tmp_path, tiny_weights, monkeypatch):
    export_model(tiny_weights, tmp_path / "out", "none")
    before = (tmp_path / "out" / "model.json").read_text()

    def interrupted(*args):
        tfjs_files.save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(tfjs_model, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_model(tiny_weights, tmp_path / "out", "uint8")
    assert (tmp_path / "out" / "model.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_export_prints_nothing(tmp_path, tiny_weights, capfd):
    export_model(tiny_weights, tmp_path / "out")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("config", [SpanConfig(), SpanConfig.official()])
def test_full_size_in_float16_fits_into_900_kb(tmp_path, make_weights, config):
    export_model(make_weights(config), tmp_path / "out", "float16")
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 900_000


def test_a_full_disk_is_told_in_a_sentence(tmp_path, tiny_weights, monkeypatch):
    def fail(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(ExportError, match=r"cannot be written \(No space left on device\); choose a folder"):
        export_model(tiny_weights, tmp_path / "out")
    assert not list(tmp_path.iterdir())


# Against tensorflowjs, which wrote these files before we did ---------------------------------------------------------

DEFAULTS = {
    "activation": "linear",
    "data_format": "channels_last",
    "dilation_rate": [1, 1],
    "dtype": "float32",
    "groups": 1,
    "momentum": 0.99,
    "ragged": False,
    "sparse": False,
    "strides": [1, 1],
    "trainable": True,
    "use_bias": True,
}
"""What TF.js and Keras assume of a layer."""
INITIALISED = ("beta", "gamma", "bias", "moving_mean", "moving_variance")


def shortened(config: dict) -> dict:
    """What ``tensorflowjs`` writes of a layer, without what every reader assumes."""
    short = {key: "zeros" if key.endswith("kernel_initializer") else value for key, value in config.items()}
    omitted = ("regularizer", "constraint", *(f"{name}_initializer" for name in INITIALISED))
    return {key: value for key, value in short.items() if not key.endswith(omitted) and DEFAULTS.get(key) != value}


def written_by_tensorflowjs(model, folder, types: dict[str, str]) -> dict:
    tensorflowjs = pytest.importorskip("tensorflowjs")
    names = {dtype: [name for name, kind in types.items() if kind == dtype] for dtype in set(types.values())}
    tensorflowjs.converters.save_keras_model(model, str(folder), quantization_dtype_map=names)
    document = read(folder)
    for layer in document["modelTopology"]["model_config"]["config"]["layers"]:
        layer["config"] = shortened(layer["config"])
    return document


def check_same(ours, theirs: dict, folder):
    """Compare a folder with a document and its folder: equal topology, equal weights, equal bytes."""
    document = read(ours)
    for one in (document, theirs):  # TF.js takes layers in any order
        one["modelTopology"]["model_config"]["config"]["layers"].sort(key=lambda layer: layer["name"])
    assert document["modelTopology"] == theirs["modelTopology"]
    assert document["weightsManifest"] == theirs["weightsManifest"]
    for name in (name for group in theirs["weightsManifest"] for name in group["paths"]):
        assert (ours / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("mode", quantize.NUMBER_FORMATS)
@pytest.mark.parametrize(
    "config",
    [
        SpanConfig(scale=2, channels=8, blocks=2),
        SpanConfig.official(scale=3, channels=5, blocks=11),  # block_10 sorts before block_1_c1
        SpanConfig(scale=4, channels=4, blocks=1, rgb_mean=(0.0, 0.0, 0.0)),
    ],
    ids=["span", "official", "no_norm"],
)
def test_files_are_those_of_tensorflowjs(tmp_path, make_weights, config, mode):
    tf_keras = pytest.importorskip("tf_keras")
    weights = make_weights(config)
    weights.layers["block_1_c3"]["kernel"][...] = np.abs(weights.layers["block_1_c3"]["kernel"]) + 1  # zero outside
    weights.layers["block_1_c2"]["kernel"][...] = 0.25  # one value alone
    export_model(weights, tmp_path / "ours", mode)
    types = quantize.storage_types(mode, weights)
    theirs = written_by_tensorflowjs(weights.deploy_model(tf_keras), tmp_path / "theirs", types)
    check_same(tmp_path / "ours", theirs, tmp_path / "theirs")


def test_shards_are_those_of_tensorflowjs(tmp_path, make_weights):
    tf_keras = pytest.importorskip("tf_keras")
    weights = make_weights(SpanConfig(scale=2, channels=128, blocks=2))
    (result,) = export_model(weights, tmp_path / "ours", "none")
    assert result["files"] == ["model.json", "group1-shard1of2.bin", "group1-shard2of2.bin"]
    theirs = written_by_tensorflowjs(weights.deploy_model(tf_keras), tmp_path / "theirs", {})
    check_same(tmp_path / "ours", theirs, tmp_path / "theirs")


def test_perceptual_files_are_those_of_tensorflowjs(tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    from span_keras.training import perceptual

    tfjs_model.write_perceptual(tmp_path / "ours")
    model = perceptual.build("vgg16", framework=tf_keras)
    theirs = written_by_tensorflowjs(model, tmp_path / "theirs", {"block*": "float16"})
    check_same(tmp_path / "ours", theirs, tmp_path / "theirs")


def test_exporting_loads_no_framework(tmp_path, tiny_weights):
    """Each takes seconds to import."""
    save_weights(tiny_weights, tmp_path / "w.safetensors")
    code = (
        "import sys; from span_export.cli import main\n"
        "try: main()\n"
        "finally: print('LOADED', {'keras', 'tensorflow', 'jax', 'tensorflowjs', 'tf_keras', 'onnx'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, "--tfjs", "out", "-w", "w.safetensors", "--demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "LOADED set()" in done.stdout
    assert (tmp_path / "out" / "model.json").is_file()
