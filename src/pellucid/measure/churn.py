"""Answers that differ between models: pure functions of predicted classes (S, B) of S models on B rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from pellucid.core.resampling import Interval, clopper_pearson
from pellucid.shapes import Array, Floats


def changes(answers: Array) -> Floats:
    """The share of pairs of models that differ on each row (B,), of classes (S, B)."""
    return np.mean([one != two for one, two in combinations(answers, 2)], axis=0)


def churn(answers: Array, level: float) -> tuple[float, Interval]:
    """The mean share of rows on which two models differ, with an interval over models and rows, of classes (S, B)."""
    from scipy.stats import t

    models, rows = answers.shape
    each = changes(answers)
    value = float(each.mean())
    without = [float(changes(np.delete(answers, m, axis=0)).mean()) for m in range(models)]
    of_models = (models - 1) / models * float(np.sum((np.array(without) - np.mean(without)) ** 2))
    of_rows = float(each.var(ddof=1)) / rows if rows > 1 else np.inf
    both = of_models + of_rows
    if both == 0:
        return value, Interval(value, value or clopper_pearson(0, rows, level).high, level, "no change")
    half = float(t.ppf(0.5 + level / 2, models - 1) * np.sqrt(both))
    return value, Interval(max(0.0, value - half), min(1.0, value + half), level, "jackknife over models, and rows")


def expected_churn(right: Floats, classes: int) -> float:
    """The mean churn of two models of these accuracies (S,) whose errors are independent; see `PredictionChurn`."""
    other = (classes - 2) / (classes - 1) if classes > 2 else 0.0
    return float(np.mean([a * (1 - b) + b * (1 - a) + (1 - a) * (1 - b) * other for a, b in combinations(right, 2)]))
