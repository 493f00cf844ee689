"""How far values agree with what a person marked: average precision, F1, and precision beside that of a second person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.texts import Review

MEASURES = (
    "average precision", "F1, as many words as the person", "precision, as many words as the second person",
)  # fmt: skip
"""Of a ranking of the words of a review."""

Scored = np.ndarray
"""Measures (B, 3) of reviews, or (S, B, 3) of several seeds; NaN where no second person marked anything."""


def scored(values: np.ndarray, reviews: Sequence[Review]) -> Scored:
    """The measures of values (B, T), of which each review has as many as words."""
    return np.array([_measures(row[: len(r.words)], r) for row, r in zip(values, reviews, strict=True)])


def _measures(values: np.ndarray, review: Review) -> tuple[float, float, float]:
    from sklearn.metrics import average_precision_score

    values, marks = np.asarray(values, float), review.marks
    others = 0 if review.others is None else int(review.others.sum())
    shared = precision(top(values, others), marks) if others else np.nan
    return float(average_precision_score(marks, values)), f1(top(values, int(marks.sum())), marks), shared


def top(values: np.ndarray, count: int) -> np.ndarray:
    """The words with the highest values; of equal ones the first."""
    found = np.zeros(len(values), bool)
    found[np.argsort(-values, kind="stable")[:count]] = True
    return found


def f1(chosen: np.ndarray, marks: np.ndarray) -> float:
    """Twice the common words over the words of both."""
    return float(2 * (chosen & marks).sum() / max(1, chosen.sum() + marks.sum()))


def precision(chosen: np.ndarray, marks: np.ndarray) -> float:
    """The share of the chosen words that are marked."""
    return float((chosen & marks).sum() / chosen.sum())


def ceiling(reviews: Sequence[Review]) -> tuple[np.ndarray, np.ndarray, int]:
    """F1 and precision of the second person against the first, and on how many reviews: all where that person marked."""
    both = [(r.others, r.marks) for r in reviews if r.others is not None and r.others.any()]
    return np.array([f1(o, m) for o, m in both]), np.array([precision(o, m) for o, m in both]), len(both)


def stretched(values: np.ndarray, size: int) -> np.ndarray:
    """Values (B, T) averaged over stretches of so many words."""
    rows, length = values.shape
    means = np.asarray(values, float).reshape(rows, length // size, size).mean(-1)
    return np.repeat(means, size, axis=1)
