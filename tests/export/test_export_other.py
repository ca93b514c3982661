"""Networks of other scales and channels are exported and verified like any other."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from helpers.photos import save_photos
from helpers.weights import nearest_weights
from span_export import golden
from span_export.cli import main
from span_keras.checkpoints import load_weights, save_weights
from span_keras.network.config import SpanConfig


@pytest.mark.parametrize("shape", [(1, 3, 3), (8, 3, 3), (2, 1, 1), (2, 1, 3), (2, 3, 1), (3, 4, 4)])
def test_exported_and_verified(tmp_path, shape):
    scale, given, made = shape
    config = SpanConfig.official(scale, 4, img_range=1.0, rgb_mean=(0.0,) * given, in_channels=given, out_channels=made)
    save_weights(nearest_weights(config), tmp_path / "w.safetensors")
    assert load_weights(tmp_path / "w.safetensors").config == config
    files = {"--tfjs": tmp_path / "out", "--onnx": tmp_path / "w.onnx", "--pth": tmp_path / "w.pth"}
    arguments = [word for pair in files.items() for word in pair]
    (tmp_path / "photos").mkdir()
    photos = save_photos(tmp_path / "photos", 1)
    done = CliRunner().invoke(
        main, list(map(str, [*arguments, "-w", tmp_path / "w.safetensors", "--verify-data", photos]))
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.count("1 photographs in") == 3
    for path in (tmp_path / "out" / "model.json", tmp_path / "w.onnx", tmp_path / "w.pth"):
        assert load_weights(path).config == config
    span = json.loads((tmp_path / "out" / "model.json").read_text())["userDefinedMetadata"]["span"]
    assert (span.get("in_channels", 3), span.get("out_channels", 3)) == (given, made)
    tile, expected, _ = golden.decode(span["golden"])
    assert (tile.shape, expected.shape) == ((5, 7, given), (5 * scale, 7 * scale, made))
    if given == made:
        np.testing.assert_allclose(expected, tile.repeat(scale, 0).repeat(scale, 1) / 255, atol=1e-6)
