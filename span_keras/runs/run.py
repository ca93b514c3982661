"""A whole training run, read from top to bottom: what ``python -m span_keras.train`` does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace

from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import load_validation
from span_keras.errors import TrainingError
from span_keras.network.weights import SpanWeights
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.folder import RunFolder
from span_keras.runs.loop import Loop
from span_keras.runs.photographs import fingerprint, split_photographs
from span_keras.runs.progress import Decoding
from span_keras.runs.settings import FIXED, Settings, option
from span_keras.runs.signals import Signals, explained_interruption
from span_keras.runs.start import make_deterministic, make_trainer, teacher_weights
from span_keras.runs.validation import Validation
from span_keras.training.devices import Devices, choose
from span_keras.training.teacher import Teacher


def train(settings: Settings, out: str | os.PathLike, *, resume: bool = False, echo: Callable = print) -> SpanWeights:
    """Train a network and leave everything about it in the folder ``out``; see ``RunFolder`` for its files.

    Args:
        settings: what to do.
        out: the run's folder; must not hold a run unless ``resume``.
        resume: continue that run from its last checkpoint, exactly as if it had never stopped.
        echo: prints a line.

    Returns:
        The averaged weights in training form.

    Raises:
        DataError, ConfigError, CheckpointError, TrainingError: each says what was expected, what was found, what to do.
    """
    started = time.monotonic()
    make_deterministic()
    devices = choose(settings.strategy)
    echo = echo if devices.chief else lambda text: None
    echo(f"Computing on {devices.describe()}.")
    folder = RunFolder(out)
    # Only the process that writes keeps others out: those of one run share its folder.
    with folder.alone() if devices.chief else contextlib.nullcontext():
        return _train(settings, folder, devices, resume, echo, started)


def _train(
    settings: Settings, folder: RunFolder, devices: Devices, resume: bool, echo: Callable, started: float
) -> SpanWeights:
    if devices.chief or resume:
        settings = _check_folder(folder, settings, resume, echo)
    if devices.processes > 1 and settings.max_minutes:
        raise TrainingError("--max-minutes works with one process only, because all must stop at the same step.")
    with Signals(enabled=devices.processes == 1, at_once=True), explained_interruption(echo):
        checkpoint = folder.load_checkpoint(echo) if resume else None
        _agree(devices, checkpoint)
        if checkpoint and checkpoint.progress["step"] > settings.total_steps:
            raise TrainingError(
                f"--resume expected at least the {checkpoint.progress['step']} steps that the run in {folder.path} has "
                f"done, found {settings.total_steps} in all; give more --epochs."
            )

        validation_files, training_files = split_photographs(settings, echo)
        tell = lambda path, reason: echo(f"Not validating on {path}: {reason}")  # noqa: E731
        images = load_validation(validation_files, settings.scale, on_skip=tell)
        validation = Validation(images, settings.network())
        teacher = teacher_weights(settings, echo)
        # Before the photographs are decoded, which takes its time, because it finds what cannot be trained. The
        # checkpoint holds all that --init began with, whose file may be gone.
        trainer = make_trainer(replace(settings, init=None) if checkpoint else settings, devices, echo, teacher)
        if teacher:
            echo("Decoding the photographs and asking the teacher for its output.")
        dataset = PatchDataset(
            training_files,
            scale=settings.scale,
            patch=settings.patch_size,
            batch_size=settings.batch_size,
            # Batches are numbered through: their order knows no epochs, so a run can stop and go on anywhere.
            steps_per_epoch=settings.total_steps,
            seed=settings.seed,
            workers=settings.workers,
            cache_gb=settings.cache_gb,
            degrade=settings.degrade,
            hr_scales=settings.hr_scales,
            teacher=Teacher(teacher, settings.teacher_cache) if teacher else None,
            contrast=settings.contrast,
            rotate=settings.rotate,
            shard=(devices.process, devices.processes),
            progress=Decoding(echo, started, settings.max_minutes),
        )
        echo(f"Training on {dataset.describe()}.")

        if checkpoint:
            trainer.state = checkpoint.arrays
            echo(f"Continuing at step {trainer.step} of {settings.total_steps}.")
        if devices.chief:
            folder.save_config(settings.to_dict())
            folder.forget_after(trainer.step if checkpoint else -1)
        photos = {
            "training": fingerprint(training_files, settings.data),
            "validation": fingerprint(validation_files, settings.val or settings.data),
            "sets": dataset.set_count,
        }
        loop = Loop(settings, folder, trainer, validation, photos, devices, started, echo)
        if devices.chief:
            bicubic = f"bicubic has a PSNR of {loop.bicubic:.3f} dB there"
            echo(f"Validating on {len(images)} photographs; {bicubic}.")
        if checkpoint:
            loop.restore(checkpoint.progress)
    loop.run(dataset)
    return loop.finish()


def _agree(devices: Devices, checkpoint: Checkpoint | None) -> None:
    """Check that all processes start at the same step, before the first of them computes anything."""
    found = devices.gather(checkpoint.progress["step"] if checkpoint else -1)
    if len(set(found)) > 1:
        steps = ", ".join("no checkpoint" if step < 0 else f"step {step}" for step in found)
        raise TrainingError(
            f"expected all processes to start at the same step, found {steps}; --out must be a folder that all "
            "machines share, and all must be started with or all without --resume."
        )


def _check_folder(folder: RunFolder, settings: Settings, resume: bool, echo: Callable) -> Settings:
    """The settings of the run, with the origin of weights that are there already."""
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
        begun = saved.get("init")
        if settings.init is not None and not _same_source(settings.init, begun):
            raise TrainingError(
                f"--resume expected the --init that the run in {folder.path} began with, {begun or 'none'}, found "
                f"{settings.init}; leave --init out, or begin a run with it in another --out."
            )
        settings = replace(settings, init=begun)
    changed = settings.changed_from(saved)
    if fixed := [k for k in FIXED if k in changed]:
        what = ", ".join(f"--{option(k)} {changed[k][1]} where the run has {changed[k][0]}" for k in fixed)
        raise TrainingError(
            f"--resume expected network and optimizer of the run in {folder.path}, found {what}; use --init instead."
        )
    for name, (old, new) in changed.items():
        echo(f"Note: --{option(name)} changes from {old} to {new}; the result differs from an uninterrupted run's.")
    return settings


def _same_source(one: str, other: str | None) -> bool:
    """Whether both name the same bundled weights or file, however that is spelt."""
    return one == other or (other is not None and os.path.realpath(one) == os.path.realpath(other))
