"""Write SPAN weights as a TensorFlow.js layers model that a plain ``tf.loadLayersModel`` reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

import span_keras
from span_export import golden, quantize
from span_keras.errors import ExportError
from span_keras.network.weights import SpanWeights
from span_keras.quiet import hushed
from span_keras.training import perceptual

FORMAT_VERSION = 1
"""Version of the ``userDefinedMetadata.span`` mapping; raised when a reader of the old one would be wrong."""
UNSTATED = "Not stated by the source file, whose own terms apply."
VGG_LICENSE = (
    "VGG16 by K. Simonyan and A. Zisserman, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), "
    "with torchvision's weights, BSD 3-Clause; cut to two blocks and rounded to float16."
)


def write_model(weights: SpanWeights, folder: Path, quantization: str | None = None) -> dict:
    """Write ``model.json`` and its ``.bin`` files.

    The model is the fused network out of stock layers, (N, H, W, 3) RGB in [0, 1] -> (N, H·scale, W·scale, 3), not
    clipped; normalisation and pixel shuffle are inside. ``userDefinedMetadata.span`` of ``model.json`` holds:

    ==================  ===============================================================================
    ``format``          version of this mapping, ``FORMAT_VERSION``
    ``generator``       program and version that wrote the file
    ``scale``, ``channels``, ``blocks``, ``variant``, ``img_range``, ``rgb_mean``
                        the network's ``SpanConfig``
    ``halo``            pixels of low-resolution context that a tile needs on every side
    ``quantization``    ``none``, ``float16`` or ``uint8``
    ``source``          ``{"name", "sha256"}`` of the file the weights were read from, ``null`` if of none
    ``license``         what that file says about its licence
    ``golden``          see ``golden.encode``; the output was computed in float32 from the weights as written
    ==================  ===============================================================================

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
    _require_finite(weights)
    config = weights.config
    mode = quantize.resolve_mode(quantization, weights)
    with hushed():
        model = weights.deploy_model(_converter()[1])
        _save(model, folder, quantize.dtype_map(mode, weights))
    tile = golden.golden_input()
    expected = model(np.float32(tile[np.newaxis]) / np.float32(255), training=False).numpy()[0]
    metadata = {
        "format": FORMAT_VERSION,
        "generator": f"span-export {span_keras.__version__}",
        **config.to_dict(),
        "halo": config.receptive_radius,
        "quantization": mode,
        "source": {"name": Path(weights.source).name, "sha256": weights.metadata.get("sha256")},
        "license": str(weights.metadata.get("license") or UNSTATED),
        "golden": golden.encode(tile, expected),
    }
    names = _finish(folder, {"span": metadata})
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
    metadata = {
        "format": FORMAT_VERSION,
        "generator": f"span-export {span_keras.__version__}",
        "network": "vgg16",
        "features": list(perceptual.PERCEPTUAL["vgg16"].features),
        "license": VGG_LICENSE,
    }
    _finish(folder, {"perceptual": metadata})


def _require_finite(weights: SpanWeights) -> None:
    for name, group in weights.layers.items():
        for key, array in group.items():
            if not np.isfinite(array).all():
                raise ExportError(
                    f"{name}/{key} of {weights.source} holds values that are not finite; "
                    "the training run diverged, so export an earlier checkpoint."
                )


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


def _finish(folder: Path, metadata: dict) -> list[str]:
    """Add ``userDefinedMetadata`` to ``model.json``, shorten it, and return the names of the model's files."""
    path = folder / "model.json"
    document = json.loads(path.read_text())
    for layer in document["modelTopology"]["model_config"]["config"]["layers"]:
        layer["config"] = _shorten(layer["config"])
    document["userDefinedMetadata"] = metadata
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
