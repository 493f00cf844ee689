"""A mean squared error in parts: what is due to miscalibration, what is told apart, and what there was to tell.

Notation: forecasts p (N, C) of outcomes z (N, C), score = mean_i sum_c (p_ic - z_ic)^2; in bin b of an outcome's forecasts, w_b
is its share of the rows, d_b the mean of p - z and s_b^2 the variance of z. Then, summed over outcomes,

reliability = sum_b w_b (d_b^2 - s_b^2 / n_b), uncertainty = Var(z), resolution = reliability + uncertainty - score,

with unbiased variances: noise in the means of z, which the plug-in counts as miscalibration and as resolution, is removed from
both. What forecasts tell inside a bin is part of the resolution, so the parts add up to the score.

Source: Ferro and Fricker 2012, doi:10.1002/qj.1924; inside bins, Stephenson, Coelho and Jolliffe 2008,
doi:10.1175/2007WAF2006116.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pellucid.core.resampling import Interval, counts, unseen
from pellucid.measure.bins import edges
from pellucid.shapes import Array, Floats

PARTS = ("reliability", "resolution", "uncertainty")

RESAMPLES = 500


@dataclass(frozen=True)
class Parts:
    """reliability, resolution and uncertainty, each a value and an interval."""

    values: Floats
    intervals: tuple[Interval, ...]


def decomposed(p: Floats, z: Floats, bins: int, generator: np.random.Generator, level: float) -> Parts:
    """The parts of the score of forecasts (N, C) of outcomes (N, C), with bootstrap intervals.

    A resample is drawn from the rows, among which the plug-in parts are the truth: how far its parts, noise removed, lie from
    these is how far the parts of the rows may lie from the truth.
    """
    of = _summed(p, z, bins)
    everything = np.ones((1, len(p)))
    value, plug_in = of(everything, True)[0], of(everything, False)[0]
    drawn = np.concatenate([of(block, True) for block in counts(len(p), generator, RESAMPLES)]) - plug_in
    below, above = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    ends = zip(value + below, value + above, strict=True)
    kind = "bootstrap (percentile)"
    found = [Interval(min(a, v), max(b, v), level, kind) for (a, b), v in zip(ends, value.tolist(), strict=True)]
    far = float(np.sum(np.ptp(np.concatenate([p, z]), axis=0) ** 2))  # no row can lose more
    still = np.ptp(drawn, axis=0) <= 1e-6 * far
    found = [unseen(i.high, len(p), 0.0, far, level) if s else i for i, s in zip(found, still, strict=True)]
    found[0] = Interval(
        found[0].low, max(0.0, found[0].high), level, kind
    )  # a mean square: 0 can never be ruled out from above
    return Parts(value, tuple(found))


def _summed(p: Floats, z: Floats, bins: int) -> Callable[[Array, bool], Floats]:
    """The parts (R, 3) by counts (R, N), with or without their noise removed: sums over the rows of each bin tell them."""
    from scipy.sparse import csr_array

    place, start = np.empty(p.shape, int), 0
    for c in range(p.shape[1]):
        found = np.searchsorted(edges(p[:, c], bins, "equal-mass"), p[:, c], side="right")
        place[:, c] = np.unique(found, return_inverse=True)[1] + start
        start = place[:, c].max() + 1
    rows = np.repeat(np.arange(len(p)), p.shape[1])
    sums = [
        csr_array((part.ravel(), (rows, place.ravel())), shape=(len(p), start))
        for part in (np.ones(p.shape), p, z, z * z)
    ]
    outcome = np.unique(place, return_index=True)[1] % p.shape[1]
    loss = np.sum((p - z) ** 2, axis=1)

    def of(drawn: Array, unbiased: bool) -> Floats:
        n, said, came, square = (np.asarray((part.T @ drawn.T).T) for part in sums)
        total = drawn.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = came / n
            apart = np.nan_to_num((said / n - mean) ** 2)
            noise = np.where(n > 1, (square / n - mean**2) / (n - 1), 0.0)
        middle = np.stack([came[:, outcome == c].sum(axis=1) for c in range(p.shape[1])]) / total.T
        spread = np.stack([square[:, outcome == c].sum(axis=1) for c in range(p.shape[1])]) / total.T - middle**2
        reliability = np.sum(n / total * (apart - noise * unbiased), axis=1)
        uncertainty = spread.sum(axis=0) * (total[:, 0] / (total[:, 0] - 1) if unbiased else 1)
        return np.stack([reliability, reliability + uncertainty - drawn @ loss / total[:, 0], uncertainty], axis=1)

    return of
