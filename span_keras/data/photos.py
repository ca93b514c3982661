"""Find photographs, and hold some of them out for validation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from span_keras.errors import DataError
from span_keras.images.folders import image_files
from span_keras.images.formats import READABLE
from span_keras.images.pairing import pair_by_name

BUNDLED_TRAIN = Path(__file__).parent.parent / "bundled" / "photos" / "train"
"""Eight photographs in the public domain: what training uses without ``--data``."""

BUNDLED_VAL = Path(__file__).parent.parent / "bundled" / "photos" / "val"
"""Two more, for validation."""


def list_photos(source: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """List all photographs of a folder and its subfolders, sorted; a list of files is only sorted.

    Raises:
        DataError: the folder is missing or holds none.
        OSError: the folder cannot be looked at.
    """
    if not isinstance(source, (str, os.PathLike)):
        files = sorted(map(Path, source))
        if not files:
            raise DataError("expected photographs, found an empty list of files.")
        return files
    folder = Path(source)
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"expected a folder of photographs, found nothing at {folder}; check the path.") from None
    if folder.is_file():
        if folder.suffix.lower() not in READABLE:
            raise DataError(
                f"expected a folder of photographs or one photograph ({' '.join(READABLE)}), found {folder}."
            )
        return [folder]
    if not (files := image_files(folder)):
        raise DataError(f"expected photographs ({' '.join(READABLE)}) in {folder} or its subfolders, found none.")
    return files


def pair_folders(
    hr_folder: str | os.PathLike, lr_folder: str | os.PathLike, choose: Callable = lambda files, folder: files
) -> dict[Path, Path]:
    """Find the photographs of one folder and their LR images in another, both with subfolders: HR file -> LR file.

    They go by their names, see ``images.pairing``.

    Args:
        hr_folder, lr_folder: of HR and LR images.
        choose: ``(files, folder) -> files`` that count.

    Raises:
        DataError: a folder is missing or empty, or an image has no partner.
    """
    kinds = []
    for folder in (Path(hr_folder), Path(lr_folder)):
        if folder.exists() and not folder.is_dir():
            raise DataError(f"expected folders of HR and LR images, found the file {folder}.")
        kinds.append(choose(list_photos(folder), str(folder)))
    return pair_by_name(*kinds, Path(hr_folder), Path(lr_folder))


def find_hr_and_lr(files: Iterable[Path]) -> tuple[Path, Path] | None:
    """Return the first folders ``HR`` and ``LR`` beside each other that files lie in, ``None`` if there are none."""
    folders = {place for path in files for place in path.parents}
    for lr in sorted(folder for folder in folders if folder.name.upper() == "LR"):
        for hr in sorted(folder for folder in folders if folder.parent == lr.parent and folder.name.upper() == "HR"):
            return hr, lr
    return None


def split_validation(files: Sequence[str | os.PathLike], count: int, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Hold out ``count`` files: ``(training, validation)``, both sorted.

    The choice goes by a hash of seed and name (with its folder), so it does not depend on the order of the files or
    on where they lie, and adding photographs hardly changes it.

    Raises:
        DataError: fewer than ``count + 1`` files.
    """
    files = sorted(map(Path, files))
    if not 0 <= count < len(files):
        raise DataError(
            f"Holding out {count} validation images must leave some for training, found {len(files)} in all; "
            "add photographs, or name a folder of validation images (--val)."
        )
    ranked = sorted(files, key=lambda path: name_digest(path, f"{seed}/"))
    return sorted(ranked[count:]), sorted(ranked[:count])


def name_digest(path: Path, prefix: str = "") -> bytes:
    """Hash the names of a file and its folder: the same wherever that lies, and whatever else is in it."""
    # Names need not be UTF-8: Python holds the bytes that are not as surrogates.
    return hashlib.sha256(f"{prefix}{path.parent.name}/{path.name}".encode("utf-8", "surrogateescape")).digest()
