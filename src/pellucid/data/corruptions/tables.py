"""What goes wrong with tables (B, F): instruments, gaps, units, columns that were mixed up, and categories nobody expected.

Columns that were one before they were encoded are changed together, so that a category stays one. Whole numbers stay whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pellucid.data.corruptions.base import Column, Corruption, Reference, level, real, typed
from pellucid.errors import NotApplicable
from pellucid.shapes import Array

FACTORS = (10.0, 100.0, 1000.0, 0.01)
"""Units that are mistaken for each other: millimetres, centimetres, metres, kilometres; a share and a percentage."""

_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)


def measurement_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Gaussian noise of 0.1, 0.2, 0.3, 0.5 or 1 training standard deviations on every numeric column.

    A value that is missing stays so. A categorical column is drawn anew, as a whole, from its training values in 2, 5, 10,
    15 or 30 % of the rows.
    """
    spread, share = level(severity, (0.1, 0.2, 0.3, 0.5, 1.0)), level(severity, (0.02, 0.05, 0.1, 0.15, 0.3))
    found = real(x).copy()
    for column, draws in zip(reference.columns, generator.spawn(len(reference.columns)), strict=True):
        if column.categorical:
            change, which = draws.random((len(x), 2)).T
            drawn = np.searchsorted(np.cumsum(column.shares), which * column.shares.sum(), side="right")
            rows = np.flatnonzero(change < share)
            found[np.ix_(rows, column.where)] = column.choices[np.minimum(drawn, len(column.choices) - 1)[rows]]
        else:
            size = spread * column.spread[np.isin(column.where, column.values)]
            noisy = x[:, column.values] + size * draws.normal(size=(len(x), len(column.values)))
            _put(found, column, _known(x, column), noisy)
    return typed(found, x)


def missing_values(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """5, 10, 20, 30 or 50 % of the cells lost, and filled as training fills them.

    A table that says what is missing in a column of its own says so; the value is the training median, or the most frequent
    combination of a categorical column. It is never NaN: no model that Pellucid runs is given one.
    """
    share = level(severity, _SHARES)
    found = real(x).copy()
    for column, draws in zip(reference.columns, generator.spawn(len(reference.columns)), strict=True):
        rows = np.flatnonzero(draws.random(len(x)) < share)
        found[np.ix_(rows, column.where)] = column.usual
    return typed(found, x)


def wrong_unit(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """In 5, 10, 20, 30 or 50 % of the rows one numeric column, drawn, times one of 10, 100, 1000 and 0.01, drawn."""
    columns = _numeric(reference.columns, 1, "a wrong unit")
    change, which, factor = generator.random((len(x), 3)).T
    times = np.array(FACTORS)[(factor * len(FACTORS)).astype(int)]
    hit = np.where(change < level(severity, _SHARES), (which * len(columns)).astype(int), -1)
    found = real(x).copy()
    for i, column in enumerate(columns):
        _put(found, column, (hit == i) & _known(x, column), x[:, column.values] * times[:, None])
    return typed(found, x)


def swapped_columns(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """In 5, 10, 20, 30 or 50 % of the rows two numeric columns, drawn, have each other's values, unless one is missing."""
    columns = _numeric([c for c in reference.columns if len(c.values) == 1], 2, "each other's values")
    change, first, second = generator.random((len(x), 3)).T
    one = (first * len(columns)).astype(int)
    two = (one + 1 + (second * (len(columns) - 1)).astype(int)) % len(columns)
    at, known = np.array([c.values[0] for c in columns]), np.stack([_known(x, c) for c in columns])
    rows, found = np.arange(len(x)), real(x).copy()
    hit = (change < level(severity, _SHARES)) & known[one, rows] & known[two, rows]
    for mine, theirs in ((one, two), (two, one)):
        for i, column in enumerate(columns):
            _put(found, column, hit & (mine == i), x[rows, at[theirs]][:, None])
    return typed(found, x)


def rare_category(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """2, 5, 10, 20 or 40 % of the cells of categorical columns become the category that was rarest in training."""
    columns = _categorical(reference.columns, "a rare category")
    return _recategorized(x, severity, generator, [(c, c.choices[c.shares.argmin()]) for c in columns])


def unknown_category(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """2, 5, 10, 20 or 40 % of the cells of one-hot columns become a category that was never seen in training.

    That is the column for other categories where there is one, and else no column at all.
    """
    columns = _categorical([c for c in reference.columns if c.one_hot], "an unknown category")
    return _recategorized(x, severity, generator, [(c, _unknown(c)) for c in columns])


def _unknown(column: Column) -> Array:
    return np.zeros(len(column.where)) if column.other is None else np.eye(len(column.where))[column.other]


def _recategorized(
    x: Array, severity: int, generator: np.random.Generator, changes: Sequence[tuple[Column, Array]]
) -> Array:
    share, found = level(severity, (0.02, 0.05, 0.1, 0.2, 0.4)), real(x).copy()
    for (column, value), draws in zip(changes, generator.spawn(len(changes)), strict=True):
        found[np.ix_(np.flatnonzero(draws.random(len(x)) < share), column.where)] = value
    return typed(found, x)


def _put(found: Array, column: Column, rows: Array, values: Array) -> None:
    """Write numbers (B, V) into the rows (B,) of a column, whole where it is."""
    found[np.ix_(rows, column.values)] = (np.rint(values) if column.whole else values)[rows]


def _known(x: Array, column: Column) -> Array:
    """The rows (B,) in which the column is not marked as missing."""
    marks = np.setdiff1d(column.where, column.values)
    return ~np.any(x[:, marks] == 1, axis=1)


def _numeric(columns: Sequence[Column], least: int, what: str) -> list[Column]:
    found = [c for c in columns if not c.categorical]
    if len(found) < least:
        raise NotApplicable(
            f"only numeric columns can have {what} by mistake: that takes {least}, there are {len(found)}"
        )
    return found


def _categorical(columns: Sequence[Column], what: str) -> list[Column]:
    found = [c for c in columns if c.categorical and len(c.choices) > 1]
    if not found:
        raise NotApplicable(f"there is no categorical column that could hold {what}")
    return found


TABLE: dict[str, Corruption] = {
    "noise": measurement_noise, "missing": missing_values, "unit": wrong_unit, "swap": swapped_columns,
    "rare": rare_category, "unknown": unknown_category,
}  # fmt: skip
