"""Remember in Parquet files beside the results what was made of what, so that a later run makes only the rest.

A run appends a small file every few seconds, and each appears whole or not at all. A killed run therefore loses the
memory of its last seconds, never a result. The next run reads all files and writes them as one.
"""

from __future__ import annotations

import io
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
from pyarrow import parquet

from span_keras.cluster import stores
from span_keras.errors import ImageError

STAGES = ("decode", "enlarge", "encode")
"""What an image goes through, one after another."""

FOLDER = ".span-bulk"
"""Where the files lie in the folder of the results. It is hidden, so that commands leave it alone."""

MAX_SECONDS = 20.0
"""Longest time between two files of a run; early in a run they come sooner."""

MAX_ROWS = 10_000
"""Records of one file of a run, at most."""

MAX_FILES = 8
"""A run that finds more files than that writes them as one."""

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.int64()),
        ("key", pa.string()),
        ("target", pa.string()),
        ("target_size", pa.int64()),
        ("status", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("notes", pa.list_(pa.string())),
        ("reason", pa.string()),
        *((f"{stage}_seconds", pa.float64()) for stage in STAGES),
    ]
)
"""The columns: address of the source, its bytes and time in nanoseconds; ``plan.key_of`` of the network and options;
the result's path below the folder of the results, its bytes; and the ``Outcome``, with what each stage took."""


@dataclass
class Journal:
    """Append records while a run goes on.

    Args:
        dest: address of the folder of the results.
        first: number of the first file, larger than those of all runs before.
    """

    dest: str
    first: int
    _rows: list[dict] = field(default_factory=list)
    _files: int = 0
    _began: float = field(default_factory=time.monotonic)
    _written: float = field(default_factory=time.monotonic)

    def add(self, record: dict) -> None:
        """Note a record, which is written within ``MAX_SECONDS``, or when the next one comes or the run ends."""
        self._rows.append(record)
        now = time.monotonic()
        # A hundredth of the run may have to be made again, and the number of files grows with the run's logarithm.
        if len(self._rows) >= MAX_ROWS or now - self._written >= min(max(1.0, (now - self._began) / 100), MAX_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            UnwritableError: the folder cannot be written to.
        """
        self._written = time.monotonic()
        if self._rows:
            _write(self.dest, self.first + self._files, pa.Table.from_pylist(self._rows, SCHEMA))
            self._rows, self._files = [], self._files + 1


def opened(dest: str) -> tuple[pa.Table, Journal]:
    """Return the last record of every source, and what appends further ones.

    Args:
        dest: address of the folder of the results.

    Raises:
        ImageError: a file is damaged.
        UnwritableError: there are many files, and they cannot be written as one.
    """
    files = stores.listing(f"{dest}/{FOLDER}", optional=True)
    names = sorted(file.name for file in files if file.name.endswith(".parquet"))
    with ThreadPoolExecutor(16) as pool:
        tables = list(pool.map(lambda name: _read(f"{dest}/{FOLDER}/{name}"), names))
    latest = _latest(pa.concat_tables([*tables, SCHEMA.empty_table()]))
    following = 1 + max((int(name.split("-")[0]) for name in names), default=0)
    if len(names) > MAX_FILES:
        _write(dest, following, latest)
        following += 1
        for name in names:  # if this is interrupted, there are records twice, which does no harm
            stores.delete(f"{dest}/{FOLDER}/{name}")
    return latest, Journal(dest, following)


def records(table: pa.Table) -> Iterator[dict]:
    """Yield the rows of a table."""
    for batch in table.to_batches(MAX_ROWS):
        yield from batch.to_pylist()


def _latest(table: pa.Table) -> pa.Table:
    """Return the last row of every source."""
    table = table.append_column("row", pa.array(range(len(table)), pa.int64()))
    rows = table.group_by("source").aggregate([("row", "max")])["row_max"]
    return table.take(rows.combine_chunks().sort()).drop_columns("row")


def _read(address: str) -> pa.Table:
    try:
        return parquet.read_table(pa.BufferReader(stores.read(address)), schema=SCHEMA)
    except pa.ArrowException as error:
        raise ImageError(f"{address} should be a manifest of span-bulk, but is damaged; delete it.") from error


def _write(dest: str, number: int, table: pa.Table) -> None:
    file = io.BytesIO()
    parquet.write_table(table, file)
    file.seek(0)
    stores.write(f"{dest}/{FOLDER}/{number:012}-{secrets.token_hex(4)}.parquet", file)


def finished(rows: Iterable[dict]) -> dict[str, dict]:
    """Return the records of results that were made, by source."""
    return {row["source"]: row for row in rows if row["status"] == "made"}
