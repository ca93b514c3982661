"""Work through the jobs of a batch, several small images at a time.

A job is decoded, enlarged and encoded by one thread. While one waits for the disk or deflates, others keep the cores of
the network busy. Batches of equal shapes would not: on a CPU an image takes the same time in a batch as alone.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from span_keras import atomic
from span_keras.errors import BackendError, ConfigError, SpanError, TargetExistsError
from span_keras.images import memory
from span_keras.images.read import image_size
from span_keras.images.write import UnwritableError
from span_keras.inference.device import cores
from span_keras.inference.files import Job, Outcome, upscale_file
from span_keras.inference.networks import Networks

T = TypeVar("T")

NETWORK_BYTES = 1600
"""What the network holds per pixel of a tile, about: 400 MB for 512×512."""

IMAGE_BYTES = 8
"""What decoding holds per pixel, about."""

MAX_MEMORY_BYTES = 1_250_000_000
"""What images that are made at the same time may take in all; one may always be made."""


class Stopped(BaseException):
    """End a job in its thread, because the command is interrupted."""


def work_through(
    jobs: Iterable[Job],
    networks: Networks,
    on_outcome: Callable[[Outcome], None],
    workers: int | None = None,
) -> None:
    """Do each job, in its folder, which is made if need be; what killed runs left there is removed.

    Args:
        jobs: see ``batch.plan``.
        networks: what to enlarge with.
        on_outcome: told what has become of each, in their order, by the calling thread.
        workers: images that are made at the same time, by default one more than there are cores, since one waits for
            the disk.
    """
    stopped, folders = threading.Event(), set()
    in_order, unfinished = collections.deque(), {}
    limit = min(MAX_MEMORY_BYTES, (memory.available() or MAX_MEMORY_BYTES) // 2)
    workers = workers or cores() + 1

    def stop_if_asked(_count: int = 0) -> None:
        if stopped.is_set():
            raise Stopped

    def finish_until(is_enough: Callable[[], bool]) -> None:
        """Wait for jobs, whichever ends first, and report those before which none is unfinished."""
        while not is_enough():
            for future in wait(unfinished, return_when=FIRST_COMPLETED).done:
                del unfinished[future]
                future.result()
            while in_order and in_order[0] not in unfinished:
                on_outcome(in_order.popleft().result())

    with ThreadPoolExecutor(workers) as pool:
        try:
            for job in jobs:
                needed = _bytes_of(job, networks)
                finish_until(
                    lambda needed=needed: (
                        not unfinished or (len(unfinished) < workers and needed + sum(unfinished.values()) <= limit)
                    )
                )
                future = pool.submit(do, job, networks, folders, stop_if_asked)
                unfinished[future] = needed
                in_order.append(future)
            finish_until(lambda: not unfinished)
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def do(
    job: Job,
    networks: Networks,
    folders: set[Path],
    on_tiles: Callable[[int], None] = lambda count: None,
    on_start: Callable[[int], None] = lambda tiles: None,
) -> Outcome:
    """Do one job, and return what has become of it, also if it failed.

    Args:
        job: what to do.
        networks: what to enlarge with.
        folders: those of targets that were made ready; that of this one is added.
        on_tiles, on_start: see ``upscale_file``.

    Raises:
        ConfigError, BackendError: there is no network to do this job or any other with, see ``networks.load``.
    """

    def make() -> Outcome:
        folder = job.target.parent
        if folder not in folders:
            make_ready(folder)
            folders.add(folder)
        return upscale_file(job, networks, on_start, on_tiles)

    return attempt(job, make)


def attempt(job: Job, step: Callable[[], T]) -> T | Outcome:
    """Return what a step of a job returns; or what has become of the job, if that failed.

    Raises:
        ConfigError, BackendError: see ``do``.
        Exception: one that nobody expects.
    """
    try:
        return step()
    except (ConfigError, BackendError):
        raise
    except TargetExistsError as error:
        return Outcome(str(job.source), str(job.target), "kept", reason=str(error))
    except SpanError as error:
        again = isinstance(error, UnwritableError)
        return Outcome(str(job.source), str(job.target), "failed", reason=str(error), again=again)
    except OSError as error:  # no space for what lies in temporary files between two passes
        reason = f"{job.source} cannot be upscaled ({error.strerror or error}); check the space for temporary files."
        return Outcome(str(job.source), str(job.target), "failed", reason=reason, again=True)


def _bytes_of(job: Job, networks: Networks) -> int:
    """Return about what a job takes of the memory."""
    height, width = image_size(job.source) or (0, 0)
    # The first of them is loaded now, if it has not been.
    passes = networks.passes(job.options.factor(max(height, 1), max(width, 1), networks.native))
    tile = passes[0].tile if passes else 0
    return min(height, tile) * min(width, tile) * NETWORK_BYTES + height * width * IMAGE_BYTES


def make_ready(folder: Path) -> None:
    """Make a folder for results, and remove what killed runs left in it.

    Raises:
        UnwritableError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic.remove_leftovers(folder)
    except OSError as error:
        raise UnwritableError(
            f"the folder {folder} cannot be made ({error.strerror}); choose another output."
        ) from error
