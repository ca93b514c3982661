"""One update of the weights as a pure function of state, batch and rate, written once with ``keras.ops``."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from span_keras.constants import GUARD_START, GUARD_WINDOW
from span_keras.images.orientation import turn_each
from span_keras.network.functional import apply, fuse
from span_keras.training.adversarial import Adversary
from span_keras.training.losses import mean_absolute_error
from span_keras.training.optimizers import OPTIMIZERS, average, clipped, recent_median, restored, streak_after
from span_keras.training.options import StepOptions


class TrainStep:
    """One update as a pure function ``(state, images, rate) -> (state, logs)``; see ``SpanTrainer`` for the state.

    Each engine gives ``gradient(function, parameters) -> ((loss, more), gradients)`` of a function that returns a loss
    and more, and ``mean(tree)``, the average over its devices.
    """

    def __init__(self, config, loss, options: StepOptions, parameters: list[str], degrade: Callable | None = None):
        self.config, self.loss, self.options, self.parameters = config, loss, options, parameters
        self.degrade = degrade

    def __call__(self, state: dict, images: tuple, rate, gradient: Callable, mean: Callable = lambda tree: tree):
        if len(images[-1].shape) == 1:
            *images, numbers = images
            images = [turn_each(image, numbers) for image in images]
        if self.degrade:
            images = self.degrade(*images, state["step"])
        images = [ops.cast(image, "float32") / 255.0 for image in images]
        parameters = {name: state[f"weights/{name}"] for name in self.parameters}
        adversary = Adversary(self.options, state) if self.options.adversarial_weight else None
        (loss, (parts, sr)), gradients = gradient(lambda p: self._total_loss(p, adversary, *images), parameters)
        loss, parts, gradients = mean((loss, parts, gradients))
        gradients, norm = clipped(gradients, self.options.clip_norm)
        median, known = recent_median(state["recent_losses"])
        sane = ops.logical_and(ops.isfinite(loss), ops.isfinite(norm))
        leap = ops.logical_and(known >= GUARD_START, loss > self.options.spike_factor * median)
        accept = ops.logical_and(sane, ops.logical_not(leap))
        updated = self._update(state, gradients, rate) | self._record(state, loss)
        streak, restore = streak_after(accept, state["streak"])
        # Where, not cond: nothing leaves the device, and all of it fuses into the update.
        names = [(f"weights/{name}", f"ema/{name}", f"moment_1/{name}") for name in self.parameters]
        kept = state | restored(state, restore, names)
        new = {name: ops.where(accept, value, kept[name]) for name, value in updated.items()}
        new |= {"step": state["step"] + 1, "streak": streak}
        logs = {"loss": loss, **parts, "grad_norm": norm, "streak": streak}
        if adversary:
            learnt, its_logs = adversary.update(images[1], ops.stop_gradient(sr), rate, gradient, mean)
            new, logs = new | learnt, logs | its_logs
        logs["skipped"] = ops.cast(ops.logical_not(accept), "float32")
        logs["restored"] = ops.cast(restore, "float32")
        return new, logs

    def _total_loss(self, parameters: dict, adversary: Adversary | None, lr, hr, teacher_sr=None):
        """Return the loss, and its parts with the network's output."""
        dtype = "bfloat16" if self.options.precision == "mixed_bfloat16" else "float32"
        sr = self.network(parameters, lr, dtype)
        total, parts = self.loss(hr, sr)
        if teacher_sr is not None:
            parts = {**parts, "teacher": mean_absolute_error(teacher_sr, sr)}
            total = total + self.options.teacher_weight * parts["teacher"]
        if adversary:
            parts = {**parts, "adversarial": adversary.loss(sr)}
            total = total + self.options.adversarial_weight * parts["adversarial"]
        return total, (parts, sr)

    def network(self, parameters: dict, lr, dtype: str):
        """Run the training network: (N, h, w, 3) in [0, 1] -> (N, h·scale, w·scale, 3)."""
        return apply(fuse(parameters, self.config), lr, self.config, dtype)

    @staticmethod
    def _record(state, loss):
        here = ops.equal(ops.arange(GUARD_WINDOW, dtype="int32"), state["updates"] % GUARD_WINDOW)
        return {"recent_losses": ops.where(here, loss, state["recent_losses"]), "updates": state["updates"] + 1}

    def _update(self, state: dict, gradients: dict, rate) -> dict:
        """Step with decoupled weight decay (Loshchilov & Hutter 2019), and average the weights."""
        o = self.options
        t = ops.cast(state["updates"] + 1, "float32")
        changes, new = OPTIMIZERS[o.optimizer].step(gradients, state, t, o)
        for name in self.parameters:
            weight = state[f"weights/{name}"]
            if o.weight_decay and name.endswith("kernel"):
                weight = weight - weight * (o.weight_decay * rate)
            weight = weight - rate * changes[name]
            ema = average(state[f"ema/{name}"], weight, t, o.ema_decay)
            new |= {f"weights/{name}": weight, f"ema/{name}": ema}
        return new
