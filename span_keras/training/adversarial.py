"""The adversarial part of a train step: a discriminator that learns beside the network, and what it adds to the loss.

Both are trained on the same batch with the logistic losses of "Generative Adversarial Nets" (Goodfellow et al., NIPS
2014), the network with the one that does not saturate. The discriminator has an Adam of its own, at the network's rate.

Its arrays are part of the trainer's flat state: ``discriminator/…``, their average ``discriminator_ema/…``,
``moment_1/discriminator/…``, ``moment_2/discriminator/…``, the counters ``discriminator_updates`` and
``discriminator_streak``, and ``discriminator_recent_losses``.

Its guard's bounds are such that a healthy training, whose loss stays between 0.5 and 1.4, does not come near them. The
norm of the gradient is none of them: that leaps to 300 times its median in healthy trainings, and clipping bounds it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from keras import ops

from span_keras.constants import GUARD_START, GUARD_WINDOW
from span_keras.training import discriminator
from span_keras.training.optimizers import OPTIMIZERS, average, clipped, recent_median, restored, streak_after
from span_keras.training.options import StepOptions

GROUP = "discriminator"

AVERAGE = f"{GROUP}_ema"

LOSSES = f"{GROUP}_recent_losses"

LEAST_LOSS = 0.5
"""Loss that a leap is compared with, if the median is less: one that was winning may come back from it."""

WON = 0.1
"""Mean of the recent losses below which the discriminator waits: it sees through every image, and what it would still
learn tells the network nothing. One that knows nothing has ``2 · ln 2``, which is 1.39."""


def initial_state(options: StepOptions, seed: int) -> dict[str, np.ndarray]:
    """Return the discriminator's part of a trainer's state before the first step."""
    arrays, vectors = discriminator.initialise(options.discriminator_channels, seed)
    trained = {f"{GROUP}/{name}": array for name, array in arrays.items()}
    moments = OPTIMIZERS["adam"].moments
    state = trained | {f"{GROUP}/{name}": array for name, array in vectors.items()}
    state |= {f"{AVERAGE}/{name}": array for name, array in arrays.items()}
    state |= {f"{moment}/{name}": np.zeros_like(array) for name, array in trained.items() for moment in moments(name)}
    return state | {f"{GROUP}_updates": np.int32(0), f"{GROUP}_streak": np.int32(0)} | no_history()


def no_history() -> dict[str, np.ndarray]:
    """Return what the guard remembers at its beginning; infinity sorts behind every value that is known."""
    return {LOSSES: np.full(GUARD_WINDOW, np.inf, np.float32)}


class Adversary:
    """The discriminator of one train step.

    Args:
        options: of the step.
        state: the trainer's, with ``initial_state``'s part.
    """

    def __init__(self, options: StepOptions, state: dict):
        self.options, self.state = options, state
        self.dtype = "bfloat16" if options.precision == "mixed_bfloat16" else "float32"
        arrays = {name.removeprefix(f"{GROUP}/"): a for name, a in state.items() if name.startswith(f"{GROUP}/")}
        vectors = {name: array for name, array in arrays.items() if name.startswith(f"{discriminator.VECTORS}/")}
        self.arrays = {name: array for name, array in arrays.items() if name not in vectors}
        self.vectors = discriminator.power_step(self.arrays, vectors)

    def _judge(self, arrays: dict, images):
        return discriminator.apply(discriminator.normalised(arrays, self.vectors), images, self.dtype)

    def loss(self, sr):
        """Return how clearly the discriminator sees that images (N, H, W, 3) were made: what the network lowers."""
        return ops.mean(ops.softplus(-self._judge(self.arrays, sr)))

    def update(self, hr, sr, rate, gradient: Callable, mean: Callable) -> tuple[dict, dict]:
        """Train the discriminator on a batch.

        An update whose loss or gradient is not finite is left out, and so is one whose loss exceeds the recent median
        ``spike_factor`` times; ``RESTORE_AFTER`` in a row bring back the averaged discriminator. While the mean of the
        last ``GUARD_WINDOW`` losses is below ``WON``, none is made.

        Args:
            hr, sr: (N, H, W, 3), real and made images.
            rate: of learning.
            gradient, mean: as ``TrainStep`` has them.

        Returns:
            The new part of the state, and ``discriminator``, ``discriminator_skipped``, ``discriminator_waits`` and
            ``discriminator_streak``.
        """

        def loss(arrays):
            # Apart, because the compiler then finds that the network's loss holds the second already.
            real, made = self._judge(arrays, hr), self._judge(arrays, sr)
            return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(made)), {}

        (value, _), gradients = gradient(loss, self.arrays)
        value, gradients = mean((value, gradients))
        gradients, norm = clipped(gradients, self.options.clip_norm)
        state = self.state
        recent = state[LOSSES]
        waits = ops.mean(recent) < WON
        sane = ops.logical_and(ops.isfinite(value), ops.isfinite(norm))
        median, known = recent_median(recent)
        usual = ops.maximum(median, LEAST_LOSS)
        leap = ops.logical_and(known >= GUARD_START, value > self.options.spike_factor * usual)
        # Of one that waits, every loss must count, or it would wait for ever.
        accept = ops.logical_and(sane, ops.logical_or(waits, ops.logical_not(leap)))
        learns = ops.logical_and(accept, ops.logical_not(waits))

        streak, restore = streak_after(accept, state[f"{GROUP}_streak"])
        updated = self._updated(gradients, rate) | {f"{GROUP}_updates": state[f"{GROUP}_updates"] + 1}
        names = [(f"{GROUP}/{name}", f"{AVERAGE}/{name}", f"moment_1/{GROUP}/{name}") for name in self.arrays]
        kept = state | restored(state, restore, names)
        new = {name: ops.where(learns, array, kept[name]) for name, array in updated.items()}
        new[LOSSES] = ops.where(accept, ops.concatenate([recent[1:], ops.reshape(value, (1,))]), recent)
        new |= {f"{GROUP}/{name}": vector for name, vector in self.vectors.items()}
        new[f"{GROUP}_streak"] = streak
        logs = {"skipped": ops.logical_not(accept), "waits": waits}
        logs = {f"{GROUP}_{name}": ops.cast(flag, "float32") for name, flag in logs.items()}
        return new, {GROUP: value, **logs, f"{GROUP}_streak": streak}

    def _updated(self, gradients: dict, rate) -> dict:
        t = ops.cast(self.state[f"{GROUP}_updates"] + 1, "float32")
        gradients = {f"{GROUP}/{name}": value for name, value in gradients.items()}
        changes, new = OPTIMIZERS["adam"].step(gradients, self.state, t, self.options)
        for name in self.arrays:
            array = self.arrays[name] - rate * changes[f"{GROUP}/{name}"]
            new[f"{GROUP}/{name}"] = array
            new[f"{AVERAGE}/{name}"] = average(self.state[f"{AVERAGE}/{name}"], array, t, self.options.ema_decay)
        return new
