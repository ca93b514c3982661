"""The LiteRT file: its interpreter computes what Keras does."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.environment import NO_TENSORFLOW, QUICK_JAX
from span_export import golden, litert_model
from span_export.export import export_model
from span_export.targets import TARGETS
from span_export.verify import Photographs, verify_file
from span_keras.checkpoints import save_weights
from span_keras.network.config import SpanConfig

tf = pytest.importorskip("tensorflow")


def written(tmp_path, weights, quantization=None, **options):
    export_model(weights, None, quantization, files={"litert": tmp_path / "w.tflite"}, **options)
    return tmp_path / "w.tflite"


def metadata_of(path) -> dict:
    from tensorflow.lite.tools import flatbuffer_utils

    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(path.read_bytes()))
    (entry,) = [entry for entry in tree.metadata if entry.name == b"span"]
    return json.loads(bytes(tree.buffers[entry.buffer].data))


@pytest.mark.parametrize("without", [None, "ai_edge_litert.interpreter"], ids=["LiteRT", "TensorFlow"])
@pytest.mark.parametrize("variant", ["span", "official"])
def test_its_interpreter_computes_what_keras_does(tmp_path, make_weights, image, monkeypatch, variant, without):
    """For images of any size, by either interpreter."""
    weights = make_weights(SpanConfig(scale=3, channels=8, blocks=2, variant=variant, img_range=3.0))
    path = written(tmp_path, weights)
    if without:
        monkeypatch.setitem(sys.modules, without, None)
    else:
        pytest.importorskip("ai_edge_litert")
    runtime, run = litert_model.load(path, weights.config)
    assert runtime.startswith("TensorFlow Lite" if without else "LiteRT")
    tile = np.uint8(image * 255)
    for part in (tile, tile[:5, 2:], tile):
        expected = np.asarray(weights.deploy_model()(np.float32(part[None]) / 255))[0]
        assert np.abs(run(part) - expected).max() < 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(
    ("scale", "channels", "mean"), [(1, (3, 3), 3), (8, (1, 1), 1), (2, (1, 3), 1), (2, (4, 4), 4)]
)
def test_networks_of_any_scale_and_channels(tmp_path, make_weights, scale, channels, mean):
    config = SpanConfig(scale, 8, 1, rgb_mean=(0.4,) * mean, in_channels=channels[0], out_channels=channels[1])
    weights = make_weights(config)
    tile = golden.golden_input(channels[0])
    _, run = litert_model.load(written(tmp_path, weights), config)
    np.testing.assert_allclose(run(tile), golden.output(weights, tile), atol=1e-4)


@pytest.mark.parametrize("quantization", ["none", "float16"])
@pytest.mark.parametrize("fixed_size", [None, (16, 12)])
def test_verify_passes_what_was_exported(tmp_path, photos, tiny_weights, quantization, fixed_size):
    path = written(tmp_path, tiny_weights, quantization, fixed_size=fixed_size)
    report = verify_file(TARGETS["litert"], path, tiny_weights, quantization, fixed_size, Photographs(photos), 48)
    assert report.failures == ()
    assert report.images == 5


def test_float16_takes_half_the_room(tmp_path, make_weights):
    weights = make_weights(SpanConfig(scale=2, channels=24, blocks=2))
    sizes = [written(tmp_path, weights, mode).stat().st_size for mode in ("none", "float16")]
    assert sizes[0] > 1.6 * sizes[1]


def test_a_fixed_size_is_fixed(tmp_path, tiny_weights):
    interpreter = tf.lite.Interpreter(str(written(tmp_path, tiny_weights, fixed_size=(8, 12))))
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [1, 8, 12, 3]
    assert interpreter.get_output_details()[0]["shape"].tolist() == [1, 16, 24, 3]
    signature = interpreter.get_signature_list()["serving_default"]
    assert signature == {"inputs": ["input"], "outputs": ["output"]}


@pytest.mark.parametrize("quantization", ["none", "float16"])
def test_metadata_and_golden(tmp_path, tiny_weights, quantization):
    path = written(tmp_path, tiny_weights, quantization)
    span = metadata_of(path)
    assert SpanConfig.from_dict({key: span[key] for key in tiny_weights.config.to_dict()}) == tiny_weights.config
    assert span["quantization"] == quantization
    tile, expected, tolerance = golden.decode(span["golden"])
    _, run = litert_model.load(path, tiny_weights.config)
    assert np.abs(run(tile) - expected).max() < {"none": 1e-5, "float16": tolerance}[quantization]


def test_exporting_prints_nothing(tmp_path, tiny_weights, capfd):
    written(tmp_path, tiny_weights)
    assert capfd.readouterr() == ("", "")


def test_without_tensorflow_it_says_so(tmp_path, tiny_weights):
    save_weights(tiny_weights, tmp_path / "w.safetensors")
    code = "import no_tensorflow; from span_export.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--litert", "w.tflite", "-w", "w.safetensors"],
        cwd=tmp_path,
        env={**os.environ, **QUICK_JAX, "PYTHONPATH": str(NO_TENSORFLOW)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a LiteRT file is made by TensorFlow's converter" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
