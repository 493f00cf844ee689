"""Labels, and weights of examples, as a compiled loss takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.shapes import Array


def labels(model: Any, data: Dataset) -> Array:
    """The labels as the model's loss wants them: one-hot rows (B, K) for a categorical cross-entropy, else (B,).

    Raises:
        InvalidInput: No labels, text for labels, or NaN among them.
    """
    if data.y is None:
        raise InvalidInput("the data has no labels (y), which training needs")
    if data.y.dtype.kind not in "biuf":
        raise InvalidInput(f"y: expected class numbers or real numbers, got {data.y.dtype}; number the classes from 0")
    if not np.isfinite(data.y).all():
        raise InvalidInput(f"y: the label at {int(np.argmin(np.isfinite(data.y)))} is NaN or infinite")
    kind = loss_kind(model.loss)
    width = _width(model)
    if kind in _NUMBERED | _ONE_HOT and getattr(model.loss, "ignore_class", None) is None:
        _check_classes(width, data.y)
    if kind in _YES_OR_NO and width in (None, 1) and not ((data.y >= 0) & (data.y <= 1)).all():
        at = int(np.argmax((data.y < 0) | (data.y > 1)))
        raise InvalidInput(f"y: the loss {kind} takes 0 and 1, got {data.y[at]} at {at}; number the classes from 0")
    if kind not in _ONE_HOT:
        return data.y
    return np.eye(width or int(data.y.max()) + 1, dtype=np.float32)[data.y.astype(int)]


_NUMBERED = {"sparse_categorical_crossentropy"}
_ONE_HOT = {
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "kl_divergence",
    "kldivergence",
}
_YES_OR_NO = {"binary_crossentropy", "binary_focal_crossentropy"}
"""Losses by what labels they take."""


def loss_kind(loss: Any) -> str:
    """What Keras calls a loss, however it is given ("categorical_crossentropy"); else its own name."""
    if isinstance(loss, str):
        names = [loss]
    elif isinstance(loss, type) or not hasattr(loss, "get_config"):
        names = [getattr(loss, "__name__", type(loss).__name__)]
    else:
        names = [cls.__name__ for cls in type(loss).__mro__]
    snake = [re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in names]
    return next((name for name in snake if name in _NUMBERED | _ONE_HOT | _YES_OR_NO), snake[0])


def _width(model: Any) -> int | None:
    """Columns that a model puts out; None while it does not say, or has several outputs."""
    shape = model.output_shape if model.built and getattr(model, "outputs", None) else None
    return shape[-1] if isinstance(shape, tuple) and not isinstance(shape[-1], tuple) else None


def _check_classes(width: int | None, y: Array) -> None:
    """Raise where a label is none of the model's classes: JAX would train on without a word."""
    wrong = (y < 0) | (y != np.floor(y)) | (False if width is None else y >= width)
    if wrong.any():
        at = int(np.argmax(wrong))
        told = "whole numbers from 0" if width is None else f"0 to {width - 1}"
        raise InvalidInput(f"y: the model's classes are {told}, got {y[at]} at {at}")


def weights_of_examples(given: Any, train: Dataset) -> Array:
    """Weights (B,) of the training examples.

    Raises:
        InvalidOption: Another number of them, or a weight that is negative or no number.
    """
    try:
        found = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if found.shape != (len(train),) or not (np.isfinite(found) & (found >= 0)).all():
        raise InvalidOption(
            f"fit: sample_weight: expected a weight of at least 0 for each of the {len(train)} training examples, got shape "
            f"{found.shape}" + (f" from {found.min():g}" if found.size else "")
        )
    return found


def weights_of_classes(given: Any, train: Dataset) -> Array:
    """The weight (B,) of each training example from weights of classes by number.

    Raises:
        InvalidOption: No weights by class number, or a class of the training data without one.
    """
    if not isinstance(given, Mapping) or not all(isinstance(w, Real) and 0 <= w < np.inf for w in given.values()):  # type: ignore[operator]
        raise InvalidOption(f"fit: class_weight: expected weights of at least 0 by class number, got {given!r}")
    classes = np.unique(train.y) if train.y is not None else np.array([])
    if spare := [c for c in given if c not in classes.tolist()]:
        raise InvalidOption(
            f"fit: class_weight: {spare[0]!r} is no class of the training data; they have {classes.tolist()[:9]}"
        )
    if missing := [c for c in classes.tolist() if c not in given]:
        raise InvalidOption(f"fit: class_weight: expected a weight for each class, got none for {missing[0]}")
    return np.array([given[c] for c in train.y.tolist()], np.float32) if train.y is not None else np.array([])
