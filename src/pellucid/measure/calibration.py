"""Whether a model that says 90 % is right nine times out of ten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import wilson
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.bins import Bins, ErrorEstimate, binned, debiased_square, edges, estimate, expected_range
from pellucid.measure.cells import by_kernel, chosen_bandwidth, estimate_of, in_bins, joined
from pellucid.shapes import Array, Floats

BINNINGS = ("equal-mass", "equal-width")

FEWEST = 10
"""Rows that a bin of equal mass holds at least: with fewer, any accuracy is possible in each, and so is any error."""

VAGUE = 0.2
"""An interval that ends above this and holds 0 says next to nothing, in words."""


@dataclass(frozen=True, eq=False)
class CalibrationError(Measure):
    """Does the model's confidence say how often it is right?

    With the most probable class's confidence c and its share of hits in each bin b holding a share w_b of the rows:
    ECE = (sum_b w_b |hits_b - c_b|^q)^(1/q). Computed so, it is above 0 even for a perfect model, because noise never
    cancels; the value has that part removed (it is the true error under which one expects what was seen), and the
    interval holds 0 for a calibrated model as often as its level says. Verdicts: "calibrated" (0 is inside, so no error
    is shown), "over-confident", "under-confident", or "miscalibrated" where errors go both ways, or of="class-wise".

    By class, c is the probability of class k and a hit is y = k, and the error is the mean over classes. A kernel takes the
    share of hits among rows of about the same c, the row itself left out, in place of that of a bin.

    `detail` has, for both binnings: `plug_in`, `value`, `interval`, `p_value` of perfect calibration, `debiased_l2` (Kumar
    et al.), and the reliability curve: `confidence`, `accuracy`, `count`, `low` and `high` (Wilson) of each bin, and
    `expected_low` and `expected_high`, between which a calibrated model's accuracy would be in each bin on its own (Broecker
    and Smith). By class the curve is of all classes together, and `classes` has those of each. With a kernel, `kernel` has its
    `plug_in`, `value`, `interval`, `p_value` and its `bandwidth` for each class.

    Args:
        bins: How many, at least 1; never so many of equal mass that they hold fewer than 10 rows.
        binning: "equal-mass" (equal numbers of rows) or "equal-width" bins for the value; both are in `detail`.
        norm: q, 1 or 2.
        level: Confidence level, in (0, 1).
        of: "top-label" (the confidence of the class predicted) or "class-wise" (the probability of every class).
        estimator: "bins", or "kernel": a beta kernel, its bandwidth the likeliest of the confidences.

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> rng = np.random.default_rng(0)
        >>> p = rng.uniform(0.5, 1, 2000)
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.CalibrationError(), test=(p[:, None], (rng.random(2000) < p - 0.1).astype(int)))
        >>> found.verdict, 0.1 in found.interval
        ('over-confident', True)

    References:
        Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602. Guo et al. 2017, arXiv:1706.04599. Kumar et al. 2019,
        arXiv:1909.10155. Broecker and Smith 2007, doi:10.1175/WAF993.1. Nixon et al. 2019, arXiv:1904.01685 (by class).
        Popordanoska et al. 2022, arXiv:2210.07810 (kernel).

    Limits:
        Errors that cancel inside a bin are not seen: the binned error is a lower bound of the true one. Top-label judges
        the predicted class only. "calibrated" means that these rows show no error, not that there is none: read the
        upper end of the interval. Away from 0 the interval assumes that the pattern of errors across bins is
        roughly the one seen, for a kernel too; it can fall short by a few points where errors alternate from bin to bin.
        Of 1,000 rows, an error of 0.04 with accuracies near one was found 0.006 too small on average; by class, one of 0.03 by
        0.003, its interval wider than it need be. A kernel takes seconds, and
        some for each class; the mean over many classes is small where most have a probability near 0.
    """

    bins: int = 15
    binning: str = "equal-mass"
    norm: int = 1
    level: float = 0.95
    of: str = "top-label"
    estimator: str = "bins"

    quantity: ClassVar[str] = "calibration_error"
    better: ClassVar[str] = "lower"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        options.whole(self, "bins")
        options.one_of(self, "binning", BINNINGS)
        options.one_of(self, "norm", (1, 2))
        options.fraction(self, "level")
        options.one_of(self, "of", ("top-label", "class-wise"))
        options.one_of(self, "estimator", ("bins", "kernel"))

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("needs class probabilities")
        labels, probabilities = context.labels("test"), context.probabilities("test")
        if len(labels) < 2:
            raise NotApplicable(
                "CalibrationError compares confidence with a share of hits, which one row does not have"
            )
        said, came = outcomes(probabilities, labels, self.of)
        detail: dict[str, Any] = {name.replace("-", "_"): self._read(said, came, name, context) for name in BINNINGS}
        estimates = {name: held.pop("estimate") for name, held in detail.items()}
        found: ErrorEstimate = estimates[self.binning.replace("-", "_")]
        if self.estimator == "kernel":
            found, detail["kernel"] = self._smooth(said, came, context)
        top = self.of == "top-label"
        verdict = judged(said[:, 0], came[:, 0], found, self.level) if top else _by_class(found)
        told = _told(said[:, 0], came[:, 0], found, verdict) if top else _told_by_class(probabilities, found)
        return Measurement(self.quantity, found.value, found.interval, verdict, {"explanation": told, **detail})

    def _read(self, said: Floats, came: Array, binning: str, context: Context) -> dict[str, Any]:
        """The error in bins, of one outcome or of several, and the reliability curve."""
        inner = [self._edges(c, binning) for c in said.T]
        of_each = [binned(c, z, i) for c, z, i in zip(said.T, came.T, inner, strict=True)]
        if len(inner) == 1:
            found = estimate(said[:, 0], came[:, 0], inner[0], context.stream(binning), self.norm, self.level)
            pooled, more = of_each[0], {}
        else:
            cells = [in_bins(c, z, i) for c, z, i in zip(said.T, came.T, inner, strict=True)]
            found = estimate_of(said, came, cells, context.stream(binning), self.norm, self.level)
            every = said.ravel()
            pooled = binned(every, came.ravel(), self._edges(every, binning))
            more = {"classes": [reliability(bins, self.level) for bins in of_each]}
        return {
            "estimate": found, **_written(found), "debiased_l2": float(np.sqrt(max(0.0, debiased_square(joined(of_each))))),
            **reliability(pooled, self.level), **more,
        }  # fmt: skip

    def _edges(self, confidence: Floats, binning: str) -> Floats:
        most = len(confidence) if binning == "equal-width" else max(1, len(confidence) // FEWEST)
        return edges(confidence, min(self.bins, most), binning)

    def _smooth(self, said: Floats, came: Array, context: Context) -> tuple[ErrorEstimate, dict[str, Any]]:
        """The error by a kernel."""
        inner = [self._edges(c, self.binning) for c in said.T]
        widths = [chosen_bandwidth(c, context.stream("bandwidth", k)) for k, c in enumerate(said.T)]
        cells = [by_kernel(c, z, i, h) for c, z, i, h in zip(said.T, came.T, inner, widths, strict=True)]
        found = estimate_of(said, came, cells, context.stream("kernel"), self.norm, self.level)
        return found, {**_written(found), "bandwidth": widths}


def outcomes(probabilities: Floats, labels: Array, of: str) -> tuple[Floats, Array]:
    """Probabilities (N, C) of what is judged, and whether it came true: of two classes, one says all."""
    if of == "top-label":
        return probabilities.max(axis=1)[:, None], (probabilities.argmax(axis=1) == labels)[:, None]
    first = 1 if probabilities.shape[1] == 2 else 0
    return probabilities[:, first:].astype(float), labels[:, None] == np.arange(first, probabilities.shape[1])


def _written(found: ErrorEstimate) -> dict[str, Any]:
    return {"plug_in": found.plug_in, "value": found.value, "interval": found.interval, "p_value": found.p_value}


def reliability(found: Bins, level: float) -> dict[str, Array]:
    """The reliability curve: what was said and what came true in each bin, with Wilson intervals."""
    hits = np.rint(found.accuracy * found.count).astype(int)
    around = [wilson(int(h), int(n), level) for h, n in zip(hits, found.count, strict=True)]
    least, most = expected_range(found, level)
    return {
        "confidence": found.confidence, "accuracy": found.accuracy, "count": found.count,
        "low": np.array([i.low for i in around]), "high": np.array([i.high for i in around]),
        "expected_low": least, "expected_high": most,
    }  # fmt: skip


def judged(confidence: Floats, hit: Array, found: ErrorEstimate, level: float) -> str:
    """The verdict: whether 0 is excluded, and whether all confidence together errs to one side."""
    from scipy.stats import norm

    if 0 in found.interval:
        return "calibrated"
    excess = float(confidence.sum() - hit.sum())
    spread = np.sqrt(np.sum(confidence * (1 - confidence)))
    if abs(excess) <= norm.ppf(0.5 + level / 2) * spread:
        return "miscalibrated"
    return "over-confident" if excess > 0 else "under-confident"


def _by_class(found: ErrorEstimate) -> str:
    return "calibrated" if 0 in found.interval else "miscalibrated"


def _told_by_class(probabilities: Floats, found: ErrorEstimate) -> str:
    rows, classes = probabilities.shape
    what = f"On {counted(rows, 'unseen row')}"
    if 0 in found.interval:
        most = figure(found.interval.high, found.interval, unit="points", percent=True)
        return (
            f"{what} no calibration error of the {classes} classes is shown; one of up to {most} cannot be ruled out."
        )
    size = stated(found.value, found.interval, unit="points", percent=True)
    return f"{what} the probabilities of the {classes} classes are off by {size} on average."


def _told(confidence: Floats, hit: Array, found: ErrorEstimate, verdict: str) -> str:
    share = wilson(int(hit.sum()), len(hit))
    said, came = (figure(float(part.mean()), share, percent=True) for part in (confidence, hit))
    what = f"On {counted(len(hit), 'unseen row')} the model is {said} sure on average and {came} right"
    if verdict == "calibrated":
        most = figure(found.interval.high, found.interval, unit="points", percent=True)
        if found.interval.high > VAGUE:
            return f"{what}; these are too few rows to tell, an error of up to {most} cannot be ruled out."
        return f"{what}; no calibration error is shown, one of up to {most} cannot be ruled out."
    return f"{what}; its confidence is off by {stated(found.value, found.interval, unit='points', percent=True)}."
