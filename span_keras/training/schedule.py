"""The learning rate as a function of the step: piecewise constant or cosine, with an optional linear warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from span_keras.errors import ConfigError

SCHEDULES = ("piecewise", "cosine")


@dataclass(frozen=True)
class Schedule:
    """Learning rate by step.

    Args:
        initial: the rate after the warm-up, greater than 0.
        total_steps: length of the whole run; ``cosine`` reaches zero there.
        kind: ``"piecewise"`` multiplies the rate by ``factor`` at each boundary; ``"cosine"`` follows half a cosine.
        boundaries: steps, ascending, at which the next rate begins: step ``boundaries[0]`` is the first reduced one.
        factor: multiplier at each boundary.
        warmup_steps: steps during which the rate rises linearly from ``initial / warmup_steps``.

    Raises:
        ConfigError: a value is outside its range.
    """

    initial: float
    total_steps: int
    kind: str = "piecewise"
    boundaries: tuple[int, ...] = ()
    factor: float = 0.5
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.initial) and self.initial > 0):
            raise ConfigError(f"learning rate must be a positive number, found {self.initial!r}.")
        if self.kind not in SCHEDULES:
            raise ConfigError(f"schedule must be piecewise or cosine, found {self.kind!r}.")
        if list(self.boundaries) != sorted(set(self.boundaries)) or any(b < 1 for b in self.boundaries):
            raise ConfigError(f"rate boundaries must be ascending and positive, found {list(self.boundaries)}.")
        if not (math.isfinite(self.factor) and 0 < self.factor <= 1):
            raise ConfigError(f"rate factor must be above 0 and at most 1, found {self.factor!r}.")
        if self.total_steps < 1 or self.warmup_steps < 0:
            raise ConfigError(
                f"steps must be positive, warm-up steps 0 or more, found {self.total_steps} and {self.warmup_steps}."
            )

    @classmethod
    def by_epoch(cls, initial: float, *, steps_per_epoch: int, epochs: int, boundaries=(), **rest) -> Schedule:
        """Make a schedule whose boundaries are epochs: 200 means that 200 epochs have the initial rate."""
        steps = tuple(boundary * steps_per_epoch for boundary in boundaries)
        return cls(initial, epochs * steps_per_epoch, boundaries=steps, **rest)

    def rate(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` finished ones."""
        if step < self.warmup_steps:
            return self.initial * (step + 1) / self.warmup_steps
        if self.kind == "cosine":
            progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
            return self.initial * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.initial * self.factor ** sum(step >= boundary for boundary in self.boundaries)
