"""Fixtures that every test file may use."""

import os

# Before anything imports TensorFlow: its start-up chatter hides our own output, and the suite shares two cores.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# As the command lines set it: runs in this process and in others must agree to the last digit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import functools
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from helpers.environment import SHARED
from helpers.photos import save_photos
from helpers.weights import random_weights
from span_keras.network.config import SpanConfig
from span_keras.network.weights import SpanWeights

LONGEST = (
    *("browser/test_training_parts.py", "browser/test_own_kernels.py", "runs/test_resume.py"),
    *("training/test_distributed.py", "training/test_trainer.py", "browser/test_page_layout.py"),
    *("browser/test_training_run.py", "browser/test_training_kept.py", "browser/test_engine.py"),
    *("cluster/test_bulk.py", "commands/test_ambient.py", "runs/test_stages.py", "docs/test_notebooks.py"),
)
"""Files that take half a minute of a processor or more, longest first."""


def pytest_collection_modifyitems(items):
    """Begin with the longest files: a process that began with one at the end would keep the others waiting."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the authors' weights (``official``) and photographs (``data``), which are not part of the project.

    Only tests that *add* to what the committed goldens prove may ask for it; without the folder they are skipped.
    """
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference weights and photographs in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Folder of the small reference files made by ``tests/goldens/make_*.py``."""
    return Path(__file__).parent / "goldens"


@pytest.fixture
def tiny_config() -> SpanConfig:
    """A default-variant network small enough to run anywhere: x2, 8 channels, 2 blocks."""
    return SpanConfig(scale=2, channels=8, blocks=2)


@pytest.fixture
def tiny_official_config() -> SpanConfig:
    """The same size in the authors' variant with their input range."""
    return SpanConfig.official(scale=2, channels=8, blocks=2)


@pytest.fixture
def tiny_weights(tiny_config) -> SpanWeights:
    """Random fused weights of ``tiny_config``."""
    return random_weights(tiny_config)


@pytest.fixture
def wild_weights(tmp_path, tiny_weights) -> Path:
    """A file of finite weights whose network overflows."""
    from span_keras.checkpoints import save_weights

    for group in tiny_weights.layers.values():
        for value in group.values():
            value *= np.float32(1e9)
    save_weights(tiny_weights, tmp_path / "wild.safetensors")
    return tmp_path / "wild.safetensors"


@pytest.fixture
def make_weights():
    """The function ``(config, seed=0) -> SpanWeights`` behind ``tiny_weights``."""
    return random_weights


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of five photographs."""
    return save_photos(tmp_path_factory.mktemp("photos"), 5)


@pytest.fixture(scope="module")
def compiled_once():
    """Training runs of a file whose step is the same take turns with one trainer, which is compiled once.

    So do those whose degradations are the same with what makes their LR patches. Curves are drawn once: a drawing takes
    longer than an epoch of networks so small.

    Each begins with a state of its own. That a run needs nothing of one before it is for tests with their own process.
    """
    from span_keras.data import dataset, degrade
    from span_keras.runs import plots, start
    from span_keras.training.options import StepOptions
    from span_keras.training.trainer import SpanTrainer, initial_state

    made = {}

    def trainer(weights, loss, schedule, options, *, seed, **more):
        if loss.perceptual:
            return SpanTrainer(weights, loss, schedule, options, seed=seed, **more)
        # Of a run's options, those that the step is compiled with.
        compiled = tuple(getattr(options, field.name) for field in fields(StepOptions))
        key = (weights.config, loss.pixel, loss.colour_weight, compiled, *more.items())
        if key not in made:
            made[key] = SpanTrainer(weights, loss, schedule, options, seed=seed, **more)
        made[key].state = initial_state(weights, options, seed)
        made[key].schedule = schedule
        return made[key]

    drawn, draw = [], plots.curves

    def curves(*given):
        if not drawn:
            drawn.append(draw(*given))
        return drawn[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(start, "SpanTrainer", trainer)
        patched.setattr(plots, "curves", curves)
        degrader = functools.cache(degrade.Degrader)
        for module in (start, dataset, degrade):
            patched.setattr(module, "Degrader", degrader)
        yield


@pytest.fixture
def image() -> np.ndarray:
    """A (13, 10, 3) float32 picture in [0, 1] with smooth parts and noise, sides that nothing divides."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:13, 0:10] / 13
    smooth = np.stack([rows, columns, (rows + columns) / 2], -1)
    return np.float32(np.clip(0.8 * smooth + 0.2 * rng.random((13, 10, 3)), 0, 1))
