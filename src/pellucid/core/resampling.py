"""Intervals: exact or Wilson for proportions, the bootstrap for statistics, Student's t for means over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    return _proportion(successes, trials, level, "wilson")


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The exact interval of a proportion: covers at least its level for every true value.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    return _proportion(successes, trials, level, "exact")


def _proportion(successes: int, trials: int, level: float, method: Any) -> Interval:
    from scipy.stats import binomtest

    if trials < 1:
        raise InvalidInput("a proportion needs at least one trial, got none")
    found = binomtest(int(successes), int(trials)).proportion_ci(level, method)
    return Interval(float(found.low), float(found.high), level, "wilson" if method == "wilson" else "clopper-pearson")


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
