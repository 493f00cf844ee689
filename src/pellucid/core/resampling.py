"""Intervals: exact or Wilson for proportions, the bootstrap for statistics, Student's t for means over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.record import Value
from pellucid.errors import InvalidInput
from pellucid.shapes import Array


@dataclass(frozen=True, eq=False)
class Interval(Value):
    """A confidence interval: `low` to `high` at `level`, found by `kind` ("wilson", "bootstrap", ...)."""

    low: float
    high: float
    level: float = 0.95
    kind: str = ""

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high

    def __iter__(self):  # so that `low, high = interval` works
        return iter((self.low, self.high))

    @property
    def width(self) -> float:
        """High minus low."""
        return self.high - self.low


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The Wilson score interval of a proportion.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    from scipy.stats import binomtest

    _require_trials(trials)
    found = binomtest(int(successes), int(trials)).proportion_ci(level, "wilson")
    return Interval(float(found.low), float(found.high), level, "wilson")


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The exact interval of a proportion: covers at least its level for every true value.

    Its ends are quantiles of beta distributions, which is a hundred times as fast as to search for them.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    from scipy.special import betaincinv

    _require_trials(trials)
    miss, k, n = (1 - level) / 2, int(successes), int(trials)
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, miss))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - miss))
    return Interval(low, high, level, "clopper-pearson")


def _require_trials(trials: int) -> None:
    if trials < 1:
        raise InvalidInput("a proportion needs at least one trial, got none")


def unseen(value: float, rows: int, least: float, most: float, level: float = 0.95) -> Interval:
    """The interval of a mean of `rows` values that are all `value`: others, from `least` to `most`, may be too rare to be seen.

    A share of them up to Clopper and Pearson's bound for none among so many is possible; the spread of values that are all
    alike says nothing.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; Hanley and Lippman-Hand 1983, JAMA 249:1743-1745.
    """
    rare = clopper_pearson(0, rows, level).high
    ends = value - rare * max(0.0, value - least), value + rare * max(0.0, most - value)
    return Interval(*ends, level, "clopper-pearson of none seen")


def alike(values: Sequence[float] | Array) -> bool:
    """Whether values are all the same, but for rounding in single precision."""
    return bool(np.ptp(values) <= 1e-6 * np.abs(values).max())


def student(values: Sequence[float] | Array, level: float = 0.95) -> Interval:
    """Student's t interval of a mean; infinite for a single value, which says nothing about its spread."""
    from scipy.stats import t

    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(-np.inf, np.inf, level, "t")
    half = float(t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean - half, mean + half, level, "t")


def bootstrap(
    statistic: Callable[..., Any],
    samples: Sequence[Array],
    generator: np.random.Generator,
    *,
    paired: bool = True,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """The BCa bootstrap interval of `statistic(*samples, axis=-1)`, or of `statistic(*samples)` if it takes no axis.

    `paired` resamples all samples with the same indices (they describe the same examples); otherwise each on its own.
    Where the bias correction is undefined (a statistic that never changes, say) the percentile interval is used.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410; computed by `scipy.stats.bootstrap`.
    """
    import warnings

    from scipy.stats import bootstrap as resample

    def run(method: Any) -> Any:
        return resample(
            samples, statistic, paired=paired, confidence_level=level, n_resamples=resamples,
            batch=max(1, min(resamples, 4_000_000 // max(1, len(samples[0])))), method=method, rng=generator,
        ).confidence_interval  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate sample: answered by the percentile interval below
        found, kind = run("BCa"), "bootstrap (BCa)"
        if not np.isfinite([found.low, found.high]).all():
            found, kind = run("percentile"), "bootstrap (percentile)"
    return Interval(float(found.low), float(found.high), level, kind)


# -- combining intervals -----------------------------------------------------------------------------------------


def difference(first: tuple[float, Interval], second: tuple[float, Interval], correlation: float = 0.0) -> Interval:
    """The interval of `first - second`, each given as its value and its own interval.

    With l, u the ends of each: low = d - sqrt((v1 - l1)^2 - 2 r (v1 - l1)(u2 - v2) + (u2 - v2)^2), high likewise. For
    two proportions with Wilson intervals it is Newcombe's hybrid score interval, which keeps its level where the usual
    standard error fails (few examples, accuracy near one); `correlation` r of the two estimates serves paired data.

    Source: Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I;
    Zou and Donner 2008, doi:10.1002/sim.3095.
    """
    (v1, one), (v2, two) = first, second
    below, above = (v1 - one.low, two.high - v2), (one.high - v1, v2 - two.low)
    low, high = (float(np.hypot(*sides)) for sides in (below, above)) if not correlation else (
        _joined(sides, correlation) for sides in (below, above)
    )  # fmt: skip
    gap = v1 - v2
    return Interval(gap - low, gap + high, one.level, f"difference of {one.kind}")


def _joined(sides: tuple[float, float], correlation: float) -> float:
    square = sides[0] ** 2 + sides[1] ** 2 - 2 * correlation * sides[0] * sides[1]
    return float(np.sqrt(max(0.0, square)))


def average(values: Sequence[float] | Array, intervals: Sequence[Interval]) -> Interval:
    """The interval of the mean of independent estimates, from their own intervals.

    Source: Zou and Donner 2008, doi:10.1002/sim.3095.
    """
    values = np.asarray(values, dtype=float)
    low, high = (np.array(ends) for ends in zip(*intervals, strict=True))
    middle, count = float(values.mean()), len(values)
    below, above = (float(np.sqrt(np.sum(side**2))) / count for side in (values - low, high - values))
    return Interval(middle - below, middle + above, intervals[0].level, f"mean of {intervals[0].kind}")


# -- the bootstrap by counts -------------------------------------------------------------------------------------

MANY = 50_000
"""Examples beyond which the bootstrap only repeats what the normal approximation says, at a thousand times its cost."""

IN_CACHE = 2**15
"""Counts that are made at once: they are hit at random, which takes six times as long in memory as in a processor's cache."""

Statistic = Callable[[Array], Any]
"""Counts (R, B), how often each example was drawn in each resample, to one number a resample (R,)."""


def counts(examples: int, generator: np.random.Generator, resamples: int) -> Iterator[Array]:
    """Blocks (R, B) of how often each example was drawn, with replacement, of `IN_CACHE` counts."""
    size = max(1, min(resamples, IN_CACHE // examples))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = generator.integers(examples, size=(rows, examples)) + np.arange(rows)[:, None] * examples
        yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(float)


def studentized(values: Array, generator: np.random.Generator, level: float = 0.95, resamples: int = 1000) -> Interval:
    """The bootstrap-t interval of a mean: right for skewed values (losses), where Student's is too short on one side.

    Source: see `bootstrap_t`.
    """
    values = np.asarray(values, dtype=float)
    count, mean = len(values), float(values.mean())
    if count < 2 or count > MANY or np.ptp(values) == 0:
        return student(values, level)
    centred = values - mean
    moments = np.stack([centred, centred**2], axis=1)

    def statistic(drawn: Array) -> tuple[Array, Array]:
        first, second = (drawn @ moments).T / count
        return mean + first, np.sqrt(np.maximum(second - first**2, 0) / (count - 1))

    return bootstrap_t(statistic, count, generator, level, resamples)


def bootstrap_t(
    statistic: Callable[[Array], tuple[Array, Array]],
    examples: int,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """The bootstrap-t interval of a statistic that comes with its standard error.

    `statistic` takes counts (R, B) and gives values and errors (R,). Every resample has t* = (value* - value) / error*;
    the interval is value - t* error at both quantiles of t*. Beyond `MANY` examples t* is taken as normal.

    Source: Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, doi:10.1137/1.9781611970319.
    """
    from scipy.stats import norm

    value, error = (float(found[0]) for found in statistic(np.ones((1, examples))))
    tails = 0.5 - level / 2, 0.5 + level / 2
    if examples > MANY:
        low, high = value + norm.ppf(tails) * error
        return Interval(float(low), float(high), level, "normal")
    values, errors = map(np.concatenate, zip(*map(statistic, counts(examples, generator, resamples)), strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        pivot = (values - value) / errors
    pivot = pivot[np.isfinite(pivot)]
    if len(pivot) < resamples / 2:  # most resamples hold one value over and over: the data say next to nothing
        return Interval(-np.inf, np.inf, level, "bootstrap-t (degenerate)")
    below, above = np.quantile(pivot, tails)
    return Interval(value - float(above) * error, value - float(below) * error, level, "bootstrap-t")


def bootstrap_counts(
    statistic: Statistic,
    value: float,
    influence: Array,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """The BCa interval of a statistic computed from how often each example was drawn: thousands of resamples at once.

    Args:
        statistic: See `Statistic`.
        value: The statistic of the data itself.
        influence: How the statistic moves with the weight of each example (B,): gives the acceleration, and the
            standard error where the examples are too many to resample.
        generator: Where the draws come from.
        level: Confidence level.
        resamples: How many.

    Where every resample gives the same, nothing is known: the interval is infinite.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410.
    """
    from scipy.stats import norm

    count = len(influence)
    if count > MANY:
        half = float(norm.ppf(0.5 + level / 2) * np.sqrt(np.sum(influence**2)) / count)
        return Interval(value - half, value + half, level, "influence")
    drawn = np.concatenate([statistic(c) for c in counts(count, generator, resamples)])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 20 or np.ptp(drawn) <= 1e-12 * max(1.0, abs(value)):
        return Interval(-np.inf, np.inf, level, "bootstrap (degenerate)")
    below = (np.sum(drawn < value) + 0.5 * np.sum(drawn == value)) / len(drawn)
    bias = norm.ppf(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    cubes, squares = np.sum(influence**3), np.sum(influence**2)
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    z = bias + norm.ppf([0.5 - level / 2, 0.5 + level / 2])
    low, high = np.quantile(drawn, norm.cdf(bias + z / (1 - acceleration * z)))
    return Interval(float(low), float(high), level, "bootstrap (BCa)")
