"""A whole training run, read from top to bottom: what ``python -m span_keras.train`` does for each stage.

``train`` checks what is asked for, and hands each part of the settings to its owner: ``data`` to the photographs,
``network`` and ``step`` to the trainer, ``run`` to the loop at the end.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import load_validation
from span_keras.data.degrade import degraded_pairs
from span_keras.errors import TrainingError
from span_keras.network.weights import SpanWeights
from span_keras.runs import plots
from span_keras.runs import resume as resuming
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.folder import RunFolder
from span_keras.runs.pace import Pace
from span_keras.runs.photographs import fingerprint, split_photographs
from span_keras.runs.progress import Decoding, Progress
from span_keras.runs.record import Record
from span_keras.runs.settings import Settings
from span_keras.runs.signals import Signals, explained_interruption
from span_keras.runs.start import make_deterministic, make_trainer, teacher_weights
from span_keras.runs.validation import Validation, lpips_metrics
from span_keras.training.devices import Devices, choose
from span_keras.training.lpips import figure_texts
from span_keras.training.teacher import Teacher


def prepare(settings: Settings) -> Devices:
    """Make the backend and the devices ready; to be called once, before anything else uses them."""
    make_deterministic()
    return choose(settings.run.strategy)


def train(
    settings: Settings,
    out: str | os.PathLike,
    *,
    resume: bool = False,
    echo: Callable = print,
    devices: Devices | None = None,
    started: float | None = None,
) -> SpanWeights:
    """Train a network and leave everything about it in the folder ``out``; see ``RunFolder`` for its files.

    Args:
        settings: what to do.
        out: the run's folder; must not hold a run unless ``resume``.
        resume: continue that run from its last checkpoint, exactly as if it had never stopped.
        echo: prints a line.
        devices: from ``prepare``, for one of several runs of a process.
        started: time by ``time.monotonic`` from which ``max_minutes`` counts; now by default.

    Returns:
        The averaged weights in training form; ``metadata["steps"]`` tells whether the run came to its end.

    Raises:
        DataError, ConfigError, CheckpointError, TrainingError: each says what was expected, what was found, what to do.
    """
    started = time.monotonic() if started is None else started
    devices = devices or prepare(settings)
    echo = echo if devices.is_main else lambda text: None
    echo(f"Computing on {devices.describe()}.")
    folder = RunFolder(out)
    # Only the process that writes keeps others out: those of one run share its folder.
    with folder.alone() if devices.is_main else contextlib.nullcontext():
        return _train(settings, folder, resume, echo, devices, started)


def _train(
    settings: Settings, folder: RunFolder, resume: bool, echo: Callable, devices: Devices, started: float
) -> SpanWeights:
    # What is asked for, compared with what the folder holds.
    if devices.is_main or resume:
        settings = resuming.check_settings(folder, settings, resume, echo)
    data, run = settings.data, settings.run
    if devices.processes > 1 and run.max_minutes:
        raise TrainingError("--max-minutes works with one process only, because all must stop at the same step.")
    with Signals(enabled=devices.processes == 1, at_once=True), explained_interruption(echo):
        checkpoint = folder.load_checkpoint(echo) if resume else None
        resuming.check_processes(devices, checkpoint)
        resuming.check_length(checkpoint, settings, folder)

        # Photographs to validate on, and the files of those to train on.
        metrics = lpips_metrics(run) if devices.is_main else []
        photographs = split_photographs(data, run.seed, echo)
        tell = lambda path, reason: echo(f"Not validating on {path}: {reason}")  # noqa: E731
        pairs = load_validation(
            photographs.validation, settings.config.scale, on_skip=tell, lr_files=photographs.validation_lr
        )
        degradations = None if photographs.validation_lr else data.degradations
        if degradations:
            pairs = degraded_pairs(pairs, degradations, settings.config.scale)
        validation = Validation(pairs, settings.config, metrics, run.select)

        # The network. Before photographs are decoded, which takes its time, because it finds what cannot be trained.
        # The checkpoint holds all that --init began with, whose file may be gone.
        teacher = teacher_weights(settings, echo)
        trainer = make_trainer(settings.having(init=None) if checkpoint else settings, devices, echo)

        # Photographs to train on. Batches are numbered through: their order knows no epochs, so a run can stop and go
        # on anywhere.
        if teacher:
            echo("Decoding the photographs and asking the teacher for its output.")
        dataset = PatchDataset.from_settings(
            photographs.training,
            data,
            scale=settings.config.scale,
            steps_per_epoch=run.total_steps,
            seed=run.seed,
            degradations=data.degradations,
            dtype="uint8",  # the strip of samples is of whole levels
            lr_files=photographs.training_lr,
            teacher=Teacher(teacher, data.teacher_cache) if teacher else None,
            shard=(devices.process, devices.processes),
            progress=Decoding(echo, started, run.max_minutes),
        )
        echo(f"Training on {dataset.describe()}.")
        photos = {
            "training": fingerprint(photographs.training, data.data, lr_files=photographs.training_lr),
            "validation": fingerprint(
                photographs.validation, data.val or data.data, degradations, photographs.validation_lr
            ),
            "sets": dataset.set_count,
        }

        # Where the run stands.
        if checkpoint:
            trainer.state = checkpoint.arrays
            echo(f"Continuing at step {trainer.step} of {run.total_steps}.")
        record = None
        if devices.is_main:
            folder.save_config(settings.to_dict())
            folder.forget_after(trainer.step if checkpoint else -1)
            if dataset.degrader:
                folder.write("samples/degraded.png", plots.pairs_strip("degraded LR patches beside HR", *dataset[0]))
            record = Record(run, folder, validation, Progress(run, trainer.step, echo))
            kind = "degraded photographs" if degradations else "photographs"
            figures = ", ".join([f"a PSNR of {record.bicubic['psnr_y']:.3f} dB", *figure_texts(record.bicubic)])
            echo(f"Validating on {len(validation.images)} {kind}; bicubic has {figures} there.")
        if checkpoint:
            best = resuming.compare(checkpoint.progress, photos, settings, validation.selection, trainer, echo)
            if record:
                record.best, record.unlogged = best, checkpoint.progress["unlogged"]

    def save() -> None:
        if record:
            progress = {"step": trainer.step, "unlogged": record.unlogged}
            progress |= {"best": record.best, "best_by": validation.selection.name}
            progress |= {"photos": photos, "loss": settings.of_the_loss()}
            folder.save_checkpoint(Checkpoint(trainer.state, progress))
        pace.saved(trainer.step)

    # The loop: reports, validations and checkpoints, until the last step or a reason to stop.
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals(enabled=devices.processes == 1))
        pace = Pace(run, started, signals, trainer.step if checkpoint else -1)
        if record:
            stack.callback(record.close)
        reports = trainer.run(
            dataset.unturned, run.total_steps, data.workers, cut=run.steps_per_epoch, sync=pace.must_save
        )
        stack.enter_context(contextlib.closing(reports))
        stack.enter_context(contextlib.closing(dataset))  # first: threads that make batches may wait for its decoding
        told = len(dataset.skipped)
        if not checkpoint:
            if record:
                record.validate(trainer.weights(), trainer.step)
            save()
        for report in reports:
            if record:
                record.log(report)
            for path, reason in list(dataset.skipped.items())[told:]:  # of working sets that were decoded meanwhile
                echo(f"Left out {path}: {reason}")
                told += 1
            at_validation = report.step % (run.steps_per_epoch * run.val_every) == 0
            if record and (at_validation or report.step == run.total_steps):
                record.validate(trainer.weights(), report.step)
            if report.synced and pace.must_save(report.step):
                save()
                reason = pace.reason_to_stop()
                if reason and report.step < run.total_steps:
                    if record:
                        record.progress.close()
                    echo(f"Stopped at step {report.step}: {reason}; continue with --resume.")
                    if signals.caught:
                        raise KeyboardInterrupt
                    break
    weights = trainer.weights()
    if record:
        record.progress.close()
        echo(f"Wrote {record.finish(weights)}.")
    return weights
