"""The ONNX file: onnxruntime computes what Keras does, and its weights come back."""

import json
import sys

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from span_export import golden
from span_export.export import export_model
from span_export.targets import TARGETS
from span_export.verify import Photographs, verify_file
from span_keras.checkpoints import load_weights
from span_keras.errors import ExportError
from span_keras.network.config import SpanConfig

onnxruntime = pytest.importorskip("onnxruntime")


def written(tmp_path, weights, quantization=None, **options):
    export_model(weights, None, quantization, files={"onnx": tmp_path / "w.onnx"}, **options)
    return tmp_path / "w.onnx"


def config_of(variant, scale=2, **more):
    return SpanConfig(scale=scale, channels=8, blocks=2, variant=variant, **more)


def largest_difference(path, weights, image):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": image.transpose(2, 0, 1)[None]})
    expected = np.asarray(weights.deploy_model()(image[None]))
    return np.abs(found.transpose(0, 2, 3, 1) - expected).max() / max(1, np.abs(expected).max())


@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_onnxruntime_computes_what_keras_does(tmp_path, make_weights, image, variant, scale):
    weights = make_weights(config_of(variant, scale))
    assert largest_difference(written(tmp_path, weights), weights, image) < 1e-6


@pytest.mark.parametrize("mean", [(0.1, 0.2, 0.3), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("img_range", [1.0, 255.0])
def test_normalisation(tmp_path, make_weights, image, mean, img_range):
    weights = make_weights(config_of("span", img_range=img_range, rgb_mean=mean))
    path = written(tmp_path, weights)
    assert largest_difference(path, weights, image) < 1e-5
    again = load_weights(path).config
    assert again.img_range == img_range
    np.testing.assert_allclose(again.rgb_mean, mean, atol=1e-7)


@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_weights_come_back(tmp_path, make_weights, variant, scale):
    weights = make_weights(config_of(variant, scale))
    again = load_weights(written(tmp_path, weights))
    assert again.config == weights.config
    for name, group in weights.layers.items():
        for key, value in group.items():
            np.testing.assert_array_equal(again.layers[name][key], value)


def test_training_form_is_fused(tmp_path, tiny_weights, image):
    assert largest_difference(written(tmp_path, tiny_weights.expand()), tiny_weights, image) < 1e-5


@pytest.mark.parametrize("variant", ["span", "official"])
def test_float16_holds_and_computes_half(tmp_path, make_weights, image, variant):
    """By ONNX's own evaluator, which rounds after every operation; onnxruntime computes float32 on a CPU."""
    weights = make_weights(config_of(variant, 3))
    path = written(tmp_path, weights, "float16")
    model = onnx.load(path)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert types["conv_1/kernel"] == types["block_2_c3/bias"] == types["conv_cat/kernel"] == half
    assert types["upsampler/kernel"] == types["normalize/mean"] == full
    (found,) = ReferenceEvaluator(model).run(None, {"input": image.transpose(2, 0, 1)[None]})
    assert found.dtype == np.float32
    expected = np.asarray(weights.deploy_model()(image[None]))
    error = np.abs(found.transpose(0, 2, 3, 1) - expected).max()
    assert 1e-5 < error < 0.01
    assert largest_difference(path, weights, image) < 0.01


def test_any_size_unless_fixed(tmp_path, tiny_weights, make_weights):
    session = onnxruntime.InferenceSession(str(written(tmp_path, tiny_weights)), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    for n, h, w in ((1, 5, 7), (2, 9, 4)):
        (output,) = session.run(None, {"input": np.zeros((n, 3, h, w), np.float32)})
        assert output.shape == (n, 3, 2 * h, 2 * w)
    fixed = written(tmp_path, tiny_weights, fixed_size=(8, 12))
    session = onnxruntime.InferenceSession(str(fixed), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 3, 8, 12]
    assert session.get_outputs()[0].shape == [1, 3, 16, 24]


def test_metadata_is_that_of_model_json(tmp_path, tiny_weights):
    export_model(tiny_weights, tmp_path / "out", "none", files={"onnx": tmp_path / "w.onnx"})
    (entry,) = onnx.load(tmp_path / "w.onnx").metadata_props
    document = json.loads((tmp_path / "out" / "model.json").read_text())
    assert entry.key == "span"
    assert json.loads(entry.value) == document["userDefinedMetadata"]["span"]


@pytest.mark.parametrize("quantization", ["none", "float16"])
def test_golden_comes_out_again(tmp_path, tiny_weights, quantization):
    path = written(tmp_path, tiny_weights, quantization)
    tile, expected, tolerance = golden.decode(json.loads(onnx.load(path).metadata_props[0].value)["golden"])
    _, run = TARGETS["onnx"].implementation().load(path, tiny_weights.config)
    assert np.abs(run(tile) - expected).max() < {"none": 1e-5, "float16": tolerance}[quantization]


def test_old_runtimes_read_it(tmp_path, tiny_weights):
    model = onnx.load(written(tmp_path, tiny_weights, "float16"))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7


@pytest.mark.parametrize("fixed_size", [None, (16, 12)])
@pytest.mark.parametrize("quantization", ["none", "float16"])
def test_verify_passes_what_was_exported(tmp_path, photos, make_weights, quantization, fixed_size):
    weights = make_weights(config_of("official"))
    path = written(tmp_path, weights, quantization, fixed_size=fixed_size)
    report = verify_file(TARGETS["onnx"], path, weights, quantization, fixed_size, Photographs(photos), 48)
    assert report.failures == ()
    assert report.images == 5
    (line,) = report.lines()
    assert line.startswith("5 photographs in onnxruntime ") and " cost " in line


def test_verify_finds_other_weights(tmp_path, photos, tiny_weights, make_weights):
    path = written(tmp_path, make_weights(tiny_weights.config, seed=1))
    report = verify_file(TARGETS["onnx"], path, tiny_weights, "none", None, Photographs(photos), 48)
    assert "It differs in onnxruntime" in " ".join(report.failures)


def test_without_onnxruntime(tmp_path, tiny_weights, monkeypatch):
    path = written(tmp_path, tiny_weights)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"needs onnxruntime .*pip install onnxruntime, or leave --verify out"):
        TARGETS["onnx"].implementation().load(path, tiny_weights.config)
