"""Files that are missing, damaged, hostile or not SPAN: a typed error that says what is wrong, and nothing executed."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.refusals import FORMATS, refused
from helpers.torch_files import state_dict, write_zip
from span_keras.checkpoints import load_weights, save_weights
from span_keras.errors import CheckpointError
from span_keras.network.config import SpanConfig

# Damage, for every format --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_empty_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.touch()
    refused(path, "is empty, expected SPAN weights")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "content", [b"\x00" * 4096, b"<!DOCTYPE html><html>Not found</html>", b"\x89PNG\r\n\x1a\n" + b"x" * 99, b"{}"]
)
def test_not_a_model(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_truncated_anywhere(tmp_path, valid, suffix):
    path = tmp_path / f"a{suffix}"
    whole = valid[suffix]
    for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: max(1, int(share * len(whole)))])
        refused(path)
    path.write_bytes(whole[:-1])
    refused(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_altered_bytes_never_escape_as_another_error(tmp_path, valid, suffix):
    rng = np.random.default_rng(3)
    path = tmp_path / f"a{suffix}"
    outcomes = set()
    for _ in range(40):
        data = np.frombuffer(valid[suffix], np.uint8).copy()
        # The first and last kilobytes hold the structure, where damage is interesting.
        places = rng.integers(-1000, 1000, 3) % len(data)
        data[places] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        try:
            load_weights(path)
            outcomes.add("loaded")
        except CheckpointError as error:
            assert str(path) in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


def test_larger_than_any_network(tmp_path):
    path = tmp_path / "a.pth"
    with path.open("wb") as file:
        file.truncate(2**31)  # Sparse: takes no room.
    refused(path, "has 2,147,483,648 bytes, more than the 1,073,741,824 that any SPAN network needs")


# Tensors that do not make a SPAN network -----------------------------------------------------------------------------


def test_all_differences_are_listed(tmp_path, state):
    del state["block_1.c2_r.eval_conv.bias"], state["conv_2.eval_conv.weight"]
    state["block_1.c1_r.eval_conv.weight"] = np.zeros((8, 7, 3, 3), np.float32)
    state["upsampler.0.bias"] = np.zeros(13, np.float32)
    state["tail.weight"] = np.zeros(3, np.float32)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_weights(tmp_path / "a.safetensors")
    assert str(caught.value).endswith(
        "does not hold a SPAN network of scale 2, 8 channels and 1 blocks: "
        "missing block_1.c2_r.eval_conv.bias (8,); missing conv_2.eval_conv.weight (8, 8, 3, 3); "
        "unexpected tail.weight (3,); "
        "block_1.c1_r.eval_conv.weight has shape (8, 7, 3, 3), expected (8, 8, 3, 3); "
        "upsampler.0.bias has shape (13,), expected (12,)."
    )


def test_differences_of_our_own_names(tmp_path, tiny_weights):
    tiny_weights.layers["conv_1"]["scale"] = np.ones(3, np.float32)
    del tiny_weights.layers["block_2_c3"]["bias"]
    save_weights(tiny_weights, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", r"missing block_2_c3/bias \(8,\); unexpected conv_1/scale \(3,\)\.$")


def test_a_missing_block_is_missed(tmp_path, make_weights):
    state = state_dict(make_weights(SpanConfig.official(2, 8, blocks=3)))
    save_file({k: v for k, v in state.items() if not k.startswith("block_2.")}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "missing block_2.c1_r.eval_conv.weight")


def test_half_expanded_layer_does_not_fall_back_on_a_stale_copy(tmp_path, make_weights):
    config = SpanConfig.official(2, 8, blocks=1)
    state = {**state_dict(make_weights(config)), **state_dict(make_weights(config).expand())}
    del state["conv_2.sk.bias"]
    save_file(state, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", r"missing conv_2.sk.bias \(8,\)\.$")


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["RRDB_trunk.0.RDB1.conv1.weight", "conv_first.weight"], "ESRGAN"),
        (["body.0.rdb1.conv1.weight", "conv_first.weight"], "ESRGAN"),
        (["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"], "ESRGAN"),
        (["params_ema.layers.0.residual_group.blocks.0.norm1.weight"], "SwinIR"),
        (["body.0.weight", "body.1.weight"], "SRVGGNetCompact"),
        (["block_1.c1_r.weight", "block_1.esa.conv1.weight"], "RLFN"),
        (["head.0.weight", "body.0.body.0.weight"], "EDSR"),
        (["encoder.weight"], "1 others"),
    ],
)
def test_other_architectures_are_named(tmp_path, names, kind):
    save_file({name: np.zeros((4, 4), np.float32) for name in names}, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", f"is not SPAN: expected tensors such as conv_1.sk.weight .* found .*{kind}")


@pytest.mark.parametrize(
    ("channels", "message"),
    [(243, "expected a network from 3 to 3, .* scale s from 1 to 8"), (13, "has 3 input and 13 upsampler channels")],
)
def test_unknown_scales(tmp_path, state, channels, message):
    state["upsampler.0.weight"] = np.zeros((channels, 8, 3, 3), np.float32)
    state["upsampler.0.bias"] = np.zeros(channels, np.float32)
    save_file(state, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", message)


def test_tensors_that_tell_the_size_are_missing(tmp_path, state):
    only = {name: value for name, value in state.items() if name.startswith("conv_1")}
    save_file(only, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "is not SPAN: it lacks the tensors that tell its scale and blocks")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path, state, value):
    state["conv_cat.bias"][2:4] = value
    path = write_zip(tmp_path / "a.pth", state)
    refused(path, "has 2 values in conv_cat.bias that are NaN, infinite or beyond float32")


def test_float64_beyond_float32(tmp_path, state):
    state["conv_cat.bias"] = np.full(8, 1e300)
    refused(write_zip(tmp_path / "a.pth", state), "has 8 values in conv_cat.bias")


def test_absurd_depth_and_width(tmp_path, state):
    state["block_999999999.c1_r.sk.bias"] = np.zeros(8, np.float32)
    save_file(state, tmp_path / "a.safetensors")
    refused(tmp_path / "a.safetensors", "cannot be built: blocks must be a whole number from 1 to 64, found 999999999")


def test_statements_that_contradict_the_tensors(tmp_path, tiny_weights):
    tensors = {f"{layer}/{key}": v for layer, group in tiny_weights.layers.items() for key, v in group.items()}
    for stated, message in (
        ({"scale": 4}, "states scale 4, but its tensors have scale 2"),
        ({"variant": "fast"}, "cannot be built: variant must be one of"),
        ({"rgb_mean": "grey"}, "cannot be built: .*rgb_mean"),
        ({"img_range": 1e9}, "cannot be built: img_range must be between"),
        ([1], r"states the configuration \[1\], expected a JSON object"),
    ):
        save_file(tensors, tmp_path / "a.safetensors", {"span": json.dumps(stated)})
        refused(tmp_path / "a.safetensors", message)
