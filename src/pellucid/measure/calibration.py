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
from pellucid.measure.bins import Bins, ErrorEstimate, binned, debiased_square, edges, estimate
from pellucid.shapes import Array, Floats

BINNINGS = ("equal-mass", "equal-width")


@dataclass(frozen=True, eq=False)
class CalibrationError(Measure):
    """Does the model's confidence say how often it is right?

    With the most probable class's confidence c and its share of hits in each bin b holding a share w_b of the rows:
    ECE = (sum_b w_b |hits_b - c_b|^q)^(1/q). Computed so, it is above 0 even for a perfect model, because noise never
    cancels; the value has that part removed (it is the true error under which one expects what was seen), and the
    interval holds 0 for a calibrated model as often as its level says. Verdicts: "calibrated" (0 is inside, so no error
    is shown), "over-confident", "under-confident", or "miscalibrated" where errors go both ways.

    `detail` has, for both binnings: `plug_in`, `value`, `interval`, `p_value` of perfect calibration, `debiased_l2` (Kumar
    et al.), and the reliability curve: `confidence`, `accuracy`, `count`, `low` and `high` (Wilson) of each bin.

    Args:
        bins: How many, at least 1; never more than there are rows.
        binning: "equal-mass" (equal numbers of rows) or "equal-width" bins for the value; both are in `detail`.
        norm: q, 1 or 2.
        level: Confidence level, in (0, 1).

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
        arXiv:1909.10155. Broecker and Smith 2007, doi:10.1175/WAF993.1.

    Limits:
        Errors that cancel inside a bin are not seen: the binned error is a lower bound of the true one. Only the
        predicted class is judged. "calibrated" means that these rows show no error, not that there is none: read the
        upper end of the interval. Away from 0 the interval assumes that the pattern of errors across bins is
        roughly the one seen; it can fall short by a few points where errors alternate from bin to bin. Of 1,000 rows,
        an error of 0.04 with accuracies near one was found 0.006 too small on average.
    """

    bins: int = 15
    binning: str = "equal-mass"
    norm: int = 1
    level: float = 0.95

    quantity: ClassVar[str] = "calibration_error"

    def __post_init__(self) -> None:
        options.whole(self, "bins")
        options.one_of(self, "binning", BINNINGS)
        options.one_of(self, "norm", (1, 2))
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("needs class probabilities")
        labels, probabilities = context.labels("test"), context.probabilities("test")
        if len(labels) < 2:
            raise NotApplicable(
                "CalibrationError compares confidence with a share of hits, which one row does not have"
            )
        confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        detail: dict[str, Any] = {}
        for binning in BINNINGS:
            detail[binning.replace("-", "_")] = self._read(confidence, hit, binning, context)
        found: ErrorEstimate = detail[self.binning.replace("-", "_")].pop("estimate")
        detail["equal_width" if self.binning == "equal-mass" else "equal_mass"].pop("estimate")
        verdict = judged(confidence, hit, found, self.level)
        told = _told(confidence, hit, found, verdict)
        return Measurement(self.quantity, found.value, found.interval, verdict, {"explanation": told, **detail})

    def _read(self, confidence: Floats, hit: Array, binning: str, context: Context) -> dict[str, Any]:
        inner = edges(confidence, min(self.bins, len(confidence)), binning)
        found = estimate(confidence, hit, inner, context.stream(binning), self.norm, self.level)
        in_bins = binned(confidence, hit, inner)
        return {
            "estimate": found, "plug_in": found.plug_in, "value": found.value, "interval": found.interval,
            "p_value": found.p_value, "debiased_l2": float(np.sqrt(max(0.0, debiased_square(in_bins)))),
            **reliability(in_bins, self.level),
        }  # fmt: skip


def reliability(found: Bins, level: float) -> dict[str, Array]:
    """The reliability curve: what was said and what came true in each bin, with Wilson intervals."""
    hits = np.rint(found.accuracy * found.count).astype(int)
    around = [wilson(int(h), int(n), level) for h, n in zip(hits, found.count, strict=True)]
    return {
        "confidence": found.confidence, "accuracy": found.accuracy, "count": found.count,
        "low": np.array([i.low for i in around]), "high": np.array([i.high for i in around]),
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


def _told(confidence: Floats, hit: Array, found: ErrorEstimate, verdict: str) -> str:
    share = wilson(int(hit.sum()), len(hit))
    said, came = (figure(float(part.mean()), share, percent=True) for part in (confidence, hit))
    what = f"On {counted(len(hit), 'unseen row')} the model is {said} sure on average and {came} right"
    if verdict == "calibrated":
        most = figure(found.interval.high, found.interval, unit="points", percent=True)
        return f"{what}; no calibration error is shown, one of up to {most} cannot be ruled out."
    return f"{what}; its confidence is off by {stated(found.value, found.interval, unit='points', percent=True)}."
