"""The tail of a sample as a power law, and whether a lognormal describes it better: pure functions of values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pellucid.core.resampling import Interval
from pellucid.shapes import Floats

FEWEST = 10
"""Values that a tail has at least: of fewer, any law fits."""

STARTS = 50
"""Places that are tried for the start of a tail."""

RESAMPLES = 100
"""Samples drawn from what was found, for its error and its fit."""

SURELY = 0.1
"""A p-value at which a law is ruled out (Clauset et al. 2009, sections 4 and 5)."""


class Tail(NamedTuple):
    """A density proportional to x^-alpha from `start` on, fitted to the `beyond` largest values.

    `misfit` is the p-value of its KS distance; `ratio` Vuong's statistic, below 0 where a lognormal is nearer to the values, and
    `lognormal` its p-value.
    """

    alpha: float
    error: float
    interval: Interval
    start: float
    beyond: int
    misfit: float
    ratio: float
    lognormal: float

    @property
    def holds(self) -> bool:
        """Whether the law is ruled out neither by itself nor by a lognormal that describes the tail surely better."""
        return self.misfit > SURELY and (self.ratio >= 0 or self.lognormal > SURELY)


def tail(values: Floats, generator: np.random.Generator, level: float = 0.95) -> Tail:
    """The power law of the largest values, at least `FEWEST` of them; where it starts is chosen for the smallest KS distance.

    alpha = 1 + n / sum ln(x / start). Samples are drawn from the law beyond the start, and from the values themselves below it,
    and fitted likewise: how far their alphas scatter is its error, which the choice of the start is part of; how often they are
    farther from their law, the p-value of its fit.

    Source: Clauset, Shalizi and Newman 2009, arXiv:0706.1062.
    """
    from scipy.stats import norm

    logs = np.sort(np.log(values[values > 0]))
    at, slope, distance = nearest(logs)
    start, beyond, below = logs[at], logs[at:], logs[:at]

    def again() -> tuple[float, float]:
        count = int(generator.binomial(len(logs), len(beyond) / len(logs))) if len(below) else len(logs)
        drawn = start + generator.exponential(1 / slope, count)
        return nearest(np.sort(np.append(drawn, generator.choice(below, len(logs) - count)) if len(below) else drawn))[
            1:
        ]

    slopes, distances = np.array([again() for _ in range(RESAMPLES)]).T
    scatter = float(np.log(slopes).std(ddof=1))
    low, high = (1 + slope * np.exp(norm.ppf(q) * scatter) for q in (0.5 - level / 2, 0.5 + level / 2))
    ratio, p_value = against_lognormal(beyond, slope)
    misfit = (1 + int(np.sum(distances >= distance))) / (1 + RESAMPLES)
    interval = Interval(float(low), float(high), level, "drawn samples, log")
    return Tail(1 + slope, slope * scatter, interval, float(np.exp(start)), len(beyond), misfit, ratio, p_value)


def nearest(logs: Floats) -> tuple[int, float, float]:
    """Where the tail of ascending logarithms starts, alpha - 1 there, and the KS distance, the smallest of all starts."""
    last = int(np.searchsorted(logs, logs[-1]))  # a tail of one value over and over has no slope
    free = np.arange(max(1, min(len(logs) - FEWEST + 1, last)))
    at = free[np.unique(np.linspace(0, len(free) - 1, min(STARTS, len(free))).astype(int))]
    counts = len(logs) - at
    sums = np.cumsum(logs[::-1])[::-1][at] - counts * logs[at]
    slopes = counts / np.maximum(sums, 1e-12)
    law = -np.expm1(-slopes[:, None] * np.maximum(logs - logs[at][:, None], 0))
    place = np.arange(len(logs)) - at[:, None]
    far = np.maximum((place + 1) / counts[:, None] - law, law - place / counts[:, None])
    distances = np.where(place >= 0, far, 0).max(axis=1)
    best = int(distances.argmin())
    return int(at[best]), float(slopes[best]), float(distances[best])


def against_lognormal(beyond: Floats, slope: float) -> tuple[float, float]:
    """Vuong's statistic of the power law against the likeliest lognormal, both from the first of the logarithms on, and its p.

    Source: Vuong 1989, doi:10.2307/1912557.
    """
    from scipy.special import erfc

    law = np.log(slope) - slope * (beyond - beyond[0])
    apart = law - lognormal(beyond, float(beyond[0]))
    spread = float(apart.std())
    ratio = float(np.sum(apart)) / float(np.sqrt(len(beyond)) * spread) if spread > 0 else 0.0
    return ratio, float(erfc(abs(ratio) / np.sqrt(2)))


def lognormal(logs: Floats, start: float) -> Floats:
    """Log-densities (n,) of logarithms under the likeliest normal that is cut off below a start."""
    from scipy.optimize import minimize
    from scipy.stats import norm

    def each(middle: float, spread: float) -> Floats:
        return norm.logpdf(logs, middle, spread) - norm.logsf(start, middle, spread)

    width = max(float(logs.std()), 1e-6)
    first = [(logs.mean() - start) / width, 0.0]
    place = lambda at: (start + width * at[0], width * float(np.exp(np.clip(at[1], -20, 20))))  # noqa: E731
    found = minimize(
        lambda at: -each(*place(at)).sum(), first, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6}
    )
    return each(*place(found.x))
