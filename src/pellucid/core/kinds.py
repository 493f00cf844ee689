"""Whose work a layer does, and which layers are rectifiers."""

from __future__ import annotations

from typing import Any

FRAMEWORKS = ("keras", "torch", "pellucid")

RECTIFIED = ("relu", "relu6")
"""Activation functions that are rectifiers: nothing below zero, and as it was above it, perhaps up to a bound."""

RECTIFIERS = ("ReLU", "ReLU6", "Relu", "Relu6")
"""Kinds of layers and of `keras.ops` nodes that are."""


def kinds(layer: Any) -> list[str]:
    """Names of the classes of Keras, torch or this package whose work a layer does as they do it."""
    name = "call" if hasattr(layer, "call") else "forward"
    own = getattr(type(layer), name, None)
    theirs = [base for base in type(layer).__mro__ if base.__module__.split(".")[0] in FRAMEWORKS]
    return [base.__name__ for base in theirs if getattr(base, name, None) is own]


def is_rectifier(part: Any) -> bool:
    """Whether a layer, or an operation, is one and nothing else."""
    return any(kind in RECTIFIERS for kind in kinds(part)) and not getattr(part, "negative_slope", 0)


def is_rectified(layer: Any) -> bool:
    """Whether a layer has a rectifier for its activation."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in RECTIFIED
