"""Write SPAN weights as the files that spandrel, chaiNNer and PyTorch trainers load, and run them in spandrel."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np

from span_export.targets import WriteOptions
from span_keras.checkpoints import authors, load_weights
from span_keras.errors import CheckpointError, ExportError
from span_keras.network import arrays
from span_keras.network.config import SpanConfig
from span_keras.network.weights import SpanWeights


def write(weights: SpanWeights, path: Path, options: WriteOptions) -> None:
    """Write a ``.pth`` or ``.safetensors``; see ``checkpoints.authors``.

    Raises:
        ExportError: the authors' code computes no such network.
    """
    writer = authors.write_pth if path.suffix.lower() == ".pth" else authors.write_safetensors
    try:
        writer(weights, path)
    except CheckpointError as error:
        raise ExportError(str(error)) from error


def load(path: Path, config: SpanConfig):
    """Return ``("spandrel VERSION", run)``, or ``("NumPy", run)`` by our own reader where that is not installed.

    See ``targets``.
    """
    try:
        import spandrel
        import torch
    except ImportError:
        # With the convention that those tools assume, whatever a trial would find.
        stated = {"img_range": authors.RANGE, "rgb_mean": authors.DIV2K_MEAN} if any(config.rgb_mean) else {}
        weights = load_weights(path, **stated)
        return "NumPy", lambda image: arrays.apply(weights, np.float32(image[np.newaxis]) / np.float32(255))[0]
    network = spandrel.ModelLoader("cpu").load_from_file(path).model.eval()

    def run(image):
        x = torch.from_numpy(np.float32(image.transpose(2, 0, 1)[np.newaxis]) / np.float32(255))
        with torch.inference_mode():
            return network(x)[0].numpy().transpose(1, 2, 0)

    return f"spandrel {metadata.version('spandrel')}", run
