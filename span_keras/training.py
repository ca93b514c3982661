"""A whole training run, read from top to bottom: what ``python -m span_keras.train`` does."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from span_keras import data, morph, pictures, runs
from span_keras.checkpoints import assumption, load_weights, save_weights
from span_keras.errors import TrainingError
from span_keras.init import initialise
from span_keras.losses import SpanLoss
from span_keras.model import build_span
from span_keras.perceptual import build as build_perceptual
from span_keras.progress import Decoding, Progress
from span_keras.settings import FIXED, OF_THE_LOSS, Settings, option
from span_keras.state import SpanWeights
from span_keras.strategies import Devices, choose
from span_keras.teacher import Teacher
from span_keras.tensorboard_log import TensorBoard
from span_keras.trainer import Report, SpanTrainer, StepOptions
from span_keras.validation import Validation

GPU_STEPS_PER_EXECUTION = 20


def train(settings: Settings, out: str | os.PathLike, *, resume: bool = False, echo: Callable = print) -> SpanWeights:
    """Train a network and leave everything about it in the folder ``out``; see ``runs.RunFolder`` for its files.

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
    _make_deterministic()
    devices = choose(settings.strategy)
    echo = echo if devices.chief else lambda text: None
    echo(f"Computing on {devices.describe()}.")
    folder = runs.RunFolder(out)
    # Only the process that writes keeps others out: those of one run share its folder.
    with folder.alone() if devices.chief else contextlib.nullcontext():
        return _train(settings, folder, devices, resume, echo, started)


def _train(
    settings: Settings, folder: runs.RunFolder, devices: Devices, resume: bool, echo: Callable, started: float
) -> SpanWeights:
    if devices.chief or resume:
        settings = _check_folder(folder, settings, resume, echo)
    if devices.processes > 1 and settings.max_minutes:
        raise TrainingError("--max-minutes works with one process only, because all must stop at the same step.")
    with _Signals(enabled=devices.processes == 1, at_once=True), _explained(echo):
        checkpoint = folder.load_checkpoint(echo) if resume else None
        _agree(devices, checkpoint)
        if checkpoint and checkpoint.progress["step"] > settings.total_steps:
            raise TrainingError(
                f"--resume expected at least the {checkpoint.progress['step']} steps that the run in {folder.path} has "
                f"done, found {settings.total_steps} in all; give more --epochs."
            )

        validation_files, training_files = _split(settings, echo)
        tell = lambda path, reason: echo(f"Not validating on {path}: {reason}")  # noqa: E731
        images = data.load_validation(validation_files, settings.scale, on_skip=tell)
        validation = Validation(images, settings.network())
        teacher = teacher_weights(settings, echo)
        # Before the photographs are decoded, which takes its time, because it finds what cannot be trained. The
        # checkpoint holds all that --init began with, whose file may be gone.
        trainer = make_trainer(replace(settings, init=None) if checkpoint else settings, devices, echo, teacher)
        if teacher:
            echo("Decoding the photographs and asking the teacher for its output.")
        dataset = data.PatchDataset(
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
            rgb_order=settings.rgb_order,
            hr_scales=settings.hr_scales,
            teacher=Teacher(teacher, settings.teacher_cache) if teacher else None,
            target=settings.target,
            lr_scales=settings.lr_scales,
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
            "training": _fingerprint(training_files, settings.data),
            "validation": _fingerprint(validation_files, settings.val or settings.data),
            "sets": dataset.set_count,
        }
        loop = _Loop(settings, folder, trainer, validation, photos, devices, started, echo)
        if devices.chief:
            bicubic = f"bicubic has a PSNR of {loop.bicubic:.3f} dB there"
            echo(f"Validating on {len(images)} photographs; {bicubic}.")
        if checkpoint:
            loop.restore(checkpoint.progress)
    loop.run(dataset)
    return loop.finish()


def make_trainer(
    settings: Settings,
    devices: Devices | None = None,
    echo: Callable = lambda text: None,
    teacher: SpanWeights | None = None,
) -> SpanTrainer:
    """The trainer that the settings describe, at its first step; ``teacher`` gives it hints, if they ask for them."""
    devices = devices or Devices()
    if settings.batch_size % devices.replicas:
        raise TrainingError(
            f"--batch-size must be a multiple of the {devices.replicas} devices, found {settings.batch_size}; "
            "or give --strategy none for one device."
        )
    perceptual = None
    if settings.perceptual != "none" and settings.vgg_weight:
        # Feature models take their precision from the global policy.
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(settings.precision)
        try:
            perceptual = build_perceptual(settings.perceptual, settings.perceptual_weights)
        finally:
            keras.config.set_dtype_policy(policy)
    options = StepOptions(
        precision=settings.precision,
        optimizer=settings.optimizer,
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        clip_norm=settings.clip_norm,
        ema_decay=settings.ema_decay,
        spike_factor=settings.spike_factor,
        teacher_weight=settings.teacher_weight,
        luma=settings.luma,
        hint_weight=settings.hint_weight,
        morph_steps=settings.morph_steps,
    )
    return SpanTrainer(
        start_weights(settings, echo),
        SpanLoss(perceptual, settings.vgg_weight, pixel=settings.loss, luma=settings.luma),
        settings.schedule_object(),
        options,
        teacher=teacher,
        steps_per_execution=settings.steps_per_execution or _steps_per_execution(settings.steps_per_epoch, devices),
        devices=devices,
    )


def teacher_weights(settings: Settings, echo: Callable = lambda text: None) -> SpanWeights | None:
    """The network whose output is a target and whose features are hints, if there is one.

    Raises:
        TrainingError, CheckpointError: the file cannot be read, or holds a network that cannot teach this one.
    """
    if settings.teacher is None:
        return None
    weights = load_weights(settings.teacher)
    if note := assumption(weights):
        echo(note)
    if weights.config.scale != settings.scale:
        raise TrainingError(f"--teacher expected a x{settings.scale} network, found a x{weights.config.scale} one.")
    if settings.hint_weight and weights.config.blocks != settings.blocks:
        raise TrainingError(
            f"--hint-weight expected a --teacher with as many blocks as the network to train ({settings.blocks}), "
            f"found one with {weights.config.blocks}; leave --hint-weight out, or set --blocks."
        )
    return weights


def start_weights(settings: Settings, echo: Callable = lambda text: None) -> SpanWeights:
    """``--init``'s weights as a trainable start, or fresh ones from the seed.

    Weights of another scale are resampled; those of another input range are folded where a range of 1 is asked for;
    with ``morph_steps`` those of variant ``official`` are converted.

    Raises:
        TrainingError, CheckpointError: the file cannot be read, or holds another network than the settings ask for.
    """
    config = settings.network()
    if settings.init is None:
        keras.utils.set_random_seed(settings.seed)
        model = build_span(config, dtype="float32")
        initialise(model, seed=settings.seed)
        # A model keeps range and mean in float32 only, so reading them back rounds.
        return replace(SpanWeights.from_model(model), config=config)
    weights = load_weights(settings.init, rgb_mean=settings.rgb_mean)
    if note := assumption(weights):
        echo(note)
    if config.img_range == 1 and weights.config.img_range != 1:
        echo(f"{settings.init} has an input range of {weights.config.img_range:g}: its first convolution takes it in.")
        weights = weights.fold_range()
    if weights.config.scale != config.scale:
        echo(f"{settings.init} is a x{weights.config.scale} network: its last convolution is resampled by area.")
        weights = weights.resample(config.scale)
    if settings.morph_steps:
        weights = morph.convert(weights)
        echo(
            f"{settings.init} passes from SiLU and sigmoid to LeakyReLU and tanh over {settings.morph_steps} steps; "
            "validation is with the latter, so its figures are poor until then."
        )
    if weights.config != config:
        differ = [f"{k} {v!r}" for k, v in weights.config.to_dict().items() if v != config.to_dict()[k]]
        raise TrainingError(
            f"--init expected weights of the network asked for, found {settings.init} with {', '.join(differ)}; "
            "leave those options out to take them from the file"
            + (", or give --morph-steps." if (weights.config.variant, config.variant) == ("official", "span") else ".")
            + (
                " What the file cannot tell, give to load_weights, and --init what save_weights then makes of it."
                if weights.metadata.get("assumed")
                else ""
            )
        )
    return SpanWeights(config, weights.expand(settings.seed).layers, source=str(settings.init))


class _Loop:
    """The run's course: reports, validations and checkpoints, and every way to stop."""

    def __init__(self, settings, folder, trainer, validation, photos, devices, started, echo):
        self.settings, self.folder, self.trainer, self.validation = settings, folder, trainer, validation
        self.photos = photos
        self.loss = _of_the_loss(settings)
        self.chief, self.processes, self.started, self.echo = devices.chief, devices.processes, started, echo
        self.best = float("-inf")
        self.saved_step, self.saved_at = -1, time.monotonic()
        self.progress = Progress(settings, trainer.step, echo)
        self.bicubic = validation.bicubic_psnr() if self.chief else None
        self.unlogged: dict[str, list[float]] = {}
        self.logged_at = time.monotonic()
        self.board = TensorBoard(folder.path / "tensorboard" if self.chief else None)
        if not self.board.available and self.chief:
            echo("Note: the package tensorboard is not installed; no event files are written.")

    def run(self, dataset) -> None:
        s, trainer = self.settings, self.trainer
        self.told = len(dataset.skipped)
        execution = trainer.run(dataset.unturned, s.total_steps, s.workers, cut=s.steps_per_epoch)
        with (
            _Signals(enabled=self.processes == 1) as signals,
            contextlib.closing(self.board),
            contextlib.closing(execution) as reports,
            contextlib.closing(dataset),  # closed first: threads that make batches may wait for its decoding
        ):
            if self.saved_step < 0:
                self.validate(0)
                self.save()
            for report in reports:
                self.log(report)
                self.tell_skipped(dataset)
                epoch, within = divmod(report.step, s.steps_per_epoch)
                if within == 0 and (epoch % s.val_every == 0 or report.step == s.total_steps):
                    self.validate(epoch)
                stop = self.reason_to_stop(signals)
                if stop or report.step == s.total_steps or self.checkpoint_is_due(report.step):
                    if not report.settled:
                        trainer.settle = True
                        continue
                    self.save()
                    if stop and report.step < s.total_steps:
                        self.progress.close()
                        self.echo(f"Stopped at step {report.step}: {stop}; continue with --resume.")
                        if signals.caught:
                            raise KeyboardInterrupt
                        break
        self.progress.close()

    def reason_to_stop(self, signals: _Signals) -> str | None:
        minutes = self.settings.max_minutes
        if signals.caught:
            return f"interrupted by {signals.caught.name}"
        if minutes and time.monotonic() - self.started > 60 * minutes:
            return f"--max-minutes {minutes:g} have passed"
        return None

    def restore(self, progress: dict) -> None:
        """Take over what a checkpoint knows besides the trainer's state."""
        self.best, self.unlogged = progress["best_psnr"], progress["unlogged"]
        if self.best == float("inf"):  # of older versions, where a blank photograph could make it so
            self.best = float("-inf")
        self.saved_step = self.trainer.step
        before = progress.get("photos", self.photos)  # checkpoints of older versions do not know them
        if before["training"] != self.photos["training"]:
            self.echo(
                "Note: the photographs to train on are others than before; the result differs from an uninterrupted "
                "run's."
            )
        elif before.get("sets", self.photos["sets"]) != self.photos["sets"]:
            self.echo(
                f"Note: the number of working sets changes from {before['sets']} to {self.photos['sets']}; the result "
                "differs from an uninterrupted run's."
            )
        # The checkpoint tells, not the run's settings: a run may have stopped between the change and a checkpoint.
        # What it does not name did not exist, or was as it is by default.
        if (
            _of_the_loss(Settings()) | progress.get("loss", self.loss) != self.loss
            or before["training"] != self.photos["training"]
        ):
            self.trainer.forget_losses()
        if before["validation"] != self.photos["validation"]:
            self.best = float("-inf")
            self.echo(
                "Note: the photographs to validate on are others than before; figures do not compare, and the best "
                "weights are chosen anew."
            )

    def log(self, report: Report) -> None:
        """Add to ``log.csv`` once ``log_every`` steps are together; a checkpoint keeps what is not yet written."""
        self.progress.update(report)
        if self.unlogged.keys() != report.logs.keys():
            self.unlogged = {}  # a resumed run's loss may have other parts than before
        for name, values in report.logs.items():
            self.unlogged.setdefault(name, []).extend(map(float, values))
        every, size = self.settings.log_every, len(report.logs["loss"])
        if (report.step - size) // every == report.step // every and report.step != self.settings.total_steps:
            return
        row = {"step": report.step, "epoch": -(-report.step // self.settings.steps_per_epoch)}
        row |= {name: float(np.mean(values)) for name, values in sorted(self.unlogged.items())}
        row |= {"rate": self.unlogged["rate"][-1]}
        row |= {name: int(sum(self.unlogged[name])) for name in ("skipped", "restored")}
        row["seconds"] = round(time.monotonic() - self.logged_at, 3)
        self.unlogged, self.logged_at = {}, time.monotonic()
        if row["skipped"]:
            back = f" and went back to the averaged weights {row['restored']} times" if row["restored"] else ""
            self.echo(f"Step {report.step}: skipped {row['skipped']} steps{back} since the last report.")
        if self.chief:
            self.folder.append("log.csv", row)
            self.board.scalars(report.step, "train", {k: v for k, v in row.items() if k not in ("step", "epoch")})

    def tell_skipped(self, dataset) -> None:
        """Name the photographs of later working sets that turned out to be unusable."""
        new = list(dataset.skipped.items())[self.told :]
        for path, reason in new:
            self.echo(f"Left out {path}: {reason}")
        self.told += len(new)

    def validate(self, epoch: int) -> None:
        if not self.chief:
            return
        weights, step = self.trainer.weights().fuse(), self.trainer.step
        figures = self.validation(weights)
        self.folder.append("validation.csv", {"step": step, "epoch": epoch, **figures})
        self.board.scalars(step, "validation", figures)
        self.progress.validated(epoch, figures)
        if figures["psnr_y"] > self.best:
            self.best = figures["psnr_y"]
            save_weights(weights, self.folder.path / "best.safetensors")
        self.draw(weights, epoch)

    def draw(self, weights: SpanWeights, epoch: int) -> None:
        """The run's curves so far and a strip of samples of one validation image, each time another."""
        c = weights.config
        title = f"{self.folder.path.name} · x{c.scale} ch{c.channels} {c.variant} · best {self.best:.3f} dB"
        log, validation = self.folder.rows("log.csv"), self.folder.rows("validation.csv")
        self.folder.write("curve.png", pictures.curves(log, validation, title, self.bicubic))
        number = epoch // self.settings.val_every % len(self.validation.images)
        self.folder.write(f"samples/step_{self.trainer.step:08}.png", self.validation.strip(weights, number))

    def checkpoint_is_due(self, step: int) -> bool:
        s = self.settings
        every = s.checkpoint_every or s.steps_per_epoch
        by_steps = step // every > self.saved_step // every
        by_time = s.checkpoint_minutes and time.monotonic() - self.saved_at > 60 * s.checkpoint_minutes
        # Without a number of steps, epochs of seconds need no checkpoint each.
        return by_time or (by_steps and (s.checkpoint_every > 0 or time.monotonic() - self.saved_at > 10))

    def save(self) -> None:
        if self.chief:
            progress = {"step": self.trainer.step, "best_psnr": self.best, "unlogged": self.unlogged}
            progress |= {"photos": self.photos, "loss": self.loss}
            self.folder.save_checkpoint(runs.Checkpoint(self.trainer.state, progress))
        self.saved_step, self.saved_at = self.trainer.step, time.monotonic()

    def finish(self) -> SpanWeights:
        """Write the weights for use."""
        weights = self.trainer.weights()
        if self.chief:
            save_weights(weights.fuse(), self.folder.path / "weights.safetensors")
            save_weights(weights, self.folder.path / "weights.weights.h5")
            self.echo(f"Wrote {self.folder.path / 'weights.safetensors'}.")
            if self.trainer.step < self.settings.morph_steps:
                self.echo(
                    f"Note: {self.trainer.step} of --morph-steps {self.settings.morph_steps} are done; before all are, "
                    "these weights are worth little."
                )
        return weights


class _Signals:
    """Turns Ctrl-C and SIGTERM into a note, so that the run stops between two executions with a checkpoint.

    Args:
        enabled: where not, SIGTERM ends the process at once: processes that wait for each other do so in native code,
            where no handler of Python runs.
        at_once: raise ``KeyboardInterrupt`` on the first of either, where there is nothing to save yet.
    """

    def __init__(self, enabled: bool = True, at_once: bool = False):
        self.caught, self._before, self._at_once = None, {}, at_once
        notes = {signal.SIGINT: self._note, signal.SIGTERM: self._note}
        self._handlers = notes if enabled else {signal.SIGTERM: signal.SIG_DFL}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # signals arrive there alone
            self._before = {number: signal.signal(number, handler) for number, handler in self._handlers.items()}
        return self

    def _note(self, number, frame):
        if self.caught or self._at_once:  # in any case at the second time
            raise KeyboardInterrupt
        self.caught = signal.Signals(number)

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _explained(echo: Callable):
    """Say at an interruption before the first step how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        echo("Stopped before training; start with --resume, also where nothing has been trained yet.")
        raise


def _agree(devices: Devices, checkpoint: runs.Checkpoint | None) -> None:
    """Check that all processes start at the same step, before the first of them computes anything."""
    found = devices.gather(checkpoint.progress["step"] if checkpoint else -1)
    if len(set(found)) > 1:
        steps = ", ".join("no checkpoint" if step < 0 else f"step {step}" for step in found)
        raise TrainingError(
            f"expected all processes to start at the same step, found {steps}; --out must be a folder that all "
            "machines share, and all must be started with or all without --resume."
        )


def _make_deterministic() -> None:
    """On a CPU, the same run gives the same numbers to the last digit; on a GPU that would cost speed."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            tf.config.experimental.enable_op_determinism()


def _steps_per_execution(steps_per_epoch: int, devices: Devices) -> int:
    """On a GPU about twenty, a divisor of the epoch where there is one: another number is compiled anew."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        gpu = jax.default_backend() != "cpu"
    else:
        import tensorflow as tf

        # Collective operations of several steps in one graph can wait for each other.
        gpu = bool(tf.config.list_physical_devices("GPU")) and devices.replicas == 1
    if not gpu:
        return 1
    divisors = (k for k in range(GPU_STEPS_PER_EXECUTION, 4, -1) if steps_per_epoch % k == 0)
    return next(divisors, GPU_STEPS_PER_EXECUTION)


def _check_folder(folder: runs.RunFolder, settings: Settings, resume: bool, echo: Callable) -> Settings:
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
            f"--resume expected network, optimizer and --morph-steps of the run in {folder.path}, found {what}; "
            "use --init instead."
        )
    for name, (old, new) in changed.items():
        echo(f"Note: --{option(name)} changes from {old} to {new}; the result differs from an uninterrupted run's.")
    return settings


def _same_source(one: str, other: str | None) -> bool:
    """Whether both name the same bundled weights or file, however that is spelt."""
    return one == other or (other is not None and os.path.realpath(one) == os.path.realpath(other))


def _split(settings: Settings, echo: Callable = lambda text: None) -> tuple[list[Path], list[Path]]:
    """``(validation, training)`` files: another folder's, or some held out."""
    if settings.data is None and settings.val is None:
        return data.list_photos(data.BUNDLED_VAL), data.list_photos(data.BUNDLED_TRAIN)
    files = _without_runs(data.list_photos(settings.data or data.BUNDLED_TRAIN), settings.data, echo)
    if settings.val is None:
        count = min(settings.val_images, max(1, len(files) // 5))
        training, validation = data.split_validation(files, count, settings.seed)
        return validation, training
    validation = _without_runs(data.list_photos(settings.val), settings.val, echo)
    # Also those that are too many to validate on.
    held_out = {path.resolve() for path in validation}
    if len(validation) > settings.val_images:
        # The same ones for every seed, spread by a hash of their names.
        _, validation = data.split_validation(validation, settings.val_images, 0)
    training = [path for path in files if path.resolve() not in held_out]
    if not training:
        raise TrainingError(f"expected photographs in {settings.data} besides those of --val, found none.")
    return validation, training


def _of_the_loss(settings: Settings) -> dict:
    return {name: value for name, value in settings.to_dict().items() if name in OF_THE_LOSS}


def _without_runs(files: list[Path], folder: str | None, echo: Callable) -> list[Path]:
    """Leave out the curves and samples of runs that lie somewhere below the folder of photographs."""
    if folder is None:
        return files
    root, folders = Path(folder), {path.parent for path in files}
    below = {f for inner in folders for f in (inner, *inner.parents) if root in f.parents}
    found = set(filter(runs.is_run, below))
    inside = {inner for inner in folders if not found.isdisjoint((inner, *inner.parents))}
    kept = [path for path in files if path.parent not in inside]
    if not kept:
        raise TrainingError(f"expected photographs in {folder}, found only pictures of the runs in it.")
    if len(kept) < len(files):
        echo(f"Left out {len(files) - len(kept)} pictures of the runs in {', '.join(map(str, sorted(found)))}.")
    return kept


def _fingerprint(files: list[Path], folder: str | None) -> str:
    """Tells other photographs from the same ones in a folder that has moved: a digest of names and sizes."""
    root = Path(folder) if folder else files[0].parent
    names = [(os.path.relpath(path, root), path.stat().st_size) for path in files]
    return hashlib.sha256(repr(names).encode()).hexdigest()
