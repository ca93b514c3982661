"""SPAN super-resolution in Keras 3: train it, load any SPAN checkpoint, run it anywhere.

Public names load on first use, so that ``--help`` and light imports stay fast.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "PatchDataset": "data",
    "SpanLoss": "losses",
    "SpanConfig": "config",
    "SpanError": "errors",
    "SpanWeights": "state",
    "build_span": "model",
    "build_deploy": "model",
    "config_of": "model",
    "initialise": "init",
    "RepConv": "layers",
    "PixelShuffle": "layers",
    "load_weights": "checkpoints",
    "save_weights": "checkpoints",
    "Upscaler": "inference",
    "Schedule": "schedule",
    "SpanTrainer": "trainer",
    "StepOptions": "trainer",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
