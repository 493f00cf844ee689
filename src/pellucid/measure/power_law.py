"""How errors fall with the number of rows, error(n) = a n^-b + c, and what that says of more rows: pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.core.resampling import Interval
from pellucid.shapes import Array, Floats

RATES = np.geomspace(0.05, 2, 80)
"""Exponents b that are looked at; what has been seen of networks lies between 0.07 and 1."""

FLOORS = 200
"""Different c that are looked at, from 0 to a little above the least error."""


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = scale n^-rate + floor."""

    scale: float
    rate: float
    floor: float

    def __call__(self, sizes: Array | float) -> Floats:
        """The error with so many rows."""
        return self.scale * np.asarray(sizes, dtype=float) ** -self.rate + self.floor


@dataclass(frozen=True)
class Extrapolation:
    """A fitted power law, and what it says of more rows.

    Attributes:
        law: The best fit.
        error: Where the error with so many more rows lies.
        gain: Where the difference to that error lies.
        floor: Where the error without end lies.
        misfit: The chance of errors so far off any power law, if they follow one.
    """

    law: PowerLaw
    error: Interval
    gain: Interval
    floor: Interval
    misfit: float


def covariance(sizes: Array, errors: Floats, pool: float = np.inf) -> Floats:
    """The covariance (S, S) of the mean errors of repeats (S, R), whose rows are drawn from a pool of so many.

    A few repeats say little of one size's variance, so ln variance is taken for linear in ln n. Parts of one pool differ less
    than parts of the world: the variance of n rows out of N is divided by 1 - n/N, and that of nearly all is read off the
    line. Repeats are of nested parts, whose errors go together: one correlation for all pairs of sizes, from how far whole
    repeats lie above the others.
    """
    count, repeats = errors.shape
    free = sizes < 0.75 * pool
    used = free if free.sum() > 1 else np.ones(count, dtype=bool)
    centred = errors - errors.mean(axis=1, keepdims=True)
    drawn = 1 - np.minimum(sizes / pool, 0.75)
    found = np.sum(centred**2, axis=1) / (repeats - 1) / drawn
    found = np.maximum(found, max(1e-12, 1e-3 * float(found.mean())))
    logs = np.log(sizes / sizes.mean())
    smooth = np.exp(np.polyval(np.polyfit(logs[used], np.log(found[used]), 1), logs))
    smooth *= float(np.mean(found[used] / smooth[used]))
    apart = (centred / np.sqrt(smooth * drawn)[:, None])[used]
    together, parts = np.var(apart.mean(axis=0), ddof=1), len(apart)
    shared = float(np.clip((parts * together - 1) / (parts - 1), 0, 0.9))
    return (
        ((1 - shared) * np.eye(count) + shared) * np.sqrt(np.outer(smooth, smooth)) / _independent(sizes, repeats, pool)
    )


def _independent(sizes: Array, repeats: int, pool: float) -> Floats:
    """How many repeats the mean of repeats is worth (S, S): parts of n rows of N overlap, and all rows are drawn once."""
    worth = repeats / (1 + (repeats - 1) * np.minimum(sizes / pool, 1))
    return np.sqrt(np.outer(worth, worth))


def extrapolated(
    sizes: Array, errors: Floats, pool: float = np.inf, more: float = 2.0, level: float = 0.95
) -> Extrapolation:
    """Fit a power law to errors (S, R) of R repeats at S sizes, and say what `more` times the largest would give.

    Generalized least squares of the mean errors, with a >= 0, 0.05 <= b <= 2 and c >= 0. For every b and c on a grid, the
    best a and its error are known in closed form; the interval of a quantity holds its values at all (a, b, c) whose sum of
    squares is above the least by no more than the quantile of F with 1 and R - 1 degrees of freedom, as few as there are
    where whole repeats go together. So bounds and a floor that the data leave open widen it as they should. Simulated, a
    level of 95 % holds for the gain and the error; for the floor it fell to 91 % where the variance was no power of n.
    """
    from scipy.stats import f as fisher

    sizes, errors = np.asarray(sizes, dtype=float), np.asarray(errors, dtype=float)
    means, (count, repeats) = errors.mean(axis=1), errors.shape
    spread = covariance(sizes, errors, pool)
    weight, freedom = np.linalg.inv(spread), repeats - 1
    shapes = (sizes / sizes.max()) ** -RATES[:, None]  # (rates, S): 1 at the largest size
    floors = np.linspace(0, means.min() + 3 * np.sqrt(spread.max()), FLOORS)  # no error lies below it
    left = means - floors[:, None]  # (floors, S)
    curvature = np.einsum("rs,st,rt->r", shapes, weight, shapes)[:, None]
    best = np.einsum("rs,st,ft->rf", shapes, weight, left) / curvature
    squares = np.einsum("fs,st,ft->f", left, weight, left)[None] - curvature * best**2
    kept = np.maximum(best, 0)
    least = squares + curvature * (kept - best) ** 2
    r, k = np.unravel_index(int(least.argmin()), least.shape)
    spare = float(fisher.ppf(level, 1, freedom)) + least.min() - squares
    reach = np.sqrt(np.maximum(spare, 0) / curvature)
    fits = (spare >= 0) & (best + reach >= 0)
    low, high = np.maximum(best - reach, 0)[fits], (best + reach)[fits]
    floor, later = np.broadcast_to(floors, fits.shape)[fits], np.broadcast_to(more ** -RATES[:, None], fits.shape)[fits]
    law = PowerLaw(float(kept[r, k] * sizes.max() ** RATES[r]), float(RATES[r]), float(floors[k]))
    ends = lambda small, large: Interval(float(small.min()), float(large.max()), level, "profile")  # noqa: E731
    return Extrapolation(
        law, ends(floor + low * later, floor + high * later), ends(low * (1 - later), high * (1 - later)), ends(floor, floor),
        float(fisher.sf(least.min() / (count - 3), count - 3, freedom)) if count > 3 else 1.0,
    )  # fmt: skip
