"""The file that holds all of a run's changing state."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from span_keras.errors import TrainingError

FORMAT = "span-run-1"
"""Of checkpoints; another one for whatever older versions would take for something else."""


@dataclass(frozen=True)
class Checkpoint:
    """All of a run's changing state: ``SpanTrainer.state`` and what the loop knows (``step``, ``best`` ...)."""

    arrays: dict[str, np.ndarray]
    progress: dict

    def to_bytes(self) -> bytes:
        """Return a safetensors file whose metadata holds the progress and a checksum of both."""
        arrays = {name: np.asarray(array, order="C") for name, array in self.arrays.items()}
        progress = json.dumps(self.progress, sort_keys=True)
        metadata = {"format": FORMAT, "progress": progress, "sha256": _digest(arrays, progress)}
        return safetensors.numpy.save(arrays, metadata)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read a file and verify it.

        Raises:
            TrainingError: the file is truncated, altered, of another version's format or something else.
        """
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, safetensors.SafetensorError) as error:
            raise TrainingError(f"expected a complete checkpoint in {path}, found a damaged one ({error}).") from error
        if (found := metadata.get("format")) != FORMAT:
            raise TrainingError(
                f"expected a checkpoint of format {FORMAT} in {path}, found {found or 'something else'}; a run goes on "
                "with the version of span-keras that it was begun with."
            )
        if metadata.get("sha256") != _digest(arrays, metadata.get("progress", "")):
            raise TrainingError(f"expected a complete checkpoint in {path}, found one whose checksum does not match.")
        return cls(arrays, json.loads(metadata["progress"]))


def _digest(arrays: dict[str, np.ndarray], progress: str) -> str:
    digest = hashlib.sha256(progress.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
