"""Write a file in one instant: readers see all of the old or all of the new content, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a file that is being written cannot be deleted anyway
    fcntl = None

MAX_NAME = 255
"""Bytes that the name of a file may have on all common systems."""

MIN_AGE = 1.0
"""Seconds for which a new file is left alone: its writer may not have locked it yet."""

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.partial(\..+)?", re.DOTALL)


@contextlib.contextmanager
def replaced(path: Path, suffix: str = "", overwrite: bool = True) -> Iterator[Path]:
    """Yield a new hidden file beside ``path`` that takes its place if the block succeeds, and vanishes otherwise.

    Args:
        path: the file to write; it is untouched until the block has ended.
        suffix: ending of the temporary name, for libraries that insist on one.
        overwrite: replace a file that exists then.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        OSError: the folder is missing or not writable, or the disk is full; also what the block raises.
    """
    ending = f".{secrets.token_hex(4)}.partial{suffix}"
    # A name that is as long as names may be leaves no room; its end is not needed, but no character may be cut in two.
    # Where the locale is not UTF-8, what it cannot express is left out.
    name = os.fsencode(path.name)[: MAX_NAME - 1 - len(ending)].decode(sys.getfilesystemencoding(), "ignore")
    temporary = path.with_name(f".{name}{ending}")
    try:
        temporary.touch(exist_ok=False)
        with _locked(temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # the content must be on the disk before the name is
            if overwrite:
                temporary.replace(path)
            else:
                _give_new_name(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what programs that were killed while writing left in a folder; what is being written stays."""
    for path in folder.glob(".*.partial*"):
        with contextlib.suppress(OSError):  # somebody is writing it, or has deleted it
            if _LEFTOVER.fullmatch(path.name) and time.time() - path.stat().st_mtime > MIN_AGE:
                with _locked(path):
                    path.unlink()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep a file locked, which ends when this process does, however it ends.

    Raises:
        OSError: another process has locked it.
    """
    if fcntl is None:
        yield
        return
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _give_new_name(temporary: Path, path: Path) -> None:
    """Rename a file unless another one has the name, with nothing in between."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: whoever comes in between now finds an empty file
        path.touch(exist_ok=False)
        temporary.replace(path)
