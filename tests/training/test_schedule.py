"""The learning rate at, before and after every boundary; recipes; and what cannot be a schedule or a setting."""

import dataclasses
import math

import pytest

from span_keras.constants import DIV2K_MEAN
from span_keras.errors import ConfigError
from span_keras.runs.recipes import RECIPES
from span_keras.runs.settings import CONVENIENCE, OF_THE_LOSS, Settings, resolve
from span_keras.training.schedule import Schedule

DEFAULT = resolve({})
PAPER = resolve({"recipe": "paper"})


@pytest.mark.parametrize(
    ("settings", "step", "rate"),
    [
        # 100 steps an epoch: the rate falls with the first step of epochs 200 and 300, counted from 0.
        (DEFAULT, 0, 1e-4),
        (DEFAULT, 19_999, 1e-4),
        (DEFAULT, 20_000, 5e-5),
        (DEFAULT, 20_001, 5e-5),
        (DEFAULT, 29_999, 5e-5),
        (DEFAULT, 30_000, 2.5e-5),
        (DEFAULT, 49_999, 2.5e-5),
        (PAPER, 0, 5e-4),
        (PAPER, 199_999, 5e-4),
        (PAPER, 200_000, 2.5e-4),
        (PAPER, 200_001, 2.5e-4),
        (PAPER, 399_999, 2.5e-4),
        (PAPER, 400_000, 1.25e-4),
        (PAPER, 599_999, 1.25e-4),
        (PAPER, 600_000, 6.25e-5),
        (PAPER, 799_999, 6.25e-5),
        (PAPER, 800_000, 3.125e-5),
        (PAPER, 999_999, 3.125e-5),
    ],
)
def test_recipes_at_every_boundary(settings, step, rate):
    assert settings.schedule_object().rate(step) == pytest.approx(rate, rel=1e-12)


def test_recipes_are_those_of_their_sources():
    assert (DEFAULT.epochs, DEFAULT.batch_size, DEFAULT.weight_decay, DEFAULT.vgg_weight) == (500, 4, 1e-4, 0.001)
    assert (DEFAULT.learning_rate, DEFAULT.rate_epochs, DEFAULT.rate_factor) == (1e-4, (200, 300), 0.5)
    assert DEFAULT.perceptual == "vgg16"
    assert PAPER.total_steps == 1_000_000
    assert (PAPER.batch_size, PAPER.learning_rate, PAPER.beta_1, PAPER.beta_2) == (64, 5e-4, 0.9, 0.99)
    assert (PAPER.perceptual, PAPER.weight_decay, PAPER.loss) == ("none", 0.0, "mae")
    assert [resolve({"recipe": "paper", "scale": s}).patch_size * s for s in (2, 3, 4)] == [256, 255, 256]


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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "--epochs must be a whole number from 1"),
        ({"epochs": -5}, "--epochs must be a whole number"),
        ({"epochs": 2.5}, "--epochs must be a whole number"),
        ({"batch_size": 0}, "--batch-size must be"),
        ({"patch_size": 0}, "--patch-size must be"),
        ({"patch_size": 10**6}, "--patch-size must be"),
        ({"steps_per_epoch": 0}, "--steps-per-epoch must be"),
        ({"learning_rate": -1e-4}, "--learning-rate must be a number"),
        ({"learning_rate": math.nan}, "--learning-rate must be a finite number, found nan"),
        ({"learning_rate": 1e9}, "--learning-rate must be a number from 1e-12 to 10"),
        ({"vgg_weight": -1.0}, "--vgg-weight must be"),
        ({"weight_decay": math.inf}, "--weight-decay must be a finite number"),
        ({"ema_decay": 1.0}, "--ema-decay must be"),
        ({"seed": -1}, "--seed must be"),
        ({"scale": 5}, "scale must be one of"),
        ({"channels": 0}, "channels must be a whole number"),
        ({"variant": "other"}, "variant must be one of"),
        ({"loss": "huber"}, "--loss must be one of"),
        ({"luma": 1.0}, "--luma must be a number from 0 to 0.99, found 1.0"),
        ({"luma": -0.1}, "--luma must be a number from 0 to 0.99, found -0.1"),
        ({"luma": math.nan}, "--luma must be a finite number, found nan"),
        ({"optimizer": "sgd"}, "--optimizer must be one of"),
        ({"recipe": "mine"}, "--recipe must be one of"),
        ({"rate_epochs": (1,), "rate_steps": (5,)}, "not both"),
        ({"unknown": 1}, "unknown settings"),
        ({"val_images": 0}, "--val-images must be a whole number from 1"),
        ({"degrade": ("blur", "rain")}, "--degrade must name some of .*, found 'rain'"),
        ({"rgb_mean": (0.5, 0.5)}, "rgb_mean must be three values"),
        ({"perceptual": "none", "perceptual_weights": "vgg.h5"}, "--perceptual-weights expected a --perceptual"),
        ({"teacher_weight": 2.0}, "--teacher-weight expected a --teacher that uses it, found none"),
        ({"teacher_cache": "kept"}, "--teacher-cache expected a --teacher that uses it, found none"),
        ({"hr_scales": (1.5,)}, "--hr-scales must be numbers above 0"),
    ],
)
def test_impossible_settings_say_why(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve(given)


def test_every_setting_of_the_loss_says_that_losses_do_not_compare():
    names = [field.name for field in dataclasses.fields(Settings)]
    of_the_loss = names[names.index("loss") : names.index("optimizer")]
    assert {"loss", "luma", "teacher"} < set(of_the_loss)
    assert set(of_the_loss) - set(CONVENIENCE) <= set(OF_THE_LOSS)


def test_what_is_given_overrides_the_recipe_and_survives_json():
    settings = resolve({"recipe": "paper", "rate_epochs": (3, 4), "epochs": 5, "seed": None})
    assert settings.rate_steps == ()
    assert settings.epochs == 5
    assert settings.seed == 0
    assert Settings.from_dict(settings.to_dict()) == settings


def test_resuming_keeps_what_was_saved():
    saved = resolve({"recipe": "paper", "epochs": 7, "batch_size": 3}).to_dict()
    resumed = resolve({"epochs": 9, "batch_size": None}, saved)
    assert (resumed.recipe, resumed.epochs, resumed.batch_size, resumed.beta_2) == ("paper", 9, 3, 0.99)


@pytest.mark.parametrize(
    ("given", "perceptual", "weight"),
    [
        ({}, "none", 0.0),
        ({"perceptual": "vgg16"}, "vgg16", 0.001),
        ({"vgg_weight": 0.01}, "vgg16", 0.01),
        ({"perceptual": "vgg16", "vgg_weight": 0.0}, "vgg16", 0.0),
        ({"perceptual": "none"}, "none", 0.0),
    ],
)
def test_half_a_perceptual_loss_is_completed(given, perceptual, weight):
    """The recipe has neither half, and neither works alone."""
    settings = resolve({"recipe": "paper", **given})
    assert (settings.perceptual, settings.vgg_weight) == (perceptual, weight)
    resumed = resolve(given, resolve({"recipe": "paper"}).to_dict())
    assert (resumed.perceptual, resumed.vgg_weight) == (perceptual, weight)


def test_resuming_completes_only_what_is_new():
    saved = Settings(perceptual="vgg16", vgg_weight=0.0).to_dict()
    assert resolve({"perceptual": "vgg16"}, saved).vgg_weight == 0.0


def test_what_a_run_has_may_be_useless_when_it_resumes():
    saved = Settings(perceptual_weights="vgg.h5", teacher="bundled:x4").to_dict()
    assert resolve({"perceptual": "none"}, saved).perceptual_weights == "vgg.h5"
    assert resolve({"teacher_weight": 2.0}, saved).teacher_weight == 2.0


def test_runs_without_a_mean_are_of_div2k():
    saved = {k: v for k, v in resolve({"epochs": 7}).to_dict().items() if k != "rgb_mean"}
    assert resolve({}, saved) == resolve({"epochs": 7})
    assert resolve({}, saved).rgb_mean == DIV2K_MEAN


def test_recipes_name_known_settings_only():
    known = set(Settings().to_dict())
    assert all(set(recipe) <= known for recipe in RECIPES.values())
