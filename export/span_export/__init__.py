"""SPAN weights to a TensorFlow.js model folder: what ``span-export`` runs.

``export_model(weights, folder)`` writes, ``verify.verify(folder, weights)`` checks.
"""

from __future__ import annotations

from span_keras import lazy

_HOMES = {"export_model": "export"}  # a name like a module's would hide that module
__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
