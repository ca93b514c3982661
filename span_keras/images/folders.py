"""List the images of a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from span_keras.images.formats import READABLE


def image_files(folder: str | Path, *, suffixes: Collection[str] = READABLE, recursive: bool = True) -> list[Path]:
    """Return the images of a folder, sorted by path.

    An image is a file whose name ends in one of the suffixes, in any case of letters. A name that begins with a dot is
    none: macOS leaves ``._photo.jpg`` beside each ``photo.jpg``.

    Args:
        folder: it exists.
        suffixes: what counts as an image, such as ``".png"``.
        recursive: look into subfolders too, see ``files_below``.

    Raises:
        OSError: the folder cannot be listed. Subfolders that cannot are left out.
    """
    folder = Path(folder)
    files = files_below(folder) if recursive else sorted(folder.iterdir())
    return [
        path for path in files if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    ]


def files_below(folder: Path) -> list[Path]:
    """Return everything but folders in a folder and its subfolders, sorted. Links to folders are followed.

    Each folder is looked into once, by its own name rather than a link's, and those above ``folder`` never.
    """

    def identity(place) -> tuple[int, int]:
        status = os.stat(place)  # noqa: PTH116 - of names as they come from os.walk
        return status.st_dev, status.st_ino

    found, seen, places = [], set(), [str(folder)]
    for parent in folder.resolve().parents:
        with contextlib.suppress(OSError):  # one that may not be looked at
            seen.add(identity(parent))
    for place in places:  # links are added while it is gone through
        for root, folders, names in os.walk(place):
            if (here := identity(root)) in seen:
                folders.clear()
                continue
            seen.add(here)
            found += [Path(root, name) for name in names]
            paths = [os.path.join(root, name) for name in folders]  # noqa: PTH118
            places += sorted(filter(os.path.islink, paths))
    return sorted(found)
