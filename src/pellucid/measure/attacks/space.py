"""Where an input may be moved to: what is free, in which units, between which ends, and what has to stay whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.registry import unknown
from pellucid.data.corruptions.base import Column, columns_of
from pellucid.errors import InvalidInput, InvalidOption, UnknownName
from pellucid.shapes import Array, Floats


@dataclass(frozen=True, eq=False)
class Space:
    """What may move, by number of an example (...).

    Attributes:
        low: The least value of each number.
        high: The greatest.
        scale: What one unit of epsilon is: a column's standard deviation in a table, else 1.
        free: Whether it may take any value in between; categories and marks of missing values may not.
        whole: Whether it only moves by whole numbers.
        frozen: Whether it may not change at all.
        parts: What counts as one change where changes are counted: the number of its column, pixel or step.
        columns: The original columns of a table.
    """

    low: Floats
    high: Floats
    scale: Floats
    free: Array
    whole: Array
    frozen: Array
    parts: Array
    columns: tuple[Column, ...] = ()

    def ends(self, x: Floats) -> tuple[Floats, Floats]:
        """The least and greatest values (B, ...) for inputs: where they are already outside, they may stay."""
        return np.minimum(self.low, x), np.maximum(self.high, x)

    def movable(self, x: Floats) -> Array:
        """Which numbers of inputs may move freely (B, ...): not the value that stands for one that is missing."""
        found = np.broadcast_to(self.free & ~self.frozen & (self.scale > 0), x.shape).copy()
        for column in self.columns:
            marks = np.setdiff1d(column.where, column.values)
            if len(marks):
                found[np.ix_(np.any(x[:, marks] == 1, axis=1), column.values)] = False
        return found

    def categories(self) -> list[tuple[int, Column]]:
        """The categorical columns that may change, with their number as a part."""
        numbered = [(int(self.parts[c.where[0]]), c) for c in self.columns]
        return [(i, c) for i, c in numbered if c.categorical and len(c.choices) > 1 and not self.frozen[c.where].any()]


def space_of(data: Dataset, limits: Any, frozen: Any) -> Space:
    """The space that training data span, or `limits` (low, high) where they are given.

    Raises:
        InvalidOption: Limits of another shape, or the wrong way round; something frozen that does not fit.
        UnknownName: A frozen column that does not exist.
    """
    shape, x = data.x.shape[1:], data.x
    table = data.kind == "tabular" and x.ndim == 2
    axes = 0 if table else None
    low, high = _limits(limits, shape) if limits is not None else (x.min(axis=axes), x.max(axis=axes))
    low, high = (np.broadcast_to(np.asarray(end, np.float32).astype(float), shape) for end in (low, high))
    whole, free = np.full(shape, x.dtype.kind in "iu"), np.ones(shape, bool)
    columns = columns_of(data) if table else ()
    scale, parts = np.ones(shape), _parts(shape, data.kind)
    if table:
        scale = x.std(axis=0, dtype=float)
        for i, column in enumerate(columns):
            parts[column.where] = i
            free[column.where] = not column.categorical and np.isin(column.where, column.values)
            whole[column.where] = column.whole
    return Space(low, high, scale, free, whole, _frozen(frozen, data), parts, columns)


def _parts(shape: tuple[int, ...], kind: str | None) -> Array:
    """A number for each pixel of an image or step of a sequence; else for each number."""
    shared = shape[:-1] if kind in ("image", "sequence") and len(shape) > 1 else shape
    numbers = np.arange(int(np.prod(shared))).reshape(shared)
    return np.broadcast_to(numbers[..., None], shape).copy() if shared != shape else numbers


def _limits(limits: Any, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    try:
        low, high = (np.broadcast_to(np.asarray(end, float), shape) for end in limits)
    except (TypeError, ValueError):
        raise InvalidOption(
            f"AdversarialRobustness.limits: expected (low, high), two numbers or arrays of shape {shape}, got {limits!r}"
        ) from None
    if not np.all(low <= high):
        raise InvalidOption(f"AdversarialRobustness.limits: expected low at most high, got {limits!r}")
    return low, high


def _frozen(frozen: Any, data: Dataset) -> Array:
    """What may not change, given as names or numbers of columns, or as truth values of an example's shape."""
    shape = data.x.shape[1:]
    if isinstance(frozen, np.ndarray) and frozen.dtype == bool:
        if frozen.shape != shape:
            raise InvalidOption(
                f"AdversarialRobustness.frozen: expected truth values of shape {shape}, got {frozen.shape}"
            )
        return frozen
    found = np.zeros(shape, bool)
    if len(frozen) and len(shape) != 1:
        raise InvalidOption(
            f"AdversarialRobustness.frozen: columns are those of a table; for inputs of shape {shape} give an array of "
            "truth values of that shape"
        )
    for name in frozen:
        found[_places(name, data)] = True
    return found


def _places(name: Any, data: Dataset) -> Sequence[int]:
    if isinstance(name, str):
        known = [tuple(data.columns or ()), tuple(data.feature_names or ())]
        places = [i for names in known for i, other in enumerate(names) if other == name]
        if not places:
            raise UnknownName(unknown("column", name, dict.fromkeys(known[0] + known[1])))
        return places
    if not 0 <= int(name) < data.x.shape[1]:
        raise InvalidOption(f"AdversarialRobustness.frozen: there are {data.x.shape[1]} columns, got number {name!r}")
    return [int(name)]


def as_inputs(x: Any) -> Floats:
    """Inputs as the model takes them, in numbers that can be moved.

    Raises:
        InvalidInput: Several inputs.
    """
    if isinstance(x, dict):
        raise InvalidInput("attacks move one array of inputs, got several inputs by name")
    return np.asarray(x).astype(np.float32).astype(float)
