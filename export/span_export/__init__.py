"""SPAN weights to a TensorFlow.js model folder: what ``span-export`` runs.

``export_model(weights, folder)`` writes, ``verify.verify(folder, weights)`` checks.
"""

from __future__ import annotations

import importlib

_HOMES = {"export_model": "export", "verify": "verify"}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
