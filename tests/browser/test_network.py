"""Models as the page reads them, and the network that it makes of them."""

import base64
import functools
import json
import math

import numpy as np
import pytest

from helpers.browser import library
from helpers.weights import random_weights
from span_export.export import export_model
from span_keras.network.config import SpanConfig


@pytest.mark.parametrize("name", ["x2", "x3-official"])
def test_webgpu_kernels_equal_the_plain_network(name, shared_blank):
    difference, size = library(
        shared_blank,
        """
        const artifacts = await model.fetchModel(`/models/${given[0]}/model.json`);
        const config = model.readConfig(artifacts);
        const { tf: t } = await backend.startBackend('webgpu');
        const before = t.memory().numTensors;
        const data = Uint8Array.from({ length: 9 * 11 * 4 }, (_, i) => (i * 7919) % 256);
        const outputs = [];
        for (const plain of [true, false]) {
          const net = network.createNetwork(t, artifacts, config, { plain });
          const x = net.input({ data, width: 11, height: 9 });
          const y = net.run(x);
          outputs.push(await y.data());
          t.dispose([x, y]);
          net.dispose();
        }
        if (t.memory().numTensors !== before) throw new Error('tensors leaked');
        const [a, b] = outputs;
        return [a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0), a.length];""",
        name,
    )
    assert size > 1000
    assert difference <= 1e-4


def read_model(page, *files):
    """Channels of the model in ``(name, content)`` files, or what is wrong with it."""
    return library(
        page,
        """
        const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const files = given[0].map(([name, text]) => new File([bytes(text)], name));
        try {
          return model.readConfig(await (await import('/checkpoints/model-files.js')).readModelFiles(files)).channels;
        } catch (error) { return `${error.name}: ${error.message}` }""",
        [(name, base64.b64encode(content).decode()) for name, content in files],
    )


def test_the_files_of_a_model(shared_blank, models):
    read = functools.partial(read_model, shared_blank)
    text = (models / "x2" / "model.json").read_bytes()
    (binary,) = (models / "x2").glob("*.bin")
    weights = (binary.name, binary.read_bytes())
    assert read(weights, ("model.json", text)) == 8
    assert read(weights).startswith(
        "ModelError: Choose one model.json together with its .bin files, or a .safetensors; found group1"
    )
    assert read(("model.json", text)) == (
        f"ModelError: model.json needs {binary.name}, found model.json; choose both files together."
    )
    assert read(("model.json", b"<html>"), weights).startswith("ModelError: model.json is not JSON;")
    assert read(("model.json", b"{}"), weights).startswith("ModelError: Expected a TensorFlow.js layers model")
    short = (binary.name, weights[1][:-4])
    assert read(("model.json", text), short).startswith(f"ModelError: The weights hold {len(short[1])} bytes where")
    for odd in (
        {"weightsManifest": [{}]},
        {"weightsManifest": [{"paths": [1], "weights": []}]},
        {"weightsManifest": [{"paths": [], "weights": [{"name": "a", "dtype": "float32"}]}]},
        {"weightsManifest": [{"paths": [], "weights": [{"name": "a", "shape": [1], "dtype": "string"}]}]},
        {"modelTopology": {"model_config": {"config": {"layers": {}}}}},
    ):
        content = json.dumps({**json.loads(text), **odd}).encode()
        assert read(("model.json", content), weights).startswith("ModelError: Expected a TensorFlow.js layers model")
    other = json.loads(text)
    for spec in other["weightsManifest"][0]["weights"]:
        spec["name"] = spec["name"].replace("conv_cat", "conv_dog")
    assert read(("model.json", json.dumps(other).encode()), weights) == (
        "ModelError: Expected an exported SPAN network; this model has no conv_cat. Write one with span-export."
    )


@pytest.mark.parametrize(("dtype", "missing"), [("float32", "c1"), ("float16", "c2"), ("float32", "c3")])
def test_weights_that_no_network_has_are_named(shared_blank, tmp_path, dtype, missing):
    quantization = {"float32": "none"}.get(dtype, dtype)
    export_model(random_weights(SpanConfig(scale=2, channels=4, blocks=2)), tmp_path, quantization)
    text = json.loads((tmp_path / "model.json").read_text())
    (binary,) = tmp_path.glob("*.bin")
    specs = text["weightsManifest"][0]["weights"]
    content = bytearray(binary.read_bytes())

    def read():
        return read_model(shared_blank, ("model.json", json.dumps(text).encode()), (binary.name, content))

    assert read() == 4
    dtypes = {spec["name"]: np.dtype(spec.get("quantization", spec)["dtype"]) for spec in specs}
    assert dtypes["conv_2/kernel"] == dtype
    sizes = [math.prod(spec["shape"]) * dtypes[spec["name"]].itemsize for spec in specs]
    start = sum(sizes[: list(dtypes).index("conv_2/kernel")])
    for value in (np.nan, -np.inf):
        content[start : start + np.dtype(dtype).itemsize] = np.array([value], dtype).tobytes()
        assert read() == ("ModelError: conv_2/kernel of this model holds values that are not numbers; use another one.")
    wrong = f"ModelError: This model is not the SPAN network it seems to be: block_2_{missing}/kernel "
    (spec,) = [spec for spec in specs if spec["name"] == f"block_2_{missing}/kernel"]
    spec["shape"] = [3, 3, 2, 8]
    assert read() == wrong + "has shape 3×3×2×8, expected 3×3×4×4."
    spec["name"] = "block_2_c4/kernel"
    assert read() == wrong + "is missing, expected 3×3×4×4."
