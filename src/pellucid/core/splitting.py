"""Parting rows into two sets, so that neither classes nor groups are torn."""

from __future__ import annotations

from typing import Any

import numpy as np

from pellucid.core.randomness import stream
from pellucid.errors import InvalidInput
from pellucid.shapes import Array


def holdout(
    y: Array | None, fraction: float, *, groups: Any = None, classes: bool = True, seed: int = 0
) -> tuple[Array, Array]:
    """Row numbers of two parts, each in ascending order: the rest, and about `fraction` of the rows held out.

    Classes keep their proportions (each to within one row); a class with a single row stays in the first part. Rows
    that share a group stay together, and classes are then balanced as well as whole groups allow.

    Args:
        y: Labels (B,), or None.
        fraction: The share of rows to hold out, between 0 and 1.
        groups: An identifier (B,) of what must not be torn apart, or None.
        classes: Whether `y` holds classes; real numbers are parted at random.
        seed: Decides which rows are held out; the same seed holds out the same rows.

    Raises:
        InvalidInput: A fraction outside 0 to 1, too few rows, or fewer than two groups.

    Example:
        >>> import numpy as np
        >>> kept, held = holdout(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25)
        >>> len(kept), len(held)
        (6, 2)
    """
    if not isinstance(fraction, int | float) or isinstance(fraction, bool) or not 0 < fraction < 1:
        raise InvalidInput(f"test: expected a share of the rows between 0 and 1, got {fraction!r}")
    count = len(groups) if y is None else len(y)
    if count < 2:
        raise InvalidInput(f"a split needs at least two rows, got {count}")
    number = int(stream(seed, "holdout").integers(2**31))
    labels = y if classes and y is not None else np.zeros(count, int)
    if groups is not None:
        return _by_group(labels, np.asarray(groups), fraction, number)
    return _by_class(labels, fraction, number)


def _by_class(labels: Array, fraction: float, number: int) -> tuple[Array, Array]:
    from sklearn.model_selection import train_test_split

    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rows = np.arange(len(labels))
    free = rows[counts[codes] > 1]
    held = max(1, round(fraction * len(rows)))
    kinds = int((counts > 1).sum())
    if kinds <= min(held, len(free) - held):
        _, test = train_test_split(free, test_size=held, stratify=codes[free], random_state=number)
    else:  # more classes than places: proportions cannot be kept
        _, test = train_test_split(rows, test_size=held, random_state=number)
    return np.setdiff1d(rows, test), np.sort(test)


def _by_group(labels: Array, groups: Array, fraction: float, number: int) -> tuple[Array, Array]:
    """Of many random draws of whole groups, the one nearest to the asked fraction and to the class shares."""
    from sklearn.model_selection import GroupShuffleSplit

    if len(np.unique(groups)) < 2:
        raise InvalidInput("groups: every row is of one group, so no split keeps it whole")
    draws = GroupShuffleSplit(n_splits=64, test_size=fraction, random_state=number)
    classes, codes = np.unique(labels, return_inverse=True)
    overall = np.bincount(codes, minlength=len(classes)) / len(codes)

    def imbalance(held: Array) -> float:
        shares = np.bincount(codes[held], minlength=len(classes)) / len(held)
        return abs(len(held) / len(codes) - fraction) + float(np.abs(shares - overall).sum())

    kept, held = min(draws.split(labels, groups=groups), key=lambda pair: imbalance(pair[1]))
    return np.sort(kept), np.sort(held)
