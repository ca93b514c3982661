"""Features of ImageNet VGG networks for the perceptual loss.

A feature model maps RGB images in [0, 1], of any size and without resizing, to a list of activations:

- ``vgg16``, the lightweight default: the first two blocks of VGG16, whose weights are shipped in
  ``bundled/vgg16_blocks12.safetensors``. Features: ``block1_conv2`` and ``block2_conv2``.
- ``vgg19``: ``keras.applications.VGG19`` up to the feature of ESRGAN, ``block5_conv4``, times SRGAN's 1/12.75.

Both take features *before* the ReLU: activated features are sparse and supervise weakly (ESRGAN, Wang et al. 2018,
section 3.2). Layers are named as in ``keras.applications`` and pad with zeros:

    normalize -> block1_conv1 -> ReLU -> block1_conv2* -> ReLU -> 2×2 max pooling
              -> block2_conv1 -> ReLU -> block2_conv2* -> ...          (* a feature: the convolution with its bias)

``normalize`` is ``(x − mean) / std`` per channel, a frozen BatchNormalization: for ``vgg16`` the ImageNet mean and
standard deviation of RGB in [0, 1] (``IMAGENET_MEAN``, ``IMAGENET_STD``); for ``vgg19``, whose weights come from
Caffe, channels reversed to BGR, 0 … 255, minus a mean.
The distance of two images is the mean over features of the mean absolute difference (``losses.perceptual_distance``).
"""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from span_keras.errors import CheckpointError, ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)

IMAGENET_STD = (0.229, 0.224, 0.225)

CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)

BUNDLED_VGG16 = Path(__file__).parent.parent / "bundled" / "vgg16_blocks12.safetensors"

PERCEPTUALS = ("vgg16", "vgg19", "none")

VGG16_BLOCKS = ((64, 2), (128, 2))

VGG16_FEATURES = ("block1_conv2", "block2_conv2")

VGG19_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))

VGG19_FEATURES = ("block5_conv4",)

VGG19_FEATURE_SCALE = 1 / 12.75
"""SRGAN (Ledig et al. 2017, section 3.2) scales VGG19's large features so; loss weights then stay comparable."""


def build(name: str = "vgg16", weights_file: str | os.PathLike | None = None, framework=keras) -> keras.Model | None:
    """Build a frozen feature model.

    Convolutions run in the precision of the global policy in force (bfloat16 under ``mixed_bfloat16``), normalisation
    in float32; ``losses`` measures distances in float32.

    Args:
        name: ``"vgg16"``, ``"vgg19"`` or ``"none"``.
        weights_file: weights to use instead of the default ones: ``.safetensors`` with ``block1_conv1/kernel``,
            ``block1_conv1/bias`` and so on, or the ``.h5`` file that ``keras.applications`` downloads. They must
            expect the preprocessing of the network named (module's text).
        framework: ``keras`` or, for export to the browser (``vgg16`` only), ``tf_keras``.

    Returns:
        A model (N, H, W, 3) in [0, 1] -> list of (N, h, w, C), see ``least_side`` for H and W; ``None`` for ``"none"``.

    Raises:
        ConfigError: an unknown name.
        CheckpointError: the weights cannot be read, do not fit, or (``vgg19``) cannot be downloaded.
    """
    if name not in PERCEPTUALS:
        raise ConfigError(f"The perceptual part must be one of {', '.join(PERCEPTUALS)}; found {name!r}.")
    if name == "none":
        return None
    if name == "vgg16":
        model = _vgg(name, VGG16_BLOCKS, VGG16_FEATURES, IMAGENET_MEAN, IMAGENET_STD, framework)
        weights = _read_weights(weights_file or BUNDLED_VGG16)
    else:
        model = _vgg(name, VGG19_BLOCKS, VGG19_FEATURES, CAFFE_BGR_MEAN, (1, 1, 1), framework, to_caffe=True)
        weights = _read_weights(weights_file) if weights_file else _download_vgg19()
    _assign(model, weights, weights_file or name)
    return model


def least_side(model) -> int:
    """The smallest image side, in pixels, that survives the pooling of a feature model: 2 for VGG16, 16 for VGG19."""
    return 2 ** sum(layer.name.endswith("_pool") for layer in model.layers)


def _vgg(name, blocks, features, mean, std, framework, to_caffe=False):
    """The chain of the module's text up to its last feature; ``to_caffe`` puts RGB [0, 1] -> BGR [0, 255] before it."""
    layers = framework.layers
    inputs = x = layers.Input((None, None, 3), name="input")
    if to_caffe:
        to_bgr = layers.Conv2D(3, 1, use_bias=False, dtype="float32", name="to_bgr")
        x = to_bgr(x)
        to_bgr.set_weights([255 * np.eye(3, dtype=np.float32)[None, None, ::-1]])
    # float32, because rounding an image to bfloat16 costs as much as the differences that matter.
    normalize = layers.BatchNormalization(epsilon=0.0, center=False, scale=False, dtype="float32", name="normalize")
    x = normalize(x)
    normalize.set_weights([np.float32(mean), np.float32(std) ** 2])
    tapped = []
    for block, (channels, count) in enumerate(blocks, 1):
        if block > 1:
            x = layers.MaxPooling2D(2, name=f"block{block - 1}_pool")(x)
        for number in range(1, count + 1):
            conv = f"block{block}_conv{number}"
            x = layers.Conv2D(channels, 3, padding="same", name=conv)(x)
            if conv in features:
                tapped.append(x)
            if conv != features[-1]:
                x = layers.ReLU(name=f"{conv}_relu")(x)
    model = framework.Model(inputs, tapped, name=f"{name}_features")
    model.trainable = False
    return model


def _read_weights(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """Layer name -> ``[kernel, bias]`` in float32."""
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
    """The file that ``keras.applications`` downloads: a group per layer, its arrays listed in ``weight_names``."""
    import h5py

    with h5py.File(path) as file:
        groups = {name: group for name, group in file.items() if len(group.attrs.get("weight_names", ())) == 2}
        return {
            name: [np.float32(group[weight]) for weight in group.attrs["weight_names"]]
            for name, group in groups.items()
        }


def _download_vgg19() -> dict[str, list[np.ndarray]]:
    try:
        model = keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # whatever the network, the proxy or the disk may come up with
        raise CheckpointError(
            f"VGG19's weights could not be downloaded by keras.applications ({error}); fetch "
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5 elsewhere and name it with --perceptual-weights."
        ) from error
    return {layer.name: layer.get_weights() for layer in model.layers if len(layer.get_weights()) == 2}


def _assign(model, weights: dict[str, list[np.ndarray]], source) -> None:
    scale = VGG19_FEATURE_SCALE if model.name.startswith("vgg19") else 1.0
    problems = []
    for layer in model.layers:
        if not layer.name.startswith("block") or not layer.weights:
            continue
        expected, found = [tuple(w.shape) for w in layer.weights], [w.shape for w in weights.get(layer.name, ())]
        if expected != found:
            problems.append(f"{layer.name} is {found or 'missing'}, expected {expected}")
            continue
        # The convolution before the ReLU is linear, so its output is scaled by scaling its weights.
        factor = scale if layer.name in VGG19_FEATURES else 1.0
        layer.set_weights([factor * array for array in weights[layer.name]])
    if problems:
        raise CheckpointError(f"{source} does not hold these VGG weights: {'; '.join(problems)}.")
