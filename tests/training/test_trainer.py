"""The train step: its mathematics, its guard, its state. On TensorFlow, and what matters again on JAX without it."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from helpers.environment import NO_TENSORFLOW, QUICK_JAX
from helpers.gradients import gradients_of
from span_keras.constants import EPSILON, GUARD_START, GUARD_WINDOW, RESTORE_AFTER
from span_keras.data.degrade import Degrader
from span_keras.data.options import PRESETS
from span_keras.errors import TrainingError
from span_keras.images.orientation import turned
from span_keras.network.config import SpanConfig
from span_keras.network.functional import PLAIN_LAYERS, apply, functions, fuse, stack, stack_names, unstack
from span_keras.network.init import initialise
from span_keras.network.model import build_span
from span_keras.network.weights import SpanWeights
from span_keras.training import options as step_options
from span_keras.training.devices import Devices, choose
from span_keras.training.losses import SpanLoss, mean_squared_error
from span_keras.training.optimizers import OPTIMIZERS, Optimizer
from span_keras.training.options import StepOptions
from span_keras.training.schedule import Schedule
from span_keras.training.trainer import SpanTrainer, initial_state

BACKEND = keras.backend.backend()
CONFIG = SpanConfig(scale=2, channels=4, blocks=1)


def start(config=CONFIG, seed=0) -> SpanWeights:
    keras.utils.set_random_seed(seed)
    model = build_span(config, dtype="float32")
    initialise(model, seed)
    return SpanWeights.from_model(model)


def batch(step: int, size: int = 2, side: int = 10, scale: int = 2):
    """Smooth random pictures; the same for the same step."""
    rng = np.random.default_rng(step)
    lr = rng.integers(0, 256, (size, side, side, 3), np.uint8)
    return lr, lr.repeat(scale, 1).repeat(scale, 2)


@pytest.fixture(scope="module")
def weights():
    return start()


_made = {}


def make(weights, options=StepOptions(), rate=1e-3, k=1, loss=SpanLoss(None), another=0):  # noqa: B008 (frozen)
    """A trainer at its start. Compiled ones are used again; ``another`` asks for one more of the same kind."""
    key = (options, k, loss, another)
    if key not in _made:
        _made[key] = SpanTrainer(weights, loss, Schedule(rate, 1000), options, steps_per_execution=k)
    _made[key].state = initial_state(weights, options)
    _made[key].schedule = Schedule(rate, 1000)
    return _made[key]


def losses_of(trainer, stop, batches=batch, name="loss"):
    return np.concatenate([report.logs[name] for report in trainer.run(batches, stop, workers=2)])


@pytest.mark.parametrize("variant", ["span", "official"])
def test_the_stacked_network_is_the_keras_model(variant):
    config = SpanConfig(scale=3, channels=8, blocks=2, variant=variant)
    weights = start(config)
    model = weights.train_model("float32")
    x = np.random.default_rng(0).random((2, 9, 11, 3), np.float32)
    arrays = {name: ops.convert_to_tensor(a) for name, a in stack(weights).items()}
    ours = apply(fuse(arrays, config), ops.convert_to_tensor(x), config)
    np.testing.assert_allclose(ops.convert_to_numpy(ours), ops.convert_to_numpy(model(x)), atol=1e-5)


def test_stacking_is_undone_exactly(weights):
    again = unstack(stack(weights), CONFIG)
    for name, group in weights.layers.items():
        for key, value in group.items():
            np.testing.assert_array_equal(again.layers[name][key], value)


def test_gradients_equal_those_of_four_convolutions(weights):
    """Every weight's gradient, relative to the largest of its array, borders included."""
    lr, hr = (ops.cast(image, "float32") / 255 for image in batch(0))
    arrays = stack(weights)

    def composed(parameters):
        sr = apply(fuse(parameters, CONFIG), lr, CONFIG)
        return ops.mean(ops.square(sr - hr))

    def four(parameters):
        return ops.mean(ops.square(run_four_convolutions(parameters, lr) - hr))

    ours, theirs = gradients_of(composed)(arrays), gradients_of(four)(arrays)
    for name in arrays:
        largest = np.abs(theirs[name]).max()
        assert largest > 0, name
        assert np.abs(ours[name] - theirs[name]).max() <= 1e-4 * largest, name


def run_four_convolutions(parameters, lr):
    """The authors' way: pad, 1×1, 3×3, 1×1, plus a 1×1 skip."""
    from span_keras.network.topology import topology

    names = stack_names(CONFIG)
    plain = {name: (parameters[f"{name}/kernel"], parameters[f"{name}/bias"]) for name in PLAIN_LAYERS}
    stock = functions(CONFIG, plain)

    def weight(name, key):
        return parameters[f"conv_1/{key}"] if name == "conv_1" else parameters[f"stack/{key}"][names.index(name)]

    def repconv(name):
        def conv(x, part):
            kernel, bias = weight(name, f"{part}_kernel"), weight(name, f"{part}_bias")
            return ops.conv(x, kernel, padding="valid", data_format="channels_last") + bias

        def run(x):
            padded = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            return conv(conv(conv(padded, "expand"), "conv"), "project") + conv(x, "skip")

        return run

    return topology(lr, CONFIG, lambda kind, name: repconv(name) if kind == "conv3x3" else stock(kind, name))


def orthogonal(matrices):
    """What Muon's iteration makes of them, by their singular value decompositions."""
    u, s, v = np.linalg.svd(matrices, full_matrices=False)
    s = s / np.sqrt(np.square(s).sum(-1, keepdims=True))
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return (u * s[..., None, :]) @ v


HIDDEN_KERNELS = {f"stack/{part}_kernel" for part in ("skip", "expand", "conv", "project")} | {"conv_cat/kernel"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_are_those_of_the_papers(weights, optimizer):
    """Three steps, averaged too, against the formulas in NumPy, fed with the gradients of the same function."""
    options = StepOptions(optimizer=optimizer, weight_decay=0.1, beta_2=0.95, clip_norm=0.05, ema_decay=0.15)
    trainer = make(weights, options, rate=1e-2)
    p = {name: a.astype(np.float64) for name, a in stack(weights).items()}
    m, v = ({n: np.zeros_like(a) for n, a in p.items()} for _ in range(2))
    ema = dict(p)
    by_muon = HIDDEN_KERNELS if optimizer == "muon" else set()

    def loss(q):
        return ops.mean(ops.abs(apply(fuse(q, CONFIG), q["lr"], CONFIG) - q["hr"]))

    gradients = gradients_of(loss)
    for t in range(1, 4):
        images = {name: np.float32(image) / 255 for name, image in zip(("lr", "hr"), batch(t - 1), strict=True)}
        g = gradients(images | {n: a.astype(np.float32) for n, a in p.items()})
        norm = np.sqrt(sum(np.square(g[n], dtype=np.float64).sum() for n in p))
        assert norm > 0.05
        for n in p:
            clipped = g[n] * (0.05 / norm)
            if n in by_muon:
                m[n] = 0.95 * m[n] + clipped
                kernel = clipped + 0.95 * m[n]
                matrices = kernel.reshape(*kernel.shape[:-4], -1, kernel.shape[-1])  # (layers, rows, columns)
                step = 0.2 * max(matrices.shape[-2:]) ** 0.5 * orthogonal(matrices).reshape(kernel.shape)
            else:
                m[n] = 0.9 * m[n] + 0.1 * clipped
                v[n] = 0.95 * v[n] + 0.05 * clipped**2
                step = m[n] * np.sqrt(1 - 0.95**t) / (1 - 0.9**t) / (np.sqrt(v[n]) + EPSILON)
            decay = 0.1 * p[n] if n.endswith("kernel") else 0
            p[n] = p[n] - 1e-2 * (step + decay)
            d = min(0.15, (1 + t) / (10 + t))
            ema[n] = d * ema[n] + (1 - d) * p[n]
    logged = losses_of(trainer, 3, name="grad_norm")
    assert logged[-1] == pytest.approx(norm, rel=1e-3)
    state = trainer.state
    for n in p:
        # Adam divides by the gradient's size, so rounding of tiny gradients shows.
        np.testing.assert_allclose(state[f"weights/{n}"], p[n], atol=2e-4, err_msg=n)
        np.testing.assert_allclose(state[f"ema/{n}"], ema[n], atol=2e-4, err_msg=n)
    assert {n for n in p if f"moment_2/{n}" not in state} == by_muon


def test_the_names_of_the_optimizers_are_known_without_a_backend():
    assert tuple(OPTIMIZERS) == step_options.OPTIMIZERS


def test_a_new_optimizer_is_one_entry(weights, monkeypatch):
    """One that keeps a sum of gradients under a name of its own."""

    def step(gradients, state, t, options):
        sums = {name: state[f"sum/{name}"] + gradient for name, gradient in gradients.items()}
        return sums, {f"sum/{name}": total for name, total in sums.items()}

    monkeypatch.setitem(OPTIMIZERS, "sum", Optimizer(lambda name: ("sum",), step))
    trainer = SpanTrainer(weights, SpanLoss(None), Schedule(1e-3, 100), StepOptions(optimizer="sum", weight_decay=0.0))
    losses_of(trainer, 1)
    state = trainer.state
    assert not any(name.startswith("moment") for name in state)
    for name, before in stack(weights).items():
        np.testing.assert_allclose(state[f"weights/{name}"], before - 1e-3 * state[f"sum/{name}"], atol=1e-6)


def test_biases_do_not_decay(weights):
    lively = stack(weights)
    with_decay, without = (make(weights, StepOptions(weight_decay=d), rate=1e-2) for d in (0.5, 0.0))
    for trainer in (with_decay, without):
        losses_of(trainer, 1)
    for name in lively:
        a, b = with_decay.state[f"weights/{name}"], without.state[f"weights/{name}"]
        if name.endswith("bias"):
            np.testing.assert_allclose(a, b, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_allclose(b - a, 1e-2 * 0.5 * lively[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_learns(weights, optimizer):
    losses = losses_of(make(weights, StepOptions(optimizer=optimizer), rate=3e-3), 60, lambda step: batch(0))
    assert losses[-5:].mean() < 0.5 * losses[0]


def test_several_steps_in_one_execution_are_the_same_steps(weights):
    """Also where the executions do not divide the steps, and where an epoch cuts them."""
    expected = losses_of(make(weights), 10)
    reports = list(make(weights, k=2).run(batch, 10, workers=2, cut=5))
    np.testing.assert_allclose(np.concatenate([r.logs["loss"] for r in reports]), expected, rtol=1e-4)
    assert 5 in [r.step for r in reports]
    assert all(r.synced for r in reports if r.step % 5 == 0)


def test_a_synced_report_belongs_to_the_state(weights):
    """Where that is asked for; elsewhere a second execution is under way."""
    trainer, asked = make(weights, k=2), []
    reports = []
    for report in trainer.run(batch, 12, workers=2, sync=lambda step: asked.append(step) or step == 8):
        reports.append((report.step, report.synced))
        assert int(trainer.state["step"]) == report.step + (0 if report.synced else 2)
    assert reports == [(2, False), (4, False), (6, False), (8, True), (10, False), (12, True)]
    assert asked == [2, 4, 6, 8, 10]


def test_every_report_can_be_synced(weights):
    reports = list(make(weights, k=2).run(batch, 6, workers=2, sync=lambda step: True))
    assert [(report.step, report.synced) for report in reports] == [(2, True), (4, True), (6, True)]


def test_a_restored_state_goes_on_exactly(weights):
    whole = losses_of(make(weights), 8)
    first = make(weights)
    losses_of(first, 4)
    second = make(start(seed=5), another=1)
    second.state = first.state
    assert second.step == 4
    np.testing.assert_array_equal(losses_of(second, 8), whole[4:])


def test_a_state_of_another_network_is_refused(weights):
    other = SpanTrainer(start(SpanConfig(scale=2, channels=4, blocks=2)), SpanLoss(None), Schedule(1e-3, 10))
    with pytest.raises(TrainingError, match=r"does not fit this network; these arrays differ: .*stack/skip_kernel"):
        other.state = make(weights).state


def poisoned(at: int, image):
    """Batches as ever but for one step, whose HR image is the given one in place of its own."""

    def batches(step):
        lr, hr = batch(step)
        return (lr, image(hr)) if step == at else (lr, hr)

    return batches


class Bad(SpanLoss):
    """A loss that is not finite, or very large, for a white target."""

    def __init__(self, value):
        super().__init__(None)
        self.value = value

    def __call__(self, hr, sr):
        total, parts = super().__call__(hr, sr)
        return total * ops.where(ops.mean(hr) > 0.999, self.value, 1.0), parts


def white(hr):
    return np.full_like(hr, 255)


NAN, LEAP = Bad(np.nan), Bad(1e6)


@pytest.mark.parametrize(("loss", "k"), [(NAN, 1), (LEAP, 1), (LEAP, 2)])
def test_a_bad_step_is_skipped_and_changes_nothing(weights, loss, k):
    at = GUARD_START + 1
    trainer, untouched = make(weights, loss=loss, k=k), make(weights)
    skipped = losses_of(trainer, at + 1, poisoned(at, white), name="skipped")
    np.testing.assert_array_equal(np.flatnonzero(skipped), [at])
    losses_of(untouched, at)
    before, after = untouched.state, trainer.state
    for name in before:
        if name not in ("step", "streak"):
            np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert (after["step"], after["updates"], after["streak"]) == (at + 1, at, 1)
    # It goes on as if nothing had been.
    more = losses_of(trainer, at + 6, name="skipped")
    assert not more.any()
    assert trainer.state["streak"] == 0


def test_a_leap_counts_against_the_median_only_once_there_is_one(weights):
    trainer = make(weights, loss=LEAP)
    skipped = losses_of(trainer, 3, poisoned(2, white), name="skipped")
    assert not skipped.any()


def test_ordinary_variation_is_not_skipped(weights):
    """Losses that differ by a factor of five, as small batches of photographs do."""

    def batches(step):
        lr, hr = batch(step)
        return (lr, hr) if step % 3 else (lr // 5, hr // 5)

    assert not losses_of(make(weights, rate=1e-4), GUARD_WINDOW + 20, batches, name="skipped").any()


@pytest.mark.parametrize(("value", "optimizer"), [(np.nan, "adam"), (1e6, "adam"), (np.nan, "muon")])
def test_damaged_weights_give_way_to_their_average(weights, value, optimizer):
    """An update can do harm that shows one step later: then every step is skipped, until the average takes over."""
    trainer = make(weights, StepOptions(optimizer=optimizer))
    before = losses_of(trainer, GUARD_START + 5)
    trainer.state = {**trainer.state, "weights/upsampler/bias": np.full(12, value, np.float32)}
    end = trainer.step + RESTORE_AFTER + 5
    reports = list(trainer.run(batch, end, workers=2))
    logs = {name: np.concatenate([r.logs[name] for r in reports]) for name in ("loss", "skipped", "restored")}
    np.testing.assert_array_equal(logs["skipped"], [1] * RESTORE_AFTER + [0] * 5)
    np.testing.assert_array_equal(np.flatnonzero(logs["restored"]), [RESTORE_AFTER - 1])
    assert logs["loss"][-5:].max() < 2 * before.max()
    assert np.isfinite(trainer.state["weights/upsampler/bias"]).all()


def test_skipping_for_long_stops_with_advice(weights):
    trainer = make(weights, StepOptions(max_skipped=7))
    trainer.state = {**trainer.state, "weights/upsampler/bias": np.full(12, np.nan, np.float32)}
    with pytest.raises(TrainingError, match=r"found 7 steps in a row .* lower --learning-rate"):
        losses_of(trainer, 50)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_mixed_precision_keeps_float32_weights(weights, optimizer):
    trainer = make(weights, StepOptions(precision="mixed_bfloat16", optimizer=optimizer))
    exact = losses_of(make(weights, StepOptions(optimizer=optimizer)), 5)
    mixed = losses_of(trainer, 5)
    assert not np.array_equal(mixed, exact)
    np.testing.assert_allclose(mixed, exact, rtol=0.02)
    assert {a.dtype for name, a in trainer.state.items() if "/" in name} == {np.dtype("float32")}
    # Changes far below bfloat16's resolution of 1/256 arrive.
    moved = trainer.state["weights/conv_1/skip_kernel"] - stack(weights)["conv_1/skip_kernel"]
    assert 0 < np.abs(moved).max() < 0.01


def test_a_second_target_draws_the_output_to_itself(weights):
    lr, hr = batch(0)
    teacher_sr = 255 - hr
    trainer = SpanTrainer(weights, SpanLoss(None), Schedule(3e-3, 100), StepOptions(teacher_weight=100.0))
    reports = list(trainer.run(lambda step: (lr, hr, teacher_sr), 60))
    logs = reports[0].logs
    assert set(logs) == {"loss", "mae", "teacher", "grad_norm", "skipped", "restored", "rate"}
    assert logs["loss"][0] == pytest.approx(logs["mae"][0] + 100 * logs["teacher"][0], rel=1e-5)
    assert reports[-1].logs["teacher"] < 0.7 * logs["teacher"]


def test_any_function_can_be_the_loss_beside_a_teacher(weights):
    lr, hr = batch(0)
    loss = lambda hr, sr: (mean_squared_error(hr, sr), {})  # noqa: E731
    trainer = SpanTrainer(weights, loss, Schedule(1e-3, 100), StepOptions(teacher_weight=2.0))
    logs = next(iter(trainer.run(lambda step: (lr, hr, hr), 1))).logs
    assert logs["loss"][0] > 2 * logs["teacher"][0] > 0


def test_what_cannot_be_trained_says_why(weights):
    loss, schedule = SpanLoss(None), Schedule(1e-3, 10)
    with pytest.raises(TrainingError, match=r"precision must be one of .* found 'float16'"):
        SpanTrainer(weights, loss, schedule, StepOptions(precision="float16"))
    with pytest.raises(TrainingError, match=r"optimizer must be one of .* found 'sgd'"):
        SpanTrainer(weights, loss, schedule, StepOptions(optimizer="sgd"))


def test_the_averaged_weights_come_out(weights):
    trainer = make(weights, StepOptions(ema_decay=0.9))
    losses_of(trainer, 3)
    latest, averaged = trainer.weights(ema=False), trainer.weights()
    start_kernel = weights.layers["conv_2"]["conv_kernel"]
    moved = [np.abs(w.layers["conv_2"]["conv_kernel"] - start_kernel).max() for w in (latest, averaged)]
    assert 0 < moved[1] < moved[0]
    assert averaged.form == "train"


def test_devices_from_the_environment(monkeypatch):
    assert choose("none") == Devices()
    for name in ("TF_CONFIG", "SPAN_COORDINATOR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingError, match=r"expected (TF_CONFIG|SPAN_COORDINATOR).* set"):
        choose("multiworker")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 4}}')
    monkeypatch.setenv("SPAN_COORDINATOR", "localhost:1")
    monkeypatch.setenv("SPAN_PROCESSES", "two")
    with pytest.raises(TrainingError, match=r"expected (TF_CONFIG to name|whole numbers in SPAN_PROCESSES)"):
        choose("multiworker")


def test_patches_are_degraded_in_the_step(weights):
    """The losses are those of the pairs that the degrader makes of the same patches and steps."""
    degrader = Degrader(PRESETS["photo"], scale=2, patch=10, seed=5)
    side = degrader.hr_side

    def patches(step):
        return (np.random.default_rng(step).integers(0, 256, (2, side, side, 3), np.uint8),)

    options, loss, schedule = StepOptions(), SpanLoss(None), Schedule(1e-3, 1000)
    inside = SpanTrainer(weights, loss, schedule, options, degrade=degrader, steps_per_execution=2)
    found = losses_of(inside, 4, patches)
    expected = losses_of(make(weights), 4, lambda step: degrader.arrays(*patches(step), step))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


ON_JAX = "stacked_network or gradients or updates or several_steps or restored or loss0 or synced or degraded"
"""What differs between the backends: gradients, executions, the state. The rest is the same code."""


@pytest.mark.skipif(BACKEND == "jax", reason="starts this again on JAX")
def test_the_same_on_jax_without_tensorflow():
    environment = {**os.environ, **QUICK_JAX, "PYTHONPATH": str(NO_TENSORFLOW)}
    command = [sys.executable, "-m", "pytest", "-p", "no_tensorflow", "-k", ON_JAX, str(Path(__file__))]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert "11 passed" in result.stdout


def test_batches_of_floating_point_are_refused(weights):
    """They would be divided by 255 a second time."""
    with pytest.raises(TrainingError, match=r"expected uint8 batches .* found float32, float32"):
        list(make(weights).run(lambda step: tuple(np.float32(image) / 255 for image in batch(step)), 2))


def test_images_are_turned_on_the_device(weights):
    """As if they had been turned before, for each image on its own."""
    numbers = np.array([5, 2], np.uint8)

    def before(step):
        return tuple(np.stack([turned(*pair) for pair in zip(image, numbers, strict=True)]) for image in batch(step))

    here = losses_of(make(weights), 3, before)
    there = losses_of(make(weights), 3, lambda step: (*batch(step), numbers))
    np.testing.assert_array_equal(there, here)
    assert not np.array_equal(here, losses_of(make(weights), 3))
