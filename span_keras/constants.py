"""The numbers that Python and the page share, read from ``constants.json``, where each is explained.

``web_demo/constants.js`` has the same names; ``python scripts/constants.py`` makes it from the same file.
"""

from __future__ import annotations

import json
from importlib import resources
from types import MappingProxyType


def _unchangeable(value):
    if isinstance(value, dict):
        return MappingProxyType({key: _unchangeable(item) for key, item in value.items()})
    return tuple(map(_unchangeable, value)) if isinstance(value, list) else value


_entries = json.loads((resources.files("span_keras") / "constants.json").read_text("utf-8"))
globals().update({name: _unchangeable(entry["value"]) for name, entry in _entries.items()})
