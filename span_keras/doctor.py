"""One line about an installation, for the start of a bug report: versions, backend, device, what is missing."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import span_keras
from span_keras.ambient import BACKENDS, installed
from span_keras.errors import SpanError, named

OPTIONAL = {
    "numba": "fast upscaling on a CPU",
    "tensorflowjs": "verifying TF.js exports by the converter",
    "onnxruntime": "verifying ONNX exports",
    "ai_edge_litert": "verifying LiteRT exports",
}
"""What is not needed, by the module's name -> what for."""
NVIDIA = Path("/proc/driver/nvidia/gpus")
"""Where Linux lists the GPUs that NVIDIA's driver sees."""


def report() -> str:
    """Return the line. It never fails: what cannot be told is said.

    Example:
        >>> report()
        'span-keras 0.1.0, Python 3.11.7, Linux x86_64; Keras 3.15.1 on tensorflow 2.19.0, cpu, no GPU; missing: none'
    """
    system = f"span-keras {span_keras.__version__}, Python {platform.python_version()}, {platform.system()} "
    missing = [f"{name} ({purpose})" for name, purpose in OPTIONAL.items() if not installed(name)]
    missing += [name for name in BACKENDS if not installed(name)]
    missing += _missing_of_page()
    return f"{system}{platform.machine()}; {_backend()}; missing: {', '.join(missing) or 'none'}"


def _missing_of_page() -> list[str]:
    """Name the page, or its libraries, if the installation was made without."""
    try:
        from span_export.page import has_libraries

        return [] if has_libraries() else ["browser libraries of the page (it takes them from the network)"]
    except (ImportError, SpanError):
        return ["the page"]


def _backend() -> str:
    """Tell Keras's version, its backend, the device that it computes on, and a GPU that it does not see."""
    try:
        import keras

        from span_keras.training.devices import device_kind

        backend = keras.backend.backend()
        described = f"Keras {keras.__version__} on {backend} {_version(backend)}"
        if backend not in BACKENDS:
            return f"{described}, which is none of {', '.join(BACKENDS)}; set KERAS_BACKEND"
        device = device_kind()
    except SpanError as error:
        return str(error).rstrip(".")
    except Exception as error:  # a backend may fail in any way on a machine that it does not know
        return f"Keras does not start ({named(error)[:200]})"
    if device != "cpu":
        return f"{described}, GPU {device}"
    return f"{described}, cpu, {_unseen_gpu(backend)}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # such as tensorflow-cpu
        return getattr(sys.modules.get(name), "__version__", "of unknown version")


def _unseen_gpu(backend: str) -> str:
    """Tell whether the machine has an NVIDIA GPU that the backend was not built or allowed to use."""
    try:
        gpus = len(list(NVIDIA.iterdir()))
    except OSError:
        return "no GPU"
    if not gpus:
        return "no GPU"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or os.environ.get("JAX_PLATFORMS") == "cpu":
        return f"{gpus} GPU hidden by the environment"
    extra = {"tensorflow": "tensorflow[and-cuda]", "jax": "jax[cuda12]"}[backend]
    return f"{gpus} GPU that it does not see: pip install '{extra}'"
