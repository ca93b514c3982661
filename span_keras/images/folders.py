"""Look through folders: every command understands them alike, and accounts for every file."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from span_keras.errors import ImageError
from span_keras.images.formats import READABLE, listed
from span_keras.images.kinds import kind_of, unread_kind
from span_keras.images.source import head_of


@dataclass
class Survey:
    """Account for every file of a folder.

    Attributes:
        images: files whose names end in a suffix of a format that is read, in any case of letters.
        unnamed: images by their first bytes, whose names end otherwise.
        unread: pictures that are not read, with the reason, to stand behind their names.
        others: how many files are no pictures, by suffix.
        hidden: how many files and folders have names that begin with a dot. They are left alone: macOS leaves
            ``._photo.jpg`` beside each ``photo.jpg``.
        locked: folders that cannot be entered, with the reason.
    """

    images: list[Path] = field(default_factory=list)
    unnamed: list[Path] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    locked: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def remark(self) -> str:
        """Return a phrase that counts what was passed over, or nothing: ``"3 .txt and 1 hidden"``."""
        counts = [f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(self.others.items())]
        return listed([*counts, *([f"{self.hidden} hidden"] if self.hidden else [])], "and") if self else ""

    def __bool__(self) -> bool:
        return bool(self.others or self.hidden)

    def add(self, path: PurePath, trouble: Callable[[], str], head: Callable[[], bytes]) -> None:
        """Sort in one file.

        Args:
            path: its name.
            trouble: returns why it cannot be opened, to stand behind its name, or nothing.
            head: returns its first bytes; asked where the name does not tell what it is.
        """
        if path.name.startswith("."):
            self.hidden += 1
            return
        suffix, reason = path.suffix.lower(), trouble()
        readable, kind = suffix in READABLE, unread_kind(path)
        if not (readable or kind or reason) and (found := kind_of(head())) and found.picture:
            kind = found
        if not (readable or kind):
            self.others[suffix] += 1
        elif reason:
            self.unread.append((path, reason))
        elif readable:
            self.images.append(path)
        elif kind.format:
            self.unnamed.append(path)
        else:
            self.unread.append((path, f"is {kind.label}, which is not read; {kind.advice}"))


def survey(
    folder: str | Path,
    recursive: bool = True,
    without: Path | None = None,
    among: Collection[Path] | None = None,
) -> Survey:
    """Look at every file of a folder, sorted by path.

    Links to folders are followed. Each folder is looked into once, by its own name rather than a link's, and those
    above ``folder`` never.

    Args:
        folder: it exists.
        recursive: look into subfolders too.
        without: a subfolder that is left out, such as that of the results.
        among: look at these files and folders alone, as far as they are in ``folder`` and would be come by.
    """
    found = Survey()
    for path in sorted(set(_files(Path(folder), recursive, found, without, among))):
        found.add(path, functools.partial(_trouble, path), functools.partial(head_of, path))
    return found


def image_files(folder: str | Path, *, recursive: bool = True) -> list[Path]:
    """Return the images of a folder as ``survey`` finds them, sorted by path.

    Args:
        folder: it exists.
        recursive: look into subfolders too.

    Raises:
        ImageError: the folder or one below cannot be entered.
    """
    found = survey(folder, recursive)
    for path, reason in found.locked:
        raise ImageError(f"the folder {path} {reason}.")
    return found.images


def left_out(folder: str | Path, recursive: bool = True) -> list[str]:
    """Return sentences about the files of a folder that ``image_files`` leaves out; none where there is no folder."""
    if not Path(folder).is_dir():
        return []
    found = survey(folder, recursive)
    sentences = [f"{path} {reason}." for path, reason in found.unread]
    sentences += [f"{path} is an image, but its name does not say so; rename it." for path in found.unnamed]
    return sentences + ([f"{folder}: passed over what is no picture: {found.remark}."] if found else [])


def _trouble(path: Path) -> str:
    """Return why a path is no file, or nothing."""
    try:
        if path.is_file():
            return ""
    except OSError:  # in a folder that may be listed but not entered; opening it will tell
        return ""
    return "is a link to nothing" if path.is_symlink() else "is no ordinary file"


def _files(folder: Path, recursive: bool, found: Survey, without: Path | None, among) -> list[Path]:
    """Return everything but folders in a folder and below; note on ``found`` what cannot be entered."""

    def identity(place) -> tuple[int, int]:
        status = os.stat(place)  # noqa: PTH116 - of names as they come from os.walk
        return status.st_dev, status.st_ino

    def locked(error: OSError) -> None:
        found.locked.append(
            (Path(os.fsdecode(error.filename)), f"cannot be entered ({error.strerror}); change its permissions")
        )

    if without is not None and without.resolve() == folder.resolve():
        without = None
    files, seen, places = [], set(), [str(folder)]
    if among is not None:
        among = [path for path in among if _would_come_by(path, folder, without)]
        places = [str(path) for path in among if path.is_dir()]
        files = [path for path in among if not path.is_dir() and os.path.lexists(path)]
    for parent in folder.resolve().parents:
        with contextlib.suppress(OSError):  # one that may not be looked at
            seen.add(identity(parent))
    if without is not None and without.is_dir():
        seen.add(identity(without))
    for place in places:  # links are added while it is gone through
        for root, folders, names in os.walk(place, onerror=locked):
            if (here := identity(root)) in seen:
                folders.clear()
                continue
            seen.add(here)
            files += [Path(root, name) for name in names]
            if not recursive:
                return files
            found.hidden += sum(name.startswith(".") for name in folders)
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = [os.path.join(root, name) for name in folders]  # noqa: PTH118
            places += sorted(filter(os.path.islink, paths))
    return files


def _would_come_by(path: Path, folder: Path, without: Path | None) -> bool:
    """Return whether a look through a folder would come by a path."""
    if not path.is_relative_to(folder):
        return False
    names = path.relative_to(folder).parts
    if any(name.startswith(".") for name in (names if path.is_dir() else names[:-1])):
        return False
    return without is None or not path.resolve().is_relative_to(without.resolve())
