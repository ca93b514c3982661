"""What a dataset can be told, and its limits. Imports no backend."""

from __future__ import annotations

DEGRADATIONS = ("blur", "noise", "jpeg")
"""What ``degrade`` may name, in the order of application."""
