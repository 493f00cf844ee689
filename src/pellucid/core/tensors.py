"""Tensors of any framework, and structures of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pellucid.shapes import Array


def to_array(tensor: Any) -> Array:
    """A tensor, variable or array of any framework, as a NumPy array."""
    if hasattr(tensor, "assign") and not callable(getattr(tensor, "value", None)):  # a Keras variable
        return to_array(getattr(tensor, "value", None))
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()  # NumPy has no bfloat16
        return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()
    if hasattr(tensor, "numpy"):
        return tensor.numpy()
    return np.asarray(tensor)


def seen(variable: Any) -> Array:
    """What a variable of any framework holds, as an array to be read at once: it may be the framework's own memory."""
    held = getattr(variable, "value", None)
    inner = getattr(held, "value", None)  # TensorFlow's own variable, whose value() is not copied
    return np.asarray(inner()) if callable(inner) else to_array(variable)


def flattened(outputs: Any) -> list[Any]:
    """The tensors in a dict, list or tuple of them, in order; a lone tensor as a list."""
    if isinstance(outputs, Mapping):
        return [o for value in outputs.values() for o in flattened(value)]
    if isinstance(outputs, list | tuple):
        return [o for value in outputs for o in flattened(value)]
    return [outputs]
