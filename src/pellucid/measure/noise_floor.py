"""What no model can get right: bounds of the least possible error, from labels of neighbouring rows; pure functions.

Notation: s (B, J) is how much the label of a row differs from that of its j-th nearest other row: 0 or 1 for classes, half the
squared difference for values. Its mean at an infinitely near neighbour is the disagreement R of two labels of one input.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pellucid.core.resampling import Interval, clopper_pearson, student, studentized
from pellucid.core.threads import one_thread
from pellucid.shapes import Array, Floats

NEIGHBOURS = 25
"""Neighbours of a row that are looked at."""

VOTES = (1, 5, 25)
"""Of so many neighbours, the labels are put together to predict that of a row."""


def neighbours(reference: Floats, rows: Floats) -> tuple[Floats, Array]:
    """The distances of the nearest `NEIGHBOURS` reference rows to each row (B, J), and which they are."""
    from sklearn.neighbors import NearestNeighbors

    with one_thread():
        return NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(reference))).fit(reference).kneighbors(rows)


def disagreement(y: Array, near: Array, classes: int) -> Floats:
    """s (B, J), of labels (B,) and those of neighbours (B, J); `classes` is 0 for values."""
    return (near != y[:, None]).astype(float) if classes else (near - y[:, None]) ** 2 / 2


def voted(y: Array, near: Array, classes: int) -> dict[int, Floats]:
    """The errors (B,) of predicting a label from those of neighbours, by their number: by vote of classes, else by the mean."""
    found = {}
    for count in (k for k in VOTES if k <= near.shape[1]):
        if classes:
            votes = np.stack([np.sum(near[:, :count] == k, axis=1) for k in range(classes)], axis=1)
            found[count] = (votes.argmax(axis=1) != y).astype(float)
        else:
            found[count] = (near[:, :count].mean(axis=1) - y) ** 2
    return found


def dimension(distances: Floats) -> float:
    """In how many directions rows vary where they lie, from how much farther the second neighbour is than the first.

    Source: Facco et al. 2017, doi:10.1038/s41598-017-11873-y.
    """
    apart = distances[:, 0] > 0
    stretched = np.log(distances[apart, 1] / distances[apart, 0])
    return float(1 / stretched.mean()) if stretched.any() else 1.0


def at_no_distance(s: Floats, dimensions: float) -> Floats:
    """What of each row (B,) averages to R: s extrapolated to an infinitely near neighbour.

    In a random share q of the reference rows the j-th neighbour is the nearest with probability q (1 - q)^(j-1), so that
    S(q) = sum_j q (1 - q)^(j-1) s_j is what a smaller reference would give. With a bias that falls like n^(-1/D), as at
    sharp borders of classes (faster elsewhere), R = S(1/2) - (S(1/4) - S(1/2)) / (2^(1/D) - 1).
    """
    order = np.arange(s.shape[1])
    half, quarter = (s @ (w / w.sum()) for w in (q * (1 - q) ** order for q in (0.5, 0.25)))
    return half - (quarter - half) / (2 ** (1 / dimensions) - 1)


def cover_hart(rate: float, classes: int) -> float:
    """The least Bayes error that goes with a disagreement: (K-1)/K (1 - sqrt(1 - K/(K-1) R)).

    Source: Cover and Hart 1967, doi:10.1109/TIT.1967.1053964.
    """
    most = (classes - 1) / classes
    return most * (1 - float(np.sqrt(max(0.0, 1 - max(0.0, rate) / most))))


def lower(s: Floats, distances: Floats, classes: int, level: float) -> tuple[float, float]:
    """The estimate and the lower end, at `level`, of the least possible error by the labels of near rows."""
    values = at_no_distance(s, dimension(distances))
    found = float(values.mean()), student(values, 2 * level - 1).low
    own = student(s[:, 0], 2 * level - 1).low  # a nearest row that is not near disagrees more, never less
    ends = found[0], min(found[1], own)
    value, low = (cover_hart(e, classes) if classes else max(0.0, e) for e in ends)
    return value, low


def upper(errors: Mapping[str, Floats], level: float, generator: np.random.Generator) -> tuple[str, float, float]:
    """Of rules with these errors on rows that they have not seen, the best: its name, its error, and the least upper end.

    No rule does better than the least possible error, so each one's upper end, at 1 - (1 - level) / (number of rules), is one.
    """
    own = 1 - 2 * (1 - level) / len(errors)
    ends = {name: mean_error(values, own, generator).high for name, values in errors.items()}
    best = min(ends, key=lambda name: ends[name])
    return best, float(errors[best].mean()), ends[best]


def mean_error(values: Floats, level: float, generator: np.random.Generator) -> Interval:
    """The interval of a mean error: exact of shares, of others the bootstrap's (Student's of many), never below 0."""
    if np.isin(values, (0, 1)).all():
        return clopper_pearson(int(values.sum()), len(values), level)
    found = student(values, level) if len(values) > 2000 else studentized(values, generator, level)
    return Interval(max(0.0, found.low), found.high, level, found.kind)
