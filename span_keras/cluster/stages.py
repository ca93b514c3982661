"""Decode, enlarge and encode as stages over Arrow tables, each of which may run on a machine of its own.

A row is a ``Parcel``. The functions of ``inference.files`` do the work of an image, as in ``span-upscale``. What is
here only carries images between stages, and from and to where they are stored. Nothing here knows Ray.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from span_keras.cluster import stores
from span_keras.cluster.manifest import STAGES
from span_keras.cluster.plan import Task, with_addresses
from span_keras.images.picture import Picture
from span_keras.images.read import image_size
from span_keras.images.source import Source
from span_keras.inference.files import Enlarged, Job, Options, Outcome, decode, encode, enlarge
from span_keras.inference.job import result_size
from span_keras.inference.networks import NetworkOptions, load
from span_keras.inference.work import attempt, make_ready

if TYPE_CHECKING:
    from span_keras.network.weights import SpanWeights

MAX_PIXELS = 32_000_000
"""Pixels of an image and of its result up to which both travel from stage to stage. Larger ones are made by bands, by
the stage that has the network alone."""

MAX_FILE_BYTES = 256_000_000
"""Bytes of a file up to which it is decoded before the network's stage."""

MAX_SPOOLED = 64_000_000
"""Bytes of a result that are held in memory until they go to a store."""


@dataclass(frozen=True)
class Parcel:
    """Carry an image from stage to stage.

    Attributes:
        task: what to make.
        content: what is left to do: ``"task"`` all, ``"large"`` all by bands; a picture to enlarge; a result to encode;
            or nothing, because this has become of it.
        seconds: what each stage took, by its name.
        target_size: bytes of the result that was written.
    """

    task: Task
    content: Literal["task", "large"] | Picture | Enlarged | Outcome = "task"
    seconds: dict[str, float] = field(default_factory=dict)
    target_size: int = 0


@dataclass(frozen=True)
class Setup:
    """Hold what stages need to know of a run.

    Attributes:
        options: how images are made.
        network: how the network runs.
        weights: those that are named, or None for the default ones, which every machine has.
        native: factor where no size is asked for.
        threads: cores of the CPU that a network uses; None for all.
    """

    options: Options
    network: NetworkOptions
    weights: SpanWeights | None
    native: int
    threads: int | None = None


def packed(parcels: Iterable[Parcel]) -> pa.Table:
    """Return parcels as a table of one column; pixels are copied once."""
    rows = []
    for parcel in parcels:
        buffers: list[pickle.PickleBuffer] = []
        rest = pickle.dumps(parcel, protocol=5, buffer_callback=buffers.append)
        rows.append([rest, *(buffer.raw() for buffer in buffers)])
    return pa.table({"parcel": pa.array(rows, pa.list_(pa.large_binary()))})


def unpacked(table: pa.Table) -> Iterator[Parcel]:
    """Yield the parcels of a table; their arrays are views of its memory, which nobody may write to."""
    for row in table.column("parcel"):
        rest, *buffers = (part.as_buffer() for part in row.values)
        yield pickle.loads(rest, buffers=buffers)


class Decode:
    """Decode what may travel, and mark what is too large for that."""

    def __init__(self, setup: Setup):
        self.setup = setup

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        for parcel in unpacked(table):
            yield packed([_timed("decode", parcel, self._decoded)])

    def _decoded(self, parcel: Parcel) -> Parcel:
        if parcel.task.size > MAX_FILE_BYTES:
            return replace(parcel, content="large")
        source = stores.whole_source(parcel.task.source)
        job = _job(self.setup, parcel.task, source)
        if size := image_size(source):
            result = result_size(job, *size, self.setup.native)
            if max(size[0] * size[1], result[0] * result[1]) > MAX_PIXELS:
                return replace(parcel, content="large")
        return replace(parcel, content=decode(job, self.setup.native))


class Enlarge:
    """Hold the network, and enlarge pictures, several at a time where it takes batches.

    Results come in the order in which they are made.
    """

    def __init__(self, setup: Setup):
        # The backends read these when they are loaded, and our own kernels when a network is.
        if setup.threads:
            threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
            os.environ.update(dict.fromkeys(threads, str(setup.threads)))
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # workers may share a GPU
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self.setup, self.networks = setup, load(setup.network, weights=setup.weights)
        # While as many wait for the network as it takes, as many others are cut up and put together.
        self.pool = ThreadPoolExecutor(2 * setup.network.gather if setup.network.gather > 1 else 1)
        self.one_large = threading.Lock()
        self.folders: set[Path] = set()

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        began = time.perf_counter()
        made = as_completed([self.pool.submit(attempted, parcel, self._enlarged) for parcel in unpacked(table)])
        for future in made:
            # Images that are made at the same time share the time.
            took, began = time.perf_counter() - began, time.perf_counter()
            parcel = future.result()
            yield packed([replace(parcel, seconds={**parcel.seconds, "enlarge": took})])
            began = time.perf_counter()

    def _enlarged(self, parcel: Parcel) -> Parcel:
        if parcel.content == "large":
            with self.one_large, stores.large_source(parcel.task.source) as source:
                job = _job(self.setup, parcel.task, source)
                enlarged = enlarge(job, decode(job, self.networks.native), self.networks)
                return _written(job, enlarged, parcel, self.folders)
        job = _job(self.setup, parcel.task, parcel.task.source)
        return replace(parcel, content=enlarge(job, parcel.content, self.networks).whole())


class Encode:
    """Encode results and put them where they belong. The table that it returns holds no pixels any more."""

    def __init__(self, setup: Setup):
        self.setup, self.folders = setup, set()

    def __call__(self, table: pa.Table) -> pa.Table:
        return packed([_timed("encode", parcel, self._encoded) for parcel in unpacked(table)])

    def _encoded(self, parcel: Parcel) -> Parcel:
        job = _job(self.setup, parcel.task, parcel.task.source)
        return _written(job, parcel.content, parcel, self.folders)


def attempted(parcel: Parcel, step: Callable[[Parcel], Parcel]) -> Parcel:
    """Return what a step makes of a parcel; a parcel of which something has become, as it is.

    Whatever goes wrong becomes of this image alone: among millions, one that nobody expected must not stop the others.
    """
    if isinstance(parcel.content, Outcome):
        return parcel
    job = Job(parcel.task.source, stores.path_of(parcel.task.target))
    try:
        done = attempt(job, lambda: step(parcel))
    except Exception as error:
        reason = f"{job.source} cannot be upscaled: unexpectedly, {type(error).__name__}: {error}; please report it."
        done = Outcome(job.source, str(job.target), "failed", reason=reason)
    if isinstance(done, Parcel):
        return done
    return replace(parcel, content=with_addresses(done))


def _timed(stage: str, parcel: Parcel, step: Callable[[Parcel], Parcel]) -> Parcel:
    began = time.perf_counter()
    parcel = attempted(parcel, step)
    return replace(parcel, seconds={**parcel.seconds, stage: time.perf_counter() - began})


def _job(setup: Setup, task: Task, source: Source) -> Job:
    return Job(source, stores.path_of(task.target), setup.options, task.adapt)


def _written(job: Job, enlarged: Enlarged, parcel: Parcel, folders: set[Path]) -> Parcel:
    """Return a parcel whose result was written, in its folder or store.

    Args:
        folders: those that were made ready; that of this one is added.
    """
    if isinstance(job.target, Path):
        if (folder := job.target.parent) not in folders:
            make_ready(folder)
            folders.add(folder)
        outcome = encode(job, enlarged)
        size = Path(outcome.target).stat().st_size
    else:
        with tempfile.SpooledTemporaryFile(MAX_SPOOLED) as file:
            outcome = encode(job, enlarged, file)
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            stores.write(stores.address_of(outcome.target), file)
    return replace(parcel, content=with_addresses(outcome), target_size=size)


def record_of(parcel: Parcel, key: str, dest: str) -> dict:
    """Return what the manifest remembers of a parcel whose content is an outcome."""
    outcome, task = parcel.content, parcel.task
    return {
        **{name: value for name, value in dataclasses.asdict(outcome).items() if name not in ("again", "target")},
        "source": task.source,
        "size": task.size,
        "modified": task.modified,
        "key": key,
        "target": outcome.target.removeprefix(f"{dest}/"),
        "target_size": parcel.target_size,
        **{f"{stage}_seconds": parcel.seconds.get(stage, 0.0) for stage in STAGES},
    }
