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

import keras
import numpy as np
from keras import ops

from span_keras import hints, morph, muon, stacked
from span_keras.errors import TrainingError
from span_keras.losses import blended, mean_absolute_error
from span_keras.orientation import turn_each
from span_keras.schedule import Schedule
from span_keras.settings import OPTIMIZERS, PRECISIONS
from span_keras.state import SpanWeights
from span_keras.strategies import Devices

GUARD_WINDOW = 101
"""Number of recent losses whose median a loss is compared with."""
GUARD_START = 21
"""Losses that must be known before a leap can be told from ordinary variation."""
RESTORE_AFTER = 10
"""So many skipped steps in a row mean that it is the weights that are damaged: the averaged ones take their place."""


@dataclass(frozen=True)
class StepOptions:
    """What a train step does besides the loss.

    Args:
        precision: ``"float32"``, or ``"mixed_bfloat16"``: hidden convolutions in bfloat16; weights, composition of the
            kernels, first and last operation, loss and optimizer in float32.
        optimizer: ``"adam"``, or ``"muon"``: Muon for the hidden kernels, Adam for the rest; see ``muon``.
        weight_decay: decoupled (AdamW), applied to kernels, not to biases; 0 is none.
        beta_1, beta_2, epsilon: of Adam.
        clip_norm: the gradient is scaled down to this global norm; 0 leaves it.
        ema_decay: of the averaged weights; at update t = 1, 2, …, ``(1 + t) / (10 + t)`` as long as that is less.
        spike_factor: a step whose loss exceeds the running median this many times is skipped; ten in a row bring back
            the averaged weights.
        max_skipped: so many skipped steps in a row stop the run.
        teacher_weight: factor of the mean absolute difference to the teacher's output in the loss.
        luma: share of luma in this distance, 0 to 1; the loss has one of its own.
        hint_weight: factor of ``hints.unexplained`` in the loss; needs the trainer's ``teacher``. On several devices
            TensorFlow finds a map for each device's patches, JAX one for all.
        morph_steps: steps over which the activations pass from the authors' to this project's, see ``morph``; 0 if the
            weights are this project's from the start.
    """

    precision: str = "float32"
    optimizer: str = "adam"
    weight_decay: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.99
    epsilon: float = 1e-8
    clip_norm: float = 0.0
    ema_decay: float = 0.999
    spike_factor: float = 10.0
    max_skipped: int = 50
    teacher_weight: float = 1.0
    luma: float = 0.0
    hint_weight: float = 0.0
    morph_steps: int = 0


@dataclass(frozen=True)
class Report:
    """What one call of the compiled steps did.

    Attributes:
        step: number of steps finished after it.
        logs: name -> float array with one value per step: ``loss`` and its parts, ``grad_norm``, and ``skipped`` and
            ``restored``, 0 or 1.
        seconds: wall time since the report before it.
        settled: whether the trainer's state is that of this report; if not, the device is an execution further.
    """

    step: int
    logs: dict[str, np.ndarray]
    seconds: float
    settled: bool = True


class TrainStep:
    """One update as a pure function ``(state, images, rate) -> (state, logs)``; see ``SpanTrainer`` for the state.

    Each engine gives ``gradient(function, parameters) -> ((loss, parts), gradients)``, and ``mean(tree)``, the average
    over its devices.
    """

    def __init__(self, config, loss, options: StepOptions, parameters: list[str], teacher: SpanWeights | None = None):
        self.config, self.loss, self.options, self.parameters = config, loss, options, parameters
        self.teacher = teacher if options.hint_weight else None

    def __call__(self, state: dict, images: tuple, rate, gradient: Callable, mean: Callable = lambda tree: tree):
        if len(images[-1].shape) == 1:
            *images, numbers = images
            images = [turn_each(image, numbers) for image in images]
        images = [ops.cast(image, "float32") / 255.0 for image in images]
        parameters = {name: state[f"weights/{name}"] for name in self.parameters}
        share = morph.share_at(state["step"], self.options.morph_steps) if self.options.morph_steps else None
        (loss, parts), gradients = gradient(lambda p: self._total_loss(p, share, *images), parameters)
        loss, parts, gradients = mean((loss, parts, gradients))
        gradients, norm = self._clip(gradients)
        median, known = self._median(state)
        sane = ops.logical_and(ops.isfinite(loss), ops.isfinite(norm))
        leap = ops.logical_and(known >= GUARD_START, loss > self.options.spike_factor * median)
        accept = ops.logical_and(sane, ops.logical_not(leap))
        updated = self._update(state, gradients, rate) | self._record(state, loss)
        streak = ops.where(accept, ops.zeros_like(state["streak"]), state["streak"] + 1)
        restore = ops.logical_and(streak > 0, ops.equal(streak % RESTORE_AFTER, 0))
        # Where, not cond: nothing leaves the device, and all of it fuses into the update.
        kept = state | self._restored(state, restore)
        new = {name: ops.where(accept, value, kept[name]) for name, value in updated.items()}
        new |= {"step": state["step"] + 1, "streak": streak}
        logs = {"loss": loss, **parts, "grad_norm": norm, "streak": streak}
        logs["skipped"] = ops.cast(ops.logical_not(accept), "float32")
        logs["restored"] = ops.cast(restore, "float32")
        return new, logs

    def _restored(self, state, restore) -> dict:
        """Weights from their average and a first moment of zero, where ``restore``."""
        new = {}
        for name in self.parameters:
            weight, moment = state[f"weights/{name}"], state[f"moment_1/{name}"]
            new[f"weights/{name}"] = ops.where(restore, state[f"ema/{name}"], weight)
            new[f"moment_1/{name}"] = ops.where(restore, ops.zeros_like(moment), moment)
        return new

    def _total_loss(self, parameters: dict, share, lr, hr, taught=None):
        dtype = "bfloat16" if self.options.precision == "mixed_bfloat16" else "float32"
        if self.teacher is None:
            sr = self.network(parameters, lr, dtype, share)
        else:
            fused = stacked.fuse(parameters, self.config)
            sr, features = stacked.apply_with_features(fused, lr, self.config, dtype, share)
        total, parts = self.loss(hr, sr)
        if taught is not None:
            parts = {**parts, "teacher": blended(mean_absolute_error, taught, sr, self.options.luma)}
            total = total + self.options.teacher_weight * parts["teacher"]
        if self.teacher is not None:
            fused = stacked.fused_arrays(self.teacher)
            _, hinted = stacked.apply_with_features(fused, lr, self.teacher.config, dtype)
            parts = {**parts, "hints": hints.unexplained(features, hinted)}
            total = total + self.options.hint_weight * parts["hints"]
        return total, parts

    def network(self, parameters: dict, lr, dtype: str, share=None):
        """The training network: (N, h, w, 3) in [0, 1] -> (N, h·scale, w·scale, 3)."""
        return stacked.apply(stacked.fuse(parameters, self.config), lr, self.config, dtype, share)

    def _clip(self, gradients: dict):
        norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in gradients.values()))
        if self.options.clip_norm:
            factor = ops.minimum(1.0, self.options.clip_norm / (norm + 1e-12))
            gradients = {name: g * factor for name, g in gradients.items()}
        return gradients, norm

    @staticmethod
    def _median(state):
        """Of the recent losses, and how many are known."""
        known = ops.sum(ops.cast(ops.isfinite(state["recent_losses"]), "int32"))
        return ops.take(ops.sort(state["recent_losses"]), ops.maximum(known - 1, 0) // 2), known

    @staticmethod
    def _record(state, loss):
        here = ops.equal(ops.arange(GUARD_WINDOW, dtype="int32"), state["updates"] % GUARD_WINDOW)
        return {"recent_losses": ops.where(here, loss, state["recent_losses"]), "updates": state["updates"] + 1}

    def _update(self, state: dict, gradients: dict, rate) -> dict:
        """A step of the optimizer with decoupled weight decay (Loshchilov & Hutter 2019), and the weights' average."""
        o = self.options
        t = ops.cast(state["updates"] + 1, "float32")
        ema_decay = ops.minimum(o.ema_decay, (1 + t) / (10 + t))
        by_muon = {name: g for name, g in gradients.items() if f"moment_2/{name}" not in state}
        changes, momenta = muon.step(by_muon, {name: state[f"moment_1/{name}"] for name in by_muon})
        new = {f"moment_1/{name}": momentum for name, momentum in momenta.items()}
        corrections = 1 - ops.power(o.beta_1, t), 1 - ops.power(o.beta_2, t)
        for name in self.parameters:
            weight = state[f"weights/{name}"]
            if name in changes:
                change = changes[name]
            else:
                change, moments = self._adam(state, name, gradients[name], *corrections)
                new |= moments
            if o.weight_decay and name.endswith("kernel"):
                change = change + o.weight_decay * weight
            weight = weight - rate * change
            ema = state[f"ema/{name}"]
            new |= {f"weights/{name}": weight, f"ema/{name}": ema + (1 - ema_decay) * (weight - ema)}
        return new

    def _adam(self, state: dict, name: str, gradient, correction_1, correction_2) -> tuple:
        """Adam's change of one array and its new moments (Kingma & Ba 2015); the corrections are of their bias."""
        o = self.options
        m = o.beta_1 * state[f"moment_1/{name}"] + (1 - o.beta_1) * gradient
        v = o.beta_2 * state[f"moment_2/{name}"] + (1 - o.beta_2) * ops.square(gradient)
        change = (m / correction_1) / (ops.sqrt(v / correction_2) + o.epsilon)
        return change, {f"moment_1/{name}": m, f"moment_2/{name}": v}


class SpanTrainer:
    """Trains a SPAN network.

    Args:
        weights: where to start, in either form.
        loss: ``(hr, sr) -> (total, {part: value})`` on (N, H, W, 3) float32 tensors.
        schedule: the learning rate.
        options: see ``StepOptions``.
        teacher: the network whose features are hints, with as many blocks; see ``StepOptions.hint_weight``.
        steps_per_execution: steps that one call runs on the device without returning to Python.
        devices: from ``strategies.choose``; one device by default.

    The state is a flat dictionary of arrays: ``weights/…``, ``ema/…``, ``moment_1/…``, ``moment_2/…`` with the names of
    ``stacked.stack``, and the counters ``step``, ``updates``, ``streak``, ``recent_losses``. Kernels that Muon is for
    have no second moment.
    """

    step_class = TrainStep
    """What one step computes; benchmarks put another formulation here."""

    def __init__(
        self,
        weights: SpanWeights,
        loss: Callable,
        schedule: Schedule,
        options: StepOptions = StepOptions(),
        *,
        teacher: SpanWeights | None = None,
        steps_per_execution: int = 1,
        devices: Devices = Devices(),  # noqa: B008 (frozen)
    ):
        if options.precision not in PRECISIONS:
            raise TrainingError(f"precision must be one of {PRECISIONS}, found {options.precision!r}.")
        if options.optimizer not in OPTIMIZERS:
            raise TrainingError(f"optimizer must be one of {OPTIMIZERS}, found {options.optimizer!r}.")
        if options.hint_weight and (teacher is None or teacher.config.blocks != weights.config.blocks):
            found = "none" if teacher is None else f"one with {teacher.config.blocks}"
            raise TrainingError(
                f"hints expected a teacher with as many blocks as the network ({weights.config.blocks}), found {found}."
            )
        if options.morph_steps and weights.config.variant != "span":
            raise TrainingError(
                f"morph_steps expected weights of variant span from morph.convert, found {weights.config.variant}."
            )
        self.config = weights.config
        self.options = options
        self.schedule = schedule
        self.steps_per_execution = steps_per_execution
        state = initial_state(weights, options)
        self._parameters = [name.removeprefix("weights/") for name in state if name.startswith("weights/")]
        step = self.step_class(self.config, loss, options, self._parameters, teacher)
        backend = keras.backend.backend()
        if backend == "jax":
            self._engine = JaxEngine(step, state, devices)
        elif backend == "tensorflow":
            self._engine = TensorFlowEngine(step, state, devices)
        else:
            raise TrainingError(f"training needs the Keras backend tensorflow or jax, found {backend!r}.")
        self.step = 0
        self.settle = False

    def run(
        self, batches: Callable[[int], tuple], stop: int, workers: int = 4, cut: int | None = None
    ) -> Iterator[Report]:
        """Train from the present step until ``stop`` steps are done, yielding a report per execution.

        Args:
            batches: ``step -> (lr, hr)`` or ``(lr, hr, taught)``, uint8 (N, h, w, 3) and (N, h·scale, w·scale, 3), of
                several processes this one's share; called in ``workers`` threads, for every step before ``stop``.
                ``taught`` is a second target. A last array (N,) has the images turned first, all of them square: each
                to the orientation of that number, see ``orientation``.
            cut: at multiples of this number of steps an execution ends and its report is settled.

        Set ``trainer.settle = True`` to have the next report settled, so that the state can be saved with it.

        Raises:
            TrainingError: ``max_skipped`` steps in a row were skipped, or a batch is not uint8.
        """
        cut = cut or stop
        with contextlib.closing(self._prefetch(batches, self.step, stop, workers)) as source:
            before, running = time.perf_counter(), deque()
            while self.step < stop or running:
                # A second execution waits on the device while the host looks at the first, unless the caller wants to
                # see the state between them.
                while self.step < stop and len(running) < 2 and not (running and (self.settle or self.step % cut == 0)):
                    size = min(self.steps_per_execution, cut - self.step % cut, stop - self.step)
                    rates = np.float32([self.schedule.rate(self.step + i) for i in range(size)])
                    logs = self._engine.execute(list(itertools.islice(source, size)), rates)
                    self.step += size
                    running.append((self.step, rates, logs))
                step, rates, logs = running.popleft()
                logs = self._engine.fetch(logs)
                self._check(logs)
                after = time.perf_counter()
                self.settle = False
                yield Report(step, {**logs, "rate": rates}, after - before, settled=not running)
                before = after

    def _prefetch(self, batches, start: int, stop: int, workers: int) -> Iterator:
        """Batches in order, on the device, made ahead by threads: an execution and what the threads work on."""
        ahead = self.steps_per_execution + workers
        pool, pending = ThreadPoolExecutor(workers, thread_name_prefix="batches"), deque()
        try:
            for step in range(start, stop):
                pending.append(pool.submit(lambda i: self._engine.put(_checked(batches(i))), step))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # Not waiting for the threads: they may wait for photographs that nobody needs any more.
            pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, logs) -> None:
        streak = int(logs.pop("streak")[-1])
        if streak >= self.options.max_skipped:
            raise TrainingError(
                f"expected training to progress, found {streak} steps in a row with a loss or gradient that is not "
                f"finite or a loss over {self.options.spike_factor:g} times the median; lower --learning-rate, add "
                "--warmup-steps or --clip-norm, use --precision float32, or look for damaged images, then --resume"
                + ("; or begin anew with more --morph-steps." if self.options.morph_steps else ".")
            )

    @property
    def state(self) -> dict[str, np.ndarray]:
        """A copy of everything that training changes, on the host."""
        return self._engine.read()

    @state.setter
    def state(self, state: dict[str, np.ndarray]) -> None:
        present = {name: np.shape(array) for name, array in self._engine.read().items()}
        found = {name: np.shape(array) for name, array in state.items()}
        if present != found:
            differ = sorted(name for name in present | found if present.get(name) != found.get(name))
            raise TrainingError(f"the checkpoint does not fit this network; these arrays differ: {', '.join(differ)}.")
        self._engine.write(state)
        self.step = int(state["step"])

    def forget_losses(self) -> None:
        """Compare the losses to come with one another alone: those before are of another function or other images."""
        state = self._engine.read()
        self._engine.write(state | {"recent_losses": np.full_like(state["recent_losses"], np.inf)})

    def weights(self, *, ema: bool = True) -> SpanWeights:
        """The trained network in training form: the averaged weights, or the latest ones."""
        group = "ema/" if ema else "weights/"
        arrays = {name.removeprefix(group): a for name, a in self.state.items() if name.startswith(group)}
        return stacked.unstack(arrays, self.config, source="training", steps=self.step)


def initial_state(weights: SpanWeights, options: StepOptions) -> dict[str, np.ndarray]:
    """The state of a ``SpanTrainer`` that has made no step yet."""
    start = stacked.stack(weights)
    by_muon = set(filter(muon.takes, start)) if options.optimizer == "muon" else set()
    state = {f"weights/{name}": array for name, array in start.items()}
    state |= {f"ema/{name}": array for name, array in start.items()}
    state |= {f"moment_1/{name}": np.zeros_like(array) for name, array in start.items()}
    state |= {f"moment_2/{name}": np.zeros_like(array) for name, array in start.items() if name not in by_muon}
    state |= {name: np.int32(0) for name in ("step", "updates", "streak")}
    # Infinity sorts behind every loss that is known.
    state["recent_losses"] = np.full(GUARD_WINDOW, np.inf, np.float32)
    return state


def _checked(batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    if wrong := [str(image.dtype) for image in batch if image.dtype != np.uint8]:
        raise TrainingError(f"expected uint8 batches with values from 0 to 255, found {', '.join(wrong)}.")
    return batch


class JaxEngine:
    """Keeps the state on JAX devices and runs steps with ``jit`` and ``scan``.

    Args:
        devices: with a ``DataParallel``, batches are split over its devices, the state is copied to each, and XLA adds
            the reductions.
    """

    def __init__(self, step: TrainStep, state: dict, devices: Devices):
        import jax
        import jax.numpy as jnp

        self._jax, self._distribution = jax, devices.strategy
        self.write(state)

        def gradient(function, parameters):
            return jax.value_and_grad(function, has_aux=True)(parameters)

        def one(state, inputs):
            return step(state, *inputs, gradient=gradient)

        def many(state, batches, rates):
            images = tuple(map(jnp.stack, zip(*batches, strict=True)))
            return jax.lax.scan(one, state, (images, rates))

        self._many = jax.jit(many, donate_argnums=0)

    def put(self, batch):
        if self._distribution is None:
            return self._jax.device_put(batch)
        # One process's share becomes part of the global batch, split on its first axis.
        return tuple(
            self._jax.make_array_from_process_local_data(
                self._distribution.get_data_layout(image.shape).backend_layout, image
            )
            for image in batch
        )

    def execute(self, batches, rates):
        self._state, logs = self._many(self._state, batches, rates)
        return logs

    def fetch(self, logs) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in self._jax.device_get(logs).items()}

    def read(self):
        return {name: np.asarray(value) for name, value in self._jax.device_get(self._state).items()}

    def write(self, state):
        if self._distribution is None:
            self._state = self._jax.device_put(state)
            return
        mesh = self._distribution.device_mesh
        self._state = {
            name: keras.distribution.distribute_tensor(
                self._jax.numpy.asarray(value), keras.distribution.TensorLayout([None] * np.ndim(value), mesh)
            )
            for name, value in state.items()
        }


class TensorFlowEngine:
    """Keeps the state in ``tf.Variable``s and runs steps in one ``tf.function``.

    Args:
        devices: with a synchronous ``tf.distribute.Strategy``, each replica computes the gradient of its share of the
            batch, all average them, and all make the same update.
    """

    def __init__(self, step: TrainStep, state: dict, devices: Devices):
        import tensorflow as tf

        strategy = devices.strategy
        self._tf, self._strategy, self._local = tf, strategy, devices.replicas // devices.processes
        with strategy.scope() if strategy else contextlib.nullcontext():
            self._variables = {
                name: tf.Variable(
                    value,
                    trainable=False,
                    # Every replica assigns the same value.
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                    name=name.replace("/", "_"),
                )
                for name, value in state.items()
            }

        def gradient(function, parameters):
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                loss, parts = function(parameters)
            return (loss, parts), tape.gradient(loss, parameters)

        def mean(tree):
            if strategy is None:
                return tree
            context = tf.distribute.get_replica_context()
            return tf.nest.map_structure(lambda t: context.all_reduce(tf.distribute.ReduceOp.MEAN, t), tree)

        def many(batches, rates):
            state = {name: tf.convert_to_tensor(variable) for name, variable in self._variables.items()}
            logs = []
            for i, images in enumerate(batches):
                state, log = step(state, images, rates[i], gradient, mean)
                logs.append(log)
            for name, value in state.items():
                self._variables[name].assign(value)
            return {name: tf.stack([log[name] for log in logs]) for name in logs[0]}

        # AutoGraph would find no Python to convert, and take seconds for it.
        @tf.function(autograph=False, jit_compile=strategy is None and bool(tf.config.list_physical_devices("GPU")))
        def run(batches, rates):
            if strategy is None:
                return many(batches, rates)
            logs = strategy.run(many, (batches, rates))
            return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

        self._run = run

    def put(self, batch):
        tf, strategy = self._tf, self._strategy
        if strategy is None:
            return tuple(tf.convert_to_tensor(image) for image in batch)

        def share(image):
            parts = np.split(image, self._local)

            def of_replica(context):
                return tf.convert_to_tensor(parts[context.replica_id_in_sync_group % self._local])

            return strategy.experimental_distribute_values_from_function(of_replica)

        return tuple(share(image) for image in batch)

    def execute(self, batches, rates):
        return self._run(batches, self._tf.constant(rates))

    def fetch(self, logs) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in logs.items()}

    def read(self):
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def write(self, state):
        for name, value in state.items():
            self._variables[name].assign(value)
