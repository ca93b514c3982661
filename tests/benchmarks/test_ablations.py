"""The variations of a recipe: all can be trained, and the table tells what was reached."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click import UsageError

from helpers.environment import QUICK_JAX
from helpers.photos import save_photos
from helpers.weights import random_weights
from span_keras import save_weights
from span_keras.data import dataset, decode
from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import load_validation
from span_keras.data.photos import list_photos
from span_keras.errors import ConfigError
from span_keras.network.config import SpanConfig
from span_keras.runs.folder import RunFolder
from span_keras.runs.settings import resolve

SOURCE = Path(__file__).parents[2] / "benchmarks" / "quality" / "ablations.py"


@pytest.fixture(scope="module")
def ablations():
    spec = importlib.util.spec_from_file_location("ablations", SOURCE)
    module = sys.modules["ablations"] = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as environment:
        # What the program sets for itself must not reach other tests.
        environment.setenv("KERAS_BACKEND", keras.backend.backend())
        environment.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def base(ablations):
    return {**ablations.BASE, "steps_per_epoch": 1000}


def test_every_variation_resolves_and_differs(ablations, base, tmp_path):
    runs = ablations.resolve_runs(base, tmp_path, "teacher.safetensors")
    assert runs.keys() == ablations.variations(1000).keys()
    assert len({str(sorted(s.to_dict().items())) for s in runs.values()}) == len(runs)
    assert runs["teacher, weight 4"].teacher == "teacher.safetensors"
    assert runs["further stage"].init == str(tmp_path / "base" / "weights.safetensors")
    assert len({ablations.path_of(name) for name in runs}) == len(runs)


def test_runs_that_need_a_teacher(ablations, base, tmp_path):
    assert not any(s.teacher for s in ablations.resolve_runs(base, tmp_path, None).values())
    with pytest.raises(UsageError, match="'teacher, weight 1' needs --teacher"):
        ablations.resolve_runs(base, tmp_path, None, ("teacher, weight 1",))
    with pytest.raises(UsageError, match=r"--only expects names among base, .*; found batch 17"):
        ablations.resolve_runs(base, tmp_path, None, ("batch 17",))


def test_only_further_stages_wait_for_base(ablations, base, tmp_path):
    """Also where all runs start from given weights."""
    for init in (None, "other.safetensors"):
        runs = ablations.resolve_runs({**base, "init": init}, tmp_path, "teacher.safetensors")
        first, later = ablations.in_order(runs, tmp_path)
        assert later == [name for name in runs if name.startswith("further stage")]
        assert first == [name for name in runs if name not in later]


def test_what_would_give_the_same_is_not_trained_again(ablations, base, tmp_path):
    settings = ablations.resolve_runs(base, tmp_path, "teacher.safetensors")["teacher alone"]
    config = settings.to_dict()
    assert not settings.changed_from(config | {"teacher_cache": "kept", "workers": 1})
    assert settings.changed_from(config | {"seed": 7}) == {"seed": (7, 0)}
    assert settings.changed_from({k: v for k, v in config.items() if k != "lr_scales"}) == {"lr_scales": ([], [0.5])}


def test_photographs_are_decoded_once_for_all(ablations, base, tmp_path, monkeypatch):
    """What the runs ask for is there, however they ask."""
    for name in ("load_pair", "load_lr"):
        for module in (decode, dataset):
            monkeypatch.setattr(module, name, getattr(module, name))  # so that it is put back
    photos = list_photos(save_photos(tmp_path, 3))
    settings = resolve({**base, "scale": 2, "hr_scales": (0.7,), "contrast": 3.0, "patch_size": 8})
    ablations.decode_for_all([settings], photos[1:], photos[:1])
    decoded = decode.load_pair.cache_info().misses
    assert decoded == 1 + 2 * 2 * 2
    options = {"scale": 2, "patch": 8, "batch_size": 2, "steps_per_epoch": 1, "hr_scales": (0.7,), "contrast": 3.0}
    PatchDataset(photos[1:], **options)[0]
    load_validation(photos[:1], 2)
    assert decode.load_pair.cache_info().misses == decoded
    assert decode.load_pair.cache_info().hits == decoded


def test_changes_of_the_base(ablations, base, tmp_path):
    changes = ablations.parse(("batch_size=8", "variant=official"))
    assert changes == {"batch_size": 8, "variant": "official"}
    assert ablations.resolve_runs({**base, **changes}, tmp_path, None)["rate 1e-3"].batch_size == 8
    with pytest.raises(UsageError, match="--set expects NAME=VALUE, found 'foo'"):
        ablations.parse(("foo",))
    with pytest.raises(ConfigError, match="unknown settings"):
        ablations.resolve_runs({**base, **ablations.parse(("foo=1",))}, tmp_path, None)


def test_table(ablations, base, tmp_path):
    runs = ablations.resolve_runs(base, tmp_path, None, ("another seed", "rate 1e-3", "batch 16"))

    def reached(name, step, psnr):
        run = RunFolder(tmp_path / ablations.path_of(name))
        run.append("validation.csv", {"step": step, "psnr_y": psnr, "ssim_y": 0.8})
        run.append("log.csv", {"step": step, "skipped": 3})

    reached("base", 1000, 30.0)
    reached("another seed", 1000, 30.25)
    reached("rate 1e-3", 500, 29.0)
    assert ablations.table(runs, tmp_path).splitlines()[2:] == [
        "| base | 1,000 | 30.000 | 0.8000 | +0.000 | 3 |",
        "| batch 16 | 2,000 | broke off | | | |",
        "| rate 1e-3 | 1,000 | broke off | | | |",
        "| another seed | 1,000 | 30.250 | 0.8000 | +0.250 | 3 |",
    ]


def test_the_teachers_output_is_kept(tmp_path):
    """By a whole program of its own, because its runs are forked from it."""
    kept, out = tmp_path / "kept", tmp_path / "runs"
    for name, count in {"photos": 3, "val": 1}.items():
        (tmp_path / name).mkdir()
        save_photos(tmp_path / name, count)
    save_weights(random_weights(SpanConfig(scale=2, channels=8, blocks=1)), tmp_path / "teacher.safetensors")
    command = [sys.executable, SOURCE, "--scale=2", "--steps=2", "--only=teacher, weight 1", "--parallel=2"]
    command += [f"--data={tmp_path / 'photos'}", f"--val={tmp_path / 'val'}"]
    tiny = {"channels": 4, "blocks": 1, "batch_size": 2, "patch_size": 12, "precision": "float32"}
    command += [f"--set={name}={value}" for name, value in tiny.items()]
    command += [f"--teacher={tmp_path / 'teacher.safetensors'}", f"--teacher-cache={kept}", f"--out={out}"]
    environment = {**os.environ, **QUICK_JAX}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "broke off" not in result.stdout, [file.read_text() for file in out.rglob("train.log")]
    configs = {folder.name: RunFolder(folder).config for folder in out.iterdir()}
    assert {name: config["teacher_cache"] for name, config in configs.items()} == {
        "base": None,
        "teacher__weight_1": str(kept),
    }
    # One LR image of each photograph, and nothing of those to validate on.
    shapes = [np.load(file).shape for file in kept.iterdir()]
    assert shapes == 3 * [(40, 48, 3)]
