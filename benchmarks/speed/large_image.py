"""Measure the memory that span-upscale takes for an image larger than most memories.

``python benchmarks/speed/large_image.py [--width W] [--height H] [--weights W] [--source .jpg] [--target .png]``

The image is a bundled photograph repeated. Its enlargement takes some gigabytes of the system's folder for temporary
files, and is deleted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click


def repeated(path: Path, width: int, height: int) -> None:
    """Write a bundled photograph, repeated and mirrored, in a process of its own: it needs its own memory."""
    script = f"""
from PIL import Image
from span_keras.data.photos import BUNDLED_TRAIN
Image.MAX_IMAGE_PIXELS = None
photo = Image.open(BUNDLED_TRAIN / "dandelion.jpg").convert("RGB")
large = Image.new("RGB", ({width}, {height}))
for top in range(0, {height}, photo.height):
    for left in range(0, {width}, photo.width):
        large.paste(photo, (left, top))
large.save({str(path)!r}, quality=92)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@click.command()
@click.option("--width", default=20_000, show_default=True, help="Of the source.")
@click.option("--height", default=15_000, show_default=True, help="Of the source.")
@click.option("--weights", "-w", default="bundled:x2-fast", show_default=True, help="Network.")
@click.option("--source", default=".jpg", show_default=True, help="Its format.")
@click.option("--target", default=".png", show_default=True, help="Format of the result.")
def main(width, height, weights, source, target):
    """Print time, peak memory and size of the result."""
    with tempfile.TemporaryDirectory() as folder:
        large, result = Path(folder) / f"large{source}", Path(folder) / f"result{target}"
        repeated(large, width, height)
        command = ["-m", "span_keras.upscale", str(large), "-o", str(result), "--weights", weights]
        start = time.perf_counter()
        # A process between, so that the peak is not that of making the image.
        script = f"""
import resource, subprocess, sys
subprocess.run([sys.executable, *{command!r}], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
        done = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True)
        peak = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
        click.echo(
            f"{width}×{height}{source} ({large.stat().st_size / 1e6:.0f} MB) to {target} "
            f"({result.stat().st_size / 1e9:.2f} GB): {time.perf_counter() - start:.0f} s, peak {peak / 1e9:.2f} GB"
        )


if __name__ == "__main__":
    main()
