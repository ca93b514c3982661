"""Choose the photographs that a run trains and validates on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from span_keras.data.options import Degradations
from span_keras.data.photos import BUNDLED_TRAIN, BUNDLED_VAL, list_photos, split_validation
from span_keras.errors import TrainingError
from span_keras.runs.folder import is_run
from span_keras.runs.options import DataSettings


def split_photographs(
    data: DataSettings, seed: int = 0, echo: Callable = lambda text: None
) -> tuple[list[Path], list[Path]]:
    """Return the files ``(validation, training)``: those of ``--val``, or some held out.

    Args:
        data: the options of group ``data``.
        seed: decides which are held out.
        echo: prints a line.

    Raises:
        DataError, TrainingError: there are no photographs to train or to validate on.
    """
    if data.data is None and data.val is None:
        return list_photos(BUNDLED_VAL), list_photos(BUNDLED_TRAIN)
    files = _without_runs(list_photos(data.data or BUNDLED_TRAIN), data.data, echo)
    if data.val is None:
        count = min(data.val_images, max(1, len(files) // 5))
        training, validation = split_validation(files, count, seed)
        return validation, training
    validation = _without_runs(list_photos(data.val), data.val, echo)
    # Also those that are too many to validate on.
    held_out = {path.resolve() for path in validation}
    if len(validation) > data.val_images:
        # The same ones for every seed, spread by a hash of their names.
        _, validation = split_validation(validation, data.val_images, 0)
    training = [path for path in files if path.resolve() not in held_out]
    if not training:
        raise TrainingError(f"expected photographs in {data.data} besides those of --val, found none.")
    return validation, training


def _without_runs(files: list[Path], folder: str | None, echo: Callable) -> list[Path]:
    """Leave out the curves and samples of runs that lie somewhere below the folder of photographs."""
    if folder is None:
        return files
    root, folders = Path(folder), {path.parent for path in files}
    below = {f for inner in folders for f in (inner, *inner.parents) if root in f.parents}
    found = set(filter(is_run, below))
    inside = {inner for inner in folders if not found.isdisjoint((inner, *inner.parents))}
    kept = [path for path in files if path.parent not in inside]
    if not kept:
        raise TrainingError(f"expected photographs in {folder}, found only pictures of the runs in it.")
    if len(kept) < len(files):
        echo(f"Left out {len(files) - len(kept)} pictures of the runs in {', '.join(map(str, sorted(found)))}.")
    return kept


def fingerprint(files: list[Path], folder: str | None, degradations: Degradations | None = None) -> str:
    """Return a digest of names and sizes: the same for the same photographs in a folder that has moved.

    What is done to them before they are measured counts, too, where it is given.
    """
    root = Path(folder) if folder else files[0].parent
    names = [(os.path.relpath(path, root), path.stat().st_size) for path in files]
    return hashlib.sha256(repr((names, degradations) if degradations else names).encode()).hexdigest()
