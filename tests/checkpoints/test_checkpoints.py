"""Any SPAN weights in: every format, layout and naming gives the network it holds; ours come back exactly."""

import dataclasses
import hashlib
import json
import resource
import subprocess
import sys
import zipfile

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from helpers.torch_files import Call, Saved, state_dict, write_legacy, write_zip
from span_keras.checkpoints import load, load_weights, notes, require_settled, save_weights
from span_keras.checkpoints.save import WRITABLE
from span_keras.constants import DIV2K_MEAN
from span_keras.errors import CheckpointError
from span_keras.network.config import SpanConfig
from span_keras.network.deploy import build_deploy
from span_keras.network.model import build_span

GOLDENS = {
    "train_x2.pth": ("train", SpanConfig.official(2, 8, blocks=2)),
    "legacy_no_norm_x3.pth": ("train", SpanConfig.official(3, 8, blocks=1, img_range=1, rgb_mean=(0, 0, 0))),
    "fused_x4.pth": ("deploy", SpanConfig.official(4, 8, blocks=1)),
    "fused_x4.onnx": ("deploy", SpanConfig.official(4, 8, blocks=1)),
    "train_span_x2.onnx": ("train", SpanConfig(2, 8, 1, "span", rgb_mean=(0, 0, 0))),
}
"""Files written by PyTorch, see ``goldens/make_checkpoints.py``: their form and configuration."""


def outputs(weights, lr: np.ndarray) -> dict[str, np.ndarray]:
    """The network's outputs in both forms for a uint8 image."""
    x = np.float32(lr)[None] / np.float32(255)
    models = {"train": weights.train_model(), "deploy": weights.deploy_model()}
    return {form: keras.ops.convert_to_numpy(model(x))[0] for form, model in models.items()}


def assert_same(a, b):
    """Configuration, names and values of two ``SpanWeights`` are equal to the last bit."""
    assert a.config == b.config
    assert {k: set(g) for k, g in a.layers.items()} == {k: set(g) for k, g in b.layers.items()}
    for layer, group in a.layers.items():
        for key, value in group.items():
            assert value.dtype == np.float32
            np.testing.assert_array_equal(value, b.layers[layer][key], err_msg=f"{layer}/{key}")


# Reading what PyTorch wrote ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDENS)
def test_files_of_pytorch_give_pytorchs_output(goldens, name):
    form, config = GOLDENS[name]
    weights = load_weights(goldens / name)
    assert (weights.form, weights.config) == (form, config)
    with np.load(goldens / "checkpoints.npz") as golden:
        expected = golden[name.split(".")[0]]
        for output in outputs(weights, golden["lr"]).values():
            # Whole image, borders included; the goldens are float64 results.
            assert np.abs(output - expected).max() <= 2e-6 * np.abs(expected).max()


def test_stale_eval_conv_is_fused_anew(goldens):
    weights = load_weights(goldens / "train_x2.pth")
    assert set(weights.layers["block_1_c2"]) > {"skip_kernel", "project_bias"}
    assert "kernel" not in weights.layers["conv_1"]


@pytest.mark.parametrize("name", ["random_x4_ch48", "random_x2_ch16"])
def test_official_code_gives_the_same_output(shared, name):
    weights = load_weights(shared / "official" / f"{name}.pth")
    with np.load(shared / "official" / f"{name}_golden.npz") as golden:
        found = outputs(weights, golden["lr"])
        for form, reference in (("train", "sr_train"), ("deploy", "sr_eval")):
            expected = golden[reference]
            assert np.abs(found[form] - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "scale"), [("spanx2_ch48", 2), ("spanx4_ch48", 4)])
def test_released_weights_are_recognised(shared, name, scale):
    weights = load_weights(shared / "official" / f"{name}.safetensors")
    assert (weights.form, weights.config) == ("deploy", SpanConfig.official(scale))
    assert "SPAN authors" in weights.metadata["source"]


# Layouts, names and types of state dictionaries ----------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("form", ["fuse", "expand"])
def test_both_layouts_and_forms(tmp_path, tiny_official_config, make_weights, write, form):
    weights = getattr(make_weights(tiny_official_config), form)()
    assert_same(load_weights(write(tmp_path / "a.pth", state_dict(weights))), weights)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state, other: state,
        lambda state, other: {"params": state},
        lambda state, other: {"params": other, "params_ema": state, "iter": 5},
        lambda state, other: {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
        lambda state, other: {"model": {f"net.{k}": v for k, v in state.items()}, "optimizer": {"lr": 0.1}},
        lambda state, other: {"net_d": {"conv0.weight": other["conv_cat.bias"]}, "net_g": state},
        lambda state, other: {f"_orig_mod.{k}": v for k, v in state.items()},
    ],
    ids=["bare", "params", "params_ema", "module", "model.net", "net_g", "compiled"],
)
def test_roots_and_prefixes(tmp_path, tiny_official_config, make_weights, wrap):
    weights, other = (make_weights(tiny_official_config, seed) for seed in (1, 2))
    path = write_zip(tmp_path / "a.pth", wrap(state_dict(weights), state_dict(other)))
    assert_same(load_weights(path), weights)


def test_what_training_programs_keep_beside_the_weights(tmp_path, tiny_official_config, make_weights):
    weights = make_weights(tiny_official_config)
    harmless = [("torch", "Size", ((1, 2),)), ("torch", "device", ("cuda", 0)), ("__builtin__", "set", ([1, 2],))]
    extra = {"calls": [Call(*call) for call in harmless], "rate": 0.1, "done": False, "note": None}
    ordered = {"state_dict": Call("collections", "OrderedDict", ()), "model": state_dict(weights), **extra}
    assert_same(load_weights(write_zip(tmp_path / "a.pth", ordered)), weights)


def test_several_networks_are_not_guessed_between(tmp_path, tiny_official_config, make_weights):
    state = state_dict(make_weights(tiny_official_config))
    path = write_zip(tmp_path / "a.pth", {"student": state, "teacher": state})
    with pytest.raises(CheckpointError, match=r"several SPAN networks, \['student.', 'teacher.'\]"):
        load_weights(path)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_types_are_widened_to_float32(tmp_path, tiny_official_config, make_weights, write):
    weights = make_weights(tiny_official_config)
    for kind in (np.float64, np.float16, ml_dtypes.bfloat16):
        state = {name: value.astype(kind) for name, value in state_dict(weights).items()}
        loaded = load_weights(write(tmp_path / "a.pth", state))
        expected = weights.layers["block_2_c3"]["kernel"].astype(kind).astype(np.float32)
        np.testing.assert_array_equal(loaded.layers["block_2_c3"]["kernel"], expected)


def test_bfloat16_safetensors(tmp_path, tiny_official_config, make_weights):
    weights = make_weights(tiny_official_config)
    state = {name: value.astype(ml_dtypes.bfloat16) for name, value in state_dict(weights).items()}
    save_file(state, tmp_path / "a.safetensors")
    loaded = load_weights(tmp_path / "a.safetensors")
    expected = weights.layers["conv_2"]["kernel"].astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(loaded.layers["conv_2"]["kernel"], expected)


def test_strided_views_of_a_storage(tmp_path, tiny_official_config, make_weights):
    weights = make_weights(tiny_official_config)
    state = state_dict(weights)
    kernel = state["conv_2.eval_conv.weight"]
    padded = np.concatenate([np.full(5, np.nan, np.float32), kernel.transpose(1, 0, 2, 3).reshape(-1)])
    state["conv_2.eval_conv.weight"] = Saved(padded, kernel.shape, (9, 72, 3, 1), offset=5)
    assert_same(load_weights(write_zip(tmp_path / "a.pth", state)), weights)


@pytest.mark.parametrize(
    ("scale", "channels", "blocks"), [(2, 48, 6), (3, 52, 6), (4, 28, 6), (4, 16, 6), (2, 8, 1), (3, 12, 11)]
)
@pytest.mark.parametrize("form", ["fuse", "expand"])
def test_sizes_are_read_off_shapes(tmp_path, make_weights, scale, channels, blocks, form):
    config = SpanConfig.official(scale, channels, blocks=blocks)
    weights = getattr(make_weights(config), form)()
    save_file(state_dict(weights), tmp_path / "a.safetensors")
    loaded = load_weights(tmp_path / "a.safetensors")
    assert (loaded.config, loaded.form) == (config, weights.form)


# What a file cannot tell ---------------------------------------------------------------------------------------------


def test_assumptions_are_listed_and_can_be_set(tmp_path, tiny_official_config, make_weights):
    path = write_zip(tmp_path / "a.pth", state_dict(make_weights(tiny_official_config)))
    plain = load_weights(path)
    assert plain.metadata["assumed"] == ["img_range", "rgb_mean", "variant"]
    assert (plain.config.variant, plain.config.img_range, plain.config.rgb_mean) == ("official", 255.0, DIV2K_MEAN)
    with pytest.raises(CheckpointError, match=r"with none of 6 usual ones its result resembles .* state --img-range"):
        require_settled(plain)
    told = load_weights(path, variant="span", img_range=1.0, rgb_mean=(0.5, 0.5, 0.5))
    assert told.metadata["assumed"] == [] and not notes(told)
    require_settled(told)
    assert (told.config.variant, told.config.img_range, told.config.rgb_mean) == ("span", 1.0, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("argument", "value"), [("variant", "official"), ("img_range", 255.0), ("rgb_mean", (0.5, 0.5, 0.5))]
)
def test_what_the_file_states_is_not_overridden(tmp_path, tiny_weights, argument, value):
    save_weights(tiny_weights, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=rf"has {argument} .* but .* was asked for; leave {argument} out"):
        load_weights(tmp_path / "a.safetensors", **{argument: value})
    same = getattr(tiny_weights.config, argument)
    assert load_weights(tmp_path / "a.safetensors", **{argument: same}).config == tiny_weights.config


def test_impossible_arguments(goldens):
    with pytest.raises(CheckpointError, match=r"train_x2.pth describes a network that cannot be built: img_range"):
        load_weights(goldens / "train_x2.pth", img_range=-1)


def test_no_norm_is_read_not_assumed(goldens):
    assert load_weights(goldens / "legacy_no_norm_x3.pth").metadata["assumed"] == ["variant"]
    with pytest.raises(CheckpointError, match=r"has img_range 1.0, but 255 was asked for"):
        load_weights(goldens / "legacy_no_norm_x3.pth", img_range=255)


def test_metadata_tells_the_origin(goldens):
    metadata = load_weights(goldens / "train_x2.pth").metadata
    digest = hashlib.sha256((goldens / "train_x2.pth").read_bytes()).hexdigest()
    assert (metadata["format"], metadata["sha256"], metadata["iteration"]) == ("pth", digest, 7)


# Our own files -------------------------------------------------------------------------------------------------------

CONFIGS = [
    SpanConfig(2, 8, 2),
    SpanConfig.official(3, 8, blocks=1, rgb_mean=(0.1, 0.2, 0.3)),
    SpanConfig(4, 8, 1, img_range=1, rgb_mean=(0, 0, 0)),
    SpanConfig(2, 8, 1, img_range=127.5, rgb_mean=(0.485, 0.456, 0.406)),
]


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("form", ["fuse", "expand"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"x{config.scale}-{config.variant}-{config.img_range}")
def test_round_trip_is_exact(tmp_path, make_weights, suffix, form, config):
    weights = getattr(make_weights(config), form)()
    path = tmp_path / f"a{suffix}"
    save_weights(weights, path)
    loaded = load_weights(path)
    assert_same(loaded, weights)
    assert loaded.metadata["assumed"] == []
    assert loaded.metadata["format"] == suffix[1:]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".safetensors", ".weights.h5"])
def test_metadata_is_kept(tmp_path, tiny_weights, suffix):
    weights = dataclasses.replace(tiny_weights, metadata={"license": "MIT", "steps": 12, "run": tmp_path})
    save_weights(weights, tmp_path / f"a{suffix}")
    metadata = load_weights(tmp_path / f"a{suffix}").metadata
    assert (metadata["license"], metadata["steps"], metadata["run"]) == ("MIT", 12, str(tmp_path))


def test_half_size_file(tmp_path, tiny_weights):
    save_weights(tiny_weights, tmp_path / "a.safetensors", dtype="float16")
    loaded = load_weights(tmp_path / "a.safetensors")
    expected = tiny_weights.layers["conv_cat"]["kernel"].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(loaded.layers["conv_cat"]["kernel"], expected)
    with safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert file.get_tensor("conv_1/kernel").dtype == np.float16
        assert json.loads(file.metadata()["span"]) == tiny_weights.config.to_dict()


def test_mixed_forms_are_written_in_training_form(tmp_path, tiny_weights):
    layers = {**tiny_weights.layers, "conv_1": tiny_weights.expand().layers["conv_1"]}
    mixed = dataclasses.replace(tiny_weights, layers=layers)
    save_weights(mixed, tmp_path / "a.weights.h5")
    loaded = load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(loaded.layers["conv_1"]["conv_kernel"], layers["conv_1"]["conv_kernel"])
    for layer, group in loaded.fuse().layers.items():
        np.testing.assert_allclose(group["kernel"], mixed.fuse().layers[layer]["kernel"], atol=1e-6)


# Keras reads what we write, and we read what Keras writes ------------------------------------------------------------


@pytest.mark.parametrize(("build", "form"), [(build_deploy, "fuse"), (build_span, "expand")])
def test_keras_loads_our_files(tmp_path, tiny_weights, image, build, form):
    weights = getattr(tiny_weights, form)()
    save_weights(weights, tmp_path / "a.weights.h5")
    save_weights(weights, tmp_path / "a.keras")
    model = build(tiny_weights.config)
    model.load_weights(tmp_path / "a.weights.h5")
    expected = keras.ops.convert_to_numpy(model(image[None]))
    whole = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(whole(image[None])), expected)


@pytest.mark.parametrize("build", [build_deploy, build_span])
@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_keras_files_state_their_configuration(tmp_path, build, variant, dtype):
    config = SpanConfig(3, 8, 2, variant, img_range=2.0, rgb_mean=(0.1, 0.2, 0.3))
    model = build(config) if build is build_deploy else build(config, dtype=dtype)
    model.save(tmp_path / "a.keras")
    model.save_weights(tmp_path / "a.weights.h5")
    loaded = load_weights(tmp_path / "a.keras")
    assert (loaded.config, loaded.metadata["assumed"]) == (config, [])
    np.testing.assert_array_equal(loaded.layers["upsampler"]["kernel"], model.get_layer("upsampler").kernel)

    told = {"img_range": 2.0, "rgb_mean": (0.1, 0.2, 0.3)} if build is build_span else {}
    loaded = load_weights(tmp_path / "a.weights.h5", **told)
    assert (loaded.config, loaded.metadata["assumed"]) == (config, [])
    if build is build_span:
        # Keras keeps no layer settings in a weights file.
        assert load_weights(tmp_path / "a.weights.h5").metadata["assumed"] == ["img_range", "rgb_mean"]


def test_network_inside_another_model_with_an_optimizer(tmp_path, tiny_config):
    network = build_span(tiny_config)
    inputs = keras.Input((None, None, 3))
    outer = keras.Model(inputs, network(inputs))
    outer.compile(optimizer="adam", loss="mae")
    outer.optimizer.build(outer.trainable_variables)
    outer.save(tmp_path / "a.keras")
    loaded = load_weights(tmp_path / "a.keras")
    assert loaded.config == tiny_config
    np.testing.assert_array_equal(loaded.layers["conv_1"]["skip_kernel"], network.get_layer("conv_1").skip_kernel)


def test_another_slope_is_refused(tmp_path, tiny_config):
    network = build_span(tiny_config)
    network.get_layer("block_1_act1").negative_slope = 0.2
    network.save(tmp_path / "a.keras")
    with pytest.raises(CheckpointError, match=r"LeakyReLU with slope 0.2 in block_1_act1, expected 0.1"):
        load_weights(tmp_path / "a.keras")


# Writing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", WRITABLE)
def test_failed_write_keeps_the_old_file(tmp_path, tiny_weights, suffix):
    path = tmp_path / f"a{suffix}"
    save_weights(tiny_weights, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # Stands in for a full disk.
    try:
        with pytest.raises(CheckpointError, match=rf"cannot write .*a{suffix}: .*free space"):
            save_weights(tiny_weights, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", WRITABLE)
def test_unwritable_places(tmp_path, tiny_weights, suffix):
    (tmp_path / "file").write_text("")
    for folder in ("missing", "file"):
        with pytest.raises(CheckpointError, match=rf"cannot write .*{folder}/a{suffix}"):
            save_weights(tiny_weights, tmp_path / folder / f"a{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(CheckpointError, match=r"cannot write .*folder"):
        save_weights(tiny_weights, tmp_path / f"folder{suffix}")


def test_what_cannot_be_written(tmp_path, tiny_weights):
    with pytest.raises(CheckpointError, match=r"a.pth has an unknown ending, expected one of .safetensors"):
        save_weights(tiny_weights, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="cannot hold float16"):
        save_weights(tiny_weights, tmp_path / "a.weights.h5", dtype="float16")
    tiny_weights.layers["conv_2"]["bias"][3] = 1e6
    with pytest.raises(CheckpointError, match="conv_2/bias holds values that are not finite in float16"):
        save_weights(tiny_weights, tmp_path / "a.safetensors", dtype="float16")
    assert not list(tmp_path.iterdir())


# Names ---------------------------------------------------------------------------------------------------------------


def test_bundled_names(tmp_path, tiny_weights, monkeypatch):
    monkeypatch.setattr(load, "BUNDLED", tmp_path)
    with pytest.raises(CheckpointError, match="bundled:x9 does not come with this installation; it bundles none; name"):
        load_weights("bundled:x9")
    save_weights(tiny_weights, tmp_path / "x2.safetensors")
    loaded = load_weights("bundled:x2")
    assert_same(loaded, tiny_weights)
    assert loaded.source == "bundled:x2"
    for wrong in ("bundled:x9", "bundled:../x2", "bundled:"):
        with pytest.raises(CheckpointError, match=rf"{wrong} does not come .* it has bundled:x2; name one of"):
            load_weights(wrong)


def test_missing_folder_and_unknown_ending(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone.pth does not exist; name a weights file or bundled:NAME"):
        load_weights(tmp_path / "gone.pth")
    with pytest.raises(CheckpointError, match="is a folder, expected a weights file"):
        load_weights(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"did you mean .*model.json\?"):
        load_weights(tmp_path)
    (tmp_path / "a.bin").write_text("x")
    with pytest.raises(
        CheckpointError, match=r"a.bin has an unknown ending, expected one of .weights.h5, .keras, .pth"
    ):
        load_weights(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a" * 300 + ".pth", "File name too long"), ("~nobodyxx/a.pth", "Could not determine home.*")],
    ids=["long", "nobody"],
)
def test_paths_that_cannot_be_looked_at(name, reason):
    with pytest.raises(CheckpointError, match=rf"{name} cannot be opened \({reason}\); name a weights file or bundled"):
        load_weights(name)


def test_a_deflated_keras_file_is_inflated_once(tmp_path, tiny_weights, monkeypatch):
    """As other programs pack archives; going back in it would begin again each time."""
    save_weights(tiny_weights, tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as stored, zipfile.ZipFile(tmp_path / "b.keras", "w", 8) as deflated:
        for name in stored.namelist():
            deflated.writestr(name, stored.read(name))
    monkeypatch.setattr(zipfile.ZipExtFile, "seek", lambda *args: pytest.fail("went back"))
    assert load_weights(tmp_path / "b.keras").config == tiny_weights.config


def test_foreign_formats_need_no_framework(goldens):
    """Reading weights imports neither Keras nor any backend nor PyTorch."""
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tensorflow", "jax", "torch", "tensorflowjs"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Refuse())
from span_keras.checkpoints import load_weights
for name in sys.argv[1:]:
    assert load_weights(name).fuse().form == "deploy"
"""
    subprocess.run([sys.executable, "-c", code, *(str(goldens / name) for name in GOLDENS)], check=True)


def test_weights_file_of_an_older_save(tmp_path, tiny_weights):
    """Without our attribute, the normalisation of a deploy model comes from its BatchNormalization."""
    save_weights(tiny_weights, tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5", "a") as file:
        del file.attrs["span_config"]
    loaded = load_weights(tmp_path / "a.weights.h5")
    assert (loaded.config, loaded.metadata["assumed"]) == (tiny_weights.config, [])
