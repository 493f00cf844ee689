"""Prediction sets and intervals of a promised coverage, by MAPIE, given answers instead of a model.

k = ceil((n + 1) c) for a promised coverage c and n rows that calibrate. The sets hold every answer whose score is no larger than
the k-th smallest score of the n labels.

Source: Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715; Angelopoulos and Bates 2023, doi:10.1561/2200000101.
"""

from __future__ import annotations

import warnings
from decimal import Decimal
from typing import Any

import numpy as np

from pellucid.shapes import Array, Floats

SCORES = {"lac": "classification", "aps": "classification", "absolute residual": "regression"}
"""What is small where a label conforms with an answer, and the task that it is for."""


def missed(coverage: float) -> float:
    """1 - coverage, in decimals as MAPIE does: 0.1 and not 0.09999999999999998."""
    return float(1 - Decimal(str(coverage)))


def rank(rows: int, coverage: float) -> int:
    """k, the place of the largest score that is covered."""
    return int(np.ceil((rows + 1) * (1 - missed(coverage))))


def least_rows(coverage: float) -> int:
    """The fewest rows that can calibrate: k <= n, and no fewer than MAPIE takes."""
    miss = missed(coverage)
    return int(np.ceil(max(1 / miss, 1 / (1 - miss))))


def prediction_sets(p: Floats, y: Array, rows: Array, score: str, coverage: float, seed: int) -> Array:
    """Which classes (N, K) each row's set holds, for probabilities (N, K), calibrated on some rows.

    "aps" is randomized, as its authors have it: its coverage is exact, and sets may be empty.
    """
    found = _calibrated(p[rows], y[rows], score, coverage, seed)
    return found.predict_set(p, conformity_score_params={"include_last_label": "randomized"})[1][:, :, 0]


def prediction_intervals(f: Floats, y: Floats, rows: Array, coverage: float) -> Floats:
    """Low and high (N, 2) of each row's interval, for predictions (N,), calibrated on some rows."""
    unit = float(np.abs(y).max()) or 1.0  # MAPIE checks sums to a fixed number of digits
    f, y = f / unit, y / unit
    return unit * _calibrated(f[rows], y[rows], "absolute residual", coverage).predict_interval(f[:, None])[1][:, :, 0]


def label_scores(answers: Floats, y: Array, score: str, coverage: float, seed: int) -> Floats:
    """The score (N,) of each row's label."""
    if answers.ndim == 1:
        return np.abs(y - answers)
    return np.abs(_calibrated(answers, y, score, coverage, seed).conformity_scores.ravel())


def _calibrated(answers: Floats, y: Array, score: str, coverage: float, seed: int = 0) -> Any:
    from mapie.classification import SplitConformalClassifier
    from mapie.regression import SplitConformalRegressor

    if answers.ndim == 1:
        return SplitConformalRegressor(_echo(0), coverage, "absolute", prefit=True).conformalize(answers[:, None], y)
    drawing = np.random.RandomState(seed)  # what MAPIE takes; an instance, so that no two rows share a draw
    mapie = SplitConformalClassifier(_echo(answers.shape[1]), coverage, score, prefit=True, random_state=drawing)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "WARNING: your conformalization dataset has less labels")
        return mapie.conformalize(answers, y)


def _echo(classes: int) -> Any:
    """A fitted scikit-learn estimator whose inputs are its answers."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Values(RegressorMixin, BaseEstimator):
        n_features_in_, is_fitted = 1, True

        def fit(self, x: Floats, y: Floats) -> Values:
            return self

        def predict(self, x: Floats) -> Floats:
            return np.asarray(x)[:, 0]

    class Probabilities(ClassifierMixin, BaseEstimator):
        n_features_in_, classes_, is_fitted = classes, np.arange(classes), True

        def fit(self, x: Floats, y: Array) -> Probabilities:
            return self

        def predict(self, x: Floats) -> Array:
            return np.asarray(x).argmax(axis=1)

        def predict_proba(self, x: Floats) -> Floats:
            return np.asarray(x)

    return Probabilities() if classes else Values()
