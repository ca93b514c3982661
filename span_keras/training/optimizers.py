"""The optimizers by name: which arrays each keeps for a parameter, and how it changes the parameter.

What every update does around them is here, too: clipping the gradient, averaging the weights, and going back to the
average after many updates that were left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from span_keras.constants import EMA_DELAY, RESTORE_AFTER
from span_keras.training import muon
from span_keras.training.options import StepOptions


@dataclass(frozen=True)
class Optimizer:
    """One optimizer.

    Args:
        moments: ``(parameter) -> (moment, …)``: names of the arrays that it keeps for a parameter of ``stack``. Each
            has the parameter's shape, begins with zeros and is ``moment/parameter`` in the trainer's state. A
            ``moment_1`` becomes zero where damaged weights give way to their average.
        step: ``(gradients, state, t, options) -> (changes, moments)``: what to subtract before the learning rate, by
            parameter, and the new arrays, by their names in the state. ``t`` is the number of the update from 1.
            Weight decay and averaging are the train step's.
    """

    moments: Callable[[str], tuple[str, ...]]
    step: Callable[[dict, dict, object, StepOptions], tuple[dict, dict]]


def _adam(gradients: dict, state: dict, t, options: StepOptions) -> tuple[dict, dict]:
    """Step as Adam does (Kingma & Ba 2015), in the form of ``keras.optimizers.Adam``.

    Epsilon is added outside of the bias correction.
    """
    changes, moments = {}, {}
    correction = ops.sqrt(_bias_correction(options.beta_2, t)) / _bias_correction(options.beta_1, t)
    for name, gradient in gradients.items():
        m, v = state[f"moment_1/{name}"], state[f"moment_2/{name}"]
        m = m + (gradient - m) * (1 - options.beta_1)
        v = v + (ops.square(gradient) - v) * (1 - options.beta_2)
        changes[name] = m * correction / (ops.sqrt(v) + options.epsilon)
        moments |= {f"moment_1/{name}": m, f"moment_2/{name}": v}
    return changes, moments


def _bias_correction(beta: float, t):
    """Return ``1 - beta**t``, which float32 would leave few digits of where ``beta`` is near 1."""
    return -ops.expm1(t * math.log(beta)) if beta else 1.0


def _muon(gradients: dict, state: dict, t, options: StepOptions) -> tuple[dict, dict]:
    """Step hidden kernels as Muon does, and the others as Adam does."""
    hidden = {name: gradient for name, gradient in gradients.items() if muon.takes(name)}
    others = {name: gradient for name, gradient in gradients.items() if name not in hidden}
    changes, momenta = muon.step(hidden, {name: state[f"moment_1/{name}"] for name in hidden})
    others, moments = _adam(others, state, t, options)
    return changes | others, moments | {f"moment_1/{name}": momentum for name, momentum in momenta.items()}


def _moments_of_muon(name: str) -> tuple[str, ...]:
    return ("moment_1",) if muon.takes(name) else ("moment_1", "moment_2")


OPTIMIZERS = {
    "adam": Optimizer(lambda name: ("moment_1", "moment_2"), _adam),
    "muon": Optimizer(_moments_of_muon, _muon),
}
"""Name -> optimizer. ``options.OPTIMIZERS`` lists the same names for those who import no backend."""


def clipped(gradients: dict, limit: float):
    """Scale gradients down to a global norm of ``limit`` at most, 0 for none; return them and the norm before."""
    norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in gradients.values()))
    if limit:
        factor = ops.minimum(1.0, limit / (norm + 1e-12))
        gradients = {name: g * factor for name, g in gradients.items()}
    return gradients, norm


def average(before, weight, t, decay: float):
    """Return the moving average of a weight after update ``t``; early ones forget faster, see ``StepOptions``."""
    return before + ops.maximum(1 - decay, (EMA_DELAY - 1) / (EMA_DELAY + t)) * (weight - before)


def recent_median(recent):
    """Return the median of recent values, infinite where none is known yet, and how many are known."""
    known = ops.sum(ops.cast(ops.isfinite(recent), "int32"))
    return ops.take(ops.sort(recent), ops.maximum(known - 1, 0) // 2), known


def streak_after(accept, streak):
    """Return the number of updates left out in a row, and whether it is one that brings the average back."""
    streak = ops.where(accept, ops.zeros_like(streak), streak + 1)
    return streak, ops.logical_and(streak > 0, ops.equal(streak % RESTORE_AFTER, 0))


def restored(state: dict, restore, names) -> dict:
    """Take weights from their average and a first moment of zero, where ``restore``.

    Args:
        state: of a trainer.
        restore: a boolean tensor.
        names: ``(weight, average, moment)``, names in the state; an optimizer may keep no such moment.

    Returns:
        The new arrays, by their names in the state.
    """
    new = {}
    for weight, average_of_it, moment in names:
        new[weight] = ops.where(restore, state[average_of_it], state[weight])
        if moment in state:
            new[moment] = ops.where(restore, ops.zeros_like(state[moment]), state[moment])
    return new
