"""SPAN super-resolution in Keras 3: train it, load any SPAN checkpoint, run it anywhere.

Public names load on first use, so that ``--help`` and light imports stay fast.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "PatchDataset": "data.dataset",
    "SpanLoss": "training.losses",
    "SpanConfig": "network.config",
    "SpanError": "errors",
    "SpanWeights": "network.weights",
    "build_span": "network.model",
    "build_deploy": "network.model",
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
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
