"""Print how long ``span-export --tfjs`` takes, start to end, beside the same export by ``tensorflowjs``.

    python benchmarks/speed/export.py [--weights W] [--runs N]

Each run is a process of its own, after one that is not counted. The second row needs ``tensorflowjs`` and ``tf_keras``.
The project asks for at most a third of its time, and for less than 3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from importlib import util

import click

COMMAND = ["-m", "span_export.cli", "--tfjs", "out", "--weights"]
CONVERTER = """
import sys
import tensorflow
import tf_keras
import tensorflowjs
from span_keras.checkpoints import load_weights
model = load_weights(sys.argv[1]).deploy_model(tf_keras)
tensorflowjs.converters.save_keras_model(model, "out")
"""


@click.command()
@click.option("--weights", default="bundled:x4", show_default=True)
@click.option("--runs", default=5, show_default=True)
def main(weights: str, runs: int) -> None:
    """Print the median, the fastest and the slowest run of both ways, and their ratio."""
    ways = {"span-export --tfjs": [*COMMAND, weights]}
    if util.find_spec("tensorflowjs") and util.find_spec("tf_keras"):
        ways["tensorflowjs"] = ["-c", CONVERTER, weights]
    medians = []
    for name, arguments in ways.items():
        times = [seconds(arguments) for _ in range(runs + 1)][1:]
        medians.append(statistics.median(times))
        click.echo(f"{name:20} {medians[-1]:6.2f} s ({min(times):.2f} to {max(times):.2f})")
    if len(medians) == 2:
        click.echo(f"ratio                {medians[1] / medians[0]:6.1f}")


def seconds(arguments: list[str]) -> float:
    """Return how long Python runs with these arguments, in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
