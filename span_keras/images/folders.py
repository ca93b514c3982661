"""List the files of a folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Everything but folders in a folder and its subfolders, sorted. Links to folders are followed.

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
