"""Accuracy on rows without labels, by what is known of rows with labels: pure functions of probabilities.

Notation: p (B, K) probabilities of labelled rows, y (B,) their labels; q (M, K) probabilities of the new rows; R draws.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pellucid.core.resampling import Interval, alike, student, unseen
from pellucid.shapes import Array, Floats

DRAWS, STEPS = 500, 200
"""Resamples of each estimate, and steps of its fit."""

BINS, MANY = 4, 20
"""Bins of confidence for each predicted class; of more classes than `MANY` one."""


class Guess(NamedTuple):
    """An accuracy estimated without labels; `p_value` of what it assumes, or None where nothing can be tested."""

    value: float
    interval: Interval
    p_value: float | None = None


def reweighted(p: Floats, y: Array, q: Floats, level: float, generator: np.random.Generator) -> Guess:
    """sum_j share'_j P(right | j): only the shares of the classes are new (label shift); they are fitted to what is predicted.

    With cells c of predicted class and confidence, P(c | j) counted on labelled rows, the new shares are those of the largest
    likelihood of the new rows' cells, by expectation maximization. The assumption says that sum_j share'_j P(c | j) is how new
    rows are distributed: the p-value is that of Pearson's statistic, by drawing both sets anew under it and fitting again.

    Source: Saerens, Latinne and Decaestecker 2002, doi:10.1162/089976602753284446; cells of predictions as in Lipton, Wang and
    Smola 2018, arXiv:1802.03916.
    """
    known, cells = np.unique(y), _cells(p, q)
    by_class = np.stack([np.bincount(cells[0][y == j], minlength=cells[2]) for j in known])
    found = np.array([np.sum(p[y == j].argmax(axis=1) == j) for j in known])
    seen = np.bincount(cells[1], minlength=cells[2])
    shares, expected = _fitted(by_class[None], seen[None])
    statistic = _pearson(seen[None], expected)[0]
    sizes, chance = by_class.sum(axis=1), _conditional(by_class[None])[0]
    drawn = np.stack([generator.multinomial(n, row, DRAWS) for n, row in zip(sizes, chance, strict=True)], axis=1)
    null = generator.multinomial(len(q), expected[0], DRAWS)
    by_chance = _pearson(null, _fitted(drawn, null)[1])
    again = generator.multinomial(len(q), seen / len(q), DRAWS)
    right = found / sizes
    hits = generator.beta(
        found + 0.5, sizes - found + 0.5, (DRAWS, len(sizes))
    )  # that none was wrong does not say none is
    values = np.sum(_fitted(drawn, again)[0] * hits, axis=1)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    value = float(shares[0] @ right)
    interval = Interval(min(float(low), value), max(float(high), value), level, "bootstrap")
    return Guess(value, interval, float((1 + np.sum(by_chance >= statistic)) / (1 + DRAWS)))


def _cells(p: Floats, q: Floats) -> tuple[Array, Array, int]:
    """The cell of each labelled and each new row, and how many cells there are."""
    bins = BINS if p.shape[1] <= MANY else 1
    edges = np.quantile(p.max(axis=1), np.arange(1, bins) / bins)
    place = lambda r: r.argmax(axis=1) * bins + np.searchsorted(edges, r.max(axis=1), side="right")  # noqa: E731
    return place(p), place(q), bins * p.shape[1]


def _conditional(by_class: Array) -> Floats:
    """P(c | j) (R, J, C) of counts, none of them 0: half a row is added to each class, spread over all cells."""
    counts = by_class + 0.5 / by_class.shape[-1]
    return counts / counts.sum(axis=-1, keepdims=True)


def _fitted(by_class: Array, seen: Array) -> tuple[Floats, Floats]:
    """Shares (R, J) of the classes by expectation maximization, and what they lead one to expect in each cell (R, C)."""
    chance = _conditional(by_class)
    shares = np.full(chance.shape[:2], 1 / chance.shape[1])
    for _ in range(STEPS):
        expected = np.einsum("rj,rjc->rc", shares, chance)
        shares = shares * np.einsum("rc,rjc->rj", seen / expected, chance) / seen.sum(axis=1, keepdims=True)
    return shares, np.einsum("rj,rjc->rc", shares, chance)


def _pearson(seen: Array, expected: Floats) -> Floats:
    total = seen.sum(axis=1, keepdims=True)
    return np.sum((seen - total * expected) ** 2 / (total * expected), axis=1)


def thresholded(p: Floats, y: Array, q: Floats, level: float, generator: np.random.Generator) -> Guess:
    """The share of new rows with a confidence above t, of which as many labelled rows are above t as are right.

    Source: average thresholded confidence, Garg et al. 2022, arXiv:2201.04234.
    """
    sure, right, new = p.max(axis=1), p.argmax(axis=1) == y, np.sort(q.max(axis=1))

    def estimate(rows: Array, others: Floats) -> float:
        wrong = int(np.sum(~right[rows]))
        ordered = np.sort(sure[rows])
        threshold = ordered[wrong] if wrong < len(ordered) else np.inf
        return 1 - np.searchsorted(others, threshold) / len(others)

    drawn = [
        estimate(generator.integers(0, len(sure), len(sure)), np.sort(generator.choice(new, len(new))))
        for _ in range(DRAWS)
    ]
    value = float(estimate(np.arange(len(sure)), new))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Guess(value, Interval(min(float(low), value), max(float(high), value), level, "bootstrap"))


def difference(p: Floats, y: Array, q: Floats, level: float, generator: np.random.Generator) -> Guess:
    """Accuracy on labelled rows, less by how much the mean confidence falls: what was off there is off by as much here.

    Source: difference of confidences, Guillory et al. 2021, arXiv:2107.03315.
    """
    del generator
    apart, sure = (p.argmax(axis=1) == y) - p.max(axis=1), q.max(axis=1)
    excess = unseen(float(apart[0]), len(apart), -1.0, 1.0, level) if alike(apart) else student(apart, level)
    mean = unseen(float(sure[0]), len(sure), 0.0, 1.0, level) if alike(sure) else student(sure, level)
    value = float(apart.mean() + sure.mean())
    half = float(np.hypot(excess.width, mean.width)) / 2
    return Guess(
        float(np.clip(value, 0, 1)), Interval(max(0.0, value - half), min(1.0, value + half), level, "student")
    )
