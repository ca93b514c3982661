"""Make the trainer of a run: weights to start from, teacher, loss and options."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import keras

from span_keras.checkpoints import load_weights, notes, require_rgb, require_settled
from span_keras.data.degrade import Degrader
from span_keras.errors import TrainingError
from span_keras.network.init import initialise
from span_keras.network.model import build_span
from span_keras.network.weights import SpanWeights
from span_keras.runs.settings import Settings
from span_keras.training.devices import Devices
from span_keras.training.losses import SpanLoss
from span_keras.training.perceptual import build as build_perceptual
from span_keras.training.trainer import SpanTrainer

GPU_STEPS_PER_EXECUTION = 20


def make_trainer(
    settings: Settings,
    devices: Devices | None = None,
    echo: Callable = lambda text: None,
) -> SpanTrainer:
    """Make the trainer that the settings describe, at its first step."""
    devices, data, step = devices or Devices(), settings.data, settings.step
    if data.batch_size % devices.replicas:
        raise TrainingError(
            f"--batch-size must be a multiple of the {devices.replicas} devices, found {data.batch_size}; "
            "or give --strategy none for one device."
        )
    perceptual = None
    if step.perceptual != "none" and step.vgg_weight:
        # Feature models take their precision from the global policy.
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(step.precision)
        try:
            perceptual = build_perceptual(step.perceptual, step.perceptual_weights)
        finally:
            keras.config.set_dtype_policy(policy)
    run = settings.run
    return SpanTrainer(
        start_weights(settings, echo),
        SpanLoss(perceptual, step.vgg_weight, step.loss, step.colour_weight),
        settings.schedule,
        step,
        degrade=degrader(settings),
        steps_per_execution=run.steps_per_execution or steps_per_execution(run.steps_per_epoch, devices),
        devices=devices,
        seed=run.seed,
    )


def degrader(settings: Settings) -> Degrader | None:
    """Make what makes LR patches on the device, ``None`` where threads make them."""
    degradations = settings.data.degradations
    if degradations is None:
        return None
    return Degrader(degradations, settings.config.scale, settings.data.patch_size, settings.run.seed)


def teacher_weights(settings: Settings, echo: Callable = lambda text: None) -> SpanWeights | None:
    """Load the network whose output is a second target, if there is one.

    Raises:
        TrainingError, CheckpointError: the file cannot be read, or holds a network of another scale.
    """
    if settings.data.teacher is None:
        return None
    weights = _loaded(settings.data.teacher, echo)
    config = settings.config
    if weights.config.scale != config.scale:
        raise TrainingError(f"--teacher expected a x{config.scale} network, found a x{weights.config.scale} one.")
    return weights


def start_weights(settings: Settings, echo: Callable = lambda text: None) -> SpanWeights:
    """Load ``--init``'s weights in training form, or make fresh ones from the seed.

    Weights of another scale are resampled; those of another input range are folded where a range of 1 is asked for.

    Raises:
        TrainingError, CheckpointError: the file cannot be read, or holds another network than the settings ask for.
    """
    config, init, seed = settings.config, settings.network.init, settings.run.seed
    if init is None:
        # Keras's initialisers take their seeds from there. Its own set_random_seed would load TensorFlow on JAX, too.
        random.seed(seed)
        model = build_span(config, dtype="float32")
        initialise(model, seed=seed)
        # A model keeps range and mean in float32 only, so reading them back rounds.
        return replace(SpanWeights.from_model(model), config=config)
    weights = _loaded(init, echo, rgb_mean=config.rgb_mean)
    if config.img_range == 1 and weights.config.img_range != 1:
        echo(f"{init} has an input range of {weights.config.img_range:g}: its first convolution takes it in.")
        # A range of 255 makes the kernel of ``conv_1`` so small that an optimiser's first steps, of one size for all
        # weights, would replace it.
        weights = weights.scale_range(1.0)
    if weights.config.scale != config.scale:
        echo(f"{init} is a x{weights.config.scale} network: its last convolution is resampled by area.")
        weights = weights.resample(config.scale)
    if weights.config != config:
        differ = [f"{k} {v!r}" for k, v in weights.config.to_dict().items() if v != config.to_dict()[k]]
        raise TrainingError(
            f"--init expected weights of the network asked for, found {init} with {', '.join(differ)}; "
            "leave those options out to take them from the file."
            + (
                " What the file cannot tell, give to load_weights, and --init what save_weights then makes of it."
                if weights.metadata.get("assumed")
                else ""
            )
        )
    return SpanWeights(config, weights.expand(seed).layers, source=str(init))


def _loaded(file: str, echo: Callable, **stated) -> SpanWeights:
    """Load weights and tell what was assumed about them.

    Raises:
        CheckpointError: see ``load_weights``, ``require_rgb`` and ``require_settled``.
    """
    weights = load_weights(file, **stated)
    require_rgb(weights)
    require_settled(weights)
    for note in notes(weights):
        echo(note)
    return weights


def make_deterministic() -> None:
    """Have the same run give the same numbers to the last digit on a CPU; on a GPU that would cost speed."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            tf.config.experimental.enable_op_determinism()


def steps_per_execution(steps_per_epoch: int, devices: Devices) -> int:
    """Choose how many steps a call runs: on a GPU about twenty, best a divisor of the epoch, as others compile anew."""
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
