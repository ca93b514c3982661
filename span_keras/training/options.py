"""What a train step can be told, and its limits. Imports no backend."""

from __future__ import annotations

from dataclasses import dataclass

from span_keras.constants import BETA_1, BETA_2, EMA_DECAY, EPSILON, MAX_SKIPPED, SPIKE_FACTOR

OPTIMIZERS = ("adam", "muon")
"""Keys of ``optimizers.OPTIMIZERS``, which needs a backend."""

PRECISIONS = ("float32", "mixed_bfloat16")

LOSSES = ("mae", "mse")
"""Keys of ``losses.PIXEL_LOSSES``, which needs a backend."""

PERCEPTUALS = ("vgg16", "none")

STRATEGIES = ("auto", "none", "mirrored", "multiworker")


@dataclass(frozen=True)
class StepOptions:
    """What a train step does besides the loss.

    Args:
        precision: ``"float32"``, or ``"mixed_bfloat16"``: hidden convolutions in bfloat16; weights, composition of the
            kernels, first and last operation, loss and optimizer in float32.
        optimizer: ``"adam"``, or ``"muon"``: Muon for the hidden kernels, Adam for the rest; see ``muon``.
        weight_decay: decoupled (AdamW), applied to kernels, not to biases; 0 is none.
        beta_1, beta_2, epsilon: of Adam; the last is added as ``keras.optimizers.Adam`` does.
        clip_norm: the gradient is scaled down to this global norm; 0 leaves it.
        ema_decay: of the averaged weights; at update t = 1, 2, …, ``(1 + t) / (10 + t)`` as long as that is less.
        spike_factor: a step whose loss exceeds the running median this many times is skipped; ten in a row bring back
            the averaged weights.
        max_skipped: this many skipped steps in a row stop the run.
        teacher_weight: factor of the mean absolute difference to the teacher's output in the loss.
    """

    precision: str = "float32"
    optimizer: str = "adam"
    weight_decay: float = 0.0
    beta_1: float = BETA_1
    beta_2: float = BETA_2
    epsilon: float = EPSILON
    clip_norm: float = 0.0
    ema_decay: float = EMA_DECAY
    spike_factor: float = SPIKE_FACTOR
    max_skipped: int = MAX_SKIPPED
    teacher_weight: float = 1.0
