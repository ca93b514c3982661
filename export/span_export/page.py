"""The static page that goes beside an exported model."""

from __future__ import annotations

import itertools
import json
from importlib import resources
from pathlib import Path

from span_keras.errors import ExportError

LEFT_OUT = {"node_modules", "__pycache__", "package.json", "package-lock.json", "tsconfig.json", "types", "npm", "out"}
"""What only developing the page needs."""


SAMPLES = ("train", "val")
"""Folders of ``span_keras/bundled/photos``; the page holds out the last photographs of a list for measuring."""


def copy_page(folder: Path) -> None:
    """Copy the page into ``folder``, from the checkout or from the installed package, with photographs to train on.

    Raises:
        ExportError: the installation has no page.
    """
    _copy(find_page(), folder)
    _copy_samples(folder / "samples")


def _copy_samples(folder: Path) -> None:
    """Copy the bundled photographs, and write ``samples.json``, which lists them: ``{"photos": [{"file"}, ...]}``."""
    photos = resources.files("span_keras") / "bundled" / "photos"
    found = [sorted((photos / part).iterdir(), key=lambda entry: entry.name) for part in SAMPLES]
    folder.mkdir(exist_ok=True)
    for photo in itertools.chain(*found):
        (folder / photo.name).write_bytes(photo.read_bytes())
    names = [{"file": photo.name} for photo in itertools.chain(*found)]
    (folder / "samples.json").write_text(json.dumps({"photos": names}))
    (folder / "SOURCES.md").write_bytes((photos / "SOURCES.md").read_bytes())


def find_page():
    """Return the folder of the page: in the installed package, or in the checkout that this file belongs to.

    Raises:
        ExportError: the installation has none.
    """
    for page in (resources.files("span_export") / "web_demo", Path(__file__).parents[2] / "web_demo"):
        if (page / "index.html").is_file():
            return page
    raise ExportError("this installation lacks the page (span_export/web_demo/index.html); install span-keras again.")


def has_libraries() -> bool:
    """Return whether the browser libraries lie beside the page, which else takes them from the network.

    Raises:
        ExportError: see ``find_page``.
    """
    return (find_page() / "vendor").is_dir()


def _copy(source, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.name.startswith(".") or entry.name.endswith(".mjs") or entry.name in LEFT_OUT:
            continue
        if entry.is_dir():
            _copy(entry, folder / entry.name)
        else:
            (folder / entry.name).write_bytes(entry.read_bytes())
