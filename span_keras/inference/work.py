"""Work through the jobs of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from span_keras import atomic
from span_keras.errors import ImageError, SpanError
from span_keras.inference.job import Job, Outcome


def work_through(
    jobs: Iterable[Job], work: Callable[[int, Job], Outcome], on_outcome: Callable[[Outcome], None]
) -> None:
    """Do each job, in its folder, which is made if need be; what killed runs left there is removed.

    Args:
        jobs: see ``batch.plan``.
        work: does one, called with its number from 1.
        on_outcome: told what has become of each.
    """
    folders = set()
    for number, job in enumerate(jobs, 1):
        try:
            if job.target.parent not in folders:
                folders.add(job.target.parent)
                _make_folder(job.target.parent)
            on_outcome(work(number, job))
        except SpanError as error:
            on_outcome(Outcome(str(job.source), str(job.target), "failed", reason=str(error)))


def _make_folder(folder: Path) -> None:
    """Make a folder for results, with a sentence if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic.remove_leftovers(folder)
    except OSError as error:
        raise ImageError(f"the folder {folder} cannot be made ({error.strerror}); choose another output.") from error
