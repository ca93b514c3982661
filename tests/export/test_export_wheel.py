"""An installed wheel does what the checkout does, outside of it."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from span_keras.checkpoints import save_weights
from span_keras.network.config import SpanConfig

REPOSITORY = Path(__file__).parents[2]
PARTS = ("span_keras", "recipes", "export", "web_demo")
PARTS += ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: building leaves folders behind."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in PARTS:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, source / name, ignore=left_out)
        else:
            shutil.copy(REPOSITORY / name, source / name)
    (source / "web_demo" / "node_modules" / "left").mkdir(parents=True, exist_ok=True)
    (source / "web_demo" / "node_modules" / "left" / "out.js").write_text("not part of the page")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", target, source)
    return next(target.glob("*.whl"))


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", [(3, 9), (3, 15)])
def test_other_pythons_are_named(version):
    """By what every pip runs before it looks at requirements."""
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_path('setup.py')"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("span-keras needs Python 3.10 to 3.14, found 3.")


def test_holds_the_page_the_weights_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    page = {name.removeprefix("span_export/web_demo/") for name in names if name.startswith("span_export/web_demo/")}
    demo, bundled = REPOSITORY / "web_demo", REPOSITORY / "span_keras" / "bundled"
    scripts = {path.relative_to(demo).as_posix() for path in demo.rglob("*.js") if "node_modules" not in path.parts}
    libraries = {path.relative_to(demo).as_posix() for path in (demo / "vendor").glob("[!.]*")}
    named = re.findall(r"'([\w-]+\.LICENSE\.\w+)'", (demo / "vendor.mjs").read_text())
    assert not libraries or {f"vendor/{name}" for name in named} == {name for name in libraries if "LICENSE" in name}
    assert scripts | {"index.html", "style.css"} <= page
    suffixes = {".js", ".css", ".html", ".svg", ".webmanifest", ".wasm"}
    others = {name for name in page if Path(name).suffix not in suffixes}
    samples = {"sample/before.jpg", "sample/after.webp"}
    assert others == {"span.d.ts"} | samples | {
        name for name in libraries if "LICENSE" in name
    }  # all else is for developers
    assert {name for name in page if name.startswith("vendor/")} == libraries
    assert not [name for name in names if "node_modules" in name]
    data = {path.relative_to(bundled).as_posix() for path in bundled.rglob("*") if path.is_file()}
    assert {f"span_keras/bundled/{name}" for name in data} <= set(names)
    recipes = {f"span_keras/recipes/{path.name}" for path in (REPOSITORY / "recipes").iterdir()}
    assert recipes and recipes == {name for name in names if name.startswith("span_keras/recipes/")}
    assert any(name.endswith("LICENSE") for name in names)


def test_exports_with_the_page_from_the_wheel(wheel, tmp_path, make_weights):
    pip("install", "--no-deps", "--target", tmp_path / "site", wheel)
    save_weights(make_weights(SpanConfig(scale=2, channels=4, blocks=1)), tmp_path / "w.safetensors")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules_of_tests()}))\n"  # importing them fails
        "import span_export; print(span_export.__file__); from span_export.cli import main; main()"
    )
    arguments = ["--tfjs", "out", "-w", "w.safetensors", "--demo", "--perceptual", "--verify"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
    for name in ("model.json", "index.html", "span.js", "perceptual/model.json"):
        assert (tmp_path / "out" / name).is_file()


def modules_of_tests() -> list[str]:
    """Top-level modules of what is installed here and would not be by ``pip install span-keras``."""
    needed, found = set(), {"span-keras"}
    while found:
        name = canonicalize_name(found.pop())
        if name in needed:
            continue
        needed.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            requirements = map(Requirement, metadata.requires(name) or [])
            found |= {one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})}
    owned = metadata.packages_distributions().items()
    others = {module for module, names in owned if needed.isdisjoint(map(canonicalize_name, names))}
    copies = Path(setuptools.__file__).parent / "_vendor"  # setuptools brings copies of some
    return sorted(others - {path.stem for path in copies.iterdir()})


def test_knows_what_only_tests_need():
    assert {"IPython", "pytest", "playwright"} <= set(modules_of_tests())
    assert not {"tensorflow", "tensorflowjs", "keras", "numpy", "PIL"} & set(modules_of_tests())


def test_command_line_entry_points(wheel):
    archive = zipfile.ZipFile(wheel)
    entry = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    text = archive.read(entry).decode()
    for name, module in (
        ("span-export", "span_export.cli"),
        ("span-train", "span_keras.train"),
        ("span-evaluate", "span_keras.evaluate"),
        ("span-upscale", "span_keras.upscale"),
        ("span-bulk", "span_keras.bulk"),
    ):
        assert f"{name} = {module}:main" in text
        assert f"{module.replace('.', '/')}.py" in archive.namelist()
