"""A whole training run, read from top to bottom: what ``python -m span_keras.train`` does for each stage.

``train`` checks what is asked for, and hands each part of the settings to its owner: ``data`` to the photographs,
``network`` and ``step`` to the trainer, ``run`` to the loop at the end.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import load_validation
from span_keras.data.degrade import degraded_pairs
from span_keras.data.options import Degradations
from span_keras.errors import TrainingError
from span_keras.network.weights import SpanWeights
from span_keras.runs import plots
from span_keras.runs import resume as resuming
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.folder import RunFolder
from span_keras.runs.options import DataSettings
from span_keras.runs.pace import Pace
from span_keras.runs.photographs import Photographs, fingerprint, split_photographs
from span_keras.runs.progress import Decoding, Progress
from span_keras.runs.record import Record
from span_keras.runs.settings import Settings
from span_keras.runs.signals import Signals, explained_interruption
from span_keras.runs.start import make_deterministic, make_trainer, teacher_weights
from span_keras.runs.validation import Validation, lpips_metrics
from span_keras.training.devices import Devices, choose
from span_keras.training.lpips import Lpips, figure_texts
from span_keras.training.teacher import Teacher
from span_keras.training.trainer import SpanTrainer


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
    context = Context(settings, RunFolder(out), devices, echo, started)
    # Only the process that writes keeps others out: those of one run share its folder.
    with context.folder.alone() if devices.is_main else contextlib.nullcontext():
        return _train(context, resume)


def _train(context: Context, resume: bool) -> SpanWeights:
    context = _checked(context, resume)
    with Signals(enabled=context.devices.processes == 1, at_once=True), explained_interruption(context.echo):
        parts = _load(context, resume)
        record = _begin(context, parts)
    _loop(context, parts, record)
    weights = parts.trainer.weights()
    if record:
        record.progress.close()
        context.echo(f"Wrote {record.finish(weights)}.")
    return weights


@dataclass(frozen=True)
class Context:
    """What every step of a run needs.

    Attributes:
        settings: what to do.
        folder: of the run.
        devices: what computes.
        echo: prints a line; of several processes, only the main one's does.
        started: time by ``time.monotonic`` from which ``max_minutes`` counts.
    """

    settings: Settings
    folder: RunFolder
    devices: Devices
    echo: Callable
    started: float


@dataclass(frozen=True)
class Parts:
    """What a run consists of once everything is loaded.

    Attributes:
        checkpoint: that the run goes on from; None for its beginning.
        trainer: in the state of the checkpoint.
        dataset: the patches to train on.
        validation: measures the weights.
        degraded: whether the photographs to validate on are.
        photos: digests of the photographs, and the number of working sets, as a checkpoint keeps them.
    """

    checkpoint: Checkpoint | None
    trainer: SpanTrainer
    dataset: PatchDataset
    validation: Validation
    degraded: bool
    photos: dict

    @property
    def begun_at(self) -> int:
        """Step of the checkpoint; -1 without one."""
        return self.checkpoint.progress["step"] if self.checkpoint else -1


def _checked(context: Context, resume: bool) -> Context:
    """Compare what is asked for with what the folder holds, and return what is to be done."""
    devices = context.devices
    if devices.is_main or resume:
        settings = resuming.check_settings(context.folder, context.settings, resume, context.echo)
        context = replace(context, settings=settings)
    if devices.processes > 1 and context.settings.run.max_minutes:
        raise TrainingError("--max-minutes works with one process only, because all must stop at the same step.")
    return context


def _load(context: Context, resume: bool) -> Parts:
    """Load checkpoint, photographs and networks."""
    settings, folder, devices, echo = context.settings, context.folder, context.devices, context.echo
    checkpoint = folder.load_checkpoint(echo) if resume else None
    resuming.check_processes(devices, checkpoint)
    resuming.check_length(checkpoint, settings, folder)

    metrics = lpips_metrics(settings.run) if devices.is_main else []
    photographs = split_photographs(settings.data, settings.run.seed, echo)
    degradations = None if photographs.validation_lr else settings.data.validation_degradations
    validation = _load_validation(context, photographs, degradations, metrics)

    # The network before photographs are decoded, which takes its time, because it finds what cannot be trained.
    teacher = teacher_weights(settings, echo)
    # The checkpoint holds all that --init began with, whose file may be gone.
    trainer = make_trainer(settings.having(init=None) if checkpoint else settings, devices, echo)

    if checkpoint:
        trainer.state = checkpoint.arrays  # which finds a checkpoint that does not fit
        echo(f"Continuing at step {trainer.step} of {settings.run.total_steps}.")

    dataset = _load_dataset(context, photographs, teacher)
    photos = _fingerprints(settings.data, photographs, degradations) | {"sets": dataset.set_count}
    return Parts(checkpoint, trainer, dataset, validation, degradations is not None, photos)


def _load_validation(
    context: Context, photographs: Photographs, degradations: Degradations | None, metrics: Sequence[Lpips]
) -> Validation:
    """Decode the photographs to validate on, and do to their LR images what is done in training."""
    config, echo = context.settings.config, context.echo
    tell = lambda problem: echo(f"Not used for validation: {problem}")  # noqa: E731
    pairs = load_validation(photographs.validation, config.scale, on_skip=tell, lr_files=photographs.validation_lr)
    if degradations:
        pairs = degraded_pairs(pairs, degradations, config.scale)
    return Validation(pairs, config, metrics, context.settings.run.select)


def _load_dataset(context: Context, photographs: Photographs, teacher: SpanWeights | None) -> PatchDataset:
    """Decode the photographs to train on, and say what they are.

    Batches are numbered through: their order knows no epochs, so a run can stop and go on anywhere.
    """
    settings, devices, echo = context.settings, context.devices, context.echo
    data, run = settings.data, settings.run
    if teacher:
        echo("Decoding the photographs and asking the teacher for its output.")
    dataset = PatchDataset(
        photographs.training,
        scale=settings.config.scale,
        patch=data.patch_size,
        batch_size=data.batch_size,
        steps_per_epoch=run.total_steps,
        seed=run.seed,
        workers=data.workers,
        cache_gb=data.cache_gb,
        degradations=data.degradations,
        hr_scales=data.hr_scales,
        lr_files=photographs.training_lr,
        teacher=Teacher(teacher, data.teacher_cache) if teacher else None,
        dtype="uint8",  # the strip of samples is of whole levels
        shard=(devices.process, devices.processes),
        progress=Decoding(echo, context.started, run.max_minutes),
    )
    echo(f"Training on {dataset.describe()}.")
    return dataset


def _fingerprints(data: DataSettings, photographs: Photographs, degradations: Degradations | None) -> dict:
    """Return digests of the photographs to train and to validate on, the latter with what is done to them."""
    return {
        "training": fingerprint(photographs.training, data.data, lr_files=photographs.training_lr),
        "validation": fingerprint(
            photographs.validation, data.val or data.data, degradations, photographs.validation_lr
        ),
    }


def _begin(context: Context, parts: Parts) -> Record | None:
    """Bring the folder to where the run stands, and return what writes to it; None in all but the main process."""
    settings, folder, echo = context.settings, context.folder, context.echo
    record = None
    if context.devices.is_main:
        folder.save_config(settings.to_dict())
        folder.forget_after(parts.begun_at)
        if parts.dataset.degrader:
            folder.write("samples/degraded.png", plots.pairs_strip("degraded LR patches beside HR", *parts.dataset[0]))
        record = Record(settings.run, folder, parts.validation, Progress(settings.run, parts.trainer.step, echo))
        kind = "degraded photographs" if parts.degraded else "photographs"
        figures = ", ".join([f"a PSNR of {record.bicubic['psnr_y']:.3f} dB", *figure_texts(record.bicubic)])
        echo(f"Validating on {len(parts.validation.images)} {kind}; bicubic has {figures} there.")
    if parts.checkpoint:
        progress, selection = parts.checkpoint.progress, parts.validation.selection
        best = resuming.compare(progress, parts.photos, settings, selection, parts.trainer, echo)
        if record:
            record.best, record.unlogged = best, progress["unlogged"]
    return record


def _loop(context: Context, parts: Parts, record: Record | None) -> None:
    """Train with reports, validations and checkpoints, until the last step or a reason to stop.

    Raises:
        KeyboardInterrupt: a signal was the reason.
    """
    run, trainer, dataset = context.settings.run, parts.trainer, parts.dataset
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals(enabled=context.devices.processes == 1))
        pace = Pace(run, context.started, signals, parts.begun_at)
        if record:
            stack.callback(record.close)
        workers = context.settings.data.workers
        reports = trainer.run(dataset.unturned, run.total_steps, workers, cut=run.steps_per_epoch, sync=pace.must_save)
        stack.enter_context(contextlib.closing(reports))
        stack.enter_context(contextlib.closing(dataset))  # first: threads that make batches may wait for its decoding
        told = len(dataset.skipped)
        if not parts.checkpoint:
            if record:
                record.validate(trainer.weights(), trainer.step)
            _save(context, parts, record, pace)
        for report in reports:
            if record:
                record.log(report)
            for path, reason in list(dataset.skipped.items())[told:]:  # of working sets that were decoded meanwhile
                context.echo(f"Left out {path}: {reason}")
                told += 1
            at_validation = report.step % (run.steps_per_epoch * run.val_every) == 0
            if record and (at_validation or report.step == run.total_steps):
                record.validate(trainer.weights(), report.step)
            if report.synced and pace.must_save(report.step):
                _save(context, parts, record, pace)
                reason = pace.reason_to_stop()
                if reason and report.step < run.total_steps:
                    if record:
                        record.progress.close()
                    context.echo(f"Stopped at step {report.step}: {reason}; continue with --resume.")
                    if signals.caught:
                        raise KeyboardInterrupt
                    break


def _save(context: Context, parts: Parts, record: Record | None, pace: Pace) -> None:
    """Write a checkpoint, if this is the main process, and note that it is written."""
    if record:
        progress = {"step": parts.trainer.step, "unlogged": record.unlogged}
        progress |= {"best": record.best, "best_by": parts.validation.selection.name}
        progress |= {"photos": parts.photos, "loss": context.settings.of_the_loss()}
        context.folder.save_checkpoint(Checkpoint(parts.trainer.state, progress))
    pace.saved(parts.trainer.step)
