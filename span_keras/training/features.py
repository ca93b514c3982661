"""Networks trained on ImageNet as frozen feature models, and the reading of their weights.

A feature model maps RGB images (N, H, W, 3) in [0, 1], of any size and without resizing, to a list of activations. It
is a chain: ``normalize``, then convolutions with a ReLU after each, and max pooling between them. Layers are named as
in ``keras.applications`` and pad with zeros. ``normalize`` is ``(x − mean) / std`` per channel, a frozen
BatchNormalization, with the mean and standard deviation of ImageNet's RGB in [0, 1].

VGG16's weights of ``keras.applications`` come from Caffe and expect BGR from 0 to 255 without its mean.
``without_caffe`` tells them by their first filter and makes equivalent ones of them, for RGB divided by ``CAFFE_STD``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
from safetensors import SafetensorError, safe_open

from span_keras.errors import CheckpointError

IMAGENET_MEAN = (0.485, 0.456, 0.406)

IMAGENET_STD = (0.229, 0.224, 0.225)

CAFFE_MEAN = tuple(level / 255 for level in (123.68, 116.779, 103.939))
"""Mean that Caffe's networks subtract, RGB."""

CAFFE_STD = 0.226
"""Makes features of Caffe's weights about as large as those of other weights; near the mean of ``IMAGENET_STD``."""

CAFFE_MARK = (0.42947057, 0.55037946, 0.4800154)
"""First values of the first filter of Caffe's VGG16, top row: blue, green, red."""

MAX_LISTED = 3
"""Arrays that a message lists."""


@dataclass(frozen=True)
class Conv:
    """A convolution with bias and zero padding of ``(size − 1) / 2``, or ``padding``, on each side."""

    name: str
    channels: int
    size: int = 3
    stride: int = 1
    padding: int | None = None


@dataclass(frozen=True)
class Pool:
    """Max pooling without padding, every 2 pixels."""

    name: str
    size: int = 2


def _vgg16() -> tuple[Conv | Pool, ...]:
    """Return the 13 convolutions of VGG16 (Simonyan and Zisserman, ICLR 2015, configuration D)."""
    layers: list[Conv | Pool] = []
    for block, (channels, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        layers += [Conv(f"block{block}_conv{number}", channels) for number in range(1, count + 1)]
        layers.append(Pool(f"block{block}_pool"))
    return tuple(layers)


VGG16 = _vgg16()

ALEXNET = (
    Conv("conv1", 64, 11, stride=4, padding=2),
    Pool("pool1", 3),
    Conv("conv2", 192, 5),
    Pool("pool2", 3),
    Conv("conv3", 384),
    Conv("conv4", 256),
    Conv("conv5", 256),
)
"""The convolutions of AlexNet as torchvision has it (Krizhevsky, "One weird trick", 2014)."""


def chain(
    layers: Sequence[Conv | Pool],
    features: Sequence[str],
    name: str,
    activated: bool = False,
    dtype: str | None = None,
    framework=keras,
) -> keras.Model:
    """Build a frozen feature model with random weights.

    Args:
        layers: of the chain; what follows the last feature is left out.
        features: names of the convolutions that give features, in their order.
        name: of the model.
        activated: whether a feature is taken after the ReLU or before it.
        dtype: precision of the convolutions; by default that of the global policy in force (bfloat16 under
            ``mixed_bfloat16``). Normalisation is in float32.
        framework: ``keras`` or, for export to the browser, ``span_export.tfjs_layers``.

    Returns:
        A model (N, H, W, 3) in [0, 1] -> list of (N, h, w, C).
    """
    make = framework.layers
    common = {"dtype": dtype, "data_format": "channels_last"}  # stated: a user's keras.json may say otherwise
    inputs = make.Input((None, None, 3), dtype="float32", name="input")
    # float32, because rounding an image to bfloat16 costs as much as the differences that matter.
    normalize = make.BatchNormalization(epsilon=0.0, center=False, scale=False, dtype="float32", name="normalize")
    x = normalize(inputs)
    set_normalisation(normalize, IMAGENET_MEAN, IMAGENET_STD)
    outputs = []
    for layer in layers:
        if isinstance(layer, Pool):
            x = make.MaxPooling2D(layer.size, 2, name=layer.name, **common)(x)
            continue
        padding = "same"
        if layer.padding is not None:
            x, padding = make.ZeroPadding2D(layer.padding, name=f"{layer.name}_padding", **common)(x), "valid"
        x = make.Conv2D(layer.channels, layer.size, layer.stride, padding, name=layer.name, **common)(x)
        if layer.name in features and not activated:
            outputs.append(x)
        if len(outputs) < len(features):
            x = make.ReLU(dtype=dtype, name=f"{layer.name}_relu")(x)
        if layer.name in features and activated:
            outputs.append(x)
        if len(outputs) == len(features):
            break
    model = framework.Model(inputs, outputs, name=name)
    model.trainable = False
    return model


def set_normalisation(layer, mean: Sequence[float], std: Sequence[float]) -> None:
    """Set what the layer ``normalize`` subtracts and divides by, per channel."""
    layer.set_weights([np.float32(mean), np.float32(std) ** 2])


def convolutions(model) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every array of a model of ``chain``: ``LAYER/kernel`` (HWIO) and ``LAYER/bias``."""
    layers = [layer for layer in model.layers if layer.weights and layer.name != "normalize"]
    return {
        f"{layer.name}/{key}": tuple(weight.shape)
        for layer in layers
        for key, weight in zip(("kernel", "bias"), layer.weights, strict=True)
    }


def assign(model, arrays: dict[str, np.ndarray]) -> None:
    """Set the weights of a model of ``chain``, by the names of ``convolutions``."""
    for layer in {key.partition("/")[0] for key in convolutions(model)}:
        model.get_layer(layer).set_weights([arrays[f"{layer}/{key}"] for key in ("kernel", "bias")])


def read_into(model, path: str | os.PathLike, what: str) -> None:
    """Read the weights of a model of ``chain`` from a file.

    Raises:
        CheckpointError: see ``read_weights``; or arrays are missing or of another shape.
    """
    wanted = convolutions(model)
    arrays, of_caffe = without_caffe(read_weights(path, wanted, what))
    check_shapes(arrays, wanted, path, what)
    assign(model, arrays)
    if of_caffe:
        set_normalisation(model.get_layer("normalize"), CAFFE_MEAN, (CAFFE_STD,) * 3)


def check_shapes(arrays: dict[str, np.ndarray], wanted: dict[str, tuple], path, what: str) -> None:
    """Refuse arrays that are missing or of another shape.

    Args:
        arrays: name -> array.
        wanted: name -> shape.
        path: of their file.
        what: the file should hold, for the message.

    Raises:
        CheckpointError: names the first of them.
    """
    problems = [
        f"{key} is {arrays[key].shape if key in arrays else 'missing'}, expected {shape}"
        for key, shape in wanted.items()
        if key not in arrays or arrays[key].shape != shape
    ]
    if problems:
        more = [f"{len(problems) - MAX_LISTED} more"] if len(problems) > MAX_LISTED else []
        raise CheckpointError(f"{path} does not hold these {what}: {'; '.join(problems[:MAX_LISTED] + more)}.")


def read_weights(path: str | os.PathLike, wanted: Iterable[str], what: str) -> dict[str, np.ndarray]:
    """Read arrays in float32 from ``.safetensors``, or from ``.h5`` as ``keras.applications`` downloads it.

    Args:
        path: of the file.
        wanted: names of arrays: ``LAYER/kernel`` and ``LAYER/bias``. Others stay unread.
        what: the file should hold, for messages.

    Returns:
        Those of the wanted arrays that the file has.

    Raises:
        CheckpointError: the file is missing or damaged, or holds what is no number.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"expected {what} (.safetensors or .h5), found no file at {path}; check the path.")
    try:
        read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_h5
        arrays = read(path, set(wanted))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as {what} (.safetensors or .h5): {error}.") from error
    check_finite(arrays, path, what)
    return arrays


def check_finite(arrays: dict[str, np.ndarray], path, what: str) -> None:
    """Refuse weights that are no numbers.

    Raises:
        CheckpointError: names their layers.
    """
    if bad := sorted({key.partition("/")[0] for key, array in arrays.items() if not np.isfinite(array).all()}):
        raise CheckpointError(
            f"expected finite numbers as {what}, found others in {', '.join(bad)} of {path}; use an intact file."
        )


def _read_safetensors(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    with safe_open(path, framework="numpy") as file:
        return {key: np.float32(file.get_tensor(key)) for key in wanted.intersection(file.keys())}


def _read_h5(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Read a file of ``keras.applications``: a group per layer, its arrays listed in ``weight_names``."""
    arrays = {}
    with h5py.File(path) as file:
        for layer in {key.partition("/")[0] for key in wanted}.intersection(file):
            names = file[layer].attrs.get("weight_names", ())
            arrays |= {
                f"{layer}/{key}": np.float32(file[layer][name])
                for key, name in zip(("kernel", "bias"), names, strict=False)
            }
    return arrays


def without_caffe(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], bool]:
    """Take Caffe's preprocessing out of VGG16's weights: red first, and everything divided by ``255 · CAFFE_STD``.

    Returns:
        The arrays, and whether they were Caffe's: then they expect ``CAFFE_MEAN`` and ``CAFFE_STD``.

    ReLU and max pooling scale with their input, so that dividing the input and every bias divides the features.
    """
    kernel = arrays.get("block1_conv1/kernel")
    if kernel is None or kernel.shape[:3] != (3, 3, 3) or not np.allclose(kernel[0, 0, :, 0], CAFFE_MARK, atol=1e-3):
        return arrays, False
    arrays = {key: array / (255 * CAFFE_STD) if key.endswith("bias") else array for key, array in arrays.items()}
    return arrays | {"block1_conv1/kernel": kernel[:, :, ::-1]}, True
