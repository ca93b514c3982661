"""docs/architecture.md: modules import what its table of rooms allows, and nothing else."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "span_keras"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
GROUND = {"errors", "atomic", "constants", "ambient"}
COMMAND_LINE = {"cli", "cli_images", "quiet", "doctor"}


def rooms() -> dict[str, set[str]]:
    """Room -> rooms that the table lets it import, all of span_keras."""
    section = PAGE.split("## span_keras")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \| .+? \| (.+?) \|$", section, re.M)
    return {
        room: set(re.findall(r"`(\w+)`", allowed))
        for names, allowed in rows
        for room in re.findall(r"`(\w+)/?`", names)
    }


def imported(path: Path) -> set[str]:
    """Rooms of span_keras that a module imports, at its top or within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "span_keras":
            inner = node.module.split(".")[1:]
            found |= {inner[0]} if inner else {alias.name for alias in node.names if (PACKAGE / alias.name).exists()}
            found |= {alias.name for alias in node.names if not inner and (PACKAGE / f"{alias.name}.py").exists()}
    return found


FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


def test_every_folder_is_a_room_of_the_table():
    assert set(FOLDERS) <= rooms().keys()


@pytest.mark.parametrize("room", FOLDERS)
def test_a_room_imports_what_the_table_allows(room):
    allowed = rooms()[room] | GROUND | {room}
    for path in sorted((PACKAGE / room).rglob("*.py")):
        assert imported(path) <= allowed, path


def test_no_arrow_runs_back_up():
    """A room stands in the table above all that it may import."""
    order = list(rooms())
    for room, allowed in rooms().items():
        assert all(order.index(room) < order.index(other) for other in allowed if other in order)


def test_the_ground_imports_only_itself():
    for name in GROUND:
        if (path := PACKAGE / f"{name}.py").exists():
            assert imported(path) <= GROUND


def test_no_library_imports_a_command():
    commands = {path.stem for path in PACKAGE.glob("*.py")} - GROUND - COMMAND_LINE - {"__init__"}
    for path in (path for folder in FOLDERS for path in (PACKAGE / folder).rglob("*.py")):
        assert not imported(path) & (commands | COMMAND_LINE), path


def test_table_of_twins_is_that_of_the_test():
    source = (ROOT / "tests" / "browser" / "test_twins.py").read_text(encoding="utf-8")
    twins = re.findall(r'\bTwin\(\s*"(.+?)", "(.+?)", "(.+?)", "(.+?)", \w+', source)
    shown = re.findall(
        r"^\| (.+?) \| `(.+?)` \| `(.+?)` \| (.+?) \|$", PAGE.split("## Twins")[1].split("\n## ")[0], re.M
    )
    assert len(twins) > 10
    assert shown == twins
