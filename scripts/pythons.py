"""Install the project on several Pythons, one after the other, and see whether it works on each.

    python scripts/pythons.py [PYTHON ...] [--jax] [--smoke]

Each PYTHON gets a new environment of what ``constraints.txt`` says, which is deleted at the end: 3 GB, minutes. By
default all of 3.10 to 3.14 are tried that are on the path or that pyenv has. In each, outside the checkout: the
doctor's line, an upscale, an export to every target with ``--verify``, a training of two steps; then the quick tests.
``--jax`` takes JAX alone, without TensorFlow, and so without the LiteRT target and the tests. ``--smoke`` leaves the
tests out. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
QUICK = ("tests/commands", "tests/network", "tests/checkpoints", "tests/export", "tests/inference")
PHOTO = "span_keras/bundled/photos/val/cat.jpg"
NETWORK = "bundled:x2-fast"
TRAINING = "--scale 2 --channels 8 --blocks 2 --patch-size 16 --batch-size 2 --epochs 1 --steps-per-epoch 2"

WITHOUT_TENSORFLOW = """
from importlib.metadata import requires
lines = [line for line in requires("span-keras") if not line.startswith(("tensorflow", "ydf"))]
open("requirements.txt", "w").write("\\n".join(lines))
"""


def main() -> int:
    """Print a row for every Python; return 1 if one failed, 0 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="interpreters [all that are found]")
    parser.add_argument("--jax", action="store_true", help="JAX alone, without TensorFlow")
    parser.add_argument("--smoke", action="store_true", help="leave the tests out")
    options = parser.parse_args()
    pythons = {python: python for python in options.pythons} or found()
    for version in VERSIONS:
        if not options.pythons and version not in pythons:
            print(f"{version}: not found on this machine, not run", flush=True)
    failed = [python for python in pythons.values() if not works(python, options.jax, options.smoke)]
    return 1 if failed else 0


def found() -> dict[str, str]:
    """Return the interpreters of this machine by version."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for version in VERSIONS:
        own = sorted(home.glob(f"{version}.*/bin/python"))
        if python := str(own[-1]) if own else shutil.which(f"python{version}"):
            found[version] = python
    return found


def works(python: str, jax: bool, smoke: bool) -> bool:
    """Set a Python up, run everything, and print what failed; return whether all went well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = folder / "environment"
        run([python, "-m", "venv", environment], folder)
        own = environment / "bin"
        pip = [own / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-cache-dir"]
        pip += ["-c", ROOT / "constraints.txt"]
        if jax:
            steps = {
                "package": [*pip, "--no-deps", ROOT],
                "requirements": [own / "python", "-c", WITHOUT_TENSORFLOW],
                "install": [*pip, "-r", "requirements.txt", "jax", "onnxruntime"],
            }
        else:
            steps = {"install": [*pip, f"{ROOT}[{'runtimes' if smoke else 'test'}]"]}
        files = ["--onnx", "w.onnx", *(() if jax else ("--litert", "w.tflite"))]
        steps |= {
            "doctor": [own / "span-train", "--version"],
            "upscale": [own / "span-upscale", ROOT / PHOTO, "-o", "large.png", "-w", NETWORK],
            "export": [own / "span-export", "--tfjs", "page", "--demo", *files, "-w", NETWORK, "--verify"],
            "train": [own / "span-train", *TRAINING.split(), "--out", "run"],
        }
        for step, command in steps.items():
            start = time.perf_counter()
            done = run(command, folder)
            print(f"{python} {step}: {'ok' if done.returncode == 0 else 'FAILED'}, {time.perf_counter() - start:.0f} s")
            if step in ("doctor", "export") or done.returncode:
                print(done.stdout[-4000:].rstrip())
            sys.stdout.flush()
            if done.returncode:
                return False
        if jax or smoke:
            return True
        tests = [own / "python", "-m", "pytest", "-x", "-p", "no:cacheprovider", *QUICK]
        done = run(tests, ROOT)
        print(f"{python} tests: {done.stdout.rstrip().splitlines()[-1]}", flush=True)
        if done.returncode:
            print(done.stdout[-4000:], flush=True)
        return done.returncode == 0


def run(command: list, folder: Path) -> subprocess.CompletedProcess:
    """Run a command in a folder; its output is kept."""
    return subprocess.run(
        list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
