"""TensorFlow.js layers models: our exports, and what the browser saves, come back as SPAN weights."""

import hashlib
import json

import numpy as np
import pytest

from span_keras.checkpoints import load_weights
from span_keras.errors import CheckpointError
from span_keras.network.config import SpanConfig
from span_keras.network.deploy import build_deploy
from span_keras.network.reparam import shuffle_kernel


def topology(config: SpanConfig) -> dict:
    """Keras's own description of the deploy model, with the keys that TF.js uses."""
    return {"model_config": json.loads(build_deploy(config).to_json())}


def arrays(weights) -> dict[str, np.ndarray]:
    """All tensors of an exported model, the fixed ones included."""
    config = weights.config
    found = {f"{layer}/{key}": value for layer, group in weights.layers.items() for key, value in group.items()}
    if config.normalizes:
        found["normalize/moving_mean"] = np.float32(config.rgb_mean)
        found["normalize/moving_variance"] = np.float32([config.img_range**-2.0] * 3)
    return {**found, "pixel_shuffle/kernel": shuffle_kernel(config.scale)}


def write(folder, tensors, *, metadata=None, model=None, quantize=None, name="{}", shards=1):
    """Write ``model.json`` and its shards, and return the path."""
    entries, data = [], b""
    for key, value in tensors.items():
        entry = {"name": name.format(key), "shape": list(value.shape), "dtype": "float32"}
        if quantize == "float16":
            value, entry["quantization"] = value.astype(np.float16), {"dtype": "float16", "original_dtype": "float32"}
        elif quantize and key.endswith("kernel"):
            steps = np.iinfo(quantize).max
            low, scale = float(value.min()), float(np.ptp(value)) / steps
            value = np.round((value - low) / scale).astype(quantize)
            entry["quantization"] = {"dtype": quantize, "min": low, "scale": scale, "original_dtype": "float32"}
        entries.append(entry)
        data += value.tobytes()
    paths = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
    for i, path in enumerate(paths):
        (folder / path).write_bytes(data[i * len(data) // shards : (i + 1) * len(data) // shards])
    document = {
        "format": "layers-model",
        "modelTopology": model,
        "weightsManifest": [{"paths": paths, "weights": entries}],
    }
    if metadata is not None:
        document["userDefinedMetadata"] = {"span": metadata}
    (folder / "model.json").write_text(json.dumps(document))
    return folder / "model.json"


def change(path, function):
    """Apply a function to the parsed ``model.json``."""
    document = json.loads(path.read_text())
    function(document)
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def weights(make_weights):
    return make_weights(SpanConfig(3, 8, 1, "official", 2.0, (0.25, 0.5, 0.125)))


@pytest.mark.parametrize("name", ["{}", "{}:0", "span_x3/{}"])
@pytest.mark.parametrize("shards", [1, 3])
def test_configuration_from_the_metadata(tmp_path, weights, name, shards):
    metadata = {**weights.config.to_dict(), "halo": 6, "golden": {}, "license": "MIT", "quantization": "none"}
    path = write(tmp_path, arrays(weights), metadata=metadata, name=name, shards=shards)
    loaded = load_weights(path)
    assert (loaded.config, loaded.form, loaded.metadata["assumed"]) == (weights.config, "deploy", [])
    assert (loaded.metadata["format"], loaded.metadata["license"]) == ("json", "MIT")
    for layer, group in weights.layers.items():
        np.testing.assert_array_equal(loaded.layers[layer]["kernel"], group["kernel"])
    files = [path, *sorted(tmp_path.glob("*.bin"))]
    assert loaded.metadata["sha256"] == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize("normalised", [True, False])
def test_configuration_from_topology_and_weights(tmp_path, make_weights, variant, normalised):
    config = SpanConfig(2, 8, 2, variant, 2.0) if normalised else SpanConfig(2, 8, 2, variant, rgb_mean=(0, 0, 0))
    weights = make_weights(config)
    loaded = load_weights(write(tmp_path, arrays(weights), model=topology(config)))
    assert (loaded.config, loaded.metadata["assumed"]) == (config, [])


def test_weights_alone_leave_assumptions(tmp_path, make_weights):
    weights = make_weights(SpanConfig(2, 8, 1, rgb_mean=(0, 0, 0)))
    path = write(tmp_path, arrays(weights))
    assert load_weights(path).metadata["assumed"] == ["img_range", "rgb_mean", "variant"]
    told = load_weights(path, variant="official", img_range=1.0, rgb_mean=(0, 0, 0))
    assert (told.config, told.metadata["assumed"]) == (SpanConfig(2, 8, 1, "official", rgb_mean=(0, 0, 0)), [])


def test_training_form(tmp_path, weights):
    expanded = weights.expand()
    loaded = load_weights(write(tmp_path, arrays(expanded), metadata=weights.config.to_dict()))
    assert loaded.form == "train"
    np.testing.assert_array_equal(loaded.layers["conv_2"]["expand_bias"], expanded.layers["conv_2"]["expand_bias"])


@pytest.mark.parametrize(("quantize", "error"), [("float16", 2**-11), ("uint16", 2**-16), ("uint8", 2**-8)])
def test_quantised_weights(tmp_path, weights, quantize, error):
    path = write(tmp_path, arrays(weights), metadata=weights.config.to_dict(), quantize=quantize)
    loaded = load_weights(path)
    assert loaded.config == weights.config
    for layer, group in weights.layers.items():
        kernel = group["kernel"]
        assert np.abs(loaded.layers[layer]["kernel"] - kernel).max() <= error * np.ptp(kernel)


@pytest.mark.parametrize("quantization", ["none", "float16", "uint8"])
def test_what_span_export_writes(tmp_path, weights, image, quantization):
    from span_export.export import export_model

    export_model(weights, tmp_path / "model", quantization)
    loaded = load_weights(tmp_path / "model" / "model.json")
    assert (loaded.config, loaded.metadata["assumed"]) == (weights.config, [])
    for layer, group in weights.layers.items():
        limit = {"none": 0, "float16": 2**-11, "uint8": 2**-8}[quantization] * np.ptp(group["kernel"])
        assert np.abs(loaded.layers[layer]["kernel"] - group["kernel"]).max() <= limit


# What is refused -----------------------------------------------------------------------------------------------------


def first(document) -> dict:
    return document["weightsManifest"][0]["weights"][0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda d: d.pop("weightsManifest"),
            "has no weightsManifest, expected the model.json of a TensorFlow.js model",
        ),
        (lambda d: d.update(format="graph-model"), "is a graph model, whose layers are gone"),
        (lambda d: d["weightsManifest"][0].update(paths=["gone.bin"]), "names the shard 'gone.bin', which is missing"),
        (lambda d: d["weightsManifest"][0].update(paths=["../secret.bin"]), "outside its folder, which is not opened"),
        (lambda d: d["weightsManifest"][0].update(paths=["/etc/passwd"]), "outside its folder, which is not opened"),
        (lambda d: first(d).update(dtype="string"), "stores conv_1/kernel as 'string', expected one of float32"),
        (lambda d: first(d).update(shape=[10**6, 10**6]), "claims 4,000,000,000,000 bytes"),
        (lambda d: first(d).update(shape=[-3]), r"claims the impossible shape \(-3,\)"),
        (lambda d: first(d).update(shape=["x"]), "claims the impossible shape"),
        (lambda d: first(d).update(shape=[3, 3, 3, 7]), "describes .* bytes of weights"),
        (lambda d: first(d).update(name="conv_2/kernel"), "holds two tensors named conv_2/kernel"),
        (lambda d: first(d).update(name="tail/kernel"), "missing conv_1/kernel .*; unexpected tail/kernel"),
        (lambda d: d["weightsManifest"][0]["weights"].pop(), "describes .* bytes of weights, but its shards hold"),
        (lambda d: d["userDefinedMetadata"]["span"].update(scale=4), "states scale 4, but its tensors have scale 3"),
        (lambda d: d["userDefinedMetadata"].update(span=[1]), "could not be read as .json"),
        (lambda d: d.update(weightsManifest=[{}]), "could not be read as .json"),
    ],
)
def test_wrong_models(tmp_path, weights, function, message):
    path = change(write(tmp_path, arrays(weights), metadata=weights.config.to_dict()), function)
    with pytest.raises(CheckpointError, match=rf"model\.json .*{message}"):
        load_weights(path)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"variant": "span"}, "states variant 'span', but its layers have variant 'official'"),
        ({"img_range": 1.0}, "states img_range 1.0, but its tensors have img_range 2.0"),
        ({"rgb_mean": [0.25, 0.5, 0.126]}, r"states rgb_mean .*, but its tensors have rgb_mean \[0.25, 0.5, 0.125\]"),
        ({"rgb_mean": "0.25"}, "states rgb_mean '0.25', but"),
    ],
)
def test_statements_that_contradict_topology_and_weights(tmp_path, weights, stated, message):
    config = weights.config.to_dict()
    path = write(tmp_path, arrays(weights), metadata={**config, **stated}, model=topology(weights.config))
    with pytest.raises(CheckpointError, match=rf"model\.json {message}"):
        load_weights(path)


@pytest.mark.parametrize(
    "config", [(2, 8, 1, "span", 1234.5678, (0.12345678, 1e-8, 0.4)), (2, 8, 1, "span", 1.0, (0, 0, 0))]
)
def test_statements_agree_but_for_rounding(tmp_path, make_weights, config):
    weights = make_weights(SpanConfig(*config))
    config = weights.config
    path = write(tmp_path, arrays(weights), metadata=config.to_dict(), model=topology(config))
    assert load_weights(path).config == config


def test_short_shards(tmp_path, weights):
    path = write(tmp_path, arrays(weights), metadata=weights.config.to_dict(), shards=2)
    last = tmp_path / "group1-shard2of2.bin"
    last.write_bytes(last.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="is truncated: its shards end before pixel_shuffle/kernel"):
        load_weights(path)


def test_unequal_input_variances(tmp_path, weights):
    tensors = {**arrays(weights), "normalize/moving_variance": np.float32([1, 2, 3])}
    with pytest.raises(CheckpointError, match=r"has the input variances \[1.0, 2.0, 3.0\]"):
        load_weights(write(tmp_path, tensors))


def test_values_that_are_not_finite(tmp_path, weights):
    weights.layers["conv_2"]["bias"][0] = np.nan
    with pytest.raises(CheckpointError, match="has 1 values in conv_2/bias that are NaN"):
        load_weights(write(tmp_path, arrays(weights)))
