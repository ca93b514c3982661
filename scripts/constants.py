"""Make web_demo/constants.js from span_keras/constants.json: ``python scripts/constants.py``."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "span_keras" / "constants.json"
TARGET = ROOT / "web_demo" / "constants.js"
WIDTH = 120


def main() -> None:
    TARGET.write_text(module(json.loads(SOURCE.read_text("utf-8"))), "utf-8")


def module(entries: dict) -> str:
    """Return the JavaScript module of the constants: ``name -> {"value", "about"}``."""
    head = "/** Made by scripts/constants.py from span_keras/constants.json: change numbers there. */\n"
    return head + "".join(
        f"\n{_comment(e['about'])}\nexport const {_assign(n, e['value'])};\n" for n, e in entries.items()
    )


def _comment(about: str) -> str:
    if len(about) + len("/**  */") <= WIDTH:
        return f"/** {about} */"
    return "\n".join(["/**", *(f" * {line}" for line in textwrap.wrap(about, WIDTH - 3)), " */"])


def _assign(name: str, value) -> str:
    """Return ``name = value`` as prettier formats it."""
    line = f"{name} = {_literal(value)}"
    is_matrix = isinstance(value, list) and all(isinstance(row, list) for row in value)
    if len(line) + len("export const ;") <= WIDTH and not is_matrix:
        return line
    if isinstance(value, dict):
        return f"{name} = {{\n" + "".join(f"  {key}: {_literal(item)},\n" for key, item in value.items()) + "}"
    return f"{name} = [\n" + "".join(f"  {_literal(item)},\n" for item in value) + "]"


def _literal(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key}: {_literal(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value).replace("e-0", "e-").removesuffix(".0")


if __name__ == "__main__":
    main()
