"""Decide what a run has to make: what a folder, store or list holds, without what the manifest says is made."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

import pyarrow as pa
from pyarrow import parquet

from span_keras.cluster import stores
from span_keras.cluster.stores import Entry, address_of, path_of
from span_keras.errors import ImageError
from span_keras.images.folders import Survey
from span_keras.images.formats import READABLE
from span_keras.inference.batch import Pair, Plan, pair_of, plan, settle, sort_out
from span_keras.inference.job import Options, Outcome
from span_keras.inference.networks import NetworkOptions

LISTS = (".txt", ".csv", ".parquet")
"""Suffixes of lists of addresses."""

COLUMN = "address"
"""The column of a CSV or Parquet list that holds them, unless it has one column alone."""


@dataclass(frozen=True)
class Task:
    """Say what to make of one image, wherever it lies.

    Attributes:
        source, target: addresses.
        adapt: see ``Job``.
        size, modified: of the source when it was listed, see ``Entry``.
    """

    source: str
    target: str
    adapt: bool
    size: int
    modified: int


@dataclass
class Work:
    """Say what a run is to do.

    Attributes:
        tasks: images to make.
        settled: what has become of other files.
        remarks: sentences about files that are no pictures.
        kept: results that were made before of the same sources, in the same way.
    """

    tasks: list[Task] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    kept: int = 0


def key_of(options: Options, network: NetworkOptions, sha256: list[str], suffix: str | None) -> str:
    """Return a digest of all that results depend on besides their sources.

    Args:
        options, network: how images are made.
        sha256: of the files of the weights.
        suffix: see ``batch.plan``.
    """
    stated = [network.variant, network.img_range, network.rgb_mean, network.tta]
    text = json.dumps([dataclasses.asdict(options), stated, sha256, suffix])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def work_of(source: str, dest: str, options: Options, suffix: str | None, key: str, made: dict[str, dict]) -> Work:
    """Return what is to be done.

    Files are understood as ``span-upscale`` understands them: subfolders and names stay, no two sources may have one
    target, and every file is made, named or counted.

    Args:
        source: address of a folder, an image, or a list of addresses.
        dest: address of the folder of the results.
        options, suffix: see ``batch.plan``.
        key: of ``key_of``.
        made: see ``manifest.finished``.

    Raises:
        ImageError: there is nothing to do, a list cannot be read, or a store cannot be reached.
    """
    found, entries = _found(source, path_of(dest), options, suffix)
    work = Work(
        settled=[with_addresses(outcome) for outcome in found.settled], remarks=[*map(address_of, found.remarks)]
    )
    if not found.jobs and not found.settled:
        raise ImageError(f"{source} holds no images to upscale; expected some of {', '.join(READABLE)}.")
    sizes = stores.sizes(dest, [row["target"] for row in made.values()]) if made else {}
    addresses = [address_of(job.source) for job in found.jobs]
    for job, entry in zip(found.jobs, entries or stores.described(addresses), strict=True):
        address, target = entry.name, address_of(job.target)
        if (row := made.get(address)) and (row["size"], row["modified"], row["key"]) == (*entry[1:], key):
            planned = PurePosixPath(target).with_suffix("") == PurePosixPath(f"{dest}/{row['target']}").with_suffix("")
            if planned and sizes.get(row["target"]) == row["target_size"]:
                work.kept += 1
                continue
        work.tasks.append(Task(address, target, job.adapt, entry.size or 0, entry.modified))
    return work


def _found(source: str, out: PurePath, options: Options, suffix: str | None) -> tuple[Plan, list[Entry] | None]:
    """Return jobs and what is settled; and the entries of the jobs' sources, if a listing told them."""
    path = path_of(source)
    if path.suffix.lower() in LISTS:
        found = Plan()
        settle([_pair(address, out, suffix) for address in addresses_of(source)], options, found)
        return found, None
    if isinstance(path, Path):
        # A target in a store is like a folder here: nothing is looked up in it.
        if path.is_dir():
            return plan([path], out, suffix, options), None
        found = Plan()
        settle([_pair(source, out, suffix)], options, found)
        return found, None
    entries = {path / entry.name: entry._replace(name=f"{source}/{entry.name}") for entry in stores.listing(source)}
    found, seen = Plan(), Survey()
    if not entries:
        return found, None
    for file in sorted(entries):
        if file.is_relative_to(out) and not path.is_relative_to(out):
            continue
        if hidden := next((part for part in file.relative_to(path).parts if part.startswith(".")), None):
            seen.hidden += hidden == file.name
            continue
        seen.add(file, str, functools.partial(stores.head_of, file))
    settle(sort_out(path, seen, out, suffix, found, stores.head_of), options, found)
    return found, [entries[job.source] for job in found.jobs]


def _pair(address: str, out: PurePath, suffix: str | None) -> Pair:
    path = path_of(address)
    return pair_of(path, out, PurePosixPath(path.name), suffix, stores.head_of)


def addresses_of(source: str) -> Iterator[str]:
    """Yield the addresses of a list: the lines of a text, or a column of CSV or Parquet.

    Paths that are relative are relative to the list.

    Raises:
        ImageError: it cannot be read, or nothing tells which column holds addresses.
    """
    data, suffix = stores.read(source), PurePosixPath(source).suffix.lower()
    try:
        if suffix == ".parquet":
            file = parquet.ParquetFile(pa.BufferReader(data))
            column = _column(source, file.schema_arrow.names)
            names = file.read([column]).column(0).to_pylist()
        elif suffix == ".csv":
            rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if row]
            head = rows.pop(0) if rows and _is_head(rows[0]) else []
            number = head.index(_column(source, head)) if head else 0
            names = [row[number] for row in rows if len(row) > number]
        else:
            names = data.decode("utf-8-sig").splitlines()
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(
            f"{source} should be a list of addresses, one a line or in a column {COLUMN!r}, but cannot be read "
            f"({error})."
        ) from error
    folder = PurePosixPath(source).parent
    for name in filter(None, (str(name).strip() for name in names if name is not None)):
        yield name if stores.is_remote(name) else address_of(folder / name)


def _is_head(row: list[str]) -> bool:
    """Return whether the first line of a CSV list tells the columns' names, rather than the first image's."""
    return COLUMN in row or not any(PurePosixPath(cell).suffix for cell in row)


def _column(source: str, names: list[str]) -> str:
    """Return the name of the column of a list that holds addresses, among those that it has.

    Raises:
        ImageError: no name tells.
    """
    if COLUMN in names or len(names) == 1:
        return COLUMN if COLUMN in names else names[0]
    raise ImageError(f"{source} should have a column {COLUMN!r}, found {', '.join(names) or 'none'}; rename one.")


def with_addresses(outcome: Outcome) -> Outcome:
    """Return an outcome that calls files by their addresses, where it has what ``stores.path_of`` makes of them."""
    return dataclasses.replace(
        outcome,
        source=address_of(outcome.source),
        target=address_of(outcome.target),
        notes=tuple(map(address_of, outcome.notes)),
        reason=address_of(outcome.reason),
    )
