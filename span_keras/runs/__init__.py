"""Training runs: ``train``, ``resolve``, ``Settings`` and ``RunFolder`` load on first use."""

from span_keras import lazy

_HOMES = {"train": "run", "resolve": "settings", "Settings": "settings", "RunFolder": "folder"}
__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
