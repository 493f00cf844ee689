"""The kinds of models that `twins.py` has in torch as well, and `by_definition.py` in closed form."""

from __future__ import annotations

from pellucid.testing import kinds
from pellucid.testing.kinds import CLASSES, HEADS, VOCABULARY, Kind

ALONE = ("nested", "subclassed", "operations", "vision_transformer")
"""Kinds without a twin."""

KINDS = {name: kind for name, kind in kinds.KINDS.items() if name not in ALONE}

__all__ = ["CLASSES", "HEADS", "KINDS", "VOCABULARY", "Kind"]
