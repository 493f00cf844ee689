"""What every corruption shares: severities, what is known of the training data, and draws that rows do not share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.errors import InvalidInput
from pellucid.shapes import Array

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Column:
    """A column of the original table: where it is in the encoded one, and what its values were in training.

    Attributes:
        where: Its encoded columns.
        values: Those of them that hold its numbers; the others say whether it is missing.
        spread: Standard deviation of each of `where` in training (0 for a constant).
        usual: Its value when missing, as training puts it in: the mark of a missing value where the table has one; else, or
            besides, the median, or the most frequent combination where it is categorical.
        choices: The combinations seen, where it is categorical, else empty.
        shares: How often each was seen.
        whole: Whether every value was a whole number.
        other: Which of `where` an unknown category sets, or None: it leaves all at zero.
    """

    where: Array
    values: Array
    spread: Array
    usual: Array
    choices: Array
    shares: Array
    whole: bool
    other: int | None = None

    @property
    def categorical(self) -> bool:
        """Whether the column takes a few values that mean nothing in between."""
        return len(self.choices) > 0

    @property
    def one_hot(self) -> bool:
        """Whether it is a category that was encoded as several columns, of which at most one is set."""
        return self.categorical and len(self.where) > 1 and bool(np.all(self.choices.sum(axis=1) <= 1))


@dataclass(frozen=True)
class Reference:
    """What corruptions know of the training data.

    Attributes:
        low: The least value there is.
        high: The greatest.
        columns: Those of a table.
        mean: Mean of each channel of a sequence (F,).
        spread: Standard deviation of each channel of a sequence (F,).
        words: The word of each token of a text (V,).
    """

    low: float = 0.0
    high: float = 1.0
    columns: tuple[Column, ...] = ()
    mean: Array = field(default_factory=lambda: np.zeros(1))
    spread: Array = field(default_factory=lambda: np.ones(1))
    words: tuple[str, ...] = ()


Corruption = Callable[[Array, int, np.random.Generator, Reference], Array]


def reference(data: Dataset) -> Reference:
    """What corruptions need to know of training data.

    A column is categorical if it, or every one of the columns it was encoded as (`Dataset.columns`), has at most two values.

    Raises:
        InvalidInput: Several inputs, or a table that has more axes than two.
    """
    x = data.x
    if isinstance(x, dict):
        raise InvalidInput("corruptions take one array of inputs, got several inputs by name")
    if data.kind == "text":
        return Reference(words=data.vocabulary or ())  # type: ignore[arg-type]
    low, high = float(x.min()), float(x.max())
    if data.kind in ("sequence", "audio"):
        axes = (0, 1) if x.ndim > 2 else None
        return Reference(low, high, mean=x.mean(axis=axes), spread=x.std(axis=axes, dtype=float))
    if data.kind != "tabular":
        return Reference(low, high)
    if x.ndim != 2:
        raise InvalidInput(f"corruptions of a table take (B, F), got {x.shape}")
    return Reference(low, high, columns_of(data))


def columns_of(data: Dataset) -> tuple[Column, ...]:
    """The original columns of an encoded table."""
    width = data.x.shape[1]
    origins: dict[str, list[int]] = {}
    for i, origin in enumerate(data.columns or map(str, range(width))):
        origins.setdefault(origin, []).append(i)
    names = data.feature_names or ("",) * width
    return tuple(_column(data.x, np.array(where), [names[i] for i in where]) for where in origins.values())


def _column(x: Array, where: Array, names: Sequence[str]) -> Column:
    block = x[:, where]
    few = np.array([len(np.unique(values)) <= 2 for values in block.T])
    whole = x.dtype.kind in "iub" or bool(np.all(np.mod(block[:, ~few] if not few.all() else block, 1) == 0))
    spread = block.std(axis=0, dtype=float)  # squares of large numbers are beyond single precision
    if few.all():
        choices, times = np.unique(block, axis=0, return_counts=True)
        marked = [i for i, name in enumerate(names) if name.endswith("=(missing)")]
        usual = np.eye(len(where))[marked[0]] if marked else choices[times.argmax()]
        other = next((i for i, name in enumerate(names) if name.endswith("=(other)")), None)
        return Column(where, where, spread, usual, choices, times / len(x), whole, other)
    known = ~np.any(block[:, few] == 1, axis=1)  # beside numbers, a column of two values marks what is missing
    usual = np.where(few, 1.0, np.median(block[known] if known.any() else block, axis=0))
    none = np.empty((0, len(where)))
    return Column(where, where[~few], spread, np.rint(usual) if whole else usual, none, none[:, 0], whole)


def level(severity: int, levels: Sequence[float]) -> float:
    """What a severity from 1 to 5 stands for."""
    if severity not in SEVERITIES:
        raise InvalidInput(f"severity: expected 1 to 5, got {severity!r}")
    return levels[severity - 1]


def real(x: Array) -> Array:
    """Numbers that can be calculated with: floats as they are, whole numbers as floats that hold them."""
    return x if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, np.float32))


def typed(found: Array, x: Array) -> Array:
    """What was calculated, in the type that `x` has; rounded, and kept within the type, where that is of whole numbers."""
    if x.dtype.kind not in "iu":
        return found.astype(x.dtype if x.dtype.kind == "f" else found.dtype, copy=False)
    ends = np.iinfo(x.dtype)
    return np.clip(np.rint(found), ends.min, ends.max).astype(x.dtype)


def by_row(values: Array, x: Array) -> Array:
    """One value a row (B,), in the shape that goes with `x`."""
    return values.reshape(len(x), *(1,) * (x.ndim - 1))
