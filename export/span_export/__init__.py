"""SPAN weights to a TensorFlow.js model folder: what ``span-export`` runs.

``export_model(weights, folder)`` writes, ``verify.verify(folder, weights)`` checks.
"""

from __future__ import annotations

from span_keras import lazy

_HOMES = {"export_model": "export", "verify": "verify"}
__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
