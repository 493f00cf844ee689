"""More rows of rare classes, made between rows that there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.randomness import stream
from pellucid.data.corruptions.base import Column, columns_of
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.improve.base import Remedy
from pellucid.shapes import Array


@dataclass(frozen=True, eq=False)
class Smote(Remedy):
    """Adds rows of rare classes until all are equally frequent, each between a row and one of its nearest neighbours.

    Would the model do better on a rare class if it had seen more of it?

        x' = x_i + u (x_j - x_i),   u even over 0 to 1,   j one of the `neighbours` nearest rows of the same class

    A category (a column, or the columns that were encoded from one, with at most two values each) is that of most of the
    neighbours; numbers that are whole stay whole. Rows are added to the training data alone, before training. Done by
    imbalanced-learn: `pip install "pellucid[imbalance]"`.

    Args:
        neighbours: Neighbours that a new row may lie towards, at least 1.

    Raises:
        InvalidOption: Fewer than one neighbour.
        NotApplicable: While training, without imbalanced-learn, or other data than a table (B, F) with classes.
        InvalidInput: While training, a class with no more rows than neighbours, or missing values (NaN).

    Example:
        >>> import pellucid as pl
        >>> pl.Smote(neighbours=3)
        Smote(neighbours=3)

    References:
        Chawla, Bowyer, Hall and Kegelmeyer 2002, "SMOTE: synthetic minority over-sampling technique", arXiv:1106.1813.

    Limits:
        Probabilities are those of a world in which all classes are equally frequent, hence wrong in this one: see
        `CalibrationError`. A strong model gains little by it that a threshold would not give. Distances want columns of like
        spread. Marks and weights of single examples (`AttentionSupervision`, `sample_weight`) do not fit the added rows.
    """

    slot = "smote"
    against = {"attention_supervision": "the rows that are added have no marks"}
    neighbours: int = 5

    def __post_init__(self) -> None:
        options.whole(self, "neighbours")

    def prepare(self, train: Dataset, seed: int) -> Dataset:
        """See `Remedy.prepare`."""
        self._check(train)
        columns = columns_of(train)
        coded, kinds = _coded(train.x, columns)
        sampler = _sampler(kinds, self.neighbours, int(stream(seed, "smote").integers(2**31)))
        found, y = sampler.fit_resample(coded, train.y)
        x = np.concatenate([train.x, _decoded(found[len(train) :], train.x, columns)])
        ids = (
            None
            if train.ids is None
            else np.array([*map(str, train.ids), *(f"smote {i}" for i in range(len(x) - len(train)))])
        )
        return dataclasses.replace(train, x=x, y=np.asarray(y), ids=ids, groups=None)

    def notes(self, model: Any, train: Dataset, validation: Dataset | None) -> list[str]:
        """How many rows were added."""
        counts = np.unique(train.y, return_counts=True)[1]  # type: ignore[arg-type]
        return [f"Smote added {len(counts) * counts.max() - counts.sum()} rows to {counts.sum()} training rows"]

    def _check(self, train: Dataset) -> None:
        if train.kind != "tabular" or isinstance(train.x, dict) or train.x.ndim != 2:
            raise NotApplicable(f"Smote is for tables (B, F), and these data are of kind {train.kind!r}")
        if train.task != "classification":
            raise NotApplicable("Smote makes classes equally frequent, and these labels are quantities")
        if train.x.dtype.kind == "f" and np.isnan(train.x).any():
            raise InvalidInput("Smote: x has missing values (NaN), between which there is nothing; fill them first")
        classes, counts = np.unique(train.y, return_counts=True)  # type: ignore[arg-type]
        if counts.min() <= self.neighbours:
            raise InvalidInput(
                f"Smote: expected more than {self.neighbours} training rows of each class, got {counts.min()} of class "
                f"{classes[counts.argmin()]}; take fewer neighbours"
            )


def _sampler(kinds: Sequence[bool], neighbours: int, seed: int) -> Any:
    """The sampler for columns of which some are categories."""
    try:
        from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC
    except ImportError as problem:
        raise NotApplicable(
            'Smote needs imbalanced-learn; install it by: pip install "pellucid[imbalance]"'
        ) from problem
    settings = {"k_neighbors": neighbours, "random_state": seed}
    if all(kinds):
        return SMOTEN(**settings)
    return SMOTENC(np.flatnonzero(kinds).tolist(), **settings) if any(kinds) else SMOTE(**settings)


def _coded(x: Array, columns: Sequence[Column]) -> tuple[Array, list[bool]]:
    """A column of numbers for each number and each category, and which of them are categories."""
    parts, kinds = [], []
    for column in columns:
        for block in _parts(column):
            if categorical := column.categorical or block[0] not in column.values:
                parts.append(np.unique(x[:, block], axis=0, return_inverse=True)[1].ravel())
            else:
                parts.append(x[:, block[0]])
            kinds.append(bool(categorical))
    return np.column_stack(parts).astype(np.float64), kinds


def _decoded(coded: Array, x: Array, columns: Sequence[Column]) -> Array:
    """Rows in the columns of `x`."""
    found, at = np.empty((len(coded), x.shape[1]), x.dtype), 0
    for column in columns:
        for block in _parts(column):
            if column.categorical or block[0] not in column.values:
                found[:, block] = np.unique(x[:, block], axis=0)[coded[:, at].astype(int)]
            else:
                found[:, block[0]] = np.rint(coded[:, at]) if column.whole else coded[:, at]
            at += 1
    return found


def _parts(column: Column) -> list[Array]:
    """The encoded columns that make one category, or one number."""
    return [column.where] if column.categorical else [np.array([i]) for i in column.where]
