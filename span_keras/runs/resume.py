"""What a resumed run must share with the run it goes on with, and what it is told where they differ."""

from __future__ import annotations

import os
from collections.abc import Callable

from span_keras.errors import TrainingError
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.folder import RunFolder
from span_keras.runs.options import BY_NAME
from span_keras.runs.settings import Settings
from span_keras.runs.validation import Selection
from span_keras.training.devices import Devices
from span_keras.training.trainer import SpanTrainer


def check_settings(folder: RunFolder, settings: Settings, resume: bool, echo: Callable) -> Settings:
    """Compare settings with those of the run in a folder.

    Returns:
        The settings, with the ``init`` that the run's weights began with.

    Raises:
        TrainingError: the folder holds a run that is not to be resumed, or one of another network, optimizer or start.
    """
    saved = folder.config
    if saved is None:
        if resume:
            echo(f"Note: no run in {folder.path} to resume; starting one.")
        return settings
    if not resume:
        raise TrainingError(
            f"expected a folder without a run, found one in {folder.path}; continue it with --resume "
            "or choose another --out."
        )
    if folder.has_checkpoint:
        begun, asked = saved.get("init"), settings.network.init
        if asked is not None and not _same_source(asked, begun):
            raise TrainingError(
                f"--resume expected the --init that the run in {folder.path} began with, {begun or 'none'}, found "
                f"{asked}; leave --init out, or begin a run with it in another --out."
            )
        settings = settings.having(init=begun)
    changed = settings.changed_from(saved)
    fixed = [name for name in changed if name in BY_NAME and BY_NAME[name].resume == "fixed"]
    if fixed:
        what = ", ".join(f"{_spelt(name)} {changed[name][1]} where the run has {changed[name][0]}" for name in fixed)
        raise TrainingError(
            f"--resume expected network and optimizer of the run in {folder.path}, found {what}; use --init instead."
        )
    for name, (old, new) in changed.items():
        echo(f"Note: {_spelt(name)} changes from {old} to {new}; the result differs from an uninterrupted run's.")
    return settings


def _spelt(name: str) -> str:
    return BY_NAME[name].spelling if name in BY_NAME else f"--{name}"


def _same_source(one: str, other: str | None) -> bool:
    """Return whether both name the same bundled weights or file, however that is spelt."""
    return one == other or (other is not None and os.path.realpath(one) == os.path.realpath(other))


def check_processes(devices: Devices, checkpoint: Checkpoint | None) -> None:
    """Check that all processes start at the same step, before the first of them computes anything.

    Raises:
        TrainingError: they do not.
    """
    found = devices.gather(checkpoint.progress["step"] if checkpoint else -1)
    if len(set(found)) > 1:
        steps = ", ".join("no checkpoint" if step < 0 else f"step {step}" for step in found)
        raise TrainingError(
            f"expected all processes to start at the same step, found {steps}; --out must be a folder that all "
            "machines share, and all must be started with or all without --resume."
        )


def check_length(checkpoint: Checkpoint | None, settings: Settings, folder: RunFolder) -> None:
    """Check that a run is not to end before the step at which it stands.

    Raises:
        TrainingError: it is.
    """
    total = settings.run.total_steps
    if checkpoint and checkpoint.progress["step"] > total:
        raise TrainingError(
            f"--resume expected at least the {checkpoint.progress['step']} steps that the run in {folder.path} has "
            f"done, found {total} in all; give more --epochs."
        )


def compare(
    progress: dict, photos: dict, settings: Settings, selection: Selection, trainer: SpanTrainer, echo: Callable
) -> float:
    """Report what changed since a checkpoint was written, and forget the losses that no longer compare.

    Args:
        progress: of the checkpoint.
        photos: digests of the photographs, and the number of working sets, of today.
        settings: of today.
        selection: of today: what the best weights are chosen by.
        trainer: in the state of the checkpoint.

    Returns:
        The score of the best weights so far; minus infinity where figures do not compare.
    """
    before = progress.get("photos", photos)  # checkpoints of older versions do not know them
    other_photos = before["training"] != photos["training"]
    if other_photos:
        echo(
            "Note: the photographs to train on are others than before; the result differs from an uninterrupted run's."
        )
    elif before.get("sets", photos["sets"]) != photos["sets"]:
        echo(
            f"Note: the number of working sets changes from {before['sets']} to {photos['sets']}; the result differs "
            "from an uninterrupted run's."
        )
    # The checkpoint tells, not the run's settings: a run may have stopped between the change and a checkpoint.
    # What it does not name did not exist, or was as it is by default; what is retired was not in use.
    now, then = settings.of_the_loss(), progress.get("loss")
    if other_photos or (then is not None and now != {k: then.get(k, v) for k, v in Settings().of_the_loss().items()}):
        trainer.forget_losses()
    if before["validation"] != photos["validation"]:
        echo(
            "Note: the photographs to validate on are others than before; figures do not compare, and the best "
            "weights are chosen anew."
        )
        return float("-inf")
    # Older versions knew PSNR alone, and a blank photograph could make it infinite.
    best, chosen_by = progress.get("best", progress.get("best_psnr")), progress.get("best_by", "psnr_y")
    if chosen_by != selection.name:
        echo(
            f"Note: the best weights were chosen by {chosen_by}, and are chosen anew by {selection.name} from the next "
            "validation on."
        )
        return float("-inf")
    return best if best < float("inf") else float("-inf")
