"""Write SPAN weights as a TensorFlow.js layers model that a plain ``tf.loadLayersModel`` reads."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from span_export import metadata, quantize
from span_keras.errors import ExportError
from span_keras.network.weights import SpanWeights
from span_keras.quiet import hushed
from span_keras.training import perceptual

VGG_LICENSE = (
    "VGG16 by K. Simonyan and A. Zisserman, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), "
    "with torchvision's weights, BSD 3-Clause; cut to two blocks and rounded to float16."
)


def write_model(weights: SpanWeights, folder: Path, quantization: str | None = None) -> dict:
    """Write ``model.json`` and its ``.bin`` files.

    The model is the fused network out of stock layers, (N, H, W, 3) RGB in [0, 1] -> (N, H·scale, W·scale, 3), not
    clipped; normalisation and pixel shuffle are inside. ``userDefinedMetadata.span`` is ``metadata.describe``.

    Args:
        weights: any form; they are fused first.
        folder: created if need be. Nothing here is atomic, ``export.export_model`` is.
        quantization: one of ``quantize.MODES``; ``None`` takes float16 where that loses nothing, else ``"none"``.

    Returns:
        ``{"files", "bytes", "quantization", "scale", "channels", "variant"}``: names and total size of the files.

    Raises:
        ExportError: a weight is not finite, see also ``quantize.resolve_mode``; or the converter cannot be imported.
    """
    weights = weights.fuse()
    metadata.require_finite(weights)
    config = weights.config
    mode = quantize.resolve_mode(quantization, weights)
    with hushed():
        model = weights.deploy_model(_converter()[1])
        _save(model, folder, quantize.dtype_map(mode, weights))
    written = SpanWeights.from_model(model, weights.source, weights.metadata)
    names = _finish(folder, {"span": metadata.describe(replace(written, config=config), mode)})
    return {
        "files": names,
        "bytes": sum((folder / name).stat().st_size for name in names),
        "quantization": mode,
        "scale": config.scale,
        "channels": config.channels,
        "variant": config.variant,
    }


def write_perceptual(folder: Path) -> None:
    """Write the features of the perceptual loss, ``training.perceptual.build("vgg16")``, as a TF.js layers model.

    (N, H, W, 3) RGB in [0, 1] -> a list of feature maps, in float16, which loses nothing: so they are shipped.
    ``userDefinedMetadata.perceptual`` names network, features and licence.
    """
    with hushed():
        model = perceptual.build("vgg16", framework=_converter()[1])
        _save(model, folder, {"float16": ["block*"]})
    described = {
        "format": metadata.FORMAT_VERSION,
        "generator": metadata.GENERATOR,
        "network": "vgg16",
        "features": list(perceptual.VGG16_FEATURES),
        "license": VGG_LICENSE,
    }
    _finish(folder, {"perceptual": described})


def _converter():
    """Return ``(tensorflow, tf_keras, tensorflowjs)``.

    They are imported here because they take seconds, and because tensorflowjs is not to be had on every system.
    """
    # TensorFlow Decision Forests takes a replaced stdout for a notebook's and would greet there through IPython.
    os.environ.setdefault("TFDF_DISABLE_WELCOME_MESSAGE", "1")
    try:
        import tensorflow  # noqa: I001  its companions below fail when they load before it
        import tf_keras
        import tensorflowjs
    except ImportError as error:
        raise ExportError(
            f"the TensorFlow.js converter cannot be imported ({error}); install span-keras with the versions of "
            "constraints.txt, on Linux with an x86-64 processor or macOS with Apple silicon."
        ) from error
    return tensorflow, tf_keras, tensorflowjs


def _save(model, folder: Path, quantization: dict[str, list[str]]) -> None:
    """Save a ``tf_keras`` model through the converter and give the model the weights as they were written."""
    tensorflow, _, tensorflowjs = _converter()
    try:
        tensorflowjs.converters.save_keras_model(model, str(folder), quantization_dtype_map=quantization)
    except tensorflow.errors.OpError as error:  # so TensorFlow tells of a full disk, which Python calls an OSError
        raise ExportError(
            f"the model cannot be written ({error.message}); choose a folder you may write to, with room for it."
        ) from error
    document = json.loads((folder / "model.json").read_text())
    entries = tensorflowjs.read_weights.read_weights(document["weightsManifest"], str(folder), flatten=True)
    written = {entry["name"]: entry["data"] for entry in entries}
    for layer in model.layers:
        layer.set_weights([written[variable.name.removesuffix(":0")] for variable in layer.weights])


def _finish(folder: Path, user_defined: dict) -> list[str]:
    """Add ``userDefinedMetadata`` to ``model.json``, shorten it, and return the names of the model's files."""
    path = folder / "model.json"
    document = json.loads(path.read_text())
    for layer in document["modelTopology"]["model_config"]["config"]["layers"]:
        layer["config"] = _shorten(layer["config"])
    document["userDefinedMetadata"] = user_defined
    path.write_text(json.dumps(document, separators=(",", ":")))
    return [path.name, *(name for group in document["weightsManifest"] for name in group["paths"])]


_DEFAULTS = {
    "activation": "linear",
    "data_format": "channels_last",
    "dilation_rate": [1, 1],
    "dtype": "float32",
    "groups": 1,
    "momentum": 0.99,
    "ragged": False,
    "sparse": False,
    "strides": [1, 1],
    "trainable": True,
    "use_bias": True,
}
"""What Keras and TF.js both assume when the configuration of a layer that we export does not say."""
_INITIALISED = ("beta", "gamma", "bias", "moving_mean", "moving_variance")
"""What both start from the same constants unless told otherwise; the weights of the file replace them."""


def _shorten(config: dict) -> dict:
    """Leave out what every reader assumes. Kernels start from zeros, which loads faster than random numbers."""
    short = {key: "zeros" if key.endswith("kernel_initializer") else value for key, value in config.items()}
    omitted = ("regularizer", "constraint", *(f"{name}_initializer" for name in _INITIALISED))
    return {key: value for key, value in short.items() if not key.endswith(omitted) and _DEFAULTS.get(key) != value}
