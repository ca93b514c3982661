"""What surrounds Keras when the package is imported: the backend it will take, and that it knows our layers.

Loads nothing: Keras is told its backend by the environment, before it asks, and our layers when it is imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import json
import os
import sys
from pathlib import Path

from span_keras.errors import BackendError, first_line

BACKENDS = ("tensorflow", "jax")
"""What the package runs on, the one that is preferred first."""


def prepare() -> None:
    """Choose a backend that is installed, unless the user has; have saved models of ours load whenever Keras is there.

    ``KERAS_BACKEND`` always wins. A ``keras.json`` wins if it names a backend that can be used.
    """
    if "keras" in sys.modules:
        importlib.import_module("span_keras.network.layers")
        return
    if not os.environ.get("KERAS_BACKEND"):
        usable = [name for name in BACKENDS if installed(name)]
        if usable and _stated_backend() not in usable:
            os.environ["KERAS_BACKEND"] = usable[0]
    sys.meta_path.insert(0, _WhenKerasLoads())


def installed(name: str) -> bool:
    """Return whether a package can be found, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def settings_file() -> Path:
    """Return where Keras looks for its settings."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path(os.path.expanduser("~")) / ".keras") / "keras.json"  # noqa: PTH111  never fails


def _stated_backend() -> str:
    """Return the backend that Keras would take by itself."""
    try:
        return str(json.loads(settings_file().read_text("utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return BACKENDS[0]


class _WhenKerasLoads(importlib.abc.MetaPathFinder):
    """Let Keras be imported as ever, then import what registers our layers; name the remedy if it cannot be."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)  # others find it
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._executing(spec.loader.exec_module)
        return spec

    def _executing(self, execute):
        def exec_module(module):
            try:
                execute(module)
            except (ImportError, ValueError, AttributeError, TypeError) as error:
                raise _unusable(error) from error
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            importlib.import_module("span_keras.network.layers")

        return exec_module


def _unusable(error: Exception) -> BackendError:
    backend = os.environ.get("KERAS_BACKEND") or _stated_backend()
    reason = first_line(error).rstrip(".")
    return BackendError(
        f"expected Keras to load with the backend {backend}, found that it cannot ({reason}); install that backend, "
        f"set KERAS_BACKEND to {' or '.join(BACKENDS)}, or mend {settings_file()}."
    )
