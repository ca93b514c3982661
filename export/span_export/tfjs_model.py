"""Write SPAN weights as a TensorFlow.js layers model that a plain ``tf.loadLayersModel`` reads."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from importlib import util
from pathlib import Path

import numpy as np

from span_export import metadata, quantize, tfjs_layers
from span_export.tfjs_files import save, store
from span_keras.checkpoints import load_weights
from span_keras.network.weights import SpanWeights
from span_keras.quiet import hushed

VGG_LICENSE = (
    "VGG16 by K. Simonyan and A. Zisserman, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), "
    "with torchvision's weights, BSD 3-Clause; cut to two blocks and rounded to float16."
)


def write_model(weights: SpanWeights, folder: Path, number_format: str | None = None) -> dict:
    """Write ``model.json`` and its ``.bin`` files.

    The model is the fused network out of stock layers, (N, H, W, 3) RGB in [0, 1] -> (N, H·scale, W·scale, 3), not
    clipped; normalisation and pixel shuffle are inside. ``userDefinedMetadata.span`` is ``metadata.describe``.

    Args:
        weights: any form; they are fused first.
        folder: created if need be. Nothing here is atomic, ``export.export_model`` is.
        number_format: one of ``quantize.NUMBER_FORMATS``; ``None`` takes float16 where that loses nothing, else
            ``"none"``.

    Returns:
        ``{"files", "bytes", "number_format", "scale", "channels", "variant"}``: names and total size of the files.

    Raises:
        ExportError: a weight is not finite, see also ``quantize.resolve``.
    """
    weights = weights.fuse()
    metadata.require_finite(weights)
    config = weights.config
    number_format = quantize.resolve(number_format, weights)
    model, types = weights.deploy_model(tfjs_layers), quantize.storage_types(number_format, weights)
    stored = {name: store(name, array, types.get(name)) for name, array in model.arrays().items()}
    layers = {name: {key: stored[f"{name}/{key}"].values for key in group} for name, group in weights.layers.items()}
    described = metadata.describe(replace(weights, layers=layers), number_format)
    names = save(folder, model, stored, {"span": described})
    return {
        "files": names,
        "bytes": sum((folder / name).stat().st_size for name in names),
        "number_format": number_format,
        "scale": config.scale,
        "channels": config.channels,
        "variant": config.variant,
    }


def write_perceptual(folder: Path) -> None:
    """Write the features of the perceptual loss, ``training.perceptual.build("vgg16")``, as a TF.js layers model.

    (N, H, W, 3) RGB in [0, 1] -> a list of feature maps, in float16, which loses nothing: so they are shipped.
    ``userDefinedMetadata.perceptual`` names network, features and licence.
    """
    with hushed():  # it loads a Keras backend
        from span_keras.training import perceptual
    model = perceptual.build("vgg16", framework=tfjs_layers)
    stored = {
        name: store(name, array, "float16" if name.startswith("block") else None)
        for name, array in model.arrays().items()
    }
    described = {
        "format": metadata.FORMAT_VERSION,
        "generator": metadata.GENERATOR,
        "network": "vgg16",
        "features": list(perceptual.PERCEPTUAL["vgg16"].features),
        "license": VGG_LICENSE,
    }
    save(folder, model, stored, {"perceptual": described})


def load(path: Path):
    """Read a ``model.json`` back by ``tensorflowjs``, or where that is not installed by our own reader.

    Returns:
        ``(runtime, run)``: what read it, and the function from (h, w, 3) uint8 to (h·scale, w·scale, 3) float32.
    """
    if util.find_spec("tensorflowjs") and util.find_spec("tf_keras"):
        # TensorFlow Decision Forests takes a replaced stdout for a notebook's and would greet there through IPython.
        os.environ.setdefault("TFDF_DISABLE_WELCOME_MESSAGE", "1")
        import tensorflow  # noqa: F401  its companion below fails when it loads before it
        import tensorflowjs

        with _defaults_of_tfjs():
            model = tensorflowjs.converters.load_keras_model(str(path))
        runtime = f"tensorflowjs {tensorflowjs.__version__}"
    else:
        model, runtime = load_weights(path).deploy_model(), "Keras (tensorflowjs is not installed)"
    return runtime, lambda image: run_model(model, image)


def run_model(model, image: np.ndarray) -> np.ndarray:
    """Run a Keras model on (h, w, in_channels) uint8: (h·scale, w·scale, out_channels) float32."""
    return np.asarray(model(np.float32(image[np.newaxis]) / np.float32(255), training=False))[0]


@contextlib.contextmanager
def _defaults_of_tfjs():
    """Have ``tf_keras``, which reads the user's ``keras.json``, assume what TF.js assumes."""
    from tf_keras import backend

    usual = backend.image_data_format(), backend.floatx()
    backend.set_image_data_format("channels_last")
    backend.set_floatx("float32")
    try:
        yield
    finally:
        backend.set_image_data_format(usual[0])
        backend.set_floatx(usual[1])
