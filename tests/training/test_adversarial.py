"""The discriminator, what it adds to the train step, its guard, and its part of the state."""

from dataclasses import replace

import numpy as np
import pytest
from keras import ops

from span_keras.constants import GUARD_WINDOW, RESTORE_AFTER
from span_keras.errors import TrainingError
from span_keras.network.config import SpanConfig
from span_keras.network.init import initialise
from span_keras.network.model import build_span
from span_keras.network.weights import SpanWeights
from span_keras.training import discriminator
from span_keras.training.losses import SpanLoss
from span_keras.training.options import StepOptions
from span_keras.training.schedule import Schedule
from span_keras.training.trainer import SpanTrainer, initial_state

CONFIG = SpanConfig(scale=2, channels=4, blocks=1)
OPTIONS = StepOptions(adversarial_weight=0.1, discriminator_channels=8)
SHORT_OF_PATIENCE = replace(OPTIONS, max_skipped=3)


def judge(arrays, vectors, images, dtype="float32"):
    made = discriminator.apply(discriminator.normalised(arrays, vectors), ops.convert_to_tensor(images), dtype)
    return ops.convert_to_numpy(made)


def tensors(arrays):
    return {name: ops.convert_to_tensor(array) for name, array in arrays.items()}


@pytest.mark.parametrize("height, width", [(8, 8), (16, 40), (13, 22)])
def test_every_pixel_is_judged_whatever_the_size(height, width):
    arrays, vectors = map(tensors, discriminator.initialise(4, 0))
    images = np.random.default_rng(1).random((2, height, width, 3), np.float32)
    assert judge(arrays, vectors, images).shape == (2, height, width, 1)


def test_the_power_method_finds_the_largest_singular_values():
    arrays, vectors = map(tensors, discriminator.initialise(8, 3))
    for _ in range(300):
        vectors = discriminator.power_step(arrays, vectors)
    made = discriminator.normalised(arrays, vectors)
    for name in discriminator.NORMALISED:
        matrix = ops.convert_to_numpy(made[f"{name}/kernel"]).reshape(-1, made[f"{name}/kernel"].shape[-1])
        assert np.linalg.svd(matrix, compute_uv=False)[0] == pytest.approx(1, abs=0.01), name


def test_doubling_is_keras_bilinear_resizing():
    images = np.random.default_rng(2).random((2, 5, 7, 3), np.float32)
    wanted = ops.image.resize(images, (10, 14), interpolation="bilinear", data_format="channels_last")
    found = discriminator.doubled(ops.convert_to_tensor(images))
    np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(wanted), atol=1e-6)


def test_bfloat16_judges_nearly_alike():
    arrays, vectors = map(tensors, discriminator.initialise(8, 0))
    for _ in range(20):
        vectors = discriminator.power_step(arrays, vectors)
    images = np.random.default_rng(1).random((2, 32, 32, 3), np.float32)
    full, half = judge(arrays, vectors, images), judge(arrays, vectors, images, "bfloat16")
    assert half.dtype == np.float32
    assert np.abs(full - half).mean() < 0.03 * full.std() + 0.01


# -- in the train step


def batch(step: int):
    """Noise, whose like the network cannot make of the reduced image."""
    hr = np.random.default_rng(step).integers(0, 256, (4, 24, 24, 3), np.uint8)
    return hr.reshape(4, 12, 2, 12, 2, 3).mean((2, 4)).astype(np.uint8), hr


@pytest.fixture(scope="module")
def weights():
    model = build_span(CONFIG, dtype="float32")
    initialise(model, 0)
    return SpanWeights.from_model(model)


PLAIN = SpanLoss(None)

_made = {}


def make(weights, options=OPTIONS, loss=PLAIN, rate=1e-3, another=0):
    """A trainer at its start. Compiled ones are used again; ``another`` asks for one more of the same kind."""
    key = options, loss, rate, another
    if key not in _made:
        trainer = SpanTrainer(weights, loss, Schedule(rate, 1000), options)
        _made[key] = trainer, trainer.state
    trainer, state = _made[key]
    trainer.state = state
    return trainer


def logs_of(trainer, stop, batches=batch):
    reports = list(trainer.run(batches, stop, workers=1))
    return {name: np.concatenate([report.logs[name] for report in reports]) for name in reports[0].logs}


def test_both_networks_learn(weights):
    trainer = make(weights)
    before = trainer.state
    logs = logs_of(trainer, 160)
    after = trainer.state
    # At first it knows nothing: softplus(0) for each kind of image.
    assert logs["discriminator"][:3].mean() == pytest.approx(2 * np.log(2), abs=0.5)
    # Then it tells noise from what the network makes, until that has learnt from it.
    assert logs["discriminator"].min() < 0.85 * logs["discriminator"][:3].mean()
    np.testing.assert_allclose(logs["loss"], logs["mae"] + 0.1 * logs["adversarial"], rtol=1e-5)
    assert not logs["discriminator_skipped"].any() and not logs["discriminator_waits"].any()
    assert after["discriminator_updates"] == 160
    for name in before:
        if name.startswith(("discriminator/", "discriminator_ema/")):
            assert not np.array_equal(before[name], after[name]), name


def test_the_network_is_drawn_to_what_the_discriminator_takes_for_real(weights):
    """The gradient of the adversarial part: with it alone, the network's images get judged better."""
    zero = lambda hr, sr: (0.0 * ops.mean(sr), {})  # noqa: E731
    alone = make(weights, StepOptions(adversarial_weight=1.0, discriminator_channels=8), zero, rate=1e-4)
    state = alone.state
    logs_of(alone, 1)
    moved = alone.state
    arrays = {name.removeprefix("discriminator/"): a for name, a in state.items() if name.startswith("discriminator/")}
    vectors = {name: a for name, a in arrays.items() if name.startswith("vector/")}
    after = [
        judge(
            tensors(arrays),
            discriminator.power_step(tensors(arrays), tensors(vectors)),
            _enlarged(alone, found, batch(0)[0]),
        ).mean()
        for found in (state, moved)
    ]
    assert after[1] > after[0]


def _enlarged(trainer, state, lr):
    trainer.state = state
    model = build_span(CONFIG, dtype="float32")
    trainer.weights(ema=False).assign_to(model)
    return model.predict(lr.astype(np.float32) / 255, verbose=0)


def test_without_a_weight_there_is_no_discriminator(weights):
    trainer = make(weights, StepOptions())
    assert not [name for name in trainer.state if "discriminator" in name]
    assert "adversarial" not in logs_of(trainer, 1)


def test_the_seed_decides_how_it_begins(weights):
    states = (initial_state(weights, OPTIONS, seed) for seed in (1, 1, 2))
    one, same, other = (state["discriminator/first/kernel"] for state in states)
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_a_restored_state_goes_on_exactly(weights):
    trainer = make(weights)
    logs_of(trainer, 3)
    middle = trainer.state
    logs_of(trainer, 6)
    end = trainer.state
    trainer.state = middle
    logs_of(trainer, 6)
    assert all(np.array_equal(end[name], array) for name, array in trainer.state.items())


# -- its guard


HISTORY = "discriminator_recent_losses"

OVERFLOW = np.full(1, 1e38, np.float32)
"""A bias that makes the mean of the discriminator's loss infinite, and the network's part of it nothing."""


def test_a_bad_update_of_the_discriminator_is_skipped_and_stops_nothing_else(weights):
    trainer = make(weights)
    trainer.state = before = {**trainer.state, "discriminator/last/bias": OVERFLOW}
    logs = logs_of(trainer, 1)
    assert logs["discriminator_skipped"][0] == 1 and logs["skipped"][0] == 0
    after = trainer.state
    assert (after["discriminator_updates"], after["discriminator_streak"], after["updates"]) == (0, 1, 1)
    for name in before:
        if (
            name.startswith(("discriminator/", "discriminator_ema/", "moment_1/discriminator/"))
            and "vector" not in name
        ):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_a_damaged_discriminator_gives_way_to_its_average(weights):
    trainer = make(weights)
    state = trainer.state
    state["discriminator/last/bias"] = np.full_like(state["discriminator/last/bias"], np.nan)
    trainer.state = state
    logs = logs_of(trainer, RESTORE_AFTER + 2)
    assert logs["skipped"][:RESTORE_AFTER].all() and logs["discriminator_skipped"][:RESTORE_AFTER].all()
    assert not logs["skipped"][RESTORE_AFTER:].any() and not logs["discriminator_skipped"][RESTORE_AFTER:].any()


def test_leaps_of_its_loss_are_left_out(weights):
    trainer = make(weights)
    state = trainer.state
    changed = "discriminator/last/bias"
    trainer.state = before = {**state, HISTORY: np.full(GUARD_WINDOW, 1.0, np.float32), changed: state[changed] + 50}
    logs = logs_of(trainer, RESTORE_AFTER + 2)
    np.testing.assert_array_equal(logs["discriminator_skipped"], [1] * RESTORE_AFTER + [0] * 2)
    assert np.isfinite(logs["discriminator"]).all()
    after = trainer.state
    assert after["discriminator_updates"] == 2 and np.abs(after[changed]).max() < 5, "the average took over"
    np.testing.assert_array_equal(after[HISTORY][:-2], before[HISTORY][2:])


def test_a_discriminator_that_wins_waits_until_the_network_has_caught_up(weights):
    trainer = make(weights)
    history = np.full(GUARD_WINDOW, 0.05, np.float32)
    trainer.state = before = {**trainer.state, HISTORY: history}
    logs = logs_of(trainer, 2)
    assert logs["discriminator_waits"].all() and not logs["discriminator_skipped"].any()
    waiting = trainer.state
    for name in before:
        if (
            name.startswith(("discriminator/", "discriminator_ema/", "moment_1/discriminator/"))
            and "/vector/" not in name
        ):
            np.testing.assert_array_equal(waiting[name], before[name], err_msg=name)
    assert (waiting["discriminator_updates"], waiting["updates"]) == (0, 2)
    # Its loss is that of one that knows nothing, 1.39: soon the mean over the window is above the bound.
    logs = logs_of(trainer, 12)
    assert not logs["discriminator_waits"][-5:].any() and not logs["discriminator_skipped"].any()
    assert trainer.state["discriminator_updates"] == 10 - logs["discriminator_waits"].sum()


@pytest.mark.parametrize("recent", [[np.inf] + [0.01] * (GUARD_WINDOW - 1), [0.11] * GUARD_WINDOW])
def test_one_that_may_win_or_knows_nothing_again_goes_on(weights, recent):
    """Too few losses are known to say that it wins, or their mean is above the bound; 1.39 is no leap over any."""
    trainer = make(weights)
    trainer.state = {**trainer.state, HISTORY: np.float32(recent)}
    logs = logs_of(trainer, 1)
    assert logs["discriminator"][0] > 1
    assert not logs["discriminator_waits"].any() and not logs["discriminator_skipped"].any()


def test_a_checkpoint_of_an_older_version_has_no_history(weights):
    trainer = make(weights)
    logs_of(trainer, 3)
    state = trainer.state
    assert np.isfinite(state[HISTORY]).sum() == 3
    trainer.state = {name: array for name, array in state.items() if name != HISTORY}
    assert np.isinf(trainer.state[HISTORY]).all()
    np.testing.assert_array_equal(trainer.state["discriminator/last/bias"], state["discriminator/last/bias"])
    trainer.state = state
    trainer.forget_losses()
    assert np.isinf(trainer.state[HISTORY]).all()


def test_the_part_that_is_not_finite_is_named(weights):
    trainer = make(weights, StepOptions(adversarial_weight=0.1, discriminator_channels=4, max_skipped=3))
    state = trainer.state
    for name in ("discriminator/last/bias", "discriminator_ema/last/bias"):
        state[name] = np.full_like(state[name], np.nan)
    trainer.state = state
    with pytest.raises(TrainingError, match=r"3 steps in a row .*\(not finite: adversarial, discriminator\)"):
        logs_of(trainer, 10)


def test_a_discriminator_that_cannot_learn_stops_the_run_by_its_name(weights):
    trainer = make(weights, SHORT_OF_PATIENCE)
    trainer.state = {
        **trainer.state,
        "discriminator/last/bias": OVERFLOW,
        "discriminator_ema/last/bias": OVERFLOW,
    }
    with pytest.raises(TrainingError, match="found 3 updates of the discriminator in a row"):
        logs_of(trainer, 10)


def test_a_checkpoint_without_a_discriminator_is_called_so(weights):
    with_it, without = make(weights), make(weights, StepOptions())
    with pytest.raises(TrainingError, match="expected a checkpoint with a discriminator, found one without; leave"):
        with_it.state = without.state
    with pytest.raises(TrainingError, match="expected a checkpoint without a discriminator, found one with it; leave"):
        without.state = with_it.state
    wider = make(weights, StepOptions(adversarial_weight=0.1, discriminator_channels=5))
    with pytest.raises(TrainingError, match="these arrays differ: discriminator"):
        wider.state = with_it.state


def test_mixed_precision_keeps_float32_weights(weights):
    options = StepOptions(adversarial_weight=0.1, discriminator_channels=4, precision="mixed_bfloat16")
    trainer = make(weights, options)
    logs = logs_of(trainer, 5)
    assert np.isfinite(logs["discriminator"]).all()
    assert {array.dtype for array in trainer.state.values()} == {np.dtype("float32"), np.dtype("int32")}
