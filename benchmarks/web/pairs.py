"""Write photographs and what Python makes of them, for ``engine.mjs --pairs``.

python benchmarks/web/pairs.py FILE PHOTOGRAPH... [--weights bundled:x4] [--longest 160]

Grey photographs are passed over: Python makes their results grey, and ``engine.mjs`` compares the network alone.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np

from span_keras.images.alpha import is_grey
from span_keras.images.bicubic import to_uint8
from span_keras.images.read import read_image
from span_keras.inference.upscaler import Upscaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--weights", default="bundled:x4")
    parser.add_argument("--longest", type=int, default=160, help="cut photographs to so many pixels")
    options = parser.parse_args()
    upscaler = Upscaler(options.weights)
    with gzip.open(options.file, "wb", 6) as file:
        for path in options.photographs:
            pixels = read_image(path).pixels[: options.longest, : options.longest, :3]
            if is_grey(pixels):
                continue
            height, width = pixels.shape[:2]
            file.write(np.array([width, height], "<u4").tobytes())
            file.write(to_uint8(pixels).tobytes())
            file.write(to_uint8(upscaler(pixels)).tobytes())


if __name__ == "__main__":
    main()
