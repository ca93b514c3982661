"""Features of the ImageNet network VGG16 for the perceptual loss.

The feature model ``vgg16`` maps RGB images in [0, 1], of any size and without resizing, to a list of activations. It is
the first two blocks of VGG16; ``bundled/vgg16_blocks12.safetensors`` holds their weights.

Features are taken *before* the ReLU: activated features are sparse and supervise weakly (ESRGAN, Wang et al. 2018,
section 3.2). Layers are named as in ``keras.applications`` and pad with zeros:

    normalize -> block1_conv1 -> ReLU -> block1_conv2* -> ReLU -> 2×2 max pooling
              -> block2_conv1 -> ReLU -> block2_conv2*                 (* a feature: the convolution with its bias)

``normalize`` is ``(x − mean) / std`` per channel, a frozen BatchNormalization, with the mean and standard deviation of
ImageNet's RGB in [0, 1].
The distance of two images is the mean over features of the mean absolute difference (``losses.perceptual_distance``).
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from span_keras.errors import CheckpointError, ConfigError
from span_keras.training.options import PERCEPTUALS

IMAGENET_MEAN = (0.485, 0.456, 0.406)

IMAGENET_STD = (0.229, 0.224, 0.225)

BUNDLED_VGG16 = Path(__file__).parent.parent / "bundled" / "vgg16_blocks12.safetensors"

VGG16_BLOCKS = ((64, 2), (128, 2))

VGG16_FEATURES = ("block1_conv2", "block2_conv2")


def build(name: str = "vgg16", weights_file: str | os.PathLike | None = None, framework=keras) -> keras.Model | None:
    """Build a frozen feature model.

    Convolutions run in the precision of the global policy in force (bfloat16 under ``mixed_bfloat16``), normalisation
    in float32; ``losses`` measures distances in float32.

    Args:
        name: ``"vgg16"`` or ``"none"``.
        weights_file: weights to use instead of the bundled ones: ``.safetensors`` with ``block1_conv1/kernel``,
            ``block1_conv1/bias`` and so on, or an ``.h5`` file as ``keras.applications`` downloads. They must expect
            the preprocessing above.
        framework: ``keras`` or, for export to the browser, ``tf_keras``.

    Returns:
        A model (N, H, W, 3) in [0, 1] -> list of (N, h, w, C), see ``min_side`` for H and W; ``None`` for ``"none"``.

    Raises:
        ConfigError: an unknown name.
        CheckpointError: the weights cannot be read or do not fit.
    """
    if name not in PERCEPTUALS:
        raise ConfigError(f"The perceptual part must be one of {', '.join(PERCEPTUALS)}; found {name!r}.")
    if name == "none":
        return None
    model = _vgg16(framework)
    source = weights_file or BUNDLED_VGG16
    _assign(model, _read_weights(source), source)
    return model


def min_side(model) -> int:
    """Return the smallest image side, in pixels, that survives the pooling of a feature model."""
    return 2 ** sum(layer.name.endswith("_pool") for layer in model.layers)


def _vgg16(framework):
    """Build the chain of the module's text with random weights."""
    layers = framework.layers
    inputs = layers.Input((None, None, 3), dtype="float32", name="input")
    # float32, because rounding an image to bfloat16 costs as much as the differences that matter.
    normalize = layers.BatchNormalization(epsilon=0.0, center=False, scale=False, dtype="float32", name="normalize")
    x = normalize(inputs)
    normalize.set_weights([np.float32(IMAGENET_MEAN), np.float32(IMAGENET_STD) ** 2])
    features = []
    for block, (channels, count) in enumerate(VGG16_BLOCKS, 1):
        if block > 1:
            x = layers.MaxPooling2D(2, data_format="channels_last", name=f"block{block - 1}_pool")(x)
        for number in range(1, count + 1):
            conv = f"block{block}_conv{number}"
            x = layers.Conv2D(channels, 3, padding="same", data_format="channels_last", name=conv)(x)
            if conv in VGG16_FEATURES:
                features.append(x)
            if conv != VGG16_FEATURES[-1]:
                x = layers.ReLU(name=f"{conv}_relu")(x)
    model = framework.Model(inputs, features, name="vgg16_features")
    model.trainable = False
    return model


def _read_weights(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """Read layer name -> ``[kernel, bias]`` in float32."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"Expected VGG weights (.safetensors or .h5), found no file at {path}; check the path.")
    try:
        arrays = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_h5(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as VGG weights (.safetensors or .h5): {error}.") from error
    bad = [name for name, group in sorted(arrays.items()) if not all(np.isfinite(array).all() for array in group)]
    if bad:
        raise CheckpointError(
            f"expected finite numbers as VGG weights, found others in {', '.join(bad)} of {path}; use an intact file."
        )
    return arrays


def _read_safetensors(path: Path) -> dict[str, list[np.ndarray]]:
    arrays = load_file(path)
    names = {key.partition("/")[0] for key in arrays}
    return {name: [np.float32(arrays[f"{name}/kernel"]), np.float32(arrays[f"{name}/bias"])] for name in names}


def _read_h5(path: Path) -> dict[str, list[np.ndarray]]:
    """Read a file of ``keras.applications``: a group per layer, its arrays listed in ``weight_names``."""
    with h5py.File(path) as file:
        groups = {name: group for name, group in file.items() if len(group.attrs.get("weight_names", ())) == 2}
        return {
            name: [np.float32(group[weight]) for weight in group.attrs["weight_names"]]
            for name, group in groups.items()
        }


def _assign(model, weights: dict[str, list[np.ndarray]], source) -> None:
    problems = []
    for layer in model.layers:
        if not layer.name.startswith("block") or not layer.weights:
            continue
        expected, found = [tuple(w.shape) for w in layer.weights], [w.shape for w in weights.get(layer.name, ())]
        if expected != found:
            problems.append(f"{layer.name} is {found or 'missing'}, expected {expected}")
            continue
        layer.set_weights(weights[layer.name])
    if problems:
        raise CheckpointError(f"{source} does not hold these VGG weights: {'; '.join(problems)}.")
