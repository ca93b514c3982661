"""Hints: what of a teacher's features no linear map explains, and training with it."""

import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops

from helpers.gradients import gradients_of
from helpers.weights import random_weights
from span_keras import save_weights
from span_keras.errors import TrainingError
from span_keras.network.config import SpanConfig
from span_keras.network.functional import apply_with_features, fused_arrays
from span_keras.runs.folder import RunFolder
from span_keras.train import main
from span_keras.training import hints
from span_keras.training.losses import SpanLoss
from span_keras.training.options import StepOptions
from span_keras.training.schedule import Schedule
from span_keras.training.trainer import SpanTrainer

TINY = "--channels 4 --batch-size 2 --patch-size 12 --epochs 2 --steps-per-epoch 3 --perceptual none --log-every 1"


def features(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def unexplained(p):
    return hints.unexplained([p["student"]], [p["teacher"]])


def share(student, teacher) -> float:
    return float(hints.unexplained([ops.convert_to_tensor(student)], [ops.convert_to_tensor(teacher)]))


def test_any_linear_map_explains():
    student = features(2, 12, 10, 8)
    teacher = 3 * student @ features(8, 5, seed=1) - 7
    assert 0 <= share(student, teacher) < 1e-3
    # More channels than there are directions: the covariance is singular.
    assert share(np.concatenate([student, student, 0 * student], -1), teacher) < 1e-3
    assert share(0 * student, teacher) > 0.98
    assert 0.9 < share(features(2, 12, 10, 8, seed=2), teacher) <= 1


def test_is_what_least_squares_leaves():
    student = features(2, 12, 10, 6)
    noise = features(2, 12, 10, 9, seed=1)
    teacher = student @ features(6, 9, seed=2) + noise * np.linspace(0.1, 4, 9, dtype=np.float32) + 1
    flat, targets = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (student, teacher))
    with_constant = np.concatenate([flat, np.ones((len(flat), 1))], 1)
    residual = targets - with_constant @ np.linalg.lstsq(with_constant, targets, rcond=None)[0]
    variance = targets.var(0)
    expected = np.mean(residual.var(0) / (variance + hints.FLOOR * variance.mean()))
    assert share(student, teacher) == pytest.approx(expected, rel=1e-3)


def test_of_several_layers_it_is_the_mean():
    students = [features(2, 12, 10, 6, seed=seed) for seed in range(3)]
    teachers = [s @ features(6, 9, seed=5) + k * features(2, 12, 10, 9, seed=6) for k, s in enumerate(students)]
    single = [share(*pair) for pair in zip(students, teachers, strict=True)]
    assert single[0] < 1e-3 < 0.1 < single[1] < single[2]
    assert float(hints.unexplained(students, teachers)) == pytest.approx(np.mean(single), rel=1e-5)


def test_every_channel_counts_alike_but_those_that_do_nothing():
    student = features(2, 12, 10, 4)
    known, unknown = student @ features(4, 1, seed=1), features(2, 12, 10, 1, seed=2)
    for size in (0.2, 0.5, 1):
        assert share(student, np.concatenate([size * known, unknown], -1)) == pytest.approx(0.5, abs=0.05)
    assert share(student, np.concatenate([known, 1e-3 * unknown], -1)) < 1e-3


def test_gradient_goes_to_the_student_alone():
    student = features(2, 6, 5, 4)
    teacher = student @ features(4, 3, seed=1) + features(2, 6, 5, 3, seed=2)
    found = gradients_of(unexplained)({"student": student, "teacher": teacher})
    assert not np.any(found["teacher"])
    # Holding the map costs nothing: the gradient predicts the change with a map that is found anew.
    step = 1e-2 * features(2, 6, 5, 4, seed=3)
    change = share(student + step, teacher) - share(student - step, teacher)
    assert change / 2 == pytest.approx(float((found["student"] * step).sum()), rel=0.02)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e25])
def test_numbers_that_are_not_finite_raise_nothing(wrong):
    """In a compiled step as well; the guard skips it then."""
    student, teacher = features(2, 6, 5, 4), features(2, 6, 5, 3, seed=1)
    student[1, 2, 3, 0] = wrong
    found = gradients_of(unexplained)({"student": student, "teacher": teacher})
    assert not np.isfinite(share(student, teacher)) and not np.isfinite(found["student"]).all()


def test_a_step_with_damaged_weights_is_skipped():
    config = SpanConfig(scale=2, channels=4, blocks=1)
    start = random_weights(config).expand(0)
    start.layers["upsampler"]["bias"][:] = 0.5
    lr = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), np.uint8)
    hr = np.repeat(np.repeat(lr, 2, 1), 2, 2)
    options = StepOptions(hint_weight=1.0, precision="mixed_bfloat16")
    trainer = SpanTrainer(start, SpanLoss(), Schedule(1e-3, 9), options, teacher=random_weights(config, 1))
    next(iter(trainer.run(lambda step: (lr, hr), 1, workers=1)))
    state = trainer.state
    state["weights/conv_1/skip_kernel"][:] = np.nan
    trainer.state = state
    reports = list(trainer.run(lambda step: (lr, hr), 3, workers=1))
    assert [float(report.logs["skipped"][0]) for report in reports] == [1, 1]


@pytest.mark.parametrize("blocks", [None, 2])
def test_a_trainer_needs_a_teacher_that_fits(blocks):
    config = SpanConfig(scale=2, channels=4, blocks=1)
    teacher = blocks and random_weights(SpanConfig(scale=2, channels=4, blocks=blocks))
    found = f"one with {blocks}" if blocks else "none"
    with pytest.raises(TrainingError, match=rf"as many blocks as the network \(1\), found {found}"):
        SpanTrainer(
            random_weights(config), SpanLoss(), Schedule(1e-3, 9), StepOptions(hint_weight=1.0), teacher=teacher
        )


def test_training_brings_features_nearer_to_the_teachers():
    config = SpanConfig(scale=2, channels=6, blocks=2)
    teacher = random_weights(SpanConfig(scale=2, channels=5, blocks=2, variant="official"), seed=1)
    start = random_weights(config, seed=2).expand(0)
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    hr = np.repeat(np.repeat(lr, 2, 1), 2, 2)

    def train(weight):
        trainer = SpanTrainer(start, SpanLoss(), Schedule(2e-3, 60), StepOptions(hint_weight=weight), teacher=teacher)
        logs = [report.logs for report in trainer.run(lambda step: (lr, hr), 60, workers=1)]
        return trainer, {name: np.concatenate([log[name] for log in logs]) for name in logs[0]}

    trainer, logs = train(10.0)
    np.testing.assert_allclose(logs["loss"], logs["mae"] + 10 * logs["hints"], rtol=1e-5)
    assert logs["hints"][-1] < 0.7 * logs["hints"][0]
    # What is logged is the mean over both blocks and the features before the upsampler, computed here by itself.
    x = ops.convert_to_tensor(np.float32(lr) / 255)
    ours, theirs = (
        apply_with_features(fused_arrays(weights), x, weights.config)[1]
        for weights in (trainer.weights(ema=False), teacher)
    )
    assert [f.shape[-1] for f in ours] == [6] * 3 and [f.shape[-1] for f in theirs] == [5] * 3
    now = np.mean([share(a, b) for a, b in zip(ours, theirs, strict=True)])
    assert now == pytest.approx(logs["hints"][-1], rel=0.1)
    assert "hints" not in train(0.0)[1]


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("hints") / "teacher.safetensors"
    save_weights(random_weights(SpanConfig(scale=2, channels=8, blocks=2), seed=4), path)
    return path


def run(out, *arguments):
    return CliRunner().invoke(main, [*TINY.split(), "--scale=2", f"--out={out}", *arguments])


def test_a_run_with_hints_and_its_continuation(teacher_file, photos, tmp_path):
    arguments = [f"--data={photos}", f"--teacher={teacher_file}", "--blocks=2", "--hint-weight=0.5"]
    result = run(tmp_path / "run", *arguments, "--teacher-weight=2")
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, [f"--out={tmp_path / 'run'}", "--resume", "--epochs=3"])
    assert result.exit_code == 0, result.output
    rows = RunFolder(tmp_path / "run").rows("log.csv")
    assert len(rows) == 9
    for row in rows:
        assert row["loss"] == pytest.approx(row["mae"] + 2 * row["teacher"] + 0.5 * row["hints"], rel=1e-5)
        assert 0 < row["hints"] < 1


def test_a_run_with_hints_and_no_photograph_as_target(teacher_file, photos, tmp_path):
    arguments = [f"--data={photos}", f"--teacher={teacher_file}", "--blocks=2", "--hint-weight=0.5"]
    result = run(tmp_path / "run", *arguments, "--target=teacher")
    assert result.exit_code == 0, result.output
    for row in RunFolder(tmp_path / "run").rows("log.csv"):
        assert row["loss"] == pytest.approx(row["mae"] + 0.5 * row["hints"], rel=1e-5)


def test_needs_as_many_blocks(teacher_file, photos, tmp_path):
    arguments = [f"--data={photos}", f"--teacher={teacher_file}", "--hint-weight=1"]
    result = run(tmp_path / "run", *arguments, "--blocks=1")
    assert result.exit_code == 1
    assert (
        "--hint-weight expected a --teacher with as many blocks as the network to train (1), found one with 2"
        in result.output
    )
    assert not (tmp_path / "run" / "config.json").exists()


def test_needs_a_teacher_and_a_sensible_weight(teacher_file, tmp_path):
    result = run(tmp_path / "run", "--hint-weight=1")
    assert result.exit_code == 2
    assert "--hint-weight expected a --teacher that uses it, found none" in result.output
    result = run(tmp_path / "run", f"--teacher={teacher_file}", "--hint-weight=1", "--degrade=noise,blur")
    assert result.exit_code == 2
    assert "--hint-weight expected no --degrade" in result.output and "found --degrade noise,blur" in result.output
    for value in ("-1", "1001"):
        result = run(tmp_path / "run", f"--teacher={teacher_file}", f"--hint-weight={value}")
        assert result.exit_code == 2
        assert f"--hint-weight must be a number from 0 to 1000, found {float(value)}" in result.output
