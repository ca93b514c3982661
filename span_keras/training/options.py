"""What a train step can be told, and its limits. Imports no backend."""

from __future__ import annotations

from dataclasses import dataclass, field

from span_keras.constants import BETA_1, BETA_2, CLIP_NORM, DEFAULTS, EMA_DECAY, EPSILON, MAX_SKIPPED, SPIKE_FACTOR

OPTIMIZERS = ("adam", "muon")
"""Keys of ``optimizers.OPTIMIZERS``, which needs a backend."""

PRECISIONS = ("float32", "mixed_bfloat16")

LOSSES = ("mae", "mse")
"""Keys of ``losses.PIXEL_LOSSES``, which needs a backend."""

PERCEPTUALS = ("vgg16", "vgg16-deep", "lpips", "none")
"""Keys of ``perceptual.PERCEPTUAL``, which needs a backend, and none."""

STRATEGIES = ("auto", "none", "mirrored", "multiworker")


def option(default, help: str, low: float | None = None, high: float | None = None, **more):
    """Return a field of ``StepOptions`` that is an option of a training run, too.

    Args:
        default, help, low, high, more: as in ``runs.option.Option``, whose entry is made of them.
    """
    return field(default=default, metadata={"help": help, "low": low, "high": high, **more})


@dataclass(frozen=True)
class StepOptions:
    """What a train step does besides the loss.

    A field made by ``option`` is an entry of the table ``runs.options.OPTIONS``. The others are constants of the
    algorithm.

    Args:
        teacher_weight: factor of the mean absolute difference to the teacher's output in the loss.
        adversarial_weight: factor of what a discriminator adds to the loss; 0 is no discriminator. See ``adversarial``.
        discriminator_channels: its width at the images' size.
        optimizer: ``"adam"``, or ``"muon"``: Muon for the hidden kernels, Adam for the rest; see ``muon``.
        weight_decay: decoupled (AdamW), applied to kernels, not to biases; 0 is none.
        beta_1, beta_2, epsilon: of Adam; the last is added as ``keras.optimizers.Adam`` does.
        clip_norm: the gradient is scaled down to this global norm; 0 leaves it.
        ema_decay: of the averaged weights; at update t = 1, 2, …, ``(1 + t) / (10 + t)`` as long as that is less.
        spike_factor: a step whose loss exceeds the running median this many times is skipped; ten in a row bring back
            the averaged weights.
        max_skipped: this many skipped steps in a row stop the run.
        precision: ``"float32"``, or ``"mixed_bfloat16"``: hidden convolutions in bfloat16; weights, composition of the
            kernels, first and last operation, loss and optimizer in float32.
    """

    teacher_weight: float = option(
        1.0, "Weight of the distance to the teacher", 0, 1e3, needs=("teacher",), loss=True, shown=False
    )
    adversarial_weight: float = option(0.0, "Weight of the adversarial loss, 0 for no discriminator", 0, 1e3, loss=True)
    discriminator_channels: int = option(
        32, "Width of the discriminator", 1, 512, needs=("adversarial_weight",), resume="fixed", shown=False
    )
    optimizer: str = option("adam", "Muon trains hidden kernels, Adam the rest", choices=OPTIMIZERS, resume="fixed")
    weight_decay: float = option(DEFAULTS["weight_decay"], "Decoupled, on kernels only", 0, 1, shown=False)
    beta_1: float = option(BETA_1, "Decay of Adam's mean of gradients", 0, 0.9999999, shown=False)
    beta_2: float = option(BETA_2, "Decay of Adam's mean of their squares", 0, 0.9999999, shown=False)
    epsilon: float = EPSILON
    clip_norm: float = option(CLIP_NORM, "Largest global norm of the gradient, 0 for none", 0, 1e9, shown=False)
    ema_decay: float = option(EMA_DECAY, "Decay of the averaged weights", 0, 0.9999999, shown=False)
    spike_factor: float = option(SPIKE_FACTOR, "Skip steps of so many times the usual loss", 1.5, 1e9, shown=False)
    max_skipped: int = MAX_SKIPPED
    precision: str = option("float32", "Precision of the convolutions", choices=PRECISIONS)
