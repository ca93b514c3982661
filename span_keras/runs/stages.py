"""Run a recipe: its only stage in OUT, or several in ``OUT/1-NAME``, ``OUT/2-NAME`` and so on, one after the other.

Each stage is a run of its own and begins from the averaged weights of the one before. ``OUT/stages.json`` holds the
settings of all, so that ``--resume`` needs no recipe; ``OUT/weights.safetensors`` is written when all are done.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from span_keras.errors import ConfigError, RetiredError, TrainingError
from span_keras.runs.folder import RunFolder, read_settings, retired_message
from span_keras.runs.options import BY_NAME, layered
from span_keras.runs.recipes import Recipe, load
from span_keras.runs.settings import Settings, resolve, unmet

STAGES = "stages.json"

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class PlannedStage:
    """A run to come.

    Args:
        name: of the stage; empty where there is only one.
        folder: of its run.
        settings: what it does.
    """

    name: str
    folder: Path
    settings: Settings


def plan(given: dict, out: str, resume: bool) -> list[PlannedStage]:
    """Resolve the settings of every stage before anything runs.

    Args:
        given: name -> value that the user chose, and ``recipe``; they win in every stage, ``init`` in the first alone.
        out: the folder of the run.
        resume: take what is not given from the run in it.

    Raises:
        ConfigError: wrong usage: a value that cannot be, another recipe than the run's, a file that is no recipe.
        TrainingError: the settings of the run cannot be read; a new one's start or teacher does not exist.
    """
    folder = Path(out)
    saved = _saved_stages(folder) if resume else None
    if saved is None:
        return _new_plan(given, load(given.get("recipe") or "default"), folder)
    begun = saved[0][1].get("recipe", "default")
    if given.get("recipe") not in (None, begun):
        raise ConfigError(
            f"--resume expected a run of the recipe {given['recipe']}, found one of {begun} in {out}; the recipe is "
            "fixed when a run begins, so leave --recipe out and give the values to change."
        )
    given = {**given, "recipe": None}
    stages: list[PlannedStage] = []
    for number, (name, values) in enumerate(saved, 1):
        settings = resolve({**given, "init": given.get("init") if number == 1 else None}, values)
        here = _folder_of(folder, number, name)
        if number > 1 and not RunFolder(here, make=False).has_checkpoint:
            # The folder may have moved since it was begun.
            settings = settings.having(init=str(stages[-1].folder / WEIGHTS))
        stages.append(PlannedStage(name, here, settings))
    return stages


def _new_plan(given: dict, recipe: Recipe, folder: Path) -> list[PlannedStage]:
    given = {**given, "recipe": recipe.name}
    _check_files(given, recipe)
    network = _network_of(given, recipe)
    several, stages = len(recipe.stages) > 1, []
    for number, stage in enumerate(recipe.stages, 1):
        left_open = {k: v for k, v in network.items() if given.get(k) is None and k not in stage.values}
        init = given.get("init") if number == 1 else str(stages[-1].folder / WEIGHTS)
        name = stage.name if several else ""
        settings = resolve({**given, **left_open, "init": init}, stage=stage)
        stages.append(PlannedStage(name, _folder_of(folder, number, name), settings))
    return stages


def _check_files(given: dict, recipe: Recipe) -> None:
    """Refuse a recipe that names, in any stage, a file of weights that does not exist."""
    chosen = {name: value for name, value in given.items() if value is not None}
    for stage in recipe.stages:
        values = layered(stage.values, chosen)
        for name in ("init", "teacher", "perceptual_weights", "lpips_weights"):
            named = () if unmet(name, values) else values.get(name) or ()
            file = next(filter(_is_missing, (named,) if isinstance(named, str) else named), None)
            if file is None:
                continue
            if chosen.get(name):
                other = ", or name one as bundled:NAME" if name in ("init", "teacher") else ""
                flag = BY_NAME[name].flag
                raise TrainingError(f"{flag} expected a file at {file}, found none; check the path{other}.")
            source = recipe.sources.get(file)
            what_to_do = f"get it from {source}, and put it there" if source else "check the path"
            raise TrainingError(
                f"{recipe.name} expected a file at {file} for its {name.replace('_', ' ')}, found none; {what_to_do}."
            )


def _is_missing(file: str) -> bool:
    # Unlike Path, os.path raises nothing at a name too long or a home folder of nobody.
    return not file.startswith("bundled:") and not os.path.exists(os.path.expanduser(file))  # noqa: PTH110, PTH111


def _network_of(given: dict, recipe: Recipe) -> dict:
    """Return what the weights to start from tell about the network, all but the input range, which training folds."""
    asked = recipe.stages[0].values | {name: value for name, value in given.items() if value is not None}
    if not asked.get("init"):
        return {}
    # They load NumPy: a mistyped option need not wait for it.
    from span_keras.checkpoints import load_weights, require_rgb

    weights = load_weights(asked["init"], rgb_mean=asked.get("rgb_mean"))
    require_rgb(weights)
    return {name: getattr(weights.config, name) for name in ("scale", "variant", "channels", "blocks", "rgb_mean")}


def _folder_of(folder: Path, number: int, name: str) -> Path:
    return folder / f"{number}-{name}" if name else folder


def _saved_stages(folder: Path) -> list[tuple[str, dict]] | None:
    """Return name and settings of every stage of a run, ``None`` in a folder without one."""
    path = folder / STAGES
    if not path.exists():
        config = RunFolder(folder, make=False).config
        return None if config is None else [("", config)]
    try:
        stages = json.loads(path.read_text())["stages"]
        folders = [_folder_of(folder, number, stage["name"]) for number, stage in enumerate(stages, 1)]
        return [(stage["name"], read_settings(stage["settings"])) for stage in stages]
    except RetiredError as error:
        raise TrainingError(retired_message(error, path, folders)) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TrainingError(
            f"expected the stages of a run in {path}, found: {str(error).rstrip('.')}; restore the file or choose "
            "another --out."
        ) from error


def run_stages(stages: list[PlannedStage], out: str, resume: bool, echo: Callable = print) -> None:
    """Run what ``plan`` made; with ``resume``, go on in the first stage that is not finished.

    Raises:
        SpanError: see ``run.train``.
    """
    from span_keras.runs import run

    if len(stages) == 1:
        echo(f"{out}: {_described(stages[0].settings)}")
        run.train(stages[0].settings, out, resume=resume, echo=echo)
        return
    started, devices = time.monotonic(), run.prepare(stages[0].settings)
    if devices.is_main:
        _save_plan(stages, RunFolder(out), resume)
    for number, stage in enumerate(stages, 1):
        title = f"Stage {number} of {len(stages)}, {stage.name}"
        if resume and _is_finished(stage):
            echo(f"{title}: finished before.")
            continue
        echo(f"{title}: {_described(stage.settings)}")
        weights = run.train(stage.settings, stage.folder, resume=resume, echo=echo, devices=devices, started=started)
        devices.gather(number)  # until the main process has written the weights that all begin the next stage with
        if weights.metadata["steps"] < stage.settings.run.total_steps:
            return  # the run has said why, and how to go on
    if devices.is_main:
        RunFolder(out).write(WEIGHTS, (stages[-1].folder / WEIGHTS).read_bytes())
        echo(f"Wrote {Path(out) / WEIGHTS}.")


def _save_plan(stages: list[PlannedStage], folder: RunFolder, resume: bool) -> None:
    path = folder.path / STAGES
    if not resume and (path.exists() or folder.config is not None):
        raise TrainingError(
            f"expected a folder without a run, found one in {folder.path}; continue it with --resume or choose another "
            "--out."
        )
    content = {"stages": [{"name": stage.name, "settings": stage.settings.to_dict()} for stage in stages]}
    folder.write(STAGES, (json.dumps(content, indent=2) + "\n").encode())


def _is_finished(stage: PlannedStage) -> bool:
    """Return whether a stage has reached its end; one that was stopped before has weights, too, of fewer steps."""
    from span_keras.checkpoints import load_weights

    path = stage.folder / WEIGHTS
    return path.exists() and load_weights(path).metadata.get("steps", 0) >= stage.settings.run.total_steps


def _described(settings: Settings) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.to_dict().items() if value not in (None, []))
