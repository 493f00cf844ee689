"""The quality of predictions, each with an interval: pure functions of labels and predictions.

Each function takes labels `y` (B,), predictions `p` (probabilities (B, K), or values (B,) of a regression), a level and
a generator, and gives an `Estimate`. The tests of this file are simulations: every interval is checked for its coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pellucid.core.resampling import (
    Interval,
    alike,
    average,
    bootstrap_t,
    clopper_pearson,
    difference,
    student,
    studentized,
    unseen,
    wilson,
)
from pellucid.errors import NotApplicable
from pellucid.shapes import Array, Floats


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, and how it moves with the weight of each example (`influence` (B,), summing to 0).

    The squared influences make the standard error, sqrt(sum I^2) / B; those of two estimates on the same examples
    their correlation.
    """

    value: float
    interval: Interval
    influence: Floats
    note: str = ""


class Metric(NamedTuple):
    """A quality: how it is computed, for which task, which way is better, and whether it is a share of something."""

    compute: Callable[[Array, Floats, float, np.random.Generator], Estimate]
    task: str
    label: str
    higher_is_better: bool = True
    share: bool = False

    @property
    def read(self) -> dict[str, Any]:
        """How a measurement of it is read."""
        return {"better": "higher" if self.higher_is_better else "lower", "share": self.share}


def _surprise(y: Array, p: Floats) -> Floats:
    chosen = np.take_along_axis(p, y[:, None], axis=1)[:, 0]
    return -np.log(np.clip(chosen, np.finfo(float).eps, 1.0))


ROW_LOSSES: dict[str, Callable[[Array, Floats], Floats]] = {
    "error": lambda y, p: (p.argmax(axis=1) != y).astype(float),
    "log_loss": _surprise,
    "brier": lambda y, p: np.sum((p - np.eye(p.shape[1])[y]) ** 2, axis=1),
    "squared_error": lambda y, p: (p - y) ** 2,
    "absolute_error": lambda y, p: np.abs(p - y),
}
"""The loss (B,) of each row, of labels and predictions; the first three of classes, the others of a regression."""


# -- means over examples -------------------------------------------------------------------------------------------


def accuracy(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Share of examples whose most probable class is the label; Wilson interval."""
    right = (p.argmax(axis=1) == y).astype(float)
    return Estimate(float(right.mean()), wilson(int(right.sum()), len(y), level), right - right.mean())


def balanced_accuracy(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Mean over the classes present of the share found; the Wilson intervals of the classes combined."""
    right = (p.argmax(axis=1) == y).astype(float)
    classes, index, sizes = np.unique(y, return_inverse=True, return_counts=True)
    hits = np.bincount(index, weights=right)
    shares = hits / sizes
    interval = average(shares, [wilson(int(h), int(n), level) for h, n in zip(hits, sizes, strict=True)])
    weights = len(y) / (len(classes) * sizes)
    return Estimate(float(shares.mean()), interval, weights[index] * (right - shares[index]), _absent(classes, p))


def log_loss(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Mean of -ln p[label] (nats), probabilities kept above 2.2e-16; bootstrap-t interval."""
    return _mean(ROW_LOSSES["log_loss"](y, p), level, generator, float(-np.log(max(p.min(), np.finfo(float).eps))))


def brier(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Mean over examples of sum_k (p_k - [k = label])^2, from 0 to 2; with two classes twice the one-column form."""
    return _mean(
        ROW_LOSSES["brier"](y, p), level, generator, float(np.max(np.sum(p**2, axis=1) + 1 - 2 * p.min(axis=1)))
    )


def mae(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Mean of |prediction - label|; bootstrap-t interval."""
    return _mean(ROW_LOSSES["absolute_error"](y, p), level, generator, float(np.ptp(y)))


def rmse(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Root of the mean of (prediction - label)^2; the root of that mean's bootstrap-t interval."""
    square = _mean(ROW_LOSSES["squared_error"](y, p), level, generator, float(np.ptp(y)) ** 2)
    root = np.sqrt(square.value)
    low, high = (float(np.sqrt(max(0.0, end))) for end in square.interval)
    interval = Interval(low, high, level, square.interval.kind)
    return Estimate(float(root), interval, square.influence / (2 * root) if root else square.influence)


def _mean(losses: Floats, level: float, generator: np.random.Generator, most: float) -> Estimate:
    """The mean; where all losses are alike, one that was not seen is taken to be at most `most`: by the worst label that a row
    could have had, or as far as labels are apart."""
    same = len(losses) > 1 and alike(losses)
    found = unseen(float(losses[0]), len(losses), 0.0, most, level) if same else studentized(losses, generator, level)
    interval = Interval(max(0.0, found.low), found.high, level, found.kind)  # none of these losses is below 0
    return Estimate(float(losses.mean()), interval, losses - losses.mean())


# -- ranking -------------------------------------------------------------------------------------------------------


def auroc(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Area under the ROC curve; with more than two classes the mean of each class against the rest.

    DeLong's standard error on the log-odds scale. Where the classes are separated perfectly that error is 0, and the
    interval of Newcombe (method 5) takes its place.
    """
    classes = _ranked_classes(y, p, "AUROC")
    found = [_placements(y == k, p[:, k]) for k in classes]
    value, influence = float(np.mean([f[0] for f in found])), np.mean([f[1] for f in found], axis=0)
    if np.any(influence) and 0 < value < 1:
        interval = _on_log_odds(value, influence, _rarest(y), level, "DeLong, log-odds")
    else:
        each = [_newcombe_area(f[0], int(np.sum(y == k)), int(np.sum(y != k)), level) for f, k in zip(found, classes)]
        interval = average([f[0] for f in found], each)
    return Estimate(value, interval, influence, _absent(np.unique(y), p))


def _placements(positive: Array, score: Floats) -> tuple[float, Floats]:
    """The area, and its influence: the share of the other class that each example is ranked right against.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; by ranks, Sun and Xu 2014,
    doi:10.1109/LSP.2014.2337313.
    """
    from scipy.stats import rankdata

    n, m = len(score), int(positive.sum())
    every = rankdata(score)
    share = np.empty(n)
    share[positive] = (every[positive] - rankdata(score[positive])) / (n - m)
    share[~positive] = 1 - (every[~positive] - rankdata(score[~positive])) / m
    area = float(share[positive].mean())
    return area, (share - area) * np.where(positive, n / m, n / (n - m))


def _newcombe_area(area: float, positives: int, negatives: int, level: float) -> Interval:
    """All areas t with |area - t| <= z sqrt(V(t)), V being Hanley and McNeil's variance.

    Source: Newcombe 2006, doi:10.1002/sim.2324.
    """
    from scipy.stats import norm

    z, half = norm.ppf(0.5 + level / 2), (positives + negatives) / 2

    def outside(t: float, sign: int) -> float:
        spread = t * (1 - t) * (1 + (half - 1) * ((1 - t) / (2 - t) + t / (1 + t))) / (positives * negatives)
        return sign * (area - t) - z * np.sqrt(spread)

    low = _root(outside, 0.0, area, 1) if outside(0.0, 1) > 0 else 0.0
    high = _root(outside, area, 1.0, -1) if outside(1.0, -1) > 0 else 1.0
    if area == 1:  # the end 1 is a root too: look below it
        low, high = _root(outside, 0.0, 1 - 1e-9, 1), 1.0
    if area == 0:
        low, high = 0.0, _root(outside, 1e-9, 1.0, -1)
    return Interval(float(low), float(high), level, "Newcombe")


def _root(function: Callable[[float, int], float], low: float, high: float, sign: int) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, args=(sign,)))  # type: ignore[arg-type]


def auprc(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Average precision; with more than two classes the mean of each class against the rest.

    The infinitesimal jackknife's standard error on the log-odds scale.
    """
    from sklearn.metrics import average_precision_score

    classes = _ranked_classes(y, p, "AUPRC")
    value = float(np.mean([average_precision_score(y == k, p[:, k]) for k in classes]))
    influence = np.mean([_precision_influence(y == k, p[:, k]) for k in classes], axis=0)
    if np.any(influence) and 0 < value < 1:
        interval = _on_log_odds(value, influence, _rarest(y), level, "infinitesimal jackknife, log-odds")
    else:  # ranked perfectly: no better bound than that of a share of the positives
        fewest = min(int(np.sum(y == k)) for k in classes)
        interval = Interval(wilson(fewest, fewest, level).low, 1.0, level, "wilson")
    return Estimate(value, interval, influence, _absent(np.unique(y), p))


def _precision_influence(positive: Array, score: Floats) -> Floats:
    """How average precision moves with each weight: with A_g positives and N_g examples at or above tie group g and a_g
    positives in it, AP = sum_g (a_g / M) A_g / N_g, and its derivative by the weight of an example in group h is
    ([positive] A_h/N_h + sum_{g <= h in score} a_g ([positive] N_g - A_g) / N_g^2 - [positive] AP) / M.
    """
    _, group = np.unique(-score, return_inverse=True)
    own, sizes = np.bincount(group, weights=positive), np.bincount(group)
    above, rows, total = np.cumsum(own), np.cumsum(sizes), positive.sum()
    later = lambda terms: np.cumsum(terms[::-1])[::-1]  # noqa: E731  sums over this group and those ranked below
    gain, loss = later(own / rows), later(own * above / rows**2)
    value = np.sum(own * above / rows) / total
    derivative = positive * (above / rows - value)[group] + positive * gain[group] - loss[group]
    return len(score) / total * derivative


def _on_log_odds(value: float, influence: Floats, rarest: int, level: float, kind: str) -> Interval:
    """value +- t se, made on the log-odds scale, where areas near one are closer to normal and stay below one.

    Student's t has one degree of freedom less than the rarest class has examples: they decide the error.
    """
    from scipy.special import expit, logit
    from scipy.stats import t

    n = len(influence)
    error = np.sqrt(np.sum(influence**2)) / n * np.sqrt(n / max(1, n - 1))
    half = t.ppf(0.5 + level / 2, max(1, rarest - 1)) * error / (value * (1 - value))
    return Interval(float(expit(logit(value) - half)), float(expit(logit(value) + half)), level, kind)


def _rarest(y: Array) -> int:
    return int(np.unique(y, return_counts=True)[1].min())


def _ranked_classes(y: Array, p: Floats, name: str) -> list[int]:
    """The classes to set against the rest: the second of two, or every one present."""
    present = np.unique(y)
    if len(present) < 2:
        raise NotApplicable(f"{name} compares classes, but all {len(y)} labels are of class {present[0]}")
    return [1] if p.shape[1] == 2 else [int(k) for k in present]


def _absent(present: Array, p: Floats) -> str:
    missing = p.shape[1] - len(present)
    return f"{missing} of {p.shape[1]} classes have no example here and do not count" if missing else ""


# -- regression ----------------------------------------------------------------------------------------------------


def r2(y: Array, p: Floats, level: float, generator: np.random.Generator) -> Estimate:
    """Share of the labels' variance that the predictions explain: 1 - MSE / Var(y); bootstrap-t of ln(1 - R2)."""
    from sklearn.metrics import r2_score

    if len(y) < 2 or np.ptp(y) == 0:
        why = "there is one label" if len(y) < 2 else "all labels are equal"
        raise NotApplicable(f"R2 compares with the variance of the labels, but {why}")
    value = float(r2_score(y, p))
    squares, centred = (p - y) ** 2, (y - y.mean()) / y.std()
    squares = squares / y.var()
    influence = (1 - value) * centred**2 - squares
    if not squares.any():
        missed = unseen(0.0, len(y), 0.0, float(np.ptp(y)) ** 2 / float(y.var()), level)
        return Estimate(1.0, Interval(1 - missed.high, 1.0, level, missed.kind), influence)
    found = bootstrap_t(_log_unexplained(squares, centred), len(y), generator, level)
    low, high = (1 - float(np.exp(end)) if end < 700 else -np.inf for end in (found.high, found.low))
    return Estimate(value, Interval(low, high, level, f"{found.kind} of ln(1 - R2)"), influence)


def _log_unexplained(e: Floats, c: Floats) -> Callable[[Array], tuple[Array, Array]]:
    """ln(MSE / Var) and its standard error by counts, of squared errors `e` and labels `c`, through their moments.

    The influence on it is e / MSE - (c - mean c)^2 / Var; its square is expanded, so that a resample costs a product.
    """
    columns = np.stack([e, e * e, c, c**2, c**3, c**4, e * c, e * c * c], axis=1)

    def statistic(drawn: Array) -> tuple[Array, Array]:
        mse, square, m1, m2, m3, m4, ec, ecc = (drawn @ columns / len(e)).T
        fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        variance, cross = m2 - m1**2, ecc - 2 * m1 * ec + m1**2 * mse
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = square / mse**2 - 2 * cross / (mse * variance) + fourth / variance**2
            return np.log(mse / variance), np.sqrt(np.maximum(spread, 0) / len(e))

    return statistic


METRICS = {
    "accuracy": Metric(accuracy, "classification", "accuracy", share=True),
    "balanced_accuracy": Metric(balanced_accuracy, "classification", "balanced accuracy", share=True),
    "auroc": Metric(auroc, "classification", "AUROC"),
    "auprc": Metric(auprc, "classification", "AUPRC"),
    "log_loss": Metric(log_loss, "classification", "log loss", higher_is_better=False),
    "brier": Metric(brier, "classification", "Brier score", higher_is_better=False),
    "r2": Metric(r2, "regression", "R2"),
    "mae": Metric(mae, "regression", "mean absolute error", higher_is_better=False),
    "rmse": Metric(rmse, "regression", "root mean squared error", higher_is_better=False),
}
"""Every quality there is, by the name that options and results use."""


def headline(task: str) -> str:
    """The one quality that stands for the others."""
    return "accuracy" if task == "classification" else "r2"


def of_task(task: str) -> dict[str, Metric]:
    """The qualities of a task."""
    return {name: metric for name, metric in METRICS.items() if metric.task == task}


def paired_correlation(first: Estimate, second: Estimate, pairs: tuple[Array, Array]) -> float:
    """The correlation of two estimates of which some examples are the same; `pairs` are their rows in each.

    Cov = sum over pairs of I1 I2 / (B1 B2), as the influences sum to 0.
    """
    one, two = first.influence, second.influence
    spread = np.sqrt(np.sum(one**2) * np.sum(two**2))
    return float(np.clip(np.sum(one[pairs[0]] * two[pairs[1]]) / spread, -1, 1)) if spread > 0 else 0.0


FEW = 10
"""Rows that change below which a bootstrap of their mean sees too few of them."""


def mean_interval(values: Floats, level: float, generator: np.random.Generator) -> Interval:
    """The interval of a mean of paired differences in [-1, 1], of which many may be 0; never outside [-1, 1].

    Differences of hits (-1, 0, 1) are two shares of one sample, of rows lost and rows won: the exact intervals of both are
    combined, with their correlation -sqrt(l w / ((1 - l) (1 - w))). Of other differences, where few are not 0, the
    exact bounds of the two shares bound the mean.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; Zou and Donner 2008, doi:10.1002/sim.3095.
    """
    count, lost, won = len(values), int(np.sum(values > 0)), int(np.sum(values < 0))
    first, second = (clopper_pearson(n, count, level) for n in (lost, won))
    if np.isin(values, (-1, 0, 1)).all():
        odds = [n / max(1, count - n) for n in (lost, won)]
        found = difference((lost / count, first), (won / count, second), -min(1.0, float(np.sqrt(odds[0] * odds[1]))))
    elif lost + won < FEW:
        found = Interval(-second.high, first.high, level, "bounds of clopper-pearson")
    else:
        found = student(values, level) if count > 2000 else studentized(values, generator, level)
    return Interval(max(-1.0, found.low), min(1.0, found.high), level, found.kind)
