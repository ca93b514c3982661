"""The learning rate at, before and after every boundary, and what cannot be a schedule."""

import math

import pytest

from span_keras.errors import ConfigError
from span_keras.training.schedule import Schedule


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0), (9, 1.0), (10, 0.1), (11, 0.1), (20, 0.01)]
)
def test_warm_up_then_steps(step, rate):
    schedule = Schedule(1.0, 100, boundaries=(10, 20), factor=0.1, warmup_steps=4)
    assert schedule.rate(step) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.5), (1, 1.0), (2, 1.0), (27, 0.853553), (52, 0.5), (77, 0.146447), (102, 0.0)]
)
def test_cosine_after_a_warm_up(step, rate):
    schedule = Schedule(1.0, 102, kind="cosine", warmup_steps=2)
    assert schedule.rate(step) == pytest.approx(rate, abs=1e-6)


def test_cosine_ends_at_zero_and_stays_there():
    schedule = Schedule(3e-4, 1000, kind="cosine")
    assert schedule.rate(0) == 3e-4
    assert schedule.rate(500) == pytest.approx(1.5e-4)
    assert 0 < schedule.rate(999) < 1e-8
    assert schedule.rate(1000) == schedule.rate(5000) == 0


def test_boundaries_by_epoch_are_those_by_step():
    by_epoch = Schedule.by_epoch(1.0, steps_per_epoch=7, epochs=10, boundaries=(2, 5))
    by_step = Schedule(1.0, 70, boundaries=(14, 35))
    assert by_epoch == by_step
    assert [by_step.rate(s) for s in (13, 14, 34, 35)] == [1.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial": 0.0}, "learning rate must be a positive number, found 0.0"),
        ({"initial": -1e-4}, "learning rate must be a positive number, found -0.0001"),
        ({"initial": math.nan}, "found nan"),
        ({"initial": math.inf}, "found inf"),
        ({"kind": "linear"}, "piecewise or cosine, found 'linear'"),
        ({"boundaries": (20, 10)}, "ascending and positive, found"),
        ({"boundaries": (10, 10)}, "ascending and positive, found"),
        ({"boundaries": (0,)}, "ascending and positive, found"),
        ({"factor": 0.0}, "above 0 and at most 1, found 0.0"),
        ({"factor": 2.0}, "above 0 and at most 1, found 2.0"),
        ({"total_steps": 0}, "steps must be positive"),
        ({"warmup_steps": -1}, "found 100 and -1"),
    ],
)
def test_impossible_schedules_say_why(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Schedule(**{"initial": 1.0, "total_steps": 100, **arguments})
