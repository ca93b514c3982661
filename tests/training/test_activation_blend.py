"""Passing from the authors' activations to this project's: the same function at first, the other variant at last."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops
from keras.backend import standardize_dtype

from helpers.weights import random_weights
from span_keras import load_weights, save_weights
from span_keras.errors import CheckpointError, ConfigError, TrainingError
from span_keras.network.config import SpanConfig
from span_keras.network.functional import apply, apply_with_features, functions, fused_arrays
from span_keras.runs.folder import RunFolder
from span_keras.runs.settings import resolve
from span_keras.runs.start import start_weights
from span_keras.train import main
from span_keras.training import activation_blend, hints
from span_keras.training.losses import SpanLoss
from span_keras.training.options import StepOptions
from span_keras.training.schedule import Schedule
from span_keras.training.trainer import SpanTrainer

OFFICIAL = SpanConfig.official(scale=2, channels=6, blocks=3)
SPAN = SpanConfig(scale=2, channels=6, blocks=3)
TINY = "--batch-size 2 --patch-size 12 --epochs 2 --steps-per-epoch 4 --perceptual none --log-every 1 --val-images 1"


def authors(seed=0):
    """Random weights of the authors' variant and input range that attend strongly."""
    weights = random_weights(OFFICIAL, seed)
    weights.layers["conv_1"]["kernel"][...] /= OFFICIAL.img_range
    for i in range(OFFICIAL.blocks):
        weights.layers[f"block_{i + 1}_c3"]["kernel"][...] *= 4
    weights.layers["upsampler"]["bias"][...] += 0.5
    return weights


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("official") / "official.safetensors"
    save_weights(authors(), path)
    return path


def run(weights, x, share=None):
    return ops.convert_to_numpy(apply(fused_arrays(weights), x, weights.config, share=share))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((2, 14, 11, 3), np.float32)


@pytest.mark.parametrize("form", ["deploy", "train"])
@pytest.mark.parametrize("folded", [False, True])
def test_begins_with_the_given_function(x, form, folded):
    given = authors()
    start = given.expand(3) if form == "train" else given
    start = activation_blend.convert(start.fold_range() if folded else start)
    assert (start.config.variant, start.config.img_range) == ("span", 1 if folded else 255)
    expected = run(given, x)
    np.testing.assert_allclose(run(start, x, share=0.0), expected, atol=1e-5)
    assert np.abs(run(start, x) - expected).max() > 0.05
    np.testing.assert_array_equal(given.layers["conv_1"]["kernel"], authors().layers["conv_1"]["kernel"])


def test_begins_with_it_in_bfloat16(x):
    start, expected = activation_blend.convert(authors()), run(authors(), x)
    fused = fused_arrays(start)
    sr, features = apply_with_features(fused, x, start.config, "bfloat16", share=ops.convert_to_tensor(0.0))
    assert [standardize_dtype(feature.dtype) for feature in features] == ["bfloat16"] * 4
    np.testing.assert_allclose(ops.convert_to_numpy(sr), expected, atol=0.02)
    assert np.abs(run(start, x) - expected).max() > 0.1


def test_ends_with_the_other_variant(x):
    weights = random_weights(SPAN)
    np.testing.assert_array_equal(run(weights, x, share=1.0), run(weights, x))


def test_changes_evenly_in_between():
    values = np.float32([-3, -0.5, 0, 0.7, 4])
    layer = activation_blend.functions(functions(SPAN, {}), 0.25)
    silu, leaky = values / (1 + np.exp(-values)), np.where(values < 0, 0.1 * values, values)
    np.testing.assert_allclose(layer("act", "block_2_act1")(values), 0.75 * silu + 0.25 * leaky, rtol=1e-5)
    np.testing.assert_allclose(layer("add", "block_2_add")((values, 2 * values)), values + 0.625 * 2 * values)
    np.testing.assert_allclose(layer("add", "block_1_add")((values, 2 * values)), 3 * values)
    np.testing.assert_allclose(layer("tanh", "block_2_sym")(values), np.tanh(values), rtol=1e-5)
    assert [float(activation_blend.share_at(step, 8)) for step in (0, 2, 8, 9)] == [0, 0.25, 1, 1]


def test_training_follows_the_way():
    """The first loss is that of the given network, the worst one far below that of changing at once."""
    start = activation_blend.convert(authors().fold_range())
    lr = np.random.default_rng(1).integers(0, 256, (32, 16, 16, 3), np.uint8)
    hr = np.uint8(np.clip(np.rint(run(authors(), np.float32(lr) / 255) * 255), 0, 255))

    def loss_at_last(weights):
        return np.abs(run(weights.fuse(), np.float32(lr) / 255) - np.float32(hr) / 255).mean()

    schedule, options = Schedule(1e-3, 30, kind="cosine"), StepOptions(ema_decay=0.0, morph_steps=20)
    trainer = SpanTrainer(start.expand(0), SpanLoss(), schedule, options)
    batches = lambda step: (lr[step % 8 * 4 :][:4], hr[step % 8 * 4 :][:4])  # noqa: E731
    losses = [float(report.logs["mae"][0]) for report in trainer.run(batches, 30, workers=1)]
    assert losses[0] < 0.003
    assert max(losses) < 0.6 * loss_at_last(start)
    assert loss_at_last(trainer.weights()) == pytest.approx(np.mean(losses[-8:]), rel=0.2)


def test_hints_see_the_changed_activations():
    """The teacher's blocks explain all of what the network's own do, as long as both compute the same."""
    start = activation_blend.convert(authors())
    lr = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), np.uint8)
    options = StepOptions(hint_weight=1.0, morph_steps=1000)
    trainer = SpanTrainer(start.expand(0), SpanLoss(), Schedule(1e-3, 2000), options, teacher=authors())
    report = next(iter(trainer.run(lambda step: (lr, lr.repeat(2, 1).repeat(2, 2)), 1, workers=1)))
    both = [
        apply_with_features(fused_arrays(weights), np.float32(lr) / 255, weights.config)[1]
        for weights in (start, authors())
    ]
    at_last = hints.unexplained(*both)
    assert report.logs["hints"][0] < 0.02 < 0.05 < at_last


def train(*arguments):
    result = CliRunner().invoke(main, [*TINY.split(), *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_command(photos, file, tmp_path):
    """The variant need not be named. Interrupted in the midst of it, a run goes on as if it had not been."""
    options = ("--data", photos, "--init", file, "--morph-steps", 6)
    result = train(*options, "--out", tmp_path / "whole")
    assert result.exit_code == 0, result.output
    assert f"{file} passes from SiLU and sigmoid to LeakyReLU and tanh over 6 steps" in result.output
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert (config["variant"], config["channels"], config["morph_steps"]) == ("span", 6, 6)
    assert load_weights(tmp_path / "whole" / "weights.safetensors").config == SPAN

    result = train(*options, "--out", tmp_path / "cut", "--max-minutes", 1e-6)
    assert "continue with --resume" in result.output
    assert re.search(r"Note: \d of --morph-steps 6 are done; .* worth little", result.output)
    refused = train("--out", tmp_path / "cut", "--resume", "--morph-steps", 5)
    assert refused.exit_code == 1
    assert "found --morph-steps 5 where the run has 6" in refused.output
    assert len(RunFolder(tmp_path / "cut").rows("log.csv")) < 6
    result = train("--out", tmp_path / "cut", "--resume", "--max-minutes", 0)
    assert result.exit_code == 0 and "worth little" not in result.output, result.output
    a, b = (RunFolder(tmp_path / name).load_checkpoint().arrays for name in ("whole", "cut"))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_what_is_refused(file, tmp_path):
    for given, message in [
        ({"morph_steps": 5}, "--morph-steps expected a --init that uses it, found none"),
        ({"morph_steps": 5, "init": "w", "variant": "official"}, "expected --variant span, to which it leads"),
        (
            {"morph_steps": 50_000, "init": "w"},
            "expected fewer than the 50000 steps of the run, .* give fewer, or more",
        ),
        ({"morph_steps": -1, "init": "w"}, "--morph-steps must be a whole number from 0"),
    ]:
        with pytest.raises(ConfigError, match=message):
            resolve(given)
    assert resolve({"morph_steps": 49_999, "init": "w"}).morph_steps == 49_999
    network = {"scale": 2, "channels": 6, "blocks": 3}
    with pytest.raises(TrainingError, match=r"with variant 'official'.* or give --morph-steps"):
        start_weights(resolve({"init": str(file), **network}))
    save_weights(random_weights(SPAN), tmp_path / "span.safetensors")
    result = train("--data", tmp_path, "--init", tmp_path / "span.safetensors", "--morph-steps", 5)
    assert result.exit_code == 2
    assert "expected --init weights of variant official, found" in result.output
    with pytest.raises(CheckpointError, match=r"random expected to be of variant official, found span"):
        activation_blend.convert(random_weights(SPAN))
    with pytest.raises(TrainingError, match=r"morph_steps expected weights of variant span from .*, found official"):
        SpanTrainer(authors(), SpanLoss(), Schedule(1e-3, 9), StepOptions(morph_steps=5))
    given = resolve({"init": str(tmp_path / "span.safetensors"), "variant": "official", **network})
    with pytest.raises(TrainingError, match=r"variant 'span'; leave those options out to take them from the file\.$"):
        start_weights(given)
