"""The folder of a training run: configuration, log and checkpoints, each written so that a kill cannot spoil it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from span_keras import atomic
from span_keras.errors import ConfigError, RetiredError, TrainingError
from span_keras.runs.checkpoint import Checkpoint
from span_keras.runs.retired import LAST_COMMIT, without_retired
from span_keras.runs.settings import Settings

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CHECKPOINTS = ("last.ckpt", "previous.ckpt")

LOCK = "run.lock"


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Replace a file as ``atomic.replaced`` does, with an error that says what to do.

    Raises:
        TrainingError: the disk is full or the folder cannot be written; the old file is where the block left it.
    """
    try:
        with atomic.replaced(path) as temporary:
            yield temporary
    except OSError as error:
        raise TrainingError(
            f"expected to write {path}, found: {error.strerror or error}; free space or choose another --out, "
            "then continue with --resume."
        ) from error


def read_settings(content) -> dict:
    """Return the settings of a run's JSON file, without those that were retired and never used.

    Raises:
        RetiredError: one was used.
        ConfigError, ValueError, TypeError: it holds something else.
    """
    if not isinstance(content, dict):
        raise ValueError(f"no object but {json.dumps(content)[:40]}")
    settings = without_retired(content)
    Settings.from_dict(settings)
    return settings


def retired_message(error: RetiredError, path: Path, folders: Sequence[Path]) -> str:
    """Say what to do with a run that a retired setting was used in.

    Args:
        error: names the setting.
        path: of the file that holds it.
        folders: of the run's stages in their order; the newest best weights among them can begin another run.
    """
    best = [folder / "best.safetensors" for folder in folders if (folder / "best.safetensors").exists()]
    init = f" with --init {best[-1]}" if best else ""
    return (
        f"expected a run of settings that this version has, found {error} in {path}; continue it with commit "
        f"{LAST_COMMIT} of span-keras, or begin a run in another --out{init}."
    )


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, with pictures in it."""
    return (folder / "config.json").is_file() and (folder / "validation.csv").is_file()


class RunFolder:
    """The files of one run.

    ``config.json``, ``log.csv`` (a row per ``--log-every`` steps), ``validation.csv``, ``curve.png``, ``samples/``,
    ``tensorboard/``, ``last.ckpt`` with ``previous.ckpt`` behind it (everything needed to go on), ``best.safetensors``
    (fused, averaged weights of the best validation), and at the end ``weights.safetensors`` (fused, averaged: what to
    use) and ``weights.weights.h5`` (the same in training form). ``run.lock`` is empty, see ``alone``.

    Args:
        path: of the folder.
        make: whether to make it if it is missing.
    """

    def __init__(self, path: str | os.PathLike, make: bool = True):
        self.path = Path(path)
        self._last_is_complete = False  # as far as this object knows
        self._made: list[Path] = []
        if not make:
            return
        try:
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"expected a folder to write the run to, found: {error.strerror} ({self.path}); choose another --out."
            ) from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes that ask for it out of the folder, where the system and the disk can do that.

        A folder that was made and in which nothing was written is removed again if the block fails.

        Raises:
            TrainingError: another process is at work in the folder.
        """
        try:
            with self._locked():
                yield
        except BaseException:
            self._remove_what_is_empty()
            raise

    def _remove_what_is_empty(self) -> None:
        with contextlib.suppress(OSError):  # not empty, or not ours to remove
            if self._made and [path.name for path in self.path.iterdir()] in ([], [LOCK]):
                (self.path / LOCK).unlink(missing_ok=True)
                for folder in self._made:
                    folder.rmdir()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                if fcntl:
                    # The file stays, because another process may have opened it; a killed process leaves no lock.
                    file = held.enter_context((self.path / LOCK).open("a"))
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrainingError(
                    f"expected no other process at work in {self.path}, found one; wait for it or stop it, or choose "
                    "another --out."
                ) from None
            except OSError:
                pass  # some network drives know no locks; whether the folder can be written shows later
            yield

    @property
    def config(self) -> dict | None:
        """The saved settings, ``None`` in a folder without a run."""
        path = self.path / "config.json"
        try:
            return read_settings(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except RetiredError as error:
            raise TrainingError(retired_message(error, path, [self.path])) from error
        except (OSError, ValueError, TypeError, ConfigError) as error:  # TypeError: a value of another kind
            raise TrainingError(
                f"expected the run's settings in {path}, found: {str(error).rstrip('.')}; restore the file or choose "
                "another --out."
            ) from error

    def save_config(self, settings: dict) -> None:
        """Write ``config.json``, the first file of a run, and delete what a killed process left half written."""
        for folder in (self.path, self.path / "samples"):
            atomic.remove_leftovers(folder)
        self.write("config.json", (json.dumps(settings, indent=2) + "\n").encode())

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the run atomically."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        with _replaced(path) as temporary:
            temporary.write_bytes(content)

    # -- checkpoints

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write ``last``; the one before it becomes ``previous``. One of the two is complete at every instant."""
        last, previous = (self.path / name for name in CHECKPOINTS)
        with _replaced(last) as new:
            with new.open("wb") as file:
                file.write(checkpoint.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            # Only now that the new one lies on the disk, and never a damaged one over `previous`, from which a run
            # may have gone on.
            if self._last_is_complete and last.exists():
                last.replace(previous)
        self._last_is_complete = True

    @property
    def has_checkpoint(self) -> bool:
        """Whether the run ever wrote one, complete or not."""
        return any((self.path / name).exists() for name in CHECKPOINTS)

    def load_checkpoint(self, echo=print) -> Checkpoint | None:
        """Read the newest complete checkpoint, ``None`` if the run never wrote one.

        Raises:
            TrainingError: there are checkpoints, but all are damaged.
        """
        problems = []
        for name in CHECKPOINTS:
            if (self.path / name).exists():
                try:
                    checkpoint = Checkpoint.read(self.path / name)
                    self._last_is_complete = name == CHECKPOINTS[0]
                    return checkpoint
                except TrainingError as error:
                    problems.append(str(error))
                    echo(f"Warning: {error} Trying the one before it.")
        if problems:
            raise TrainingError(
                f"{' '.join(problems)} No complete checkpoint is left; start anew with another --out"
                + (f", for instance from --init {best}." if (best := self.path / "best.safetensors").exists() else ".")
            )
        return None

    # -- tables

    def rows(self, name: str) -> list[dict[str, float]]:
        """Read ``log.csv`` or ``validation.csv`` as numbers, NaN where a row has no value for a column.

        Damaged rows and an unfinished last line are left out.
        """
        header, rows = self._table(name)
        return [dict(zip(header, map(_number, cells), strict=True)) for cells in rows]

    def append(self, name: str, row: dict[str, float]) -> None:
        """Add a row; the first one writes the header, and one with further columns has them added to the table."""
        path = self.path / name
        # repr keeps every digit.
        cells = {key: repr(value) for key, value in row.items()}
        try:
            with path.open("a+") as file:
                file.seek(0)
                header = file.readline().rstrip("\n").split(",")
                if row.keys() <= set(header):
                    file.write(_lines([[cells.get(key, "") for key in header]]))
                    return
        except OSError as error:
            raise TrainingError(
                f"expected to write {path}, found: {error.strerror}; free space, then --resume."
            ) from error
        header, rows = self._table(name)
        added = [key for key in row if key not in header]
        rows = [[*old, *[""] * len(added)] for old in rows] + [[cells.get(key, "") for key in [*header, *added]]]
        self.write(name, _lines([[*header, *added], *rows]).encode())

    def forget_after(self, step: int) -> None:
        """Drop the rows of steps that a resumed run will do again, and what is damaged."""
        for name in ("log.csv", "validation.csv"):
            if (self.path / name).exists():
                header, rows = self._table(name)
                kept = [cells for cells in rows if float(cells[0]) <= step]
                self.write(name, _lines([header, *kept] if header else []).encode())

    def _table(self, name: str) -> tuple[list[str], list[list[str]]]:
        """Read header and rows as texts, without damaged rows; the first column is the step."""
        try:
            text = (self.path / name).read_text(errors="replace")
        except FileNotFoundError:
            return [], []
        # Names and numbers need no quotes; what comes after the last line break was not finished.
        header, *rows = [line.split(",") for line in text.split("\n")[:-1]] or [[]]
        if header[:1] != ["step"]:
            return [], []
        return header, [
            cells
            for cells in rows
            if len(cells) == len(header)
            and cells[0].isdecimal()
            and all(cell == "" or is_number(cell) for cell in cells)
        ]


def _number(cell: str) -> float:
    return float(cell) if cell else float("nan")


def is_number(text: str) -> bool:
    """Return whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lines(rows: list[list[str]]) -> str:
    return "".join(",".join(cells) + "\n" for cells in rows)
