"""Run the stages on Ray Data. Queues, scheduling, back-pressure and what is done again after a death are Ray's."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from span_keras.cluster.plan import Task
from span_keras.cluster.stages import Decode, Encode, Enlarge, Parcel, Setup, packed, unpacked
from span_keras.errors import SpanError, first_line
from span_keras.images import memory
from span_keras.inference.job import Outcome
from span_keras.inference.work import cores

LOCAL = "local"
"""The address that stands for a cluster of this machine alone, which ends with the run."""

STORE_BYTES = 2_000_000_000
"""What images between stages may take of the memory of a local cluster, at most."""

BLOCK_BYTES = 16_000_000
"""Bytes of images from which they are handed on to the next stage."""

MAX_BLOCKS = 10_000
"""Most tasks that the first stage is divided into; Ray keeps an entry of each."""

TASK_IMAGES = 8
"""Images of such a task, at least, if there are enough for two tasks a worker."""

CONNECT_SECONDS = 10.0
"""Longest time in which a cluster must answer."""

IDLE_MS = 600_000
"""Time in milliseconds after which a local cluster ends a process that waits for a task to decode or to encode. Ray's
own second is shorter than what the network takes for a block, and each new process loads Python and Ray again."""

MIN_GPU = 0.01
"""Smallest part of a GPU that a worker may ask for."""

MAX_DEATHS = 3
"""Times that a task whose worker has died is tried again while the others go on."""

CODEC_CPUS = 0.5
"""What a task that decodes or encodes is said to need of a CPU: half of the time it waits for its files."""

WORKER_CPUS = 0.1
"""What a worker without a GPU is said to need of each of its cores: so little that those of machines that leave find
room on the others, and that room is left there for the stages before and after them."""


class ClusterError(SpanError):
    """A cluster that is not there, or has not what is asked for."""


@dataclass(frozen=True)
class Cluster:
    """Describe a cluster as a run uses it.

    Attributes:
        workers: copies of the network.
        gpus: GPUs of each, or a part of one.
        threads: CPU cores of each, if it has no GPU.
        cpus: those of the whole cluster.
        dashboard: address of Ray's dashboard, or nothing.
    """

    workers: int
    gpus: float
    threads: int | None
    cpus: int
    dashboard: str = ""


@contextlib.contextmanager
def connected(address: str, images: int, workers: int | None, gpus: float | None) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine, which ends with the block.

    Args:
        address: ``LOCAL``, ``"auto"`` or ``"host:6379"``.
        images: how many there are; there are no more workers.
        workers: copies of the network; None for one on each GPU, or on each core: several cores are less
            busy with one image than each with its own.
        gpus: GPUs of each; None for one if the cluster has any.

    Raises:
        ClusterError: nothing answers there, Ray is not installed, or the cluster is too small.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it writes between our lines
    os.environ.setdefault("RAY_worker_niceness", "0")  # as any command, where Ray would give way to others
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ClusterError(f"span-bulk needs Ray ({error}); pip install 'span-keras[bulk]'.") from error
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _same_signals():
        try:
            if address == LOCAL:
                os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", str(IDLE_MS))
                store = min(STORE_BYTES, (memory.available() or 2 * STORE_BYTES) // 3)
                context = ray.init(LOCAL, num_cpus=cores(), object_store_memory=store, **quiet)
            else:
                host, _, port = address.rpartition(":")
                if host:  # where nothing answers, Ray would wait for minutes
                    socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
                context = ray.init(address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            reason = first_line(error).rstrip(".")
            raise ClusterError(
                f"expected a Ray cluster at {address}, found none ({reason}); start one with: ray start --head."
            ) from error
    try:
        yield described(ray.cluster_resources(), images, workers, gpus, context.dashboard_url or "")
    finally:
        ray.shutdown()


def described(
    resources: dict[str, float], images: int, workers: int | None, gpus: float | None, dashboard: str = ""
) -> Cluster:
    """Return how a run of so many images uses a cluster of such resources.

    Raises:
        ClusterError: it has too few.
    """
    cpus, all_gpus = int(resources.get("CPU", 0)), resources.get("GPU", 0)
    gpus = (1 if all_gpus else 0) if gpus is None else gpus
    if not (MIN_GPU <= gpus <= 1 or float(gpus).is_integer()):
        raise ClusterError(
            f"expected whole GPUs for a worker, or a part of one of at least {MIN_GPU:g}, found {gpus:g}; ask for 1."
        )
    if gpus:
        asked = workers or max(1, int(all_gpus / gpus))
        if asked * gpus > all_gpus:
            raise ClusterError(
                f"expected {asked} times {gpus:g} GPUs, found {all_gpus:g} in the cluster; "
                "ask for fewer by --workers or --gpus-per-worker."
            )
        return Cluster(min(asked, images), gpus, None, cpus, dashboard)
    asked = workers or max(1, cpus)
    if asked > max(cpus, 1):
        raise ClusterError(f"expected {asked} CPUs for as many workers, found {cpus}; ask for fewer by --workers.")
    workers = min(asked, images)
    return Cluster(workers, 0, max(1, cpus // workers), cpus, dashboard)


def upscale_all(tasks: list[Task], setup: Setup, cluster: Cluster) -> Iterator[Parcel]:
    """Yield what has become of each image, as it happens.

    Args:
        tasks: what to make.
        setup: how; its ``threads`` are the cluster's.
        cluster: of ``connected``.

    Raises:
        ClusterError: the cluster has ended, or the network cannot be loaded there.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    context.max_errored_blocks = -1  # what is lost is reported below
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    setup = replace(setup, threads=cluster.threads)
    waiting, left = {task.source: task for task in tasks}, None
    # With a machine go blocks that Ray cannot always make again. What is lost goes through once more, in smaller tasks,
    # until only images are left that end their workers.
    while waiting and len(waiting) != left:
        left = len(waiting)
        try:
            stages = _stages(list(waiting.values()), setup, cluster)
            for table in stages.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for parcel in unpacked(table):
                    if waiting.pop(parcel.task.source, None):
                        yield parcel
        except ray.exceptions.RayError as error:
            if len(waiting) == left:
                reason = (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
                raise ClusterError(
                    f"the cluster gave up ({reason}); run the same command again for what is missing."
                ) from error
    for task in waiting.values():
        reason = f"{task.source} was lost: its workers died again and again or failed to load; see Ray's logs."
        yield Parcel(task, Outcome(task.source, task.target, "failed", reason=reason, again=True))


def _stages(tasks: list[Task], setup: Setup, cluster: Cluster):
    """Return a Ray dataset of what becomes of tasks."""
    import ray

    cpus = {"num_cpus": WORKER_CPUS * cluster.threads if cluster.threads else 1}
    codec = {"num_cpus": 1 if cluster.gpus else CODEC_CPUS, "max_retries": MAX_DEATHS}
    batch = {"batch_format": "pyarrow", "zero_copy_batch": True}
    gather = setup.network.gather
    blocks = min(max(-(-len(tasks) // TASK_IMAGES), 2 * cluster.workers), len(tasks), MAX_BLOCKS)
    return (
        ray.data.from_arrow(_divided(tasks, blocks))
        .map_batches(Decode(setup), batch_size=None, **batch, **codec)
        .map_batches(
            Enlarge,
            fn_constructor_args=(setup,),
            batch_size=4 * gather if gather > 1 else 1,
            concurrency=min(cluster.workers, len(tasks)),
            max_restarts=-1,
            max_task_retries=MAX_DEATHS,
            **batch,
            num_gpus=cluster.gpus,
            **cpus,
        )
        .map_batches(Encode(setup), batch_size=None, **batch, **codec)
    )


def _divided(tasks: list[Task], count: int) -> list:
    """Return tables of the tasks, of about equal numbers: neighbours go into one, so that similar images meet."""
    return [packed(map(Parcel, tasks[i * len(tasks) // count : (i + 1) * len(tasks) // count])) for i in range(count)]


@contextlib.contextmanager
def _same_signals() -> Iterator[None]:
    """Give SIGTERM back to whoever had it: Ray takes it when it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
