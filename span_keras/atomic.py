"""Write a file in one instant: readers see all of the old or all of the new content, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

MAX_NAME = 255
"""Bytes that the name of a file may have on all common systems."""


@contextlib.contextmanager
def replaced(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a new hidden file beside ``path`` that takes its place if the block succeeds, and vanishes otherwise.

    Args:
        path: the file to write; it is untouched until the block has ended.
        suffix: ending of the temporary name, for libraries that insist on one.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; also what the block raises.
    """
    ending = f".{secrets.token_hex(4)}.partial{suffix}"
    # A name that is as long as names may be leaves no room; its end is not needed, but no character may be cut in two.
    name = path.name.encode("utf-8", "surrogateescape")[: MAX_NAME - 1 - len(ending)].decode("utf-8", "ignore")
    temporary = path.with_name(f".{name}{ending}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # the content must be on the disk before the name is
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what programs that were killed while writing left in a folder, where nobody else is writing now."""
    for path in folder.glob(".*.partial*"):
        path.unlink(missing_ok=True)
