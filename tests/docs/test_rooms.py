"""docs/architecture.md: the page's modules import what its table of rooms allows, and only from lower floors."""

import graphlib
import posixpath
import re

import pytest

from helpers.browser import PAGE
from helpers.environment import REPOSITORY

SECTION = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8").split("## web_demo")[1].split("\n## ")[0]

MODULES = sorted(
    path.relative_to(PAGE).as_posix()
    for path in PAGE.rglob("*.js")
    if not {"node_modules", "vendor"} & set(path.relative_to(PAGE).parts) and path.name != "sw.js"
)


def names(cell: str) -> set[str]:
    """The rooms that a cell of the table names: folders, and files beside main.js."""
    return {name.rstrip("/") for name in re.findall(r"`(.+?)`", cell)}


def floors() -> list[set[str]]:
    """The rooms of each floor of the drawing, from top to bottom."""
    drawn = re.findall(r"subgraph F\d+ .+?\n\s+direction LR\n\s+(.+?)\n", SECTION)
    return [{re.sub(r'^\w+\["(.+)"\]$', r"\1", node) for node in floor.split(" ~~~ ")} for floor in drawn]


def rooms() -> dict[str, set[str]]:
    """Room -> rooms that the table lets it import, from top to bottom."""
    rows = re.findall(r"^\| (`.+?) \| .+? \| (.+?) \|$", SECTION, re.M)
    return {room: names(allowed) for cell, allowed in rows for room in names(cell)}


def imports(module: str) -> set[str]:
    """What a module loads, at once or later, workers among it."""
    text = (PAGE / module).read_text("utf-8")
    code = re.sub(r"^ *(/\*)?\*.*$", "", text, flags=re.MULTILINE)  # comments import types
    found = re.findall(r"(?:from |import\(|new URL\()'(\.[\w./-]+\.js)'", code)
    return {posixpath.normpath(posixpath.join(posixpath.dirname(module), path)) for path in found}


def room(module: str) -> str:
    return posixpath.dirname(module) or module


def test_every_room_has_its_row_and_its_place():
    assert rooms().keys() == {room(module) for module in MODULES}
    assert sorted(name for floor in floors() for name in floor) == sorted(rooms())


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_the_table_allows(module):
    assert imports(module) <= set(MODULES)
    assert {room(imported) for imported in imports(module)} <= rooms()[room(module)] | {room(module)}


def test_the_table_allows_what_is_used():
    used = {name: set() for name in rooms()}
    for module in MODULES:
        used[room(module)] |= {room(imported) for imported in imports(module)} - {room(module)}
    assert rooms() == used


def test_imports_lead_to_lower_floors():
    level = {name: number for number, floor in enumerate(floors()) for name in floor}
    for name, allowed in rooms().items():
        assert all(level[other] > level[name] for other in allowed), name


def test_no_imports_run_in_circles():
    graph = {module: imports(module) for module in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())
    assert sum(map(len, graph.values())) > 100  # they are found
