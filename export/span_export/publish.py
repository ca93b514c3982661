"""Output folders and files that are complete or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from span_keras import atomic
from span_keras.errors import ExportError

MARKER = ".span-export.json"
"""Lists the files that an export wrote; a folder with it may be replaced by the next export."""


@contextlib.contextmanager
def publish(target: Path, overwrite: bool = False):
    """Yield an empty folder to write into; it takes the place of ``target`` when the block ends without an exception.

    The folder is a sibling of ``target``, so the change is a rename. If the block raises or is interrupted, ``target``
    is left as it was. An earlier export is replaced as a whole.

    Args:
        target: the folder to make; its parents are created.
        overwrite: accept a folder that holds files no export wrote. They are kept, except for names that the export
            writes itself.

    Raises:
        ExportError: ``target`` is a file, the current folder or above it, holds foreign files, or cannot be written.
    """
    target = Path(target).resolve()
    foreign = _foreign_files(target)
    if foreign and not overwrite:
        some = ", ".join(sorted(foreign)[:3]) + (", ..." if len(foreign) > 3 else "")
        raise ExportError(
            f"expected {target} to be new, empty or an earlier export, found files that no export wrote ({some}); "
            "choose another folder, or pass --overwrite to keep them beside the model."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield staged
        written = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
        (staged / MARKER).write_text(json.dumps({"files": written}) + "\n")
        for name in foreign - set(written):
            before, place = target / name, staged / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if before.is_dir() and not before.is_symlink():
                place.mkdir(exist_ok=True)
            elif place.is_dir():
                raise ExportError(f"{before} is in the way of a folder that the export writes; move it elsewhere.")
            else:
                shutil.copy2(before, place, follow_symlinks=False)
        staged.chmod(0o777 & ~_umask())  # mkdtemp makes it private, which a web server could not read
        _swap(staged, target)
    except OSError as error:
        if error.filename is not None and not _lies_in(error.filename, (staged, target)):
            raise  # the block failed to read something; an error of a file that is open bears no name
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextlib.contextmanager
def publish_file(target: Path):
    """Yield a new path to write to; it takes the place of ``target`` when the block ends without an exception.

    Args:
        target: the file to make or to replace; its parents are created.

    Raises:
        ExportError: ``target`` is a folder, or cannot be written.
    """
    if target.is_dir():
        raise ExportError(f"expected a file to write to, found the folder {target}; choose another name.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replaced(target, target.suffix) as staged:
            yield staged
    except OSError as error:
        if error.filename is not None and not _lies_in(error.filename, (target.parent,)):
            raise  # the block failed to read something
        raise _unwritable(target, error) from error


def _foreign_files(target: Path) -> set[str]:
    """Return files, links and empty folders in ``target`` that no export wrote, relative to it."""
    try:
        is_file = target.exists() and not target.is_dir()
    except OSError as error:
        raise _unwritable(target, error) from error
    if is_file:
        raise ExportError(f"expected a folder to write to, found the file {target}; choose another name.")
    if Path.cwd().is_relative_to(target):
        raise ExportError(f"{target} is the current folder or above it, which cannot be replaced; name a folder in it.")
    try:
        found = {
            str(path.relative_to(target))
            for path in target.rglob("*")
            if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
        }
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        own = set(json.loads((target / MARKER).read_text())["files"]) | {MARKER}
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    return found - own


def _swap(staged: Path, target: Path) -> None:
    """Rename ``staged`` to ``target``; what was there is set aside first and deleted last."""
    if not target.exists():
        staged.rename(target)
        return
    aside = staged.with_suffix(".previous")
    try:
        target.rename(aside)
        staged.rename(target)
    finally:  # an interruption may come before, between and after the two
        if not target.exists():
            aside.rename(target)
        shutil.rmtree(aside, ignore_errors=True)


def _lies_in(name: str | bytes, folders: tuple[Path, ...]) -> bool:
    return any(Path(os.fsdecode(name)).is_relative_to(folder) for folder in folders)


def _unwritable(target: Path, error: OSError) -> ExportError:
    return ExportError(f"{target} cannot be written ({error.strerror or error}); choose a folder you may write to.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
