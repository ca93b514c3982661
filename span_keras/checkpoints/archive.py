"""Zip archives around a weights file, as model collections and the page's Save Model hand out."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from span_keras.checkpoints.files import MAX_TENSOR_BYTES
from span_keras.errors import CheckpointError

MAX_MEMBERS = 1000


@contextlib.contextmanager
def unpacked(path: Path, source: str, is_weights: Callable[[str], bool]) -> Iterator[Path]:
    """Unpack an archive into a folder that vanishes with the block, and yield the weights file in it.

    Args:
        path: the archive.
        source: its name for messages.
        is_weights: whether a file of this name is one.

    Raises:
        CheckpointError: it holds no weights file, several, too much, or files outside of its folder.
    """
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        members = [info for info in archive.infolist() if not info.is_dir()]
        for info in members:
            name = PurePosixPath(info.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise CheckpointError(f"{source} holds {info.filename!r}, outside of its folder; unpack it by hand.")
        members = [info for info in members if "__MACOSX" not in info.filename]
        found = [info for info in members if is_weights(PurePosixPath(info.filename).name)]
        if len(found) != 1:
            names = ", ".join(info.filename for info in found[:4])
            raise CheckpointError(
                f"{source} is a zip archive with {f'several weights files ({names})' if found else 'no weights file'}, "
                "expected one; unpack it and name the file."
            )
        if (size := sum(info.file_size for info in members)) > MAX_TENSOR_BYTES or len(members) > MAX_MEMBERS:
            raise CheckpointError(
                f"{source} unpacks to {len(members)} files of {size:,} bytes, more than {MAX_MEMBERS} of "
                f"{MAX_TENSOR_BYTES:,}."
            )
        for info in members:
            archive.extract(info, folder)
        yield Path(folder) / found[0].filename
