"""Training on many devices: ``tf.distribute`` on TensorFlow, ``keras.distribution`` on JAX."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from span_keras.errors import BackendError, TrainingError, named
from span_keras.network.backend import require_backend


@dataclass(frozen=True)
class Devices:
    """The devices of a run.

    Attributes:
        strategy: a ``tf.distribute.Strategy``, a ``keras.distribution.DataParallel``, or ``None`` for one device.
        process, processes: which of how many processes this one is; each makes its share of every batch.
        replicas: devices over all processes; the batch size must be a multiple.
    """

    strategy: Any = None
    process: int = 0
    processes: int = 1
    replicas: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.process == 0

    def describe(self) -> str:
        """Return backend and devices, such as ``"jax: 2 × NVIDIA H100"`` or ``"tensorflow: cpu"``."""
        count = f"{self.replicas} × " if self.replicas > 1 else ""
        processes = f" in {self.processes} processes" if self.processes > 1 else ""
        return f"{keras.backend.backend()}: {count}{device_kind()}{processes}"

    def gather(self, number: int) -> list[int]:
        """Return the numbers that all processes give, one per replica; all must call it, and wait for each other."""
        if self.processes == 1:
            return [number]
        if keras.backend.backend() == "jax":
            from jax.experimental import multihost_utils

            return multihost_utils.process_allgather(np.int32(number)).tolist()
        import tensorflow as tf

        own = self.strategy.experimental_distribute_values_from_function(lambda context: tf.constant([number]))
        return self.strategy.gather(own, axis=0).numpy().tolist()


def choose(name: str = "auto") -> Devices:
    """Make ready what ``--strategy`` names. Call this before anything else uses the backend.

    ``auto`` takes several processes where the environment describes them, else all local GPUs, else one device;
    ``none`` one device; ``mirrored`` all local devices; ``multiworker`` several processes, described by ``TF_CONFIG``
    on TensorFlow and by ``SPAN_COORDINATOR`` (host:port), ``SPAN_PROCESSES`` and ``SPAN_PROCESS`` on JAX.

    Raises:
        ConfigError: see ``require_backend``.
        TrainingError: the environment does not describe the processes.
    """
    return (_tensorflow if require_backend() == "tensorflow" else _jax)(name)


def device_kind() -> str:
    """Return what this process computes on, such as ``"NVIDIA H100"``; ``"cpu"`` without an accelerator."""
    if keras.backend.backend() == "jax":
        return _jax_devices()[0].device_kind
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "cpu"


def _tensorflow(name: str) -> Devices:
    import tensorflow as tf

    cluster = _tf_config()
    if name == "multiworker" and cluster is None:
        raise TrainingError(
            "--strategy multiworker expected TF_CONFIG to list the workers, found none; set it in each process, "
            'for instance TF_CONFIG=\'{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, '
            '"task": {"type": "worker", "index": 0}}\'.'
        )
    if name == "multiworker" or (name == "auto" and cluster and cluster[1] > 1):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return Devices(strategy, *cluster, strategy.num_replicas_in_sync)
    if name == "mirrored" or (name == "auto" and len(tf.config.list_logical_devices("GPU")) > 1):
        strategy = tf.distribute.MirroredStrategy()
        return Devices(strategy, replicas=strategy.num_replicas_in_sync)
    return Devices()


def _tf_config() -> tuple[int, int] | None:
    """Read ``(index, count)`` of this worker, ``None`` without ``TF_CONFIG``."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
        workers, index = config["cluster"]["worker"], int(config["task"]["index"])
        if config["task"]["type"] != "worker" or not 0 <= index < len(workers):
            raise ValueError("the task is none of the workers")
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"expected TF_CONFIG to name the workers and this task, found {text!r} ({error})."
        ) from error
    return index, len(workers)


def _jax(name: str) -> Devices:
    import jax

    coordinator = os.environ.get("SPAN_COORDINATOR")
    if name == "multiworker" and not coordinator:
        raise TrainingError(
            "--strategy multiworker expected SPAN_COORDINATOR, SPAN_PROCESSES and SPAN_PROCESS to be set, found no "
            "SPAN_COORDINATOR; set them in each process, for instance to host-a:2222, 2 and 0."
        )
    if coordinator and name in ("auto", "multiworker"):
        keras.distribution.initialize(coordinator, *span_processes(coordinator))
    elif name == "none" or (name == "auto" and (len(_jax_devices()) == 1 or jax.default_backend() == "cpu")):
        return Devices()
    strategy = keras.distribution.DataParallel(devices=keras.distribution.list_devices(), auto_shard_dataset=False)
    return Devices(strategy, jax.process_index(), jax.process_count(), len(jax.devices()))


def _jax_devices() -> list:
    """Return the devices of this process.

    Raises:
        BackendError: there is none of what the environment asks for.
    """
    import jax

    try:
        return jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # the second where JAX_PLATFORMS names what is not installed
        raise BackendError(
            f"expected JAX to find a device, found none for JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')} "
            f"({named(error)}); unset it, or set it to cpu."
        ) from error


def span_processes(coordinator: str) -> tuple[int, int]:
    """Read ``(count, index)`` of the processes that the environment describes.

    Raises:
        TrainingError: it describes none that can be.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise TrainingError(
            f"expected SPAN_COORDINATOR to be a host and a port such as host-a:2222, found {coordinator!r}; set it to "
            "the same in each process."
        )
    try:
        count, index = int(os.environ["SPAN_PROCESSES"]), int(os.environ["SPAN_PROCESS"])
    except (KeyError, ValueError) as error:
        raise TrainingError(f"expected whole numbers in SPAN_PROCESSES and SPAN_PROCESS, found: {error}.") from error
    if not 0 <= index < count:
        raise TrainingError(
            "expected SPAN_PROCESS to be 0 or more and below SPAN_PROCESSES, found "
            f"{index} and {count}; number the processes from 0."
        )
    return count, index
