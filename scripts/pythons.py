"""Install the project on several Pythons, one after the other, and see whether it works on each.

    python scripts/pythons.py [PYTHON ...] [--jax] [--smoke] [--keep DIR]

By default all of 3.10 to 3.14 are tried that are on the path or that pyenv has, then JAX alone, without TensorFlow, on
the newest of them. Each gets an environment of what ``constraints.txt`` says: 3 GB, minutes. In it, outside the
checkout: the doctor's line, an upscale, an export to every target with ``--verify``, a training of two steps; then the
quick tests of the checkout. JAX alone lacks the LiteRT target and the tests of TensorFlow.

``--jax`` takes JAX alone for each PYTHON. ``--smoke`` leaves the tests out. ``--keep`` keeps the environments in DIR
and uses those that are there; else they are deleted. Needs nothing but Python.
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
WITHOUT = ("3.14",)
"""Pythons that TensorFlow has no wheel for, so that the package takes JAX."""
QUICK = (
    *("tests/commands/test_cli.py", "tests/commands/test_doctor.py", "tests/commands/test_messy.py"),
    *("tests/network", "tests/checkpoints", "tests/images", "tests/inference/test_upscaler.py"),
    *("tests/export/test_export_files.py", "tests/runs/test_settings.py", "tests/runs/test_recipes.py"),
)
"""Tests of what differs between Pythons and the versions of libraries that they get, minutes in all."""

PHOTO = "span_keras/bundled/photos/val/cat.jpg"
NETWORK = "bundled:x2-fast"
TRAINING = "--scale 2 --channels 8 --blocks 2 --patch-size 16 --batch-size 2 --epochs 1 --steps-per-epoch 2"

WITHOUT_TENSORFLOW = """
from importlib.metadata import requires
lines = (line.replace('extra == "test"', "python_version > '3'") for line in requires("span-keras"))
lines = [line for line in lines if not line.startswith(("tensorflow", "ydf", "ai-edge"))]
open("requirements.txt", "w").write("\\n".join(lines))
"""
"""Writes what the package and its tests need, but for TensorFlow and what brings it."""


def main() -> int:
    """Print a row for every step on every Python; return 1 if one failed, 0 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="interpreters [all that are found, and JAX alone]")
    parser.add_argument("--jax", action="store_true", help="JAX alone, without TensorFlow")
    parser.add_argument("--smoke", action="store_true", help="leave the tests out")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep environments here, and use those that are there")
    options = parser.parse_args()
    here = found()
    runs = [(python, options.jax) for python in options.pythons or here.values()]
    if not options.pythons:
        for version in VERSIONS:
            if version not in here:
                print(f"{version}: not found on this machine, not run", flush=True)
        if not options.jax:
            runs += [(python, True) for python in list(here.values())[-1:]]
    failed = [python for python, jax in runs if not works(python, jax, options.smoke, options.keep)]
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


def works(python: str, jax: bool, smoke: bool, keep: Path | None) -> bool:
    """Set a Python up, run everything, and print what failed; return whether all went well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], folder).stdout.strip()
        label = f"{version} with JAX alone" if jax else version
        environment = (keep.resolve() if keep else folder) / label.replace(" ", "-")
        own = environment / "bin"
        pip = [own / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        pip += [*([] if keep else ["--no-cache-dir"]), "-c", ROOT / "constraints.txt"]
        steps = {} if own.is_dir() else {"environment": [python, "-m", "venv", environment]}
        if jax:
            steps |= {
                "package": [*pip, "--no-deps", ROOT],
                "requirements": [own / "python", "-c", WITHOUT_TENSORFLOW],
                "install": [*pip, "-r", "requirements.txt"],
            }
        else:
            steps["install"] = [*pip, f"{ROOT}[{'runtimes' if smoke else 'test'}]"]
        files = ["--onnx", "w.onnx", "--pth", "w.pth", "--safetensors", "w.safetensors"]
        files += [] if jax or version in WITHOUT else ["--litert", "w.tflite"]
        steps |= {
            "doctor": [own / "span-train", "--version"],
            "upscale": [own / "span-upscale", ROOT / PHOTO, "-o", "large.png", "-w", NETWORK],
            "export": [own / "span-export", "--tfjs", "page", "--demo", *files, "-w", NETWORK, "--verify"],
            "train": [own / "span-train", *TRAINING.split(), "--out", "run"],
        }
        if not smoke:
            steps["tests"] = [own / "python", "-m", "pytest", "-x", "-p", "no:cacheprovider", *QUICK]
        for step, command in steps.items():
            start = time.perf_counter()
            done = run(command, ROOT if step == "tests" else folder)
            print(f"{label} {step}: {'ok' if done.returncode == 0 else 'FAILED'}, {time.perf_counter() - start:.0f} s")
            lines = done.stdout.rstrip().splitlines()
            shown = {"doctor": lines, "export": lines, "tests": lines[-1:]}.get(step, [])
            for line in lines[-60:] if done.returncode else shown:
                print(line)
            sys.stdout.flush()
            if done.returncode:
                return False
        return True


def run(command: list, folder: Path) -> subprocess.CompletedProcess:
    """Run a command in a folder; its output is kept."""
    return subprocess.run(
        list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
