"""Graded corruptions: what goes wrong with data, a little more at each of five severities.

A corruption is a pure function `corrupt(x, severity, generator, reference)`: inputs (B, ...), a severity from 1 to 5, a
generator, and a `Reference` that the training data gave. It returns new inputs of the same shape and never changes `x`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
        spread: Standard deviation of each in training (0 for a constant).
        usual: Its value when missing: the median, or the most frequent combination where it is categorical.
        choices, shares: The combinations seen and how often, where it is categorical, else empty.
        whole: Whether every value was a whole number.
    """

    where: Array
    spread: Array
    usual: Array
    choices: Array
    shares: Array
    whole: bool

    @property
    def categorical(self) -> bool:
        """Whether the column takes a few values that mean nothing in between."""
        return len(self.choices) > 0


@dataclass(frozen=True)
class Reference:
    """What corruptions know of the training data: its columns (tables), or the range of its values (images)."""

    low: float = 0.0
    high: float = 1.0
    columns: tuple[Column, ...] = ()


Corruption = Callable[[Array, int, np.random.Generator, Reference], Array]


def reference(data: Dataset) -> Reference:
    """What corruptions need to know of training data.

    A column is categorical if it, or every one of the columns it was encoded as (`Dataset.columns`), has at most two values.

    Raises:
        InvalidInput: Several inputs, or a table that has more axes than two.
    """
    if isinstance(data.x, dict):
        raise InvalidInput("corruptions take one array of inputs, got several inputs by name")
    if data.kind != "tabular":
        return Reference(float(data.x.min()), float(data.x.max()))
    if data.x.ndim != 2:
        raise InvalidInput(f"corruptions of a table take (B, F), got {data.x.shape}")
    origins: dict[str, list[int]] = {}
    for i, origin in enumerate(data.columns or map(str, range(data.x.shape[1]))):
        origins.setdefault(origin, []).append(i)
    columns = tuple(_column(data.x, np.array(where)) for where in origins.values())
    return Reference(float(data.x.min()), float(data.x.max()), columns)


def _column(x: Array, where: Array) -> Column:
    block = x[:, where]
    whole = x.dtype.kind in "iub" or bool(np.all(np.mod(block, 1) == 0))
    if all(len(np.unique(values)) <= 2 for values in block.T):
        choices, times = np.unique(block, axis=0, return_counts=True)
        return Column(where, block.std(axis=0), choices[times.argmax()], choices, times / len(x), whole)
    none = np.empty((0, len(where)))
    return Column(where, block.std(axis=0), np.median(block, axis=0), none, none[:, 0], whole)


def _level(severity: int, levels: Sequence[float]) -> float:
    if severity not in SEVERITIES:
        raise InvalidInput(f"severity: expected 1 to 5, got {severity!r}")
    return levels[severity - 1]


# -- tables --------------------------------------------------------------------------------------------------------


def measurement_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Gaussian noise of 0.1, 0.2, 0.3, 0.5 or 1 training standard deviations on every numeric column.

    Whole-number columns stay whole. A categorical column is drawn anew, as a whole, from its training values in 2, 5, 10,
    15 or 30 % of the rows.
    """
    spread, share = _level(severity, (0.1, 0.2, 0.3, 0.5, 1.0)), _level(severity, (0.02, 0.05, 0.1, 0.15, 0.3))
    found = x.astype(np.result_type(x.dtype, np.float32))
    for column in reference.columns:
        if column.categorical:
            rows = np.flatnonzero(generator.random(len(x)) < share)
            drawn = generator.choice(len(column.choices), size=len(rows), p=column.shares)
            found[np.ix_(rows, column.where)] = column.choices[drawn]
        else:
            noisy = x[:, column.where] + spread * column.spread * generator.normal(size=(len(x), len(column.where)))
            found[:, column.where] = np.rint(noisy) if column.whole else noisy
    return found


def missing_values(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """5, 10, 20, 30 or 50 % of the cells lost, and filled with the training median or most frequent value.

    The encoded columns of one original column are lost together.
    """
    share = _level(severity, (0.05, 0.1, 0.2, 0.3, 0.5))
    found = x.astype(np.result_type(x.dtype, np.float32))
    for column in reference.columns:
        rows = np.flatnonzero(generator.random(len(x)) < share)
        found[np.ix_(rows, column.where)] = column.usual
    return found


# -- images (B, H, W, C) -------------------------------------------------------------------------------------------


def _as_image(found: Array, x: Array, reference: Reference) -> Array:
    """Values kept within the range of the data (of training and of these), in the type they came in."""
    low, high = min(reference.low, x.min()), max(reference.high, x.max())
    found = np.clip(found, low, high)
    return np.rint(found).astype(x.dtype) if x.dtype.kind in "iu" else found.astype(x.dtype)


def pixel_noise(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Gaussian noise of 0.08, 0.12, 0.18, 0.26 or 0.38 of the value range on every pixel."""
    spread = _level(severity, (0.08, 0.12, 0.18, 0.26, 0.38)) * (reference.high - reference.low)
    return _as_image(x + spread * generator.standard_normal(x.shape, dtype=np.float32), x, reference)


def blur(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Gaussian blur of 0.1, 0.15, 0.2, 0.3 or 0.4 times the root of the shorter side, in pixels (28 pixels: 0.5 to 2.1)."""
    from scipy.ndimage import gaussian_filter

    width = _level(severity, (0.1, 0.15, 0.2, 0.3, 0.4)) * np.sqrt(min(x.shape[1:3]))
    return _as_image(gaussian_filter(_real(x), (0, width, width, 0), mode="nearest"), x, reference)


def contrast(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Deviations from each image's mean, channel by channel, shrunk to 0.75, 0.5, 0.4, 0.3 or 0.15 of their size."""
    kept = _level(severity, (0.75, 0.5, 0.4, 0.3, 0.15))
    mean = _real(x).mean(axis=(1, 2), keepdims=True)
    return _as_image(mean + kept * (x - mean), x, reference)


def rotation(x: Array, severity: int, generator: np.random.Generator, reference: Reference) -> Array:
    """Turned by 5, 10, 15, 20 or 30 degrees, left or right by chance; the border is continued outwards."""
    from scipy.ndimage import rotate

    angle, left = _level(severity, (5, 10, 15, 20, 30)), generator.random(len(x)) < 0.5
    found = _real(x).copy()
    for turn, rows in ((angle, left), (-angle, ~left)):
        if rows.any():
            found[rows] = rotate(found[rows], turn, axes=(1, 2), reshape=False, order=1, mode="nearest")
    return _as_image(found, x, reference)


def _real(x: Array) -> Array:
    return x if x.dtype.kind == "f" else x.astype(np.float32)


TABLE: dict[str, Corruption] = {"noise": measurement_noise, "missing": missing_values}
IMAGE: dict[str, Corruption] = {"noise": pixel_noise, "blur": blur, "contrast": contrast, "rotation": rotation}


def corruptions(kind: str) -> dict[str, Corruption]:
    """The corruptions of a kind of data, by name; none for kinds that have none."""
    return {"tabular": TABLE, "image": IMAGE}.get(kind, {})
