"""The folder of a training run: configuration, log and checkpoints, each written so that a kill cannot spoil it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from span_keras import atomic
from span_keras.errors import TrainingError

FORMAT = 1


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one instant, see ``atomic.replaced``.

    Raises:
        TrainingError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    path = Path(path)
    try:
        with atomic.replaced(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise TrainingError(
            f"expected to write {path}, found: {error.strerror or error}; free space or choose another --out, "
            "then continue with --resume."
        ) from error


@dataclass(frozen=True)
class Checkpoint:
    """All of a run's changing state: ``SpanTrainer.state`` and what the loop knows (``step``, ``best_psnr`` ...)."""

    arrays: dict[str, np.ndarray]
    progress: dict

    def to_bytes(self) -> bytes:
        """A safetensors file whose metadata holds the progress and a checksum of both."""
        arrays = {name: np.asarray(array, order="C") for name, array in self.arrays.items()}
        progress = json.dumps(self.progress, sort_keys=True)
        metadata = {"format": f"span-run-{FORMAT}", "progress": progress, "sha256": _digest(arrays, progress)}
        return safetensors.numpy.save(arrays, metadata)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read and verify.

        Raises:
            TrainingError: the file is truncated, altered or something else.
        """
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, safetensors.SafetensorError) as error:
            raise TrainingError(f"expected a complete checkpoint in {path}, found a damaged one ({error}).") from error
        if metadata.get("sha256") != _digest(arrays, metadata.get("progress", "")):
            raise TrainingError(f"expected a complete checkpoint in {path}, found one whose checksum does not match.")
        return cls(arrays, json.loads(metadata["progress"]))


def _digest(arrays: dict[str, np.ndarray], progress: str) -> str:
    digest = hashlib.sha256(progress.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


class RunFolder:
    """The files of one run.

    ``config.json``, ``log.csv`` (a row per ``--log-every`` steps), ``validation.csv``, ``curve.png``, ``samples/``,
    ``tensorboard/``, ``last.ckpt`` with ``previous.ckpt`` behind it (everything needed to go on), ``best.safetensors``
    (fused, averaged weights of the best validation), and at the end ``weights.safetensors`` (fused, averaged: what to
    use) and ``weights.weights.h5`` (the same in training form).

    Args:
        path: made if missing.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"expected a folder to write the run to, found: {error.strerror} ({self.path}); choose another --out."
            ) from error

    @property
    def config(self) -> dict | None:
        """The saved settings, ``None`` in a folder without a run."""
        try:
            return json.loads((self.path / "config.json").read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"expected the run's settings in {self.path / 'config.json'}, found: {error}."
            ) from error

    def save_config(self, settings: dict) -> None:
        self.write("config.json", (json.dumps(settings, indent=2) + "\n").encode())

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the run atomically."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content)

    # -- checkpoints

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write ``last``; the one before it becomes ``previous``."""
        last, previous = self.path / "last.ckpt", self.path / "previous.ckpt"
        if last.exists():
            # A second name for the old file, so that there is a complete `last` at every instant.
            link = self.path / "previous.ckpt.partial"
            link.unlink(missing_ok=True)
            try:
                os.link(last, link)
                link.replace(previous)
            except OSError:  # a file system without links
                write_atomically(previous, last.read_bytes())
        write_atomically(last, checkpoint.to_bytes())

    def load_checkpoint(self, echo=print) -> Checkpoint | None:
        """The newest complete checkpoint, ``None`` if the run never wrote one.

        Raises:
            TrainingError: there are checkpoints, but all are damaged.
        """
        problems = []
        for name in ("last.ckpt", "previous.ckpt"):
            if (self.path / name).exists():
                try:
                    return Checkpoint.read(self.path / name)
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
        """The rows of ``log.csv`` or ``validation.csv`` as numbers; an unfinished last line is left out."""
        try:
            text = (self.path / name).read_text()
        except FileNotFoundError:
            return []
        text = text[: text.rfind("\n") + 1]
        return [
            {k: float(v) if v else float("nan") for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))
        ]

    def append(self, name: str, row: dict[str, float]) -> None:
        """Add a row; the first one writes the header."""
        path = self.path / name
        text = io.StringIO()
        writer = csv.DictWriter(text, row, lineterminator="\n")
        try:
            if not path.exists():
                writer.writeheader()
            # repr keeps every digit.
            writer.writerow({key: repr(value) for key, value in row.items()})
            with path.open("a") as file:
                file.write(text.getvalue())
        except OSError as error:
            raise TrainingError(
                f"expected to write {path}, found: {error.strerror}; free space, then --resume."
            ) from error

    def forget_after(self, step: int) -> None:
        """Drop the rows of steps that a resumed run will do again."""
        for name in ("log.csv", "validation.csv"):
            if rows := self.rows(name):
                text = io.StringIO()
                writer = csv.DictWriter(text, rows[0], lineterminator="\n")
                writer.writeheader()
                for row in rows:
                    if row["step"] <= step:
                        writer.writerow(
                            {k: repr(int(v)) if k in ("step", "epoch") else repr(v) for k, v in row.items()}
                        )
                self.write(name, text.getvalue().encode())
