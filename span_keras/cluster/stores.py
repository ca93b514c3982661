"""Name, list, read and write files of folders and object stores, by pyarrow's file systems and fsspec's."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO, NamedTuple

import pyarrow as pa
from pyarrow import fs

from span_keras import atomic
from span_keras.errors import ImageError, first_line
from span_keras.images.kinds import HEAD
from span_keras.images.source import Encoded, Source
from span_keras.images.write import UnwritableError

_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]*)/?(.*)", re.DOTALL)

_COLLAPSED = re.compile(r"(^[a-z][a-z0-9+.-]+|(?<![\w/.-])(?:s3|gs|gcs|hdfs|abfss?|az|adl|memory|https?)):/(?!/)")
"""What ``path_of`` made of an address: one of any store by itself, or one of these in a sentence."""


class Entry(NamedTuple):
    """Describe a file of a listing.

    Attributes:
        name: its path below what was listed, or its address.
        size: in bytes; None if there is no such file.
        modified: when it was written, in nanoseconds since 1970; 0 if nobody knows.
    """

    name: str
    size: int | None
    modified: int


def is_remote(address: str) -> bool:
    """Return whether an address names a store, rather than a path of this machine."""
    return _REMOTE.match(address) is not None


def path_of(address: str) -> PurePath:
    """Return what names, suffixes and parents can be asked of; ``address_of`` returns the address again."""
    return PurePosixPath(address) if is_remote(address) else Path(address)


def address_of(path: PurePath | str) -> str:
    """Return the address of such a path; of a sentence that holds some, the sentence with addresses."""
    return _COLLAPSED.sub(r"\1://", str(path))


def listing(address: str, optional: bool = False) -> Iterator[Entry]:
    """Yield the files of a store, or of a folder that no link leads round in a circle, and below it.

    Args:
        address: of the folder or store.
        optional: yield none if it is missing.

    Raises:
        ImageError: it is missing, cannot be reached, or refuses.
    """
    with _names_unreadable(address):
        files, base = _located(address)
        for info in files.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=optional)):
            if info.type != fs.FileType.Directory:
                yield Entry(info.path[len(base) :].lstrip("/"), info.size, info.mtime_ns or 0)


def sizes(address: str, names: Iterable[str]) -> dict[str, int]:
    """Return the bytes of files of a folder or store by their names in it, without those that are missing.

    Raises:
        ImageError: the store cannot be reached, or refuses.
    """
    if is_remote(address):  # one request tells of thousands of files
        return {entry.name: entry.size for entry in listing(address, optional=True)}
    found = {}
    for name in names:
        with contextlib.suppress(OSError):
            found[name] = Path(address, name).stat().st_size
    return found


def described(addresses: Iterable[str]) -> Iterator[Entry]:
    """Yield size and time of files by their addresses, in their order.

    Raises:
        ImageError: a store cannot be reached, or refuses.
    """

    def describe(address: str) -> Entry:
        with _names_unreadable(address):
            files, path = _located(address)
            info = files.get_file_info(path)
        return Entry(address, info.size, info.mtime_ns or 0)

    with ThreadPoolExecutor(16) as pool:  # each may be a request
        yield from pool.map(describe, addresses)


def read(address: str, most: int | None = None) -> bytes:
    """Return the bytes of a file, or the first of them.

    Raises:
        ImageError: it cannot be read.
    """
    with _names_unreadable(address), _opened(address) as file:
        return file.read(most)


def head_of(path: PurePath) -> bytes:
    """Return the first bytes of a file by what ``path_of`` returns, none if it cannot be read."""
    with contextlib.suppress(ImageError):
        return read(address_of(path), HEAD)
    return b""


def whole_source(address: str) -> Source:
    """Return an image file as one to decode: the path of a local one, the bytes of another.

    Raises:
        ImageError: it cannot be read.
    """
    return Encoded(address, read(address)) if is_remote(address) else Path(address)


@contextlib.contextmanager
def large_source(address: str) -> Iterator[Source]:
    """Give an image file that is too large for the memory: the path of a local one, a copy on the disk of another.

    Raises:
        ImageError: it cannot be read.
    """
    if not is_remote(address):
        yield Path(address)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "image")
        with _names_unreadable(address), _opened(address) as file, copy.open("wb") as target:
            shutil.copyfileobj(file, target, 2**20)
        yield Encoded(address, copy)


def write(address: str, file: BinaryIO) -> None:
    """Write a file that appears whole or not at all.

    Args:
        address: where; folders are made.
        file: read from its position to its end.

    Raises:
        UnwritableError: it cannot be written.
    """
    try:
        files, path = _located(address)
        if isinstance(files, fs.LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with atomic.replaced(Path(path)) as temporary, temporary.open("wb") as target:
                shutil.copyfileobj(file, target, 2**20)
            return
        # An object store shows an object when it is complete.
        with files.open_output_stream(path) as target:
            shutil.copyfileobj(file, target, 2**20)
    except (OSError, pa.ArrowException) as error:
        raise UnwritableError(
            f"{address} cannot be written ({_reason(error)}); check its name, your access and the free space."
        ) from error


def delete(address: str) -> None:
    """Delete a file, if it is there."""
    files, path = _located(address)
    with contextlib.suppress(FileNotFoundError):
        files.delete_file(path)


def check_writable(address: str) -> None:
    """Check that files can be written to a folder or store, which nothing but an attempt tells.

    Raises:
        UnwritableError: they cannot.
    """
    attempt = f"{address}/.{secrets.token_hex(4)}"
    write(attempt, io.BytesIO(b"\n"))
    delete(attempt)


def _opened(address: str):
    files, path = _located(address)
    return files.open_input_stream(path)


def _located(address: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of an address, and the path in it."""
    if not (found := _REMOTE.match(address)):
        return fs.LocalFileSystem(), address
    scheme, host, path = found.groups()
    files, base = _root(f"{scheme}://{host}")
    return files, f"{base.rstrip('/')}/{path}".rstrip("/")


@functools.lru_cache
def _root(address: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a bucket or host, and its path in it. pyarrow's own are tried first, then fsspec's."""
    try:
        # Google's library would try again for a quarter of an hour where nobody answers.
        patience = "?retry_limit_seconds=60" if address.startswith(("gs://", "gcs://")) else ""
        return fs.FileSystem.from_uri(address + patience)
    except (NotImplementedError, ValueError):  # what pyarrow says of a scheme that it does not know
        import fsspec

        try:
            files, base = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise ImageError(f"{address} is of a kind of store that cannot be read here ({error}).") from error
        return fs.PyFileSystem(fs.FSSpecHandler(files)), base


@contextlib.contextmanager
def _names_unreadable(address: str) -> Iterator[None]:
    """Turn what file systems raise in the block into an ``ImageError`` that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"{address} does not exist; check its name.") from error
    except (OSError, pa.ArrowException) as error:
        raise ImageError(f"{address} cannot be read ({_reason(error)}); check its name and your access.") from error


def _reason(error: Exception) -> str:
    """Return what an error says in one line, without a stop at its end."""
    return (getattr(error, "strerror", None) or first_line(error)).rstrip(".")
