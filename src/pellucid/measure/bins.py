"""The mathematics of calibration in bins: pure functions of confidences and hits.

Notation: c (B,) confidence of the predicted class, z (B,) whether it is right; in bin b, w_b is its share of the examples
and d_b = mean z - mean c. The error of order q is E_q = (sum_b w_b |E d_b|^q)^(1/q); its plug-in, with the d_b seen, is
above it even for a perfectly calibrated model, as noise never cancels in an absolute value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pellucid.core.resampling import Interval, clopper_pearson
from pellucid.shapes import Array, Floats

DRAWS = 1000
"""Sets of hits drawn under each true error."""

MANY_ROWS = 50_000
"""Examples beyond which hits are drawn a bin at a time."""


@dataclass(frozen=True)
class Bins:
    """What falls in each bin that is not empty: counts, means, and the variance left within it.

    `bernoulli` is the mean of c (1 - c) in the bin: the variance of one hit, if the model is calibrated.
    """

    count: Array
    confidence: Floats
    accuracy: Floats
    bernoulli: Floats

    @property
    def weight(self) -> Floats:
        """Share of the examples in each bin."""
        return self.count / self.count.sum()

    @property
    def deviation(self) -> Floats:
        """Accuracy minus confidence: below 0 is over-confident."""
        return self.accuracy - self.confidence

    @property
    def narrow(self) -> Floats:
        """How much less hits vary than binomial ones of the mean confidence, as confidences in a bin differ."""
        alike = self.confidence * (1 - self.confidence)
        return np.sqrt(np.where(alike > 1e-12, self.bernoulli / np.maximum(alike, 1e-12), 1.0))  # of 0 or 1 none differ


def edges(confidence: Floats, bins: int, binning: str) -> Floats:
    """Inner edges of the bins: of equal width on [0, 1], or holding equal numbers (equal confidences stay together)."""
    if binning == "equal-width":
        return np.arange(1, bins) / bins
    return np.unique(np.quantile(confidence, np.arange(1, bins) / bins, method="higher"))


def binned(confidence: Floats, hit: Array, inner: Floats) -> Bins:
    """The examples put in bins that start at their inner edges (a confidence on an edge belongs above it)."""
    index = np.searchsorted(inner, confidence, side="right")
    count = np.bincount(index, minlength=len(inner) + 1)
    kept = count > 0
    mean = lambda values: np.bincount(index, weights=values, minlength=len(count))[kept] / count[kept]  # noqa: E731
    return Bins(count[kept], mean(confidence), mean(hit.astype(float)), mean(confidence * (1 - confidence)))


def plug_in(weight: Floats, deviation: Floats, norm: float) -> Floats:
    """(sum_b w_b |d_b|^q)^(1/q) along the last axis."""
    return np.sum(weight * np.abs(deviation) ** norm, axis=-1) ** (1 / norm)


def debiased_square(found: Bins) -> float:
    """sum_b w_b (d_b^2 - a_b (1 - a_b) / (n_b - 1)), a_b being the accuracy: E_2 squared without bias.

    A bin of one example has no variance of its own; the calibrated one stands in.

    Source: Kumar, Liang and Ma 2019, arXiv:1909.10155.
    """
    own = found.accuracy * (1 - found.accuracy) / np.maximum(found.count - 1, 1)
    noise = np.where(found.count > 1, own, found.bernoulli)
    return float(np.sum(found.weight * (found.deviation**2 - noise)))


@dataclass(frozen=True)
class ErrorEstimate:
    """A calibration error: as seen, without the part that noise adds, and what the data allow.

    `p_value` is the chance that a perfectly calibrated model shows an error as large.
    """

    plug_in: float
    value: float
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class Trial:
    """What an error is judged by: the bins, a pattern of true deviations in them, the error seen, the errors (DRAWS,) of a
    calibrated model, and the errors (DRAWS,) that are seen under true deviations of the bins.
    """

    found: Bins
    pattern: Floats
    seen: float
    null: Floats
    sample: Callable[[Floats], Floats]


def estimate(
    confidence: Floats, hit: Array, inner: Floats, generator: np.random.Generator, norm: float = 1, level: float = 0.95
) -> ErrorEstimate:
    """The calibration error in bins with its noise removed, and an interval that covers 0 when the truth is 0."""
    found = binned(confidence, hit, inner)
    seen = float(plug_in(found.weight, found.deviation, norm))
    null = _calibrated(confidence, inner, generator, norm)
    sample = lambda deviation: _drawn(found, deviation, generator, norm)  # noqa: E731
    return inverted(Trial(found, shape(found), seen, null, sample), norm, level)


def inverted(trial: Trial, norm: float, level: float) -> ErrorEstimate:
    """The true error under which one expects what was seen, and the true errors under which it is not extreme.

    A family of true deviations is laid through the data, e times their shape (`shape`), from e = 0, perfect calibration,
    upwards; hits are drawn anew under each (consistency resampling), which gives the distribution of the plug-in error
    under every true error. The value is the true error that leads one to expect what was seen; the interval holds the
    true errors under which what was seen is not extreme. Extreme is judged on one side at e = 0, where nothing lies
    below, on both sides far from it, and in between by shares that move from one to the other, so that the level holds
    all along.

    Source: consistency resampling, Broecker and Smith 2007, doi:10.1175/WAF993.1; the move from a one-sided to a
    two-sided interval at a boundary follows Feldman and Cousins 1998, doi:10.1103/PhysRevD.57.3873.
    """
    found, pattern, seen, drawn = trial.found, trial.pattern, trial.seen, trial.null
    alpha = 1 - level
    centre, spread = drawn.mean(), max(float(drawn.std()), 1e-12)
    true, expected, lower, upper = [0.0], [centre], [-np.inf], [float(np.quantile(drawn, level))]
    for step in _steps(found, seen, pattern, spread):
        deviation = np.clip(found.confidence + step * pattern, 0, 1) - found.confidence
        error = float(plug_in(found.weight, deviation, norm))
        if error <= true[-1]:
            break  # accuracies have reached 0 or 1: no larger error of this shape exists
        sample = trial.sample(deviation)
        share = alpha / 2 * float(np.clip((sample.mean() - centre) / (2 * spread), 0, 1))
        true.append(error)
        expected.append(sample.mean())
        lower.append(float(np.quantile(sample, share)) if share * DRAWS >= 1 else -np.inf)
        upper.append(float(np.quantile(sample, level + share)))
        if lower[-1] > seen and upper[-1] > seen and expected[-1] > seen:
            break  # past both ends
    value = _first_reaching(true, expected, seen)
    low = _first_reaching(true, upper, seen)
    high = _first_reaching(true, lower, seen)
    if np.isin(found.accuracy, (0, 1)).all():  # hits that do not vary may yet: by as much as is too rare to be seen
        high = max(high, clopper_pearson(0, int(found.count.sum()), level).high - value)
    interval = Interval(min(low, value), max(high, value), level, "consistency resampling")
    if max(upper) < seen or max(lower) < seen:  # accuracies reached 0 or 1 before this shape spanned the interval
        wide = bounds(found, norm, level)
        interval = Interval(min(wide.low, interval.low), max(wide.high, interval.high), level, wide.kind)
    return ErrorEstimate(seen, value, interval, float((1 + np.sum(drawn >= seen)) / (1 + DRAWS)))


def expected_range(found: Bins, level: float) -> tuple[Floats, Floats]:
    """Between which accuracies each bin of a calibrated model would lie: binomial, narrowed as confidences in it differ.

    Source: Broecker and Smith 2007, doi:10.1175/WAF993.1, by quantiles instead of draws.
    """
    from scipy.stats import binom

    rate, count = np.clip(found.confidence, 0, 1), found.count
    low, high = (binom.ppf(side, count, rate) for side in (0.5 - level / 2, 0.5 + level / 2))
    low, high = (rate * count + (end - rate * count) * found.narrow for end in (low, high))
    return np.floor(low + 1e-9) / count, np.ceil(high - 1e-9) / count  # hits come whole


def bounds(found: Bins, norm: float, level: float) -> Interval:
    """The least and largest error that exact intervals of every bin's accuracy allow, and that of all bins together.

    In a bin |a - c| <= (1 - a) + (1 - c) and <= a + c, so that a model which is nearly always right, and sure, errs by little
    whatever its small bins may hold. Half of what may go wrong is given to all bins together, half shared out evenly.
    """
    share = 1 - (1 - level) / 2 / len(found.count)
    hits = np.rint(found.accuracy * found.count).astype(int)
    each = [clopper_pearson(int(h), int(n), share) for h, n in zip(hits, found.count, strict=True)]
    low, high = (np.array(ends) for ends in zip(*each, strict=True))
    near = np.maximum(0, np.maximum(low - found.confidence, found.confidence - high))
    far = np.maximum(np.abs(low - found.confidence), np.abs(high - found.confidence))
    least, most = (float(plug_in(found.weight, side, norm)) for side in (near, far))
    all_of, said = (
        clopper_pearson(int(hits.sum()), int(found.count.sum()), level),
        float(found.weight @ found.confidence),
    )
    together = min(2 - all_of.low - said, all_of.high + said) ** (1 / norm)
    return Interval(least, min(most, together), level, "clopper-pearson in every bin")


def shape(found: Bins, otherwise: Floats | float = -1.0) -> Floats:
    """The pattern of true deviations that the data suggest, of mean size 1: the mean of all bins, plus as much of each
    bin's own as exceeds noise (empirical Bayes with the variance between bins of DerSimonian and Laird). Where nothing
    does, it is the one given.
    """
    weight, deviation = found.weight, found.deviation
    noise = _noise(found) / found.count
    mean = float(np.sum(weight * deviation))
    precision = 1 / noise
    centre = np.sum(precision * deviation) / precision.sum()
    excess = np.sum(precision * (deviation - centre) ** 2) - (len(weight) - 1)
    room = precision.sum() - np.sum(precision**2) / precision.sum()
    between = max(0.0, excess / room) if room > 0 else 0.0
    pattern = mean + (deviation - mean) * between / (between + noise)
    size = float(np.sum(weight * np.abs(pattern)))
    return pattern / size if size > 0 else np.broadcast_to(otherwise, pattern.shape)


def _noise(found: Bins) -> Floats:
    """Variance of one hit in each bin: of the accuracy seen, drawn a little to the confidence, never 0."""
    rate = (found.count * found.accuracy + found.confidence) / (found.count + 1)
    return np.maximum(rate * (1 - rate), 1e-9)


def _calibrated(confidence: Floats, inner: Floats, generator: np.random.Generator, norm: float) -> Floats:
    """Plug-in errors (DRAWS,) of a perfectly calibrated model: each hit is drawn with its own confidence."""
    ordered = np.sort(confidence)
    starts = np.unique(np.searchsorted(inner, ordered, side="right"), return_index=True)[1]
    count = np.diff(np.append(starts, len(ordered)))
    if len(ordered) > MANY_ROWS:
        found = binned(confidence, np.zeros(len(confidence)), inner)
        return _drawn(found, np.zeros_like(found.weight), generator, norm)
    expected, errors = np.add.reduceat(ordered, starts), []
    size = max(1, min(DRAWS, 4_000_000 // len(ordered)))
    for start in range(0, DRAWS, size):
        drawn = generator.random((min(size, DRAWS - start), len(ordered)), dtype=np.float32) < ordered
        hits = np.add.reduceat(drawn, starts, axis=1, dtype=np.int64)
        errors.append(plug_in(count / len(ordered), (hits - expected) / count, norm))
    return np.concatenate(errors)


def _drawn(found: Bins, deviation: Floats, generator: np.random.Generator, norm: float) -> Floats:
    """Plug-in errors (DRAWS,) of hits drawn with the true accuracy `confidence + deviation` in each bin.

    The confidences of a bin differ, so its hits vary a little less than binomial ones; the draws are narrowed to match.
    """
    rate = np.clip(found.confidence + deviation, 0, 1)
    share = generator.binomial(found.count, rate, size=(DRAWS, len(rate))) / found.count
    return plug_in(found.weight, rate - found.confidence + (share - rate) * found.narrow, norm)


def _steps(found: Bins, seen: float, pattern: Floats, spread: float) -> Floats:
    """Sizes of error to try: fine near what was seen, as far as it could reach."""
    noise = float(np.sqrt(np.sum(found.weight**2 * _noise(found) / found.count)))
    far = seen + 6 * max(noise, spread)
    return far * np.linspace(0, 1, 31)[1:]


def _first_reaching(true: list[float], curve: list[float], seen: float) -> float:
    """The smallest true error at which a rising curve reaches what was seen, between the tried ones by proportion."""
    rising = np.maximum.accumulate(curve)
    if rising[0] >= seen:
        return true[0]
    place = int(np.searchsorted(rising, seen))
    if place == len(true):
        return true[-1]
    low, high = rising[place - 1], rising[place]
    if not np.isfinite(low):
        return true[place]
    return float(true[place - 1] + (true[place] - true[place - 1]) * (seen - low) / (high - low))
