"""What the training view saves for PyTorch's tools: written by the page's modules in Node, read in Python."""

import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from helpers.browser import make_scene
from helpers.environment import REPOSITORY
from helpers.weights import random_weights
from span_export.tfjs_model import write_model
from span_keras.checkpoints import authors, load_weights
from span_keras.network.config import SpanConfig
from span_keras.upscale import main as span_upscale

SCRIPT = REPOSITORY / "tests" / "web" / "save-model.mjs"
CONFIGS = {
    "range 1, as the page trains": SpanConfig.official(2, 4, img_range=1.0),
    "range 255": SpanConfig.official(3, 4),
    "without normalisation": SpanConfig.official(4, 4, img_range=1.0, rgb_mean=(0, 0, 0)),
}


def save(weights, file_format: str, folder):
    (folder / "model").mkdir()
    write_model(weights, folder / "model")
    command = [shutil.which("node"), SCRIPT, folder / "model", file_format, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return folder / f"network.{file_format}"


@pytest.fixture(scope="module", params=CONFIGS)
def pth(site, tmp_path_factory, request):
    """The network, and the ``.pth`` that the page's modules make of it."""
    weights = random_weights(CONFIGS[request.param], seed=6)
    return weights, save(weights, "pth", tmp_path_factory.mktemp("pth"))


def assert_same(weights, path):
    """The file's tensors are those that Python writes under the authors' names, whatever spreads them over four."""
    found, expected = load_weights(path).fuse().layers, weights.fuse().layers
    ours = authors.state_dict(weights)
    gain = np.abs(expected["conv_1"]["kernel"]).max() / np.abs(ours["conv_1.eval_conv.weight"]).max()
    for layer, group in expected.items():
        for key, value in group.items():
            factor = gain if (layer, key) == ("conv_1", "kernel") else 1
            np.testing.assert_allclose(found[layer][key] * factor, value, atol=2e-5, err_msg=f"{layer} {key}")


def test_python_reads_the_network(pth):
    weights, path = pth
    assert_same(weights, path)


def test_the_pickle_is_that_of_python(pth, tmp_path):
    weights, path = pth
    authors.write_pth(weights, tmp_path / "network.pth")
    with zipfile.ZipFile(path) as ours, zipfile.ZipFile(tmp_path / "network.pth") as theirs:
        assert ours.testzip() is None
        assert {info.compress_type for info in ours.infolist()} == {zipfile.ZIP_STORED}
        assert ours.namelist() == theirs.namelist()
        assert ours.read("network/data.pkl") == theirs.read("network/data.pkl")
        for name in ("byteorder", "version"):
            assert ours.read(f"network/{name}") == theirs.read(f"network/{name}")


def test_torch_reads_it_without_trust(pth):
    torch = pytest.importorskip("torch")
    weights, path = pth
    state = torch.load(path, weights_only=True)["params"]
    assert state.keys() == authors.state_dict(weights).keys()


def test_spandrel_knows_the_network(pth):
    spandrel = pytest.importorskip("spandrel")
    weights, path = pth
    found = spandrel.ModelLoader("cpu").load_from_file(path)
    assert (found.architecture.id, found.scale) == ("SPAN", weights.config.scale)


def test_span_upscale_takes_a_trained_network(site, tmp_path):
    """Range and mean are found by trial, which only a trained network passes."""
    path = save(load_weights("bundled:x2-fast"), "pth", tmp_path)
    Image.fromarray(make_scene(12, 16)).save(tmp_path / "a.png")
    results = []
    for weights in ("bundled:x2-fast", path):
        arguments = [tmp_path / "a.png", "-o", tmp_path / "b.png", "--weights", weights]
        result = CliRunner().invoke(span_upscale, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
        results.append(np.asarray(Image.open(tmp_path / "b.png"), int))
        (tmp_path / "b.png").unlink()
    assert np.abs(results[0] - results[1]).max() <= 1


def test_python_reads_the_safetensors(site, tmp_path):
    weights = random_weights(CONFIGS["range 1, as the page trains"], seed=6)
    assert_same(weights, save(weights, "safetensors", tmp_path))
