"""Features of the ImageNet network VGG16 for the perceptual loss.

Features are taken *before* the ReLU: activated features are sparse and supervise weakly (ESRGAN, Wang et al. 2018,
section 3.2). The distance of two images is a weighted sum over features of the mean absolute difference
(``losses.perceptual_distance``). There are two of them, see ``PERCEPTUAL``:

    vgg16       blocks 1 and 2, whose weights come with the package (``bundled/vgg16_blocks12.safetensors``)
    vgg16-deep  blocks 1 to 4, down to relu4_3, for photographs; see ``deep_weights`` for the weights
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import keras

from span_keras.errors import CheckpointError, ConfigError
from span_keras.training.features import VGG16, assign, chain
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
        features: name of a convolution of VGG16 -> weight of its mean absolute difference.
    """

    name: str
    features: dict[str, float]


PERCEPTUAL = {
    "vgg16": Perceptual("vgg16_features", {"block1_conv2": 0.5, "block2_conv2": 0.5}),
    "vgg16-deep": Perceptual(
        "vgg16_deep_features", {"block1_conv2": 0.1, "block2_conv2": 0.1, "block3_conv3": 1.0, "block4_conv3": 1.0}
    ),
}

_WEIGHTS = {perceptual.name: tuple(perceptual.features.values()) for perceptual in PERCEPTUAL.values()}


def build(name: str = "vgg16", weights_file: str | os.PathLike | None = None, framework=keras) -> keras.Model | None:
    """Build a frozen feature model.

    Convolutions run in the precision of the global policy in force (bfloat16 under ``mixed_bfloat16``), normalisation
    in float32; ``losses`` measures distances in float32.

    Args:
        name: a key of ``PERCEPTUAL``, or ``"none"``.
        weights_file: weights to use instead of the bundled or downloaded ones: ``.safetensors`` with
            ``block1_conv1/kernel``, ``block1_conv1/bias`` and so on, or an ``.h5`` file as ``keras.applications``
            downloads. They expect ImageNet's normalisation of RGB, or Caffe's, see ``features``.
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
    perceptual = PERCEPTUAL[name]
    model = chain(VGG16, tuple(perceptual.features), perceptual.name, framework=framework)
    assign(model, weights_file or (BUNDLED_VGG16 if name == "vgg16" else deep_weights()), WHAT)
    return model


def min_side(model) -> int:
    """Return the smallest image side, in pixels, that survives the pooling of a feature model."""
    return 2 ** sum(layer.name.endswith("_pool") for layer in model.layers)


def feature_weights(model) -> tuple[float, ...]:
    """Return the weight of each feature of a model of ``build``."""
    return _WEIGHTS[model.name]


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
