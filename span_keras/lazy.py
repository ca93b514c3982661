"""Let packages load their public names on first use, so that ``--help`` and light imports stay fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable, Callable, list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names load on first use.

    Args:
        package: its ``__name__``.
        homes: the module inside the package that defines a name, by name.
    """
    names = vars(sys.modules[package])

    def __getattr__(name: str):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        names[name] = value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*names, *homes})

    return __getattr__, __dir__, sorted(homes)
