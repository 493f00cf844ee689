"""Prediction sets of a promised coverage, calibrated by MAPIE on random halves of the rows: pure functions of answers.

Notation: N rows, n of them calibrate, m = N - n are looked at; k = ceil((n + 1) c) for a promised coverage c. The sets hold every
answer whose score is no larger than the k-th smallest score of the n labels. For rows in exchangeable order and scores without
ties, the share covered among further rows is Beta(k, n + 1 - k), and the number among m of them is beta-binomial, whatever
the model and the data.

Source: Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715; Angelopoulos and Bates 2023, doi:10.1561/2200000101.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.core.conformal import SCORES as SCORES
from pellucid.core.conformal import label_scores as label_scores
from pellucid.core.conformal import least_rows as least_rows
from pellucid.core.conformal import missed, prediction_intervals, prediction_sets, rank
from pellucid.core.resampling import Interval, alike, clopper_pearson, unseen
from pellucid.shapes import Array, Floats

Predictor = Callable[[Array, int], tuple[Array, Floats]]
"""Rows that calibrate, and a seed, to whether each row (N,) is covered, and how large its set or interval is (N,)."""


def halves(
    count: int, groups: Array | None, splits: int, generator: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Rows that calibrate, and the others: halves at random, whole groups together."""
    _, index, sizes = np.unique(np.arange(count) if groups is None else groups, return_inverse=True, return_counts=True)
    for _ in range(splits):
        order = generator.permutation(len(sizes))
        parted = np.abs(np.cumsum(sizes[order])[:-1] - count // 2)
        chosen = np.isin(index, order[: int(np.argmin(parted)) + 1])
        yield np.flatnonzero(chosen), np.flatnonzero(~chosen)


def predictor(answers: Floats, y: Array, score: str, coverage: float) -> Predictor:
    """How rows are covered by sets of class probabilities (N, K), or by intervals around predictions (N,)."""

    def classes(rows: Array, seed: int) -> tuple[Array, Floats]:
        sets = prediction_sets(answers, y, rows, score, coverage, seed)
        return sets[np.arange(len(y)), y], sets.sum(axis=1).astype(float)

    def values(rows: Array, seed: int) -> tuple[Array, Floats]:
        low, high = prediction_intervals(answers, y, rows, coverage).T
        slack = 1e-9 * np.maximum(1, np.abs(y))  # f + |y - f| need not be y to the last digit
        return (low - slack <= y) & (y <= high + slack), high - low

    return values if answers.ndim == 1 else classes


# -- what the halves say -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Halves:
    """What was seen over all splits.

    Attributes:
        kept: Share (N,) of the splits in which a row was covered, of those in which it did not calibrate.
        seen: In how many splits (N,) a row did not calibrate.
        coverage: Share covered (S,) in each split.
        size: Mean size (S,) of sets or intervals in each split.
        half: Mean size (S,) among the rows that calibrated.
        shares: Of all sets the share (K + 1,) that holds 0, 1, ... classes; (1,) for intervals.
        rows: Rows that calibrate, and others, on average.
    """

    kept: Floats
    seen: Array
    coverage: Floats
    size: Floats
    half: Floats
    shares: Floats
    rows: tuple[int, int]


def looked_at(
    predict: Predictor, parted: Sequence[tuple[Array, Array]], classes: int, generator: np.random.Generator
) -> Halves:
    """Calibrate on the first part of each split, and look at the second."""
    count = sum(map(len, parted[0]))
    kept, seen, found, shares = np.zeros(count), np.zeros(count, int), [], np.zeros(classes + 1)
    for rows, others in parted:
        covered, size = predict(rows, int(generator.integers(2**31)))
        kept[others] += covered[others]
        seen[others] += 1
        if classes:
            shares += np.bincount(size[others].astype(int), minlength=classes + 1)
        found.append((covered[others].mean(), size[others].mean(), size[rows].mean()))
    n = round(np.mean([len(rows) for rows, _ in parted]))
    each = np.array(found).T
    shares /= max(1.0, shares.sum())
    return Halves(kept / np.maximum(seen, 1), seen, each[0], each[1], each[2], shares, (n, count - n))


def design_effect(values: Floats, groups: Array | None) -> float:
    """How many times the variance of a mean grows because rows of one group are alike; at least 1.

    Source: Kish 1965, Survey Sampling; the variance between groups, Liang and Zeger 1986, doi:10.1093/biomet/73.1.13.
    """
    if groups is None:
        return 1.0
    _, index = np.unique(groups, return_inverse=True)
    apart = values - values.mean()
    sums, own = np.bincount(index, weights=apart), float(np.sum(apart**2))
    if len(sums) < 2 or own == 0:  # one group, or rows that are all alike: every group counts once
        return len(values) / len(sums)
    return max(1.0, len(sums) / (len(sums) - 1) * float(np.sum(sums**2)) / own)


def spread(share: float, rows: tuple[int, int], effect: float, level: float) -> tuple[Interval, Interval]:
    """Where the coverage lies that one calibration has: counted on as many other rows, and in the long run.

    With the share covered s on average, the coverage in the long run is Beta(s (n + 1), (1 - s)(n + 1)), which for rows without
    groups is Beta(k, n + 1 - k), and the count among m rows is beta-binomial; rows in groups count for fewer, n and m over the
    effect.
    """
    from scipy.stats import beta, betabinom

    n, m = (max(1, round(r / effect)) for r in rows)
    sides = max(share * (n + 1), 0.5), max((1 - share) * (n + 1), 0.5)
    tails = (0.5 - level / 2, 0.5 + level / 2)
    counted, lasting = betabinom.ppf(tails, m, *sides) / m, beta.ppf(tails, *sides)
    return _between(counted, level, "beta-binomial"), _between(lasting, level, "beta")


def tied_spread(
    scores: Floats, coverage: float, rows: tuple[int, int], effect: float, level: float
) -> tuple[Interval, Interval]:
    """`spread` where scores (N,) have ties: all rows of the score at the k-th place are covered, not just those up to it.

    The place B in the distribution of scores is Beta(k, n + 1 - k); the coverage is that of all rows up to the end of the tie
    that B falls into, whose share is known from N rows.
    """
    from scipy.stats import beta, betabinom

    n, m, known = (max(1, round(r / effect)) for r in (*rows, len(scores)))
    k, ordered = min(rank(n, coverage), n), np.sort(scores)
    place = beta.ppf((np.arange(200) + 0.5) / 200, k, n + 1 - k)
    at = np.quantile(ordered, place, method="inverted_cdf")
    first, last = (np.searchsorted(ordered, at, side=side) for side in ("left", "right"))
    reached = np.where(last - first > 1, last / len(ordered), place)
    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    ends, often = np.unique(reached, return_counts=True)
    each = betabinom.pmf(np.arange(m + 1)[:, None], m, ends * known + 0.5, (1 - ends) * known + 0.5)
    counted, lasting = np.searchsorted(np.cumsum(each @ often) / often.sum(), tails) / m, np.quantile(reached, tails)
    return _between(counted, level, "beta-binomial of ties"), _between(lasting, level, "beta of ties")


def _between(ends: Floats, level: float, kind: str) -> Interval:
    low, high = map(float, ends)
    return Interval(low, high, level, kind)


def mean_size(found: Halves, coverage: float, effect: float, level: float) -> Interval:
    """The interval of the mean size: the delete-half jackknife, Student's t of what each half says of its own rows.

    A half that calibrates and is looked at is a sample half as large, so its variance around all is that of all. The variance is
    known from S splits and from the N (1 - c) rows beyond the k-th score, which decide where that lies: 1 over the degrees of
    freedom is the sum of 1 / (S - 1) and of 1 over these rows.

    Source: Shao and Wu 1989, doi:10.1214/aos/1176347263.
    """
    from scipy.stats import t

    middle, rows = float(found.size.mean()), max(1, round(sum(found.rows) / effect))
    if len(found.shares) > 1 and alike(found.half):
        return unseen(middle, rows, 0.0, len(found.shares) - 1.0, level)
    beyond = sum(found.rows) * missed(coverage) / effect
    free = 1 / (1 / (len(found.half) - 1) + 1 / beyond)
    apart = float(t.ppf(0.5 + level / 2, free) * found.half.std(ddof=1))
    return Interval(max(0.0, middle - apart), middle + apart, level, "delete-half jackknife")


def share_kept(kept: Floats, groups: Array | None, level: float) -> tuple[float, Interval]:
    """The share of some rows (B,) that is covered, with its exact interval; rows in groups count for fewer."""
    share = float(kept.mean())
    trials = max(1, round(len(kept) / design_effect(kept, groups)))
    return share, clopper_pearson(round(share * trials), trials, level)
