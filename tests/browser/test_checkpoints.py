"""A .safetensors chosen as a model: the same network that load_weights reads."""

import base64
import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from helpers.browser import library
from helpers.weights import flatten, random_weights
from span_keras import load_weights
from span_keras.checkpoints.authors import state_dict, write_safetensors
from span_keras.checkpoints.safetensors_file import write
from span_keras.network.config import SpanConfig

READ = """
const [name, text] = given;
const { readModelFiles } = await import('/checkpoints/model-files.js');
const { readWeights } = await import('/network/weights.js');
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
try {
  const artifacts = await readModelFiles([new File([bytes], name)]);
  const config = model.readConfig(artifacts);
  const weights = readWeights(artifacts);
  const values = model.weightTable(config).flatMap(({ layer, weight }) => [...weights.get(`${layer}/${weight}`)]);
  return { config, values };
} catch (error) { return `${error.name}: ${error.message}`; }"""


def read(page, name: str, content: bytes):
    return library(page, READ, name, base64.b64encode(content).decode())


def check(page, path) -> None:
    """The page reads what ``load_weights`` reads."""
    expected = load_weights(path).fuse()
    found = read(page, path.name, path.read_bytes())
    config = expected.config
    assert not isinstance(found, str), found
    assert [found["config"][key] for key in ("scale", "channels", "blocks", "variant", "imgRange")] == [
        *(config.scale, config.channels, config.blocks, config.variant, config.img_range)
    ]
    np.testing.assert_allclose(found["config"]["rgbMean"], config.rgb_mean, atol=1e-6)
    values = flatten(expected)
    np.testing.assert_allclose(found["values"], values, atol=1e-5 * np.abs(values).max())


@pytest.fixture(scope="module")
def fast():
    """The smallest bundled network of the authors' variant: a trial of its input's range tells something."""
    return load_weights("bundled:x2-fast")


@pytest.mark.parametrize("form", ["fused", "training", "float16", "authors", "averaged"])
def test_a_network_of_ours_and_of_the_authors(form, shared_blank, fast, tmp_path):
    path = tmp_path / "network.safetensors"
    if form in ("fused", "training"):
        write(fast if form == "fused" else fast.expand(), path, "float32")
    elif form == "float16":
        write(fast, path, "float16")
    elif form == "authors":
        write_safetensors(fast, path)
    else:
        tensors = state_dict(fast)
        raw = {f"params.{name}": np.zeros_like(value) for name, value in tensors.items()}
        path.write_bytes(save({**raw, **{f"params_ema.{name}": value for name, value in tensors.items()}}))
    check(shared_blank, path)


def test_a_network_of_the_default_variant(shared_blank, tmp_path):
    write(random_weights(SpanConfig(scale=3, channels=4, blocks=2)), tmp_path / "a.safetensors", "float32")
    check(shared_blank, tmp_path / "a.safetensors")


def header(entries) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


def test_files_that_hold_no_network(shared_blank):
    tensor = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    noise = random_weights(SpanConfig.official(scale=2, channels=4, blocks=6))
    official = {name: value for name, value in state_dict(noise).items() if name != "no_norm"}
    for content, message in (
        (b"", "its header has no valid length"),
        (struct.pack("<Q", 4) + b"{no}", "its header is not JSON"),
        (header({"a": {**tensor, "shape": "3"}}) + bytes(12), "a has no shape or place"),
        (header({"a": tensor}) + bytes(8), "a does not fit"),
        (header({"a": tensor}) + bytes(12), "a.safetensors is not SPAN: expected tensors such as conv_1.sk.weight"),
        (header({"__metadata__": {"format": "span-run-3"}}), "is the state of a training, not weights"),
        (save({"conv_1/kernel": np.zeros((3, 3, 3, 4), np.float32)}), "this model has no block_1_c1, conv_2, conv_cat"),
        (
            save({k: v for k, v in official.items() if k != "conv_1.conv.1.bias"}),
            "a.safetensors: conv_1 is not what SPAN has: its conv_bias is missing, expected 8.",
        ),
        (save(official), "does not tell the range and mean of its network's input, and none in use fits"),
    ):
        found = read(shared_blank, "a.safetensors", content)
        assert isinstance(found, str) and found.startswith("ModelError: ") and message in found
    assert "a.pth is read by Python, not here; write a model.json from it" in read(shared_blank, "a.pth", b"")
