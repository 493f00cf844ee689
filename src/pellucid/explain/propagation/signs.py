"""Which layers are given nothing below zero, as is known from the layers before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid.core import layers
from pellucid.core.kinds import kinds
from pellucid.core.tensors import flattened, to_array
from pellucid.explain.propagation.treatments import TREATMENTS, by_rule

RISING = ("relu", "relu6", "sigmoid", "softmax", "softplus", "hard_sigmoid", "exponential")
"""Activations that put out nothing below zero."""

ABOVE = ("ReLU", "ReLU6", "Sigmoid", "Softmax", "Softplus", "Hardsigmoid")
"""Layers that do."""

KEEPING = (
    "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Flatten", "Reshape", "Permute",
    "RepeatVector", "Cropping1D", "Cropping2D", "Cropping3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Dropout",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout", "Identity", "MaxPool1d",
    "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "Unflatten", "Dropout1d", "Dropout2d", "Dropout3d",
    "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
)  # fmt: skip
"""Layers that put out nothing below zero where they are given nothing below it."""


def given_nothing_negative(calls: Sequence[layers.Called]) -> set[int]:
    """Layers (by identity) that get no number below zero at any call, whatever the model's input.

    Known is what one layer hands to the next; of a tensor that other operations have made, nothing is.
    """
    known: set[int] = set()
    found: dict[int, bool] = {}
    for call in calls:
        given = all(id(t) in known for t in flattened(list(call.inputs)) if t is not None)
        found[id(call.layer)] = found.get(id(call.layer), True) and given and _holds(call.inputs)
        known.difference_update(id(t) for t in flattened(call.output))  # a rectifier may work in place
        if _rises(call.layer) or (given and any(kind in KEEPING for kind in kinds(call.layer))):
            known.update(id(t) for t in flattened(call.output))
    return {layer for layer, clean in found.items() if clean}


def _rises(layer: Any) -> bool:
    """Whether a layer ends in a function that is never below zero."""
    own = kinds(layer)
    if any(kind in ABOVE for kind in own):
        return not getattr(layer, "negative_slope", 0)
    linear = any(kind in (*TREATMENTS[by_rule], "Activation") for kind in own)
    return linear and getattr(getattr(layer, "activation", None), "__name__", "") in RISING


def _holds(inputs: Any) -> bool:
    """Whether what is known is so: a tensor may have been changed in place, and a function can have any name."""
    try:
        return all((to_array(t) >= 0).all() for t in flattened(list(inputs)) if t is not None)
    except Exception:  # each framework has an error of its own for a tensor without a value
        return False
