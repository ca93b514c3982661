"""What an option of a training run is: its type, its limits, how it is spelt, read and checked."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import get_args

from span_keras.errors import ConfigError

INTS, FLOATS, TEXTS = tuple[int, ...], tuple[float, ...], tuple[str, ...]

WORDS = {int: ("a whole number", "whole numbers"), float: ("a number", "numbers"), str: ("a text", "texts")}


@dataclass(frozen=True)
class Option:
    """One option.

    Args:
        group: which of ``options.GROUPS`` it belongs to, and with it the object that it is handed to.
        name: of the field; the command line has hyphens for its underscores.
        type: ``int``, ``float``, ``str``, ``INTS``, ``FLOATS`` or ``TEXTS``.
        default: of a recipe that does not name it. ``None`` also makes ``None`` a value.
        help: what it does, without a full stop.
        low, high: inclusive limits of numbers, or of each number of a list.
        choices: the values, of an option that is no list.
        ascending: whether the numbers of a list must ascend.
        metavar: what stands for the value in ``--help``; its type or its choices by default.
        unset: what ``--help`` shows as the default in place of the value.
        shown: whether the command line has it; recipe files have all.
        resume: what happens when a resumed run is given another value: ``"fixed"`` refuses it, ``"result"`` says that
            the result differs, ``"free"`` takes it.
        loss: whether losses before and after another value do not compare.
        needs: what must be in use where this is given: ``"teacher"``, or ``"schedule=piecewise"``.
        excludes: the option that is unset where this one is set.
    """

    group: str
    name: str
    type: type
    default: object
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple = ()
    ascending: bool = False
    metavar: str | None = None
    unset: str | None = None
    shown: bool = True
    resume: str = "result"
    loss: bool = False
    needs: tuple[str, ...] = ()
    excludes: str | None = None

    @property
    def element(self) -> type:
        """Type of the value, or of the values of a list."""
        return get_args(self.type)[0] if self.is_list else self.type

    @property
    def is_list(self) -> bool:
        return self.type in (INTS, FLOATS, TEXTS)

    @property
    def flag(self) -> str:
        """What the command line calls it: ``--learning-rate``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def spelling(self) -> str:
        """What messages call it: the flag, or ``[step] beta_1`` where only recipe files have it."""
        return self.flag if self.shown else f"[{self.group}] {self.name}"

    def parse(self, text: str):
        """Read a value of the command line; a list is separated by commas.

        Raises:
            ConfigError: the text is no value of this type.
        """
        try:
            if self.is_list:
                return tuple(self.element(part) for part in text.split(",") if part)
            return self.type(text)
        except ValueError:
            one, many = WORDS[self.element]
            raise ConfigError(f"{self.spelling} must be {many if self.is_list else one}, found {text!r}.") from None

    def check(self, value) -> None:
        """Refuse a value that the option cannot have.

        Raises:
            ConfigError: it is of another type or outside the limits.
        """
        if value is None and self.default is None:
            return
        if not self.is_list:
            self._check_one(value)
            return
        if not isinstance(value, (tuple, list)):
            raise ConfigError(f"{self.spelling} must be a list of {WORDS[self.element][1]}, found {value!r}.")
        for one in value:
            self._check_one(one)
        if self.ascending and list(value) != sorted(set(value)):
            raise ConfigError(f"{self.spelling} must be ascending {WORDS[self.element][1]}, found {list(value)}.")

    def _check_one(self, value) -> None:
        kinds = (int, float) if self.element is float else self.element
        good = isinstance(value, kinds) and not isinstance(value, bool)
        if good and isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{self.spelling} must be a finite number, found {value!r}.")
        good = good and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        if good and (not self.choices or value in self.choices):
            return
        what = WORDS[self.element][self.is_list]
        if self.choices:
            what = f"one of {', '.join(map(str, self.choices))}"
        elif self.low is not None:
            form = "," if self.element is int else "g"
            what += f" from {self.low:{form}} to {self.high:{form}}"
        raise ConfigError(f"{self.spelling} must be {what}, found {value!r}.")

    def to_toml(self, text: str | None) -> str:
        """Return how a recipe file gives the value of a flag: ``[step] beta_1 = 0.9``."""
        try:
            value = json.dumps(self.parse(text or ""))
        except ConfigError:
            value = "…"
        return f"[{self.group}] {self.name} = {value}"
