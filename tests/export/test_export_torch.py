"""Files under the authors' names: what other tools compute of them is what our network computes."""

import io
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open

from helpers.torch_files import state_dict
from span_export.cli import main
from span_keras.checkpoints import authors, load_weights, save_weights
from span_keras.constants import DIV2K_MEAN
from span_keras.errors import CheckpointError
from span_keras.network import arrays
from span_keras.network.config import SpanConfig

WRITERS = {".pth": authors.write_pth, ".safetensors": authors.write_safetensors}
CONFIGS = {
    "x2 of the authors": SpanConfig.official(2, 8),
    "x4 of range 1": SpanConfig.official(4, 8, img_range=1.0),
    "x1 without normalisation": SpanConfig.official(1, 8, img_range=1.0, rgb_mean=(0, 0, 0)),
    "x8 of range 255 without mean": SpanConfig.official(8, 8, rgb_mean=(0, 0, 0)),
    "grey": SpanConfig.official(2, 8, img_range=1.0, rgb_mean=(0,), in_channels=1, out_channels=1),
    "grey to RGB": SpanConfig.official(2, 8, img_range=1.0, rgb_mean=(0,), in_channels=1, out_channels=3),
    "RGB and alpha": SpanConfig.official(3, 8, img_range=1.0, rgb_mean=(0,) * 4, in_channels=4, out_channels=4),
}
every_network = pytest.mark.parametrize("kind", CONFIGS)
both_files = pytest.mark.parametrize("suffix", WRITERS)


def written(tmp_path, weights, suffix):
    WRITERS[suffix](weights, tmp_path / f"out{suffix}")
    return tmp_path / f"out{suffix}"


def as_the_tools(path) -> dict:
    """The tensors of a file and the convention by which spandrel reads it."""
    weights = load_weights(path)
    no_norm = "variant" in weights.metadata["assumed"] and len(weights.metadata["assumed"]) == 1
    if not no_norm:
        weights = replace(weights, config=replace(weights.config, img_range=255.0, rgb_mean=DIV2K_MEAN))
    return weights


@every_network
@both_files
@pytest.mark.parametrize("form", ["fuse", "expand"])
def test_the_convention_of_the_tools_gives_the_same_pixels(tmp_path, make_weights, kind, suffix, form):
    weights = getattr(make_weights(CONFIGS[kind]), form)()
    image = np.random.default_rng(2).random((1, 12, 9, weights.config.in_channels))
    found = as_the_tools(written(tmp_path, weights, suffix))
    expected, made = (arrays.apply(network, image, np.float64) for network in (weights, found))
    np.testing.assert_allclose(made, expected, atol=5e-6 * max(1, np.abs(expected).max()))


@both_files
def test_every_name_that_spandrel_asks_for(tmp_path, make_weights, suffix):
    weights = make_weights(CONFIGS["x2 of the authors"])
    path = written(tmp_path, weights, suffix)
    state = authors.state_dict(weights)
    for module in ("conv_1", "block_1.c1_r", "block_6.c3_r", "conv_2"):
        for part in ("sk", "conv.0", "conv.1", "conv.2", "eval_conv"):
            assert {f"{module}.{part}.weight", f"{module}.{part}.bias"} <= state.keys()
    fused = state_dict(weights.fuse())
    assert state.keys() > fused.keys()
    for name, value in fused.items():
        np.testing.assert_allclose(state[name], value, atol=1e-6)
    if suffix == ".safetensors":
        with safe_open(path, "numpy") as file:
            assert set(file.keys()) == state.keys()
            assert file.metadata() == {"format": "pt"}
    else:
        with zipfile.ZipFile(path) as archive:
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
            assert {"out/data.pkl", "out/version", "out/byteorder", "out/data/0"} <= set(archive.namelist())
            names = Names(archive.read("out/data.pkl"))
        names.load()
        assert names.found == {
            ("collections", "OrderedDict"),
            ("torch", "FloatStorage"),
            ("torch._utils", "_rebuild_tensor_v2"),
        }


class Names(pickle._Unpickler):
    """Collect the names that a pickle asks for, and make nothing of them."""

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data))
        self.found = set()

    def find_class(self, module, name):
        self.found.add((module, name))
        return lambda *_: {}

    def persistent_load(self, _identifier):
        return None


def test_the_same_weights_make_the_same_bytes_and_keep_the_licence(tmp_path, make_weights):
    weights = replace(make_weights(CONFIGS["x4 of range 1"]), metadata={"license": "CC0-1.0"})
    first, second = (written(tmp_path, weights, ".pth").read_bytes() for _ in range(2))
    assert first == second
    assert load_weights(written(tmp_path, weights, ".safetensors")).metadata["license"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SpanConfig(2, 8), r"is of variant span \(LeakyReLU and tanh\), but .*; export a network of variant official"),
        (SpanConfig.official(2, 8, blocks=5), "has 5 blocks, but .* have 6"),
        (
            SpanConfig.official(2, 8, rgb_mean=(0.5, 0.5, 0.5)),
            "subtracts the mean 0.5,0.5,0.5, .*; export it as ONNX",
        ),
        (
            SpanConfig.official(2, 8, rgb_mean=(0.4,), in_channels=1, out_channels=1),
            "subtracts the mean 0.4, but .* subtract 0.4488,0.4371,0.404 or nothing",
        ),
    ],
)
def test_networks_that_the_tools_cannot_compute_are_refused(make_weights, config, message):
    with pytest.raises(CheckpointError, match=message):
        authors.state_dict(make_weights(config))


def test_the_command_writes_and_verifies_both(tmp_path, make_weights):
    save_weights(make_weights(SpanConfig.official(2, 4, img_range=1.0)), tmp_path / "w.safetensors")
    outputs = [tmp_path / "a.pth", tmp_path / "a.safetensors"]
    arguments = ["--pth", outputs[0], "--safetensors", outputs[1], "-w", tmp_path / "w.safetensors", "--verify"]
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert done.stdout.count("10 photographs in") == 2
    assert all(path.is_file() for path in outputs)


def test_the_command_refuses_and_writes_nothing(tmp_path, tiny_weights):
    save_weights(tiny_weights, tmp_path / "w.safetensors")
    done = CliRunner().invoke(main, ["--pth", str(tmp_path / "a.pth"), "-w", str(tmp_path / "w.safetensors")])
    assert done.exit_code == 1
    assert "is of variant span" in done.stderr
    assert not (tmp_path / "a.pth").exists()


@every_network
def test_spandrel_computes_the_same(tmp_path, make_weights, kind):
    pytest.importorskip("torch")
    pytest.importorskip("spandrel")
    weights = make_weights(CONFIGS[kind])
    image = np.random.default_rng(3).random((1, 16, 11, weights.config.in_channels), np.float32)
    expected = arrays.apply(weights, image, np.float64)[0]
    for suffix in WRITERS:
        path = written(tmp_path, weights, suffix)
        np.save(tmp_path / "image.npy", image.transpose(0, 3, 1, 2))
        # In a process of its own: TensorFlow and PyTorch do not always bear each other.
        code = (
            "import sys, numpy, spandrel, torch\n"
            "network = spandrel.ModelLoader('cpu').load_from_file(sys.argv[1])\n"
            "with torch.inference_mode():\n"
            "    made = network.model.eval()(torch.from_numpy(numpy.load(sys.argv[2])))\n"
            "numpy.save(sys.argv[3], made[0].numpy().transpose(1, 2, 0))\n"
        )
        files = (path, tmp_path / "image.npy", tmp_path / "made.npy")
        subprocess.run([sys.executable, "-c", code, *map(str, files)], check=True)
        np.testing.assert_allclose(np.load(files[2]), expected, atol=1e-5 * max(1, np.abs(expected).max()))
