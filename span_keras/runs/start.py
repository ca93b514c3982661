"""Make the trainer of a run: weights to start from, teacher, loss and options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras

from span_keras.checkpoints import assumption, load_weights
from span_keras.errors import TrainingError
from span_keras.network.init import initialise
from span_keras.network.model import build_span
from span_keras.network.weights import SpanWeights
from span_keras.runs.settings import Settings
from span_keras.training.devices import Devices
from span_keras.training.losses import SpanLoss
from span_keras.training.options import StepOptions
from span_keras.training.perceptual import build as build_perceptual
from span_keras.training.trainer import SpanTrainer

GPU_STEPS_PER_EXECUTION = 20


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
    )
    return SpanTrainer(
        start_weights(settings, echo),
        SpanLoss(perceptual, settings.vgg_weight, pixel=settings.loss, luma=settings.luma),
        settings.schedule_object(),
        options,
        teacher=teacher,
        steps_per_execution=settings.steps_per_execution or steps_per_execution(settings.steps_per_epoch, devices),
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

    Weights of another scale are resampled; those of another input range are folded where a range of 1 is asked for.

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
    if weights.config != config:
        differ = [f"{k} {v!r}" for k, v in weights.config.to_dict().items() if v != config.to_dict()[k]]
        raise TrainingError(
            f"--init expected weights of the network asked for, found {settings.init} with {', '.join(differ)}; "
            "leave those options out to take them from the file."
            + (
                " What the file cannot tell, give to load_weights, and --init what save_weights then makes of it."
                if weights.metadata.get("assumed")
                else ""
            )
        )
    return SpanWeights(config, weights.expand(settings.seed).layers, source=str(settings.init))


def make_deterministic() -> None:
    """On a CPU, the same run gives the same numbers to the last digit; on a GPU that would cost speed."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            tf.config.experimental.enable_op_determinism()


def steps_per_execution(steps_per_epoch: int, devices: Devices) -> int:
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
