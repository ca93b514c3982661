"""Choose the photographs that a run trains and validates on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from span_keras.data.options import Degradations
from span_keras.data.photos import (
    BUNDLED_TRAIN,
    BUNDLED_VAL,
    find_hr_and_lr,
    list_photos,
    pair_folders,
    split_validation,
)
from span_keras.errors import DataError, TrainingError
from span_keras.runs.folder import is_number, is_run
from span_keras.runs.options import DataSettings


class Photographs(NamedTuple):
    """The files of a run.

    Attributes:
        validation, training: HR files to validate and to train on.
        validation_lr, training_lr: HR file -> LR file, where LR images are given.
    """

    validation: list[Path]
    training: list[Path]
    validation_lr: Mapping[Path, Path] = MappingProxyType({})
    training_lr: Mapping[Path, Path] = MappingProxyType({})


def split_photographs(data: DataSettings, seed: int = 0, echo: Callable = lambda text: None) -> Photographs:
    """Choose the files to validate on, those of ``--val`` or some held out, and the files to train on.

    Args:
        data: the options of group ``data``.
        seed: decides which are held out.
        echo: prints a line.

    Raises:
        DataError, TrainingError: there are no photographs to train or to validate on, or HR and LR images that do not
            belong together.
    """
    if data.data is None and data.val is None:
        return Photographs(list_photos(BUNDLED_VAL), list_photos(BUNDLED_TRAIN))
    files, lr_files = _training(data, echo)
    if data.val is None:
        count = min(data.val_images, max(1, len(files) // 5))
        training, validation = split_validation(files, count, seed)
        return Photographs(validation, training, lr_files, lr_files)
    validation, validation_lr = _validation(data.val, echo)
    # Also those that are too many to validate on.
    held_out = {path.resolve() for path in validation}
    if len(validation) > data.val_images:
        # The same ones for every seed, spread by a hash of their names.
        _, validation = split_validation(validation, data.val_images, 0)
    training = [path for path in files if path.resolve() not in held_out]
    if not training:
        raise TrainingError(f"expected photographs in {data.data} besides those of --val, found none.")
    return Photographs(validation, training, validation_lr, lr_files)


def _training(data: DataSettings, echo: Callable) -> tuple[list[Path], dict[Path, Path]]:
    """Return the files of ``--data``, and of ``--lr``, if it is given, those that belong to them."""
    if data.lr is not None:
        if not Path(data.lr).exists():
            hint = "; the learning rate is --learning-rate" if is_number(data.lr) else "; check the path"
            raise DataError(f"--lr expected a folder of LR images, found nothing at {data.lr}{hint}.")
        pairs = pair_folders(data.data, data.lr, partial(_without_runs, echo=echo))
        return list(pairs), pairs
    files = _without_runs(list_photos(data.data or BUNDLED_TRAIN), data.data, echo)
    if data.data is not None and (found := find_hr_and_lr(files)):
        raise DataError(
            f"--data expected HR images alone, found LR images, too, in {found[1]}; give --data {found[0]} --lr "
            f"{found[1]} to train on both, or --data {found[0]} to have LR images made."
        )
    return files, {}


def _validation(folder: str, echo: Callable) -> tuple[list[Path], dict[Path, Path]]:
    """Return the HR files of ``--val``, and their LR files, if it holds folders ``HR`` and ``LR``."""
    files = _without_runs(list_photos(folder), folder, echo)
    found = find_hr_and_lr(files)
    if not found:
        return files, {}
    if found[0].parent != Path(folder):
        raise DataError(
            f"--val expected HR images, or folders HR and LR in {folder}, found {found[1]}; give --val "
            f"{found[0].parent}."
        )
    pairs = pair_folders(*found, partial(_without_runs, echo=echo))
    return list(pairs), pairs


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


def fingerprint(
    files: list[Path],
    folder: str | None,
    degradations: Degradations | None = None,
    lr_files: Mapping[Path, Path] = MappingProxyType({}),
) -> str:
    """Return a digest of names and sizes: the same for the same photographs in a folder that has moved.

    What is done to them before they are measured counts, too, where it is given, and so do their LR images.
    """
    content: object = _sizes(files, Path(folder) if folder else files[0].parent)
    if degradations:
        content = content, degradations
    if lr := [lr_files[path] for path in files if path in lr_files]:
        content = content, _sizes(lr, Path(os.path.commonpath([path.parent for path in lr])))
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _sizes(files: list[Path], root: Path) -> list[tuple[str, int]]:
    return [(os.path.relpath(path, root), path.stat().st_size) for path in files]
