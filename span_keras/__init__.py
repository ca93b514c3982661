"""SPAN super-resolution in Keras 3: train it, load any SPAN checkpoint, run it anywhere.

Public names load on first use, so that ``--help`` and light imports stay fast.
"""

from span_keras.lazy import lazy

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
__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
