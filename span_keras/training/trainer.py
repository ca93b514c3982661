"""``SpanTrainer``: the train step and the loop around it, on TensorFlow (GradientTape) and JAX (stateless).

The step is one pure function of (state, batch, rate), written once with ``keras.ops``; a backend only differentiates
and compiles it, several steps in one call, and keeps the state on its devices. The host waits once per call.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from span_keras.constants import GUARD_WINDOW
from span_keras.errors import TrainingError
from span_keras.network.backend import require_backend
from span_keras.network.functional import stack, unstack
from span_keras.network.weights import SpanWeights
from span_keras.training import adversarial
from span_keras.training.devices import Devices
from span_keras.training.engines import JaxEngine, TensorFlowEngine
from span_keras.training.optimizers import OPTIMIZERS
from span_keras.training.options import PRECISIONS, StepOptions
from span_keras.training.schedule import Schedule
from span_keras.training.step import TrainStep


@dataclass(frozen=True)
class Report:
    """What one call of the compiled steps did.

    Attributes:
        step: number of steps finished after it.
        logs: name -> float array with one value per step: ``loss`` and its parts, ``grad_norm``, and ``skipped`` and
            ``restored``, 0 or 1; with a discriminator, its loss ``discriminator``, and ``discriminator_skipped`` and
            ``discriminator_waits``, 0 or 1.
        seconds: wall time since the report before it.
        synced: whether the trainer's state is that of this report; if not, the device is an execution further.
    """

    step: int
    logs: dict[str, np.ndarray]
    seconds: float
    synced: bool = True


class SpanTrainer:
    """Train a SPAN network.

    Args:
        weights: where to start, in either form.
        loss: ``(hr, sr) -> (total, {part: value})`` on (N, H, W, 3) float32 tensors.
        schedule: the learning rate.
        options: see ``StepOptions``.
        degrade: ``(hr, step) -> (lr, hr)`` on tensors from 0 to 255, part of the step: batches are of HR patches alone
            then, see ``data.degrade``.
        steps_per_execution: steps that one call runs on the device without returning to Python.
        devices: from ``devices.choose``; one device by default.
        seed: of the discriminator's first weights.

    The state is a flat dictionary of arrays: ``weights/…`` and ``ema/…`` with the names of ``stack``, what the
    optimizer keeps for each of them (``moment_1/…``, ``moment_2/…``), the counters ``step``, ``updates``, ``streak``,
    ``recent_losses``, and with an adversarial loss what ``adversarial.initial_state`` returns.
    """

    step_class = TrainStep
    """What one step computes; benchmarks put another formulation here."""

    def __init__(
        self,
        weights: SpanWeights,
        loss: Callable,
        schedule: Schedule,
        options: StepOptions = StepOptions(),  # noqa: B008 (frozen)
        *,
        degrade: Callable | None = None,
        steps_per_execution: int = 1,
        devices: Devices = Devices(),  # noqa: B008 (frozen)
        seed: int = 0,
    ):
        if options.precision not in PRECISIONS:
            raise TrainingError(f"precision must be one of {PRECISIONS}, found {options.precision!r}.")
        if options.optimizer not in OPTIMIZERS:
            raise TrainingError(f"optimizer must be one of {tuple(OPTIMIZERS)}, found {options.optimizer!r}.")
        self.config = weights.config
        self.options = options
        self.schedule = schedule
        self.steps_per_execution = steps_per_execution
        state = initial_state(weights, options, seed)
        self._parameters = [name.removeprefix("weights/") for name in state if name.startswith("weights/")]
        step = self.step_class(self.config, loss, options, self._parameters, degrade)
        self.engine = (JaxEngine if require_backend() == "jax" else TensorFlowEngine)(step, state, devices)
        self.step = 0

    def run(
        self,
        batches: Callable[[int], tuple],
        stop: int,
        workers: int = 4,
        cut: int | None = None,
        sync: Callable[[int], bool] = lambda step: False,
    ) -> Iterator[Report]:
        """Train from the present step until ``stop`` steps are done, yielding a report per execution.

        Args:
            batches: ``step -> (lr, hr)`` or ``(lr, hr, teacher_sr)``, uint8 (N, h, w, 3) and (N, h·scale, w·scale, 3);
                with ``degrade``, ``(hr,)``. Of several processes each makes its part. Called in ``workers`` threads,
                for every step before ``stop``. ``teacher_sr`` is a second target. A last array (N,) of orientations has
                the images turned first, all of them square; see ``orientation``.
            cut: at multiples of this number of steps an execution ends and its report is synced.
            sync: asked with the number of steps begun, before a second execution is given to the device; where it says
                yes, the report of these steps is synced, so that the state can be saved with it.

        Raises:
            TrainingError: ``max_skipped`` steps in a row were skipped, or a batch is not uint8.
        """
        cut = cut or stop
        with contextlib.closing(self._prefetch(batches, self.step, stop, workers)) as source:
            before, running = time.perf_counter(), deque()
            while self.step < stop or running:
                # A second execution waits on the device while the host looks at the first, unless the caller wants to
                # see the state between them.
                while self.step < stop and len(running) < 2:
                    if running and (self.step % cut == 0 or sync(self.step)):
                        break
                    size = min(self.steps_per_execution, cut - self.step % cut, stop - self.step)
                    rates = np.float32([self.schedule.rate(self.step + i) for i in range(size)])
                    logs = self.engine.execute(list(itertools.islice(source, size)), rates)
                    self.step += size
                    running.append((self.step, rates, logs))
                step, rates, logs = running.popleft()
                logs = self.engine.fetch(logs)
                self._check(logs)
                after = time.perf_counter()
                yield Report(step, {**logs, "rate": rates}, after - before, synced=not running)
                before = after

    def _prefetch(self, batches, start: int, stop: int, workers: int) -> Iterator:
        """Yield batches in order, on the device; threads make those of an execution and what they work on ahead."""
        ahead = self.steps_per_execution + workers
        pool, pending = ThreadPoolExecutor(workers, thread_name_prefix="batches"), deque()
        try:
            for step in range(start, stop):
                pending.append(pool.submit(lambda i: self.engine.put(_checked(batches(i))), step))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # Not waiting for the threads: they may wait for photographs that nobody needs any more.
            pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, logs) -> None:
        streaks = {name: int(logs.pop(name)[-1]) for name in ("streak", "discriminator_streak") if name in logs}
        if (streak := max(streaks.values())) < self.options.max_skipped:
            return
        bad = not_finite(logs)
        if streaks["streak"] < streak:
            raise TrainingError(
                f"expected training to progress, found {streak} updates of the discriminator in a row with a loss or "
                f"gradient that is not finite or a loss over {self.options.spike_factor:g} times the median; lower "
                "--learning-rate or --adversarial-weight, add --warmup-steps, or use --precision float32, then "
                "--resume."
            )
        raise TrainingError(
            f"expected training to progress, found {streak} steps in a row with a loss or gradient that is not "
            f"finite or a loss over {self.options.spike_factor:g} times the median"
            f"{f' (not finite: {bad})' if bad else ''}; lower --learning-rate, add "
            "--warmup-steps, use --precision float32, or look for damaged images, then --resume."
        )

    @property
    def state(self) -> dict[str, np.ndarray]:
        """A copy of everything that training changes, on the host."""
        return self.engine.read()

    @state.setter
    def state(self, state: dict[str, np.ndarray]) -> None:
        if self.options.adversarial_weight and f"{adversarial.GROUP}_updates" in state:
            state = adversarial.no_history() | state  # that older versions did not keep
        present = {name: np.shape(array) for name, array in self.engine.read().items()}
        found = {name: np.shape(array) for name, array in state.items()}
        if present != found:
            if missing := self._discriminator_missing(present, found):
                raise TrainingError(missing)
            differ = sorted(name for name in present | found if present.get(name) != found.get(name))
            raise TrainingError(f"the checkpoint does not fit this network; these arrays differ: {', '.join(differ)}.")
        self.engine.write(state)
        self.step = int(state["step"])

    def _discriminator_missing(self, present: dict, found: dict) -> str | None:
        """Return what to say where a checkpoint differs by its discriminator alone: it has none, or one too many."""
        its = {name for name in present.keys() ^ found.keys() if "discriminator" in name}
        rest = {name for name in present.keys() | found.keys() if present.get(name) != found.get(name)} - its
        if rest or not its:
            return None
        if self.options.adversarial_weight:
            return (
                "expected a checkpoint with a discriminator, found one without; leave --adversarial-weight out, or "
                "begin another run with it from these weights by --init."
            )
        return (
            "expected a checkpoint without a discriminator, found one with it; leave --adversarial-weight as it was, "
            "or begin another run without it from these weights by --init."
        )

    def forget_losses(self) -> None:
        """Compare the losses to come with one another alone, because those before are of another function or images."""
        state = self.engine.read()
        forgotten = adversarial.no_history() if self.options.adversarial_weight else {}
        self.engine.write(state | forgotten | {"recent_losses": np.full_like(state["recent_losses"], np.inf)})

    def weights(self, *, ema: bool = True) -> SpanWeights:
        """Return the trained network in training form: the averaged weights, or the latest ones."""
        group = "ema/" if ema else "weights/"
        arrays = {name.removeprefix(group): a for name, a in self.state.items() if name.startswith(group)}
        return unstack(arrays, self.config, source="training", steps=self.step)


def initial_state(weights: SpanWeights, options: StepOptions, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the state of a ``SpanTrainer`` that has made no step yet."""
    start = stack(weights)
    moments = OPTIMIZERS[options.optimizer].moments
    state = {f"weights/{name}": array for name, array in start.items()}
    state |= {f"ema/{name}": array for name, array in start.items()}
    state |= {f"{moment}/{name}": np.zeros_like(array) for name, array in start.items() for moment in moments(name)}
    state |= {name: np.int32(0) for name in ("step", "updates", "streak")}
    # Infinity sorts behind every loss that is known.
    state["recent_losses"] = np.full(GUARD_WINDOW, np.inf, np.float32)
    return state | (adversarial.initial_state(options, seed) if options.adversarial_weight else {})


def not_finite(logs: dict[str, np.ndarray]) -> str:
    """Say which parts of the loss were not finite in any of the steps, or that the gradient alone was not; else ''."""
    bad = [name for name, values in logs.items() if not np.isfinite(values).all()]
    parts = [name for name in bad if name not in ("loss", "grad_norm", "rate")]
    return ", ".join(parts) or ("the gradient" if "grad_norm" in bad else "")


def _checked(batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    if wrong := [str(image.dtype) for image in batch if image.dtype != np.uint8]:
        raise TrainingError(f"expected uint8 batches with values from 0 to 255, found {', '.join(wrong)}.")
    return batch
