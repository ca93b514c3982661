"""What a community checkpoint does not tell: range and mean are found by trial, averaged weights are taken by rule."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.torch_files import state_dict, write_zip
from helpers.weights import nearest_weights
from span_keras.checkpoints import load_weights, notes, require_settled, save_weights
from span_keras.checkpoints.trial import RESEMBLES, usual_means
from span_keras.constants import DIV2K_MEAN
from span_keras.errors import CheckpointError
from span_keras.network import arrays
from span_keras.network.config import SpanConfig

GREY, NONE = (0.5,) * 3, (0.0,) * 3
CONVENTIONS = [(255.0, DIV2K_MEAN), (1.0, DIV2K_MEAN), (1.0, GREY), (1.0, NONE), (255.0, GREY), (255.0, NONE)]


def saved(path, weights, **more):
    """The file of a fused network under the authors' names."""
    save_file(state_dict(weights) | more, path)
    return path


def official(scale: int = 2, channels: int = 4, **more) -> SpanConfig:
    return SpanConfig.official(scale, channels, **{"blocks": 2, **more})


# Range and mean ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("img_range", "rgb_mean"), CONVENTIONS)
def test_range_and_mean_are_found(tmp_path, scale, img_range, rgb_mean):
    config = official(scale, img_range=img_range, rgb_mean=rgb_mean)
    loaded = load_weights(saved(tmp_path / "a.safetensors", nearest_weights(config)))
    assert loaded.config == config
    assert loaded.metadata["assumed"] == ["img_range", "rgb_mean", "variant"]
    trial = loaded.metadata["trial"]
    assert trial["resembles"] and trial["psnr"] > RESEMBLES + 5 > trial["next_psnr"]
    require_settled(loaded)


@pytest.mark.parametrize(("given", "made"), [(1, 1), (1, 3), (3, 1), (4, 4)])
def test_range_and_mean_of_other_channels_are_found(tmp_path, given, made):
    for img_range in (1.0, 255.0):
        for mean in usual_means(given):
            channels = {"in_channels": given, "out_channels": made}
            config = official(img_range=img_range, rgb_mean=mean, **channels)
            assert load_weights(saved(tmp_path / "a.safetensors", nearest_weights(config))).config == config


def test_the_note_tells_what_was_found_and_by_how_much(tmp_path):
    path = saved(tmp_path / "a.safetensors", nearest_weights(official(img_range=1.0)))
    loaded = load_weights(path)
    assert notes(loaded) == [
        f"Note: {path} does not tell all about its network; found img_range 1, rgb_mean 0.4488,0.4371,0.404, variant "
        f"official; with these a test picture comes within {loaded.metadata['trial']['psnr']:.1f} dB of its bicubic "
        f"enlargement (the next of 6: {loaded.metadata['trial']['next_psnr']:.1f} dB)."
    ]
    save_weights(loaded, tmp_path / "own.safetensors")
    assert not notes(load_weights(tmp_path / "own.safetensors")), "our own file tells"


def test_what_is_stated_wins(tmp_path):
    path = saved(tmp_path / "a.safetensors", nearest_weights(official(img_range=1.0)))
    wrong = load_weights(path, img_range=255.0, rgb_mean=NONE)
    assert (wrong.config.img_range, wrong.config.rgb_mean) == (255.0, NONE)
    assert "trial" not in wrong.metadata
    half = load_weights(path, img_range=1.0)
    assert (half.config.img_range, half.config.rgb_mean) == (1.0, DIV2K_MEAN)
    assert (half.metadata["assumed"], half.metadata["trial"]["tried"]) == (["rgb_mean", "variant"], 3)


def test_where_nothing_resembles_the_authors_convention_is_kept_and_commands_refuse(tmp_path, make_weights):
    path = saved(tmp_path / "a.safetensors", make_weights(official()))
    loaded = load_weights(path)
    assert loaded.config == official()
    with pytest.raises(CheckpointError) as caught:
        require_settled(loaded)
    trial = loaded.metadata["trial"]
    assert str(caught.value) == (
        f"{path} does not tell its input's range and mean, and with none of 6 usual ones its result resembles an "
        f"enlargement (at best {trial['psnr']:.1f} dB, expected 20); state --img-range and --rgb-mean as in its "
        "training (in Python those of load_weights, whose result save_weights keeps)."
    )
    require_settled(load_weights(path, img_range=255.0, rgb_mean=DIV2K_MEAN))


def test_no_norm_needs_no_trial(tmp_path):
    weights = nearest_weights(official(img_range=1.0, rgb_mean=NONE))
    loaded = load_weights(saved(tmp_path / "a.safetensors", weights, no_norm=np.zeros(1, np.float32)))
    assert loaded.config == weights.config
    assert (loaded.metadata["assumed"], "trial" in loaded.metadata) == (["variant"], False)


@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize("channels", [(3, 3), (1, 3), (4, 4)])
def test_numpy_runs_the_deploy_network(make_weights, variant, channels):
    given, made = channels
    mean = (0.3, 0.4, 0.5, 0.6)[:given]
    config = SpanConfig(2, 8, 2, variant, 2.0, mean, in_channels=given, out_channels=made)
    weights = make_weights(config).expand()
    image = np.random.default_rng(1).random((2, 9, 7, given), np.float32)
    expected = np.asarray(weights.deploy_model()(image))
    np.testing.assert_allclose(arrays.apply(weights, image), expected, atol=2e-5)


# Several networks in one file ----------------------------------------------------------------------------------------

PAIRS = [
    ("params", "params_ema"),
    ("params", "params-ema"),
    ("params", "ema_params"),
    ("model", "model_ema"),
    ("model", "ema_model"),
    ("model", "ema_model.module"),
    ("model", "modelEMA"),
    ("net", "net_ema"),
    ("net_g", "net_g_ema"),
    ("generator", "generator_ema"),
    ("online", "ema"),
    ("state_dict.model", "state_dict.ema_model.module"),
    ("state_dict.net_g", "state_dict.net_g_ema.module"),
    ("state_dict", "ema_state_dict"),
    ("state_dict", "model_ema"),
    ("state_dict.net", "state_dict.swa_model.module"),
    ("model", "averaged_model"),
]


def nested(prefix: str, state: dict) -> dict:
    """``a.b`` -> ``{"a": {"b": state}}``, as Lightning and others save."""
    for part in reversed(prefix.split(".")):
        state = {part: state}
    return state


@pytest.mark.parametrize(("raw", "averaged"), PAIRS)
def test_averaged_weights_win(tmp_path, raw, averaged):
    weights = nearest_weights(official())
    raw_state, averaged_state = state_dict(weights), state_dict(weights)
    raw_state["conv_cat.bias"] = np.full(4, 1, np.float32)
    averaged_state["conv_cat.bias"] = np.full(4, 2, np.float32)
    prefixed = {f"{raw}.{name}": value for name, value in raw_state.items()}
    save_file(prefixed | {f"{averaged}.{name}": v for name, v in averaged_state.items()}, tmp_path / "a.safetensors")
    both = nested(raw, raw_state)
    for key, value in nested(averaged, averaged_state).items():
        both[key] = both[key] | value if key in both else value
    for path in (tmp_path / "a.safetensors", write_zip(tmp_path / "a.pth", both)):
        loaded = load_weights(path)
        np.testing.assert_array_equal(loaded.layers["conv_cat"]["bias"], 2)
        assert notes(loaded)[0] == f"Note: {path} holds several networks; took the averaged weights of {averaged}."


def test_raw_weights_are_taken_where_there_is_nothing_else(tmp_path):
    state = state_dict(nearest_weights(official()))
    path = write_zip(tmp_path / "a.pth", {"params": state, "net_d": state})
    assert notes(load_weights(path))[0] == (
        f"Note: {path} holds several networks; took params, none being called averaged."
    )
    assert len(notes(load_weights(write_zip(path, {"params": state})))) == 1, "one network leaves no choice"


@pytest.mark.parametrize("prefixes", [("first", "second"), ("a_ema", "b_ema"), ("schema", "cinema")])
def test_networks_of_equal_rank_are_refused(tmp_path, prefixes):
    state = state_dict(nearest_weights(official()))
    path = write_zip(tmp_path / "a.pth", dict.fromkeys(prefixes, state))
    with pytest.raises(CheckpointError, match=r"holds several SPAN networks, .*; save the one you mean alone"):
        load_weights(path)


# Relatives -----------------------------------------------------------------------------------------------------------

BLOCK = "block_1.c1_r.eval_conv.weight"
RELATIVES = {
    "SPANPlus": ["feats.0.eval_conv.weight", "feats.1.block_1.c1_r.sk.weight", "feats.1.conv_cat.weight"],
    "SPANF": ["conv_near.weight", BLOCK, "conv_cat.weight", "conv_2.eval_conv.weight"],
    "SPANV2": ["conv_near.weight", "block_1.c1.conv.weight", "block_2.guidance_map_conv.weight"],
    "ESPAN": ["conv_1.eval_conv.weight", BLOCK, "teacher_block_seq.c1_r.eval_conv.weight", "tea_conv_cat.weight"],
    "PDS": ["conv_near.weight", BLOCK, "conv_cat_1.weight", "conv_2_1.eval_conv.weight"],
    "DISP": ["conv_1.eval_conv.weight", "blocks.0.c1_r.eval_conv.weight", "conv_2.weight", "upsampler.0.weight"],
}


@pytest.mark.parametrize("kind", RELATIVES)
@pytest.mark.parametrize("prefix", ["", "params_ema."])
def test_relatives_are_named(tmp_path, kind, prefix):
    state = {f"{prefix}{name}": np.zeros((4, 4, 3, 3), np.float32) for name in RELATIVES[kind]}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=rf"a\.safetensors is {kind}, not SPAN; "):
        load_weights(tmp_path / "a.safetensors")


def test_a_pruned_network_is_named_and_its_width_is_that_of_most_layers(tmp_path, make_weights):
    state = state_dict(make_weights(official(channels=8)))
    state["conv_cat.weight"], state["conv_cat.bias"] = state["conv_cat.weight"][:5], state["conv_cat.bias"][:5]
    state["upsampler.0.weight"] = np.ascontiguousarray(state["upsampler.0.weight"][:, :5])
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_weights(tmp_path / "a.safetensors")
    assert str(caught.value).endswith(
        "a.safetensors is a pruned SPAN, not SPAN: most of its layers have 8 channels, but it has conv_cat with 5; use "
        "the network it was pruned from."
    )


def test_a_message_lists_few_of_many_differences(tmp_path, make_weights):
    state = state_dict(make_weights(official(channels=8)))
    state = {name: value for name, value in state.items() if not name.endswith("bias")}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"missing conv_1\.eval_conv\.bias .*; and 4 more\.$"):
        load_weights(tmp_path / "a.safetensors")
