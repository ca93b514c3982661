"""Recipes: TOML files with the values of a whole training, in one stage or several.

    description = "What it is for, in a sentence."

    [sources]
    "start.pth" = "the folder of last week's runs"

    [network]
    init = "start.pth"

    [step]
    learning_rate = 5e-4

    [[stages]]
    name = "start"

    [[stages]]
    name = "large-patches"
    [stages.data]
    patch_size = 80

``sources`` says where to get files that the recipe names. The other tables are ``options.GROUPS``, the keys the names
of options. A stage has the values above and, over them, its own.
It begins from the averaged weights of the stage before. Without stages there is one, without a name.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from span_keras.data.options import STRENGTHS, Degradations
from span_keras.errors import ConfigError, RetiredError
from span_keras.runs.options import BY_NAME, GROUPS, layered
from span_keras.runs.retired import LAST_COMMIT, without_retired

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STAGE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""What can be part of a folder's name everywhere."""


@dataclass(frozen=True)
class Stage:
    """One training of a recipe.

    Args:
        name: part of its folder's name; empty where a recipe has no stages.
        values: name of an option -> value, all that the recipe says about it.
    """

    name: str
    values: dict


@dataclass(frozen=True)
class Recipe:
    """A recipe as its file has it.

    Args:
        name: how the user named it.
        description: a sentence.
        stages: at least one.
        sources: name of a file that the recipe names -> where to get it.
    """

    name: str
    description: str
    stages: tuple[Stage, ...]
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def only_stage(self) -> Stage:
        """The stage of a recipe that has no more.

        Raises:
            ConfigError: it has several.
        """
        if len(self.stages) > 1:
            raise ConfigError(
                f"expected a recipe of one stage, found {self.name} with {len(self.stages)}; run it with span-train."
            )
        return self.stages[0]


def folder() -> Path:
    """Return the folder of the recipes that come with the package, as installed or in a checkout."""
    installed = Path(__file__).parents[1] / "recipes"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "recipes"


def names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str) -> Recipe:
    """Read a recipe by its name or file.

    Raises:
        ConfigError: there is none, or the file is no recipe; the message names the place.
    """
    path = Path(name) if name.endswith(".toml") else folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        raise ConfigError(f"--recipe must be one of {', '.join(names())} or a .toml file, found {name!r}.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"--recipe expected a file at {path}, found none; check the path.") from None
    except OSError as error:
        raise ConfigError(f"--recipe expected to read {path}, found: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--recipe expected a TOML file in UTF-8, found another file in {path}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--recipe expected a TOML file, found in {path}: {error}.") from None
    try:
        return _recipe(name, content)
    except RetiredError as error:
        raise ConfigError(
            f"{path} has {error}, which was retired; leave it out, or use commit {LAST_COMMIT} of span-keras."
        ) from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _recipe(name: str, content: dict) -> Recipe:
    known = ("description", "sources", *GROUPS, "stages")
    for key in content.keys() - known:
        raise ConfigError(f"expected {', '.join(known)}, found {key}{_nearest(key, known)}.")
    description = content.get("description", "")
    if not isinstance(description, str):
        raise ConfigError(f"description must be a text, found {description!r}.")
    sources = content.get("sources", {})
    if not isinstance(sources, dict) or not all(isinstance(source, str) for source in sources.values()):
        raise ConfigError(f"sources must be a table of texts headed [sources], found {sources!r}.")
    common = _values(content)
    tables = content.get("stages", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"stages must be tables headed [[stages]], found {tables!r}.")
    if not tables:
        return Recipe(name, description, (Stage("", common),), sources)
    stages = tuple(_stage(table, number, common) for number, table in enumerate(tables, 1))
    if len({stage.name for stage in stages}) < len(stages):
        raise ConfigError(f"stages must have different names, found {', '.join(stage.name for stage in stages)}.")
    return Recipe(name, description, stages, sources)


def _stage(table: dict, number: int, common: dict) -> Stage:
    known = ("name", *GROUPS)
    for key in table.keys() - known:
        raise ConfigError(f"stage {number} expected {', '.join(known)}, found {key}{_nearest(key, known)}.")
    name = table.get("name")
    if not isinstance(name, str) or not re.fullmatch(STAGE_NAME, name):
        found = "none" if name is None else repr(name)
        raise ConfigError(f"stage {number} expected a name of letters, digits and hyphens, found {found}.")
    own = _values(table)
    if number > 1 and "init" in own:
        raise ConfigError(
            f"stage {name} expected no init, because it begins from the weights of the stage before, found "
            f"{own['init']!r}; leave it out."
        )
    return Stage(name, layered(common if number == 1 else {k: v for k, v in common.items() if k != "init"}, own))


def _values(tables: dict) -> dict:
    """Return the values of all groups by name, checked, also whether the strengths of degradations are ranges."""
    values = {}
    for group in GROUPS:
        table = tables.get(group, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{group} must be a table headed [{group}], found {table!r}.")
        without_retired(table)
        for name, value in table.items():
            values[name] = _value(group, name, value)
    Degradations(**{name: values[f"degrade_{name}"] for name in STRENGTHS if f"degrade_{name}" in values})
    return values


def _value(group: str, name: str, value):
    option = BY_NAME.get(name)
    if option is None:
        names_here = [one.name for one in BY_NAME.values() if one.group == group]
        raise ConfigError(f"[{group}] expected options of this table, found {name}{_nearest(name, names_here)}.")
    if option.group != group:
        raise ConfigError(f"[{group}] expected options of this table, found {name}, which belongs to [{option.group}].")
    if option.element is float and not option.is_list and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    option.check(value)
    return tuple(value) if option.is_list else value


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; the nearest is {close[0]}" if close else ""
