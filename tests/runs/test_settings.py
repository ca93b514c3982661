"""What a run is told: recipes, what overrides what, what is refused, and what a resumed run keeps."""

import json
import math
from dataclasses import replace

import pytest

from span_keras.constants import DIV2K_MEAN
from span_keras.data.options import PRESETS, STRENGTHS
from span_keras.errors import ConfigError
from span_keras.runs.settings import Settings, resolve

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
    assert settings.schedule.rate(step) == pytest.approx(rate, rel=1e-12)


def test_recipes_are_those_of_their_sources():
    data, step, run = DEFAULT.data, DEFAULT.step, DEFAULT.run
    assert (run.epochs, data.batch_size, step.weight_decay, step.vgg_weight) == (500, 4, 1e-4, 0.001)
    assert (step.learning_rate, step.rate_epochs, step.rate_factor) == (1e-4, (200, 300), 0.5)
    assert step.perceptual == "vgg16"
    data, step, run = PAPER.data, PAPER.step, PAPER.run
    assert run.total_steps == 1_000_000
    assert (data.batch_size, step.learning_rate, step.beta_1, step.beta_2) == (64, 5e-4, 0.9, 0.99)
    assert (step.perceptual, step.weight_decay, step.loss) == ("none", 0.0, "mae")
    assert [resolve({"recipe": "paper", "scale": s}).data.patch_size * s for s in (2, 3, 4)] == [256, 255, 256]


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
        ({"weight_decay": math.inf}, r"\[step\] weight_decay must be a finite number, found inf"),
        ({"ema_decay": 1.0}, r"\[step\] ema_decay must be"),
        ({"seed": -1}, "--seed must be"),
        ({"scale": 5}, "scale must be one of"),
        ({"channels": 0}, "channels must be a whole number"),
        ({"variant": "other"}, "variant must be one of"),
        ({"loss": "huber"}, "--loss must be one of"),
        ({"optimizer": "sgd"}, "--optimizer must be one of"),
        ({"recipe": "mine"}, r"--recipe must be one of default, paper.* or a \.toml file, found 'mine'"),
        ({"rate_epochs": (1,), "rate_steps": (5,)}, r"\[step\] expected rate_epochs or rate_steps, not both"),
        ({"rate_epochs": (5, 3)}, r"\[step\] rate_epochs must be ascending whole numbers, found \[5, 3\]"),
        ({"unknown": 1}, "unknown settings"),
        ({"val_images": 0}, "--val-images must be a whole number from 1"),
        ({"degrade": "rain"}, "--degrade must be one of none, light, photo, strong, found 'rain'"),
        ({"degrade_blur": 0.5}, r"\[data\] degrade_blur expected a --degrade that uses it, found none"),
        ({"degrade": "photo", "degrade_blur": 7.0}, r"\[data\] degrade_blur must be a number from 0 to 1, found 7"),
        ({"degrade": "photo", "degrade_quality": (90, 20)}, r"degrade_quality must be two ascending numbers from 1"),
        ({"degrade": "photo", "teacher": "bundled:x4"}, r"\[data\] expected degrade or teacher, not both"),
        ({"rgb_mean": (0.5, 0.5)}, "rgb_mean must be a value near"),
        (
            {"perceptual": "none", "perceptual_weights": "vgg.h5"},
            "--perceptual-weights expected a --perceptual that",
        ),
        ({"teacher_weight": 2.0}, r"\[step\] teacher_weight expected a --teacher that uses it, found none"),
        ({"teacher_cache": "kept"}, r"\[data\] teacher_cache expected a --teacher that uses it, found none"),
        ({"hr_scales": (1.5,)}, "--hr-scales must be numbers from 0.01 to 0.99, found 1.5"),
    ],
)
def test_impossible_settings_say_why(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve(given)


def test_every_setting_of_the_loss_says_that_losses_do_not_compare():
    """Those of what is compared, and of the images; not those of the optimizer."""
    assert resolve({}).of_the_loss().keys() == {
        *("degrade", "hr_scales", "teacher"),
        *(f"degrade_{name}" for name in STRENGTHS),
        *("loss", "perceptual", "perceptual_weights", "vgg_weight", "teacher_weight"),
        *("colour_weight", "adversarial_weight"),
    }


def test_strengths_of_degradations_change_a_preset():
    assert resolve({}).data.degradations is None
    settings = resolve({"degrade": "strong", "degrade_quality": (30, 60), "degrade_clean": 0.0})
    assert settings.data.degradations == replace(PRESETS["strong"], quality=(30, 60), clean=0.0)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert resolve({"teacher": "bundled:x4"}, settings.to_dict()).data.degradations is None


def test_what_is_given_overrides_the_recipe_and_survives_json():
    settings = resolve({"recipe": "paper", "rate_epochs": (3, 4), "epochs": 5, "seed": None})
    assert settings.step.rate_steps == ()
    assert settings.run.epochs == 5
    assert settings.run.seed == 0
    assert Settings.from_dict(settings.to_dict()) == settings


def test_resuming_keeps_what_was_saved():
    saved = resolve({"recipe": "paper", "epochs": 7, "batch_size": 3}).to_dict()
    resumed = resolve({"epochs": 9, "batch_size": None}, saved)
    assert (resumed.recipe, resumed.run.epochs, resumed.data.batch_size, resumed.step.beta_2) == ("paper", 9, 3, 0.99)


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
    assert (settings.step.perceptual, settings.step.vgg_weight) == (perceptual, weight)
    resumed = resolve(given, resolve({"recipe": "paper"}).to_dict())
    assert (resumed.step.perceptual, resumed.step.vgg_weight) == (perceptual, weight)


def test_resuming_completes_only_what_is_new():
    saved = Settings().having(perceptual="vgg16", vgg_weight=0.0).to_dict()
    assert resolve({"perceptual": "vgg16"}, saved).step.vgg_weight == 0.0


def test_what_a_run_has_may_be_useless_when_it_resumes():
    saved = Settings().having(perceptual_weights="vgg.h5", teacher="bundled:x4").to_dict()
    assert resolve({"perceptual": "none"}, saved).step.perceptual_weights == "vgg.h5"
    assert resolve({"teacher_weight": 2.0}, saved).step.teacher_weight == 2.0


def test_runs_without_a_mean_are_of_div2k():
    saved = {k: v for k, v in resolve({"epochs": 7}).to_dict().items() if k != "rgb_mean"}
    assert resolve({}, saved) == resolve({"epochs": 7})
    assert resolve({}, saved).network.rgb_mean == DIV2K_MEAN


def test_a_run_can_end_before_its_schedule_does():
    whole, cut = (resolve({"epochs": 3, "steps_per_epoch": 10, "schedule": "cosine", "stop_at": s}) for s in (0, 17))
    assert (whole.run.total_steps, cut.run.total_steps) == (30, 17)
    assert cut.schedule == whole.schedule
    assert resolve({"epochs": 1, "steps_per_epoch": 10, "stop_at": 17}).run.total_steps == 10


def test_the_side_of_the_hr_patch_gives_way_to_that_of_the_lr_patch():
    saved = resolve({"recipe": "paper", "scale": 2})
    assert (saved.data.patch_size, saved.data.hr_patch_size) == (128, 256)
    for settings in (resolve({"recipe": "paper", "patch_size": 40}), resolve({"patch_size": 40}, saved.to_dict())):
        assert (settings.data.patch_size, settings.data.hr_patch_size) == (40, 0)


def test_parts_hold_everything_once():
    settings = Settings()
    names = [name for part in (settings.network, settings.data, settings.run) for name in vars(part)]
    assert len(names) == len(set(names)) and not set(names) & set(vars(settings.step))
    assert set(names) < settings.to_dict().keys()
