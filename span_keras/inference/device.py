"""Choose what the network runs on, and how exactly it computes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from span_keras.errors import ConfigError

ACCELERATORS = ("nvidia[0-9]*", "dxg", "kfd", "accel*", "vfio/[0-9]*")
"""Where Linux shows GPUs of NVIDIA, also under Windows, and of AMD, and TPUs; below ``/dev``."""

Precision = Literal["float32", "bfloat16"]
"""Of the network's convolutions, but for the last one. What bfloat16 costs is in docs/upscaling.md."""


def choose(name: str) -> None:
    """Let the backend see what ``--device`` names alone. Call this before it is loaded.

    Args:
        name: ``"auto"``, ``"cpu"``, ``"gpu"``, or ``"gpu:1"`` for the second one.

    Raises:
        ConfigError: there is no device of such a name.
    """
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "gpu") or (number and (kind != "gpu" or not number.isdecimal())):
        raise ConfigError(f"expected the device auto, cpu, gpu or gpu:NUMBER, found {name!r}.")
    if kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
    elif number:
        visible = [entry for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry]
        if visible and int(number) >= len(visible):
            raise ConfigError(f"expected one of {len(visible)} GPUs from gpu:0, found {name}; choose another.")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(number)] if visible else number


def check(name: str) -> None:
    """Check that the backend found the GPU that ``--device`` asked for, if it did. That loads the backend.

    Raises:
        ConfigError: it found none.
    """
    if not name.startswith("gpu"):
        return
    import keras

    if not keras.distribution.list_devices("gpu"):
        raise ConfigError(
            f"expected a GPU for --device {name}, found none that {keras.backend.backend()} can use; check its driver "
            "and the backend's GPU support, or pass --device cpu."
        )


def accelerated() -> bool:
    """Return whether the backend of Keras computes on anything but the CPU. Loads it only where it might."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "-1" and os.environ.get("JAX_PLATFORMS") == "cpu":  # see ``choose``
        return False
    if sys.platform == "linux" and not any(any(Path("/dev").glob(pattern)) for pattern in ACCELERATORS):
        return False
    import keras

    return any(not name.lower().startswith("cpu") for name in keras.distribution.list_devices())


def cores() -> int:
    """Return how many cores this process may use; the variable OMP_NUM_THREADS bounds them, as elsewhere."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(there, int(asked)) if asked.isdecimal() and int(asked) else there
