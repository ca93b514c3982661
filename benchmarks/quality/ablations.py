r"""What each choice of a training recipe gives: short runs that differ from one in a single setting each.

    KERAS_BACKEND=jax python benchmarks/quality/ablations.py --data photos/ --val holdout/ \
      --teacher spanx4_ch48.safetensors

Every run is one of ``python -m span_keras.train``; the table shows the PSNR and SSIM of its averaged weights on the
validation photographs at its end, and the difference to the run ``base``. Several processes share a GPU, so that one
trains while others compile; the photographs are decoded once for all. A run that ``--out`` holds with the same settings
is not done again.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes on one GPU

from span_keras.cli import reports_errors
from span_keras.data import dataset, decode
from span_keras.data.photos import list_photos
from span_keras.data.variants import contrast_of
from span_keras.errors import DataError
from span_keras.runs.folder import RunFolder
from span_keras.runs.settings import Settings, resolve

BASE = {
    "recipe": "paper",
    "schedule": "cosine",
    "learning_rate": 5e-4,
    "warmup_steps": 200,
    "batch_size": 32,
    "patch_size": 48,
    "precision": "mixed_bfloat16",
    "val_images": 40,
    "epochs": 1,
    "cache_gb": 8.0,
    "workers": 4,
    "log_every": 500,
}
TEACHER = "teacher"
"""Stands for the file of ``--teacher``."""
PLACED = ("teacher", "init")
"""Settings whose values stand for files."""
AFTER_BASE = {"init": "base", "learning_rate": 1e-4, "warmup_steps": 0, "seed": 1}
"""A further stage that starts from the weights of ``base``, for a fifth of its steps."""


def variations(steps: int) -> dict[str, dict]:
    """Name -> settings other than ``BASE``. Batch and patch vary at about an equal number of pixels in all."""
    stage = {**AFTER_BASE, "steps_per_epoch": steps // 5}
    halved = {"schedule": "piecewise", "rate_steps": tuple(steps * k // 5 for k in (1, 2, 3, 4))}
    taught = {"teacher": TEACHER}
    both = {**taught, "teacher_weight": 2.0, "hr_scales": (0.7, 0.5)}
    by_muon = {**both, "optimizer": "muon"}
    alone = {**taught, "target": "teacher", "hr_scales": (0.7, 0.5), "lr_scales": (0.5,)}
    large = {"patch_size": 80, "batch_size": 12}  # 320 HR pixels at x4: the largest that BSDS500's photographs hold
    return {
        "base": {},
        "teacher, weight 1": taught,
        "teacher, weight 4": {**taught, "teacher_weight": 4.0},
        "batch 16": {"batch_size": 16, "steps_per_epoch": 2 * steps},
        "batch 64": {"batch_size": 64, "steps_per_epoch": steps // 2},
        "rate 1e-3": {"learning_rate": 1e-3},
        "Muon": {"optimizer": "muon"},
        "Muon, rate 1e-3": {"optimizer": "muon", "learning_rate": 1e-3},
        "Muon, rate 2e-3": {"optimizer": "muon", "learning_rate": 2e-3},
        "width 28": {"channels": 28},
        "width 32": {"channels": 32},
        "width 40, 4 blocks": {"channels": 40, "blocks": 4},
        "patch 32, batch 72": {"patch_size": 32, "batch_size": 72},
        "patch 80, batch 12": large,
        "float32 (TF32)": {"precision": "float32"},
        "another seed": {"seed": 1},
        "piecewise rate": halved,
        "no averaging of weights": {"ema_decay": 0.0},
        "colour channels permuted": {"rgb_order": True},
        "also reduced to 0.7 and 0.5": {"hr_scales": (0.7, 0.5)},
        "also of up to 4 times the contrast": {"contrast": 4.0},
        "MAE + 0.001 · VGG": {"perceptual": "vgg16", "vgg_weight": 0.001},
        "official form": {"variant": "official"},
        "official form, teacher, weight 1": {**taught, "variant": "official"},
        "teacher, weight 2, also reduced": both,
        "hints, weight 0.05": {**by_muon, "hint_weight": 0.05},
        "hints, weight 0.2": {**by_muon, "hint_weight": 0.2},
        "hints, weight 1": {**by_muon, "hint_weight": 1.0},
        "hints, weight 0.2, official form": {**by_muon, "hint_weight": 0.2, "variant": "official"},
        "teacher, weight 2, also reduced, Muon": by_muon,
        "teacher alone": alone,
        "teacher alone, patch 64, batch 18": {**alone, "patch_size": 64, "batch_size": 18},
        "teacher alone, MSE": {**alone, "loss": "mse"},
        "teacher alone, Muon": {**alone, "optimizer": "muon"},
        "teacher alone, MSE, Muon": {**alone, "loss": "mse", "optimizer": "muon"},
        "further stage": stage,
        "further stage, patch 80": {**stage, **large},
        "further stage, patch 80, MSE": {**stage, **large, "loss": "mse"},
        "further stage, Charbonnier": {**stage, "loss": "charbonnier"},
    }


@click.command()
@click.option("--data", "photos", required=True, metavar="DIR")
@click.option("--val", required=True, metavar="DIR")
@click.option("--teacher", metavar="W", help="Network whose output is a target; without it those runs are left.")
@click.option("--teacher-cache", metavar="DIR", help="Keep the teacher's output there for further runs.")
@click.option("--out", default="runs/ablations", show_default=True, metavar="DIR")
@click.option("--scale", default=4, show_default=True)
@click.option("--steps", default=4000, show_default=True, help="Steps of a run of batch 32.")
@click.option("--only", multiple=True, metavar="NAME", help="One variation, base besides. Can be repeated.")
@click.option("--parallel", default=5, show_default=True, help="Runs at a time.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change the base, e.g. batch_size=8.")
@reports_errors
def main(photos, val, teacher, teacher_cache, out, scale, steps, only, parallel, changes):
    """Train the variations and print the table."""
    folder = Path(out)
    base = {**BASE, "scale": scale, "data": photos, "val": val, "steps_per_epoch": steps, **parse(changes)}
    runs = resolve_runs(base, folder, teacher, only)
    runs = {name: replace(s, teacher_cache=teacher_cache) if s.teacher else s for name, s in runs.items()}
    decode_for_all(runs.values(), list_photos(photos), list_photos(val))
    with multiprocessing.get_context("fork").Pool(parallel, maxtasksperchild=1) as pool:
        for stage in in_order(runs, folder):
            pool.starmap(train_one, [(name, runs[name], folder) for name in stage], chunksize=1)
    click.echo(table(runs, folder))


def decode_for_all(runs: Iterable[Settings], photos: list[Path], val: list[Path]) -> None:
    """Have ``data`` keep what it decodes, and decode what the runs will ask for, all but rotated copies.

    Processes made by fork share it.
    """
    for name in ("load_pair", "load_lr"):
        keeping = kept(getattr(decode, name))
        setattr(decode, name, keeping)
        setattr(dataset, name, keeping)
    runs = list(runs)

    def make(call: tuple) -> None:
        function, *arguments = call
        with contextlib.suppress(DataError):  # training names what it skips
            function(*arguments)

    scales = {settings.scale for settings in runs}
    hr_scales = {1.0}.union(*(settings.hr_scales for settings in runs))
    lr_scales = set().union(*(settings.lr_scales for settings in runs))
    calls = list(itertools.product([decode.load_pair], val, scales))
    for path in photos:
        contrasts = {contrast_of(path, settings.contrast) for settings in runs} | {1.0}
        calls += itertools.product([decode.load_pair], [path], scales, hr_scales, contrasts)
        calls += itertools.product([decode.load_lr], [path], lr_scales, contrasts)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, calls))


def kept(function: Callable) -> Callable:
    """``functools.cache`` for a function whose arguments may be given or left at their defaults."""
    signature, cached = inspect.signature(function), functools.cache(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return cached(*bound.args)

    call.cache_info = cached.cache_info
    return call


def parse(changes: tuple[str, ...]) -> dict:
    """``("batch_size=8", "variant=official")`` -> ``{"batch_size": 8, "variant": "official"}``"""
    parsed = {}
    for text in changes:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--set expects NAME=VALUE, found {text!r}.")
        try:
            parsed[name] = json.loads(value)
        except ValueError:
            parsed[name] = value
    return parsed


def resolve_runs(base: dict, folder: Path, teacher: str | None, only: tuple[str, ...] = ()) -> dict[str, Settings]:
    """Name -> settings of the variations to train, ``base`` always among them."""
    every = variations(base["steps_per_epoch"])
    if unknown := sorted(set(only) - every.keys()):
        raise click.UsageError(f"--only expects names among {', '.join(every)}; found {', '.join(unknown)}.")
    places = {TEACHER: teacher, "base": str(weights_of_base(folder))}
    runs = {}
    for name, values in every.items():
        taught = values.get("teacher") == TEACHER
        if name != "base" and only and name not in only:
            continue
        if taught and not teacher:
            if only:
                raise click.UsageError(f"the variation {name!r} needs --teacher.")
            continue
        given = {**base, **{k: places.get(v, v) if k in PLACED else v for k, v in values.items()}}
        # A trial of a few steps has no room for the warm-up of a real run.
        given["warmup_steps"] = min(given["warmup_steps"], given["epochs"] * given["steps_per_epoch"])
        runs[name] = resolve(given)
    return runs


def weights_of_base(folder: Path) -> Path:
    return folder / path_of("base") / "weights.safetensors"


def in_order(runs: dict[str, Settings], folder: Path) -> tuple[list[str], list[str]]:
    """The names of the runs that can begin at once, and of those that start from the weights of ``base``."""
    later = [name for name, settings in runs.items() if settings.init == str(weights_of_base(folder))]
    return [name for name in runs if name not in later], later


def path_of(name: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in name)


def train_one(name: str, settings: Settings, folder: Path) -> None:
    """Train one variation, with what it prints in a file beside it."""
    out, settings = folder / path_of(name), replace(settings, val_every=settings.epochs)
    if (out / "weights.safetensors").exists() and not settings.changed_from(RunFolder(out).config):
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with (out / "train.log").open("w") as log:
        sys.stdout = sys.stderr = log
        try:
            from span_keras.runs.run import train

            train(settings, out, echo=functools.partial(print, flush=True))
        except Exception:
            traceback.print_exc()  # a variation that breaks is a result, too


def table(runs: dict[str, Settings], folder: Path) -> str:
    """Markdown; a run that did not reach its last step has no figures."""
    lines = ["| run | steps | PSNR | SSIM | to base | skipped |", "|---|--:|:-:|:-:|:-:|--:|"]
    reference = None
    for name, settings in runs.items():
        run = RunFolder(folder / path_of(name))
        end = next((row for row in run.rows("validation.csv") if row["step"] == settings.total_steps), None)
        if end is None:
            lines.append(f"| {name} | {settings.total_steps:,} | broke off | | | |")
            continue
        reference = end["psnr_y"] if name == "base" else reference
        gain = "" if reference is None else f"{end['psnr_y'] - reference:+.3f}"
        skipped = sum(row["skipped"] for row in run.rows("log.csv"))
        figures = f"{end['psnr_y']:.3f}", f"{end['ssim_y']:.4f}", gain
        cells = name, f"{settings.total_steps:,}", *figures, f"{skipped:.0f}"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
