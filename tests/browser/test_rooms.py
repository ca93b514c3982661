"""The rooms of the page's modules: what may import what."""

import graphlib
import posixpath
import re

import pytest

from helpers.browser import PAGE

FLOORS = (
    ("main.js", "example.js"),
    ("train/view",),
    ("ui",),
    ("span.js",),
    ("worker.js", "train/session"),
    ("engine",),
    ("network", "images", "storage", "rpc.js", "train"),
    ("constants.js",),
)
"""From top to bottom: folders, and files beside main.js. Imports stay in a room or lead to a lower floor."""

MODULES = sorted(
    path.relative_to(PAGE).as_posix()
    for path in PAGE.rglob("*.js")
    if not {"node_modules", "vendor"} & set(path.relative_to(PAGE).parts) and path.name != "sw.js"
)


def imports(module: str) -> set[str]:
    """What a module loads, at once or later, workers among it."""
    text = (PAGE / module).read_text()
    code = re.sub(r"^ *(/\*)?\*.*$", "", text, flags=re.MULTILINE)  # comments import types
    found = re.findall(r"(?:from |import\(|new URL\()'(\.[\w./-]+\.js)'", code)
    return {posixpath.normpath(posixpath.join(posixpath.dirname(module), path)) for path in found}


def room(module: str) -> str:
    return posixpath.dirname(module) or module


def floor(module: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room(module) in rooms)


@pytest.mark.parametrize("module", MODULES)
def test_imports_lead_downwards(module):
    for imported in imports(module):
        assert imported in MODULES
        assert room(imported) == room(module) or floor(imported) > floor(module), imported


def test_no_imports_run_in_circles():
    graph = {module: imports(module) for module in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())
    assert sum(map(len, graph.values())) > 100  # they are found
