"""SPAN super-resolution in Keras 3: train it, load any SPAN checkpoint, run it anywhere.

Public names load on first use, so that ``--help`` and light imports stay fast.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping

from span_keras import ambient

__version__ = "0.1.0"

_HOMES = {
    "PatchDataset": "data.dataset",
    "SpanLoss": "training.losses",
    "SpanConfig": "network.config",
    "SpanError": "errors",
    "SpanWeights": "network.weights",
    "build_span": "network.model",
    "build_deploy": "network.deploy",
    "config_of": "network.model",
    "initialise": "network.init",
    "RepConv": "network.layers",
    "PixelShuffle": "network.layers",
    "load_weights": "checkpoints",
    "save_weights": "checkpoints",
    "Upscaler": "inference.upscaler",
    "Picture": "images.picture",
    "read_image": "images.read",
    "write_image": "images.write",
    "Schedule": "training.schedule",
    "SpanTrainer": "training.trainer",
    "StepOptions": "training.options",
}


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable, Callable, list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names load on first use.

    Args:
        package: its ``__name__``.
        homes: the module inside the package that defines a name, by name.
    """
    names = vars(sys.modules[package])

    def __getattr__(name: str):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        names[name] = value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*names, *homes})

    return __getattr__, __dir__, sorted(homes)


__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)

ambient.prepare()
