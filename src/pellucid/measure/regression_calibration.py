"""Whether predicted values are right on average, wherever they lie, and predicted quantiles kept as often as they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import agreeing, counted, figure, stated
from pellucid.core.resampling import Interval, alike, clopper_pearson, student, unseen
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.bins import edges
from pellucid.measure.decomposition import PARTS, decomposed
from pellucid.shapes import Array, Floats

DRAWS = 1000
"""Sign patterns by which calibration is tested."""


@dataclass(frozen=True, eq=False)
class RegressionCalibration(Measure):
    """Where the model predicts 10, are the labels 10 on average?

    A prediction f is calibrated if E[y | f] = f. The mean squared error is reliability - resolution + uncertainty, as in `Brier`:
    reliability is the mean of (f - E[y | f])^2, 0 for a calibrated model, resolution the variance of E[y | f], and uncertainty
    that of y. The value is the root of the reliability, in units of the label, of `bins` bins of equal numbers, noise removed.
    Calibration is tested by turning the signs of y - f at random. Verdicts:

    - "calibrated": the test does not reject it; "quantiles off" if so, but one of `quantiles` surely is not kept.
    - "too far from the mean", "too near the mean": it does, and the slope of y on f surely is below or above 1.
    - "too high", "too low": it does, and all predictions together surely are; "miscalibrated": none of these.

    `detail`: `mse`, `reliability`, `resolution`, `uncertainty` (value and interval), `p_value`, `bias` (mean f - y) and `slope`
    with intervals, the curve `predicted`, `observed`, `count` of the bins; `quantiles`: level, value (share of labels at or
    below) and interval of each, which hold for all at once (Clopper-Pearson, Bonferroni).

    Args:
        quantiles: From levels in (0, 1) to predicted quantiles (B,) of the test rows, such as {0.1: low, 0.9: high}; or None.
        bins: How many; never so many that they hold fewer than 5 rows.
        level: Confidence level, in (0, 1).

    Raises:
        InvalidInput: Quantiles for another number of rows, or that are not finite.
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(1000, 1))
        >>> model = pl.wrap(lambda x: 2 * x, output="value")
        >>> found, = pl.measure(model, pl.RegressionCalibration(), test=(x, x[:, 0] + rng.normal(size=1000)))
        >>> found.verdict, round(found.detail["slope"]["value"], 1)
        ('too far from the mean', 0.5)

    References:
        Gneiting and Resin 2023, doi:10.1214/23-EJS2180. Mincer and Zarnowitz 1969, "The evaluation of economic forecasts", NBER.
        Ferro and Fricker 2012, doi:10.1002/qj.1924. MacKinnon and White 1985, doi:10.1016/0304-4076(85)90158-7 (slope).

    Limits:
        A model calibrated so may still be useless: the mean of all labels is calibrated. Errors that differ inside a bin are not
        all seen: of one that grows with f^2, f being normal, 15 bins show 0.62 of 0.69. The test is exact where errors are
        symmetric, and for many rows; the interval is wider than it need be near 0.
    """

    quantiles: Mapping[float, Any] | None = None
    bins: int = 15
    level: float = 0.95

    quantity: ClassVar[str] = "regression_calibration"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        options.whole(self, "bins")
        options.fraction(self, "level")
        given = self.quantiles
        if given is not None and not (
            isinstance(given, Mapping) and given and all(isinstance(q, float) and 0 < q < 1 for q in given)
        ):
            raise InvalidOption(
                "RegressionCalibration.quantiles: expected a mapping from levels between 0 and 1 to predicted quantiles, such as "
                f"{{0.1: low, 0.9: high}}, got {type(given).__name__}"
            )

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        if context.task != "regression":
            raise NotApplicable(
                f"RegressionCalibration is for predicted values, but {context.model.name} gives classes"
            )
        y, f = context.labels("test"), context.values("test")
        if len(y) < 10:
            raise NotApplicable(
                f"RegressionCalibration compares means in bins, for which {agreeing(len(y), 'row')} too few"
            )
        kept = self._kept(y)
        bins = max(1, min(self.bins, len(y) // 5))
        parts = decomposed(f[:, None], y[:, None], bins, context.stream("parts"), self.level)
        chance = p_value(f, y, bins, context.stream("signs"))
        value = float(np.sqrt(max(0.0, parts.values[0])))
        low, high = (float(np.sqrt(max(0.0, end))) for end in parts.intervals[0])
        low = low if chance <= 1 - self.level else 0.0
        around = {"bias": bias(f, y, self.level), "slope": slope(f, y, self.level)}
        if alike(f - y):  # what was not seen may be off
            high = max(map(abs, around["bias"]["interval"]))
        interval = Interval(min(low, value), max(high, value), self.level, parts.intervals[0].kind)
        verdict = judged(chance <= 1 - self.level, around, kept)
        detail = {
            "explanation": _told(len(y), value, interval, around, verdict, kept), "mse": float(np.mean((f - y) ** 2)),
            **{n: {"value": float(v), "interval": i} for n, v, i in zip(PARTS, parts.values, parts.intervals, strict=True)},
            "p_value": chance, **around, **curve(f, y, bins), "quantiles": kept,
        }  # fmt: skip
        return Measurement(self.quantity, value, interval, verdict, detail)

    def _kept(self, y: Floats) -> list[dict[str, Any]]:
        """The share of labels at or below each quantile."""
        found, given = [], self.quantiles or {}
        own = 1 - (1 - self.level) / max(1, len(given))
        for q in sorted(given):
            ends = np.asarray(given[q], dtype=float)
            if ends.shape != y.shape or not np.isfinite(ends).all():
                raise InvalidInput(
                    f"RegressionCalibration.quantiles: {q} needs one finite value for each of the {len(y)} test rows, got shape "
                    f"{ends.shape}"
                )
            below = int(np.sum(y <= ends))
            found.append({"level": q, "value": below / len(y), "interval": clopper_pearson(below, len(y), own)})
        return found


def p_value(f: Floats, y: Floats, bins: int, generator: np.random.Generator) -> float:
    """The chance of means as far off in the bins, if the sign of each y - f came by a coin (wild bootstrap)."""
    from scipy.sparse import csr_array

    place = np.unique(np.searchsorted(edges(f, bins, "equal-mass"), f, side="right"), return_inverse=True)[1]
    rows, count = np.arange(len(f)), np.bincount(place)
    sums, far = csr_array((y - f, (rows, place)), shape=(len(f), len(count))), []
    seen = float(np.sum(np.bincount(place, weights=y - f) ** 2 / count))
    size = max(1, min(DRAWS, 4_000_000 // len(f)))
    for start in range(0, DRAWS, size):
        signs = generator.choice([-1.0, 1.0], size=(min(size, DRAWS - start), len(f)))
        far.append(np.sum(np.asarray(signs @ sums) ** 2 / count, axis=1))
    return float((1 + np.sum(np.concatenate(far) >= seen - 1e-12)) / (1 + DRAWS))


def bias(f: Floats, y: Floats, level: float) -> dict[str, Any]:
    """The mean of f - y, Student's t."""
    far = float(np.ptp(y))
    around = unseen(float(np.mean(f - y)), len(y), -far, far, level) if alike(f - y) else student(f - y, level)
    return {"value": float(np.mean(f - y)), "interval": around}


def slope(f: Floats, y: Floats, level: float) -> dict[str, Any] | None:
    """The slope of y on f, with an interval that errors of unequal size do not break (HC3); None for a constant f.

    Source: MacKinnon and White 1985, doi:10.1016/0304-4076(85)90158-7.
    """
    from scipy.stats import t

    apart = f - f.mean()
    square = float(np.sum(apart**2))
    if square <= 1e-20 * max(1.0, float(np.sum(f**2))):
        return None
    value = float(apart @ y / square)
    left = (y - y.mean() - value * apart) / (1 - 1 / len(f) - apart**2 / square).clip(1e-12)
    half = float(t.ppf(0.5 + level / 2, len(f) - 2) * np.sqrt(np.sum((apart * left) ** 2)) / square)
    return {"value": value, "interval": Interval(value - half, value + half, level, "HC3")}


def curve(f: Floats, y: Floats, bins: int) -> dict[str, Array]:
    """Means of predictions and labels in each bin."""
    place = np.unique(np.searchsorted(edges(f, bins, "equal-mass"), f, side="right"), return_inverse=True)[1]
    count = np.bincount(place)
    return {
        "predicted": np.bincount(place, weights=f) / count, "observed": np.bincount(place, weights=y) / count,
        "count": count,
    }  # fmt: skip


def judged(rejected: bool, around: Mapping[str, Any], kept: list[dict[str, Any]]) -> str:
    """The verdict; see `RegressionCalibration`."""
    if not rejected:
        return "quantiles off" if any(q["level"] not in q["interval"] for q in kept) else "calibrated"
    off, tilt = around["bias"]["interval"], around["slope"]
    if tilt and 1 not in tilt["interval"]:
        return "too far from the mean" if tilt["value"] < 1 else "too near the mean"
    if 0 not in off:
        return "too high" if off.low > 0 else "too low"
    return "miscalibrated"


def _told(
    rows: int, value: float, interval: Interval, around: Mapping[str, Any], verdict: str, kept: list[dict[str, Any]]
) -> str:
    what = f"On {counted(rows, 'unseen row')}"
    wrong = [
        f"{q['level']:g} ({stated(q['value'], q['interval'])} kept)" for q in kept if q["level"] not in q["interval"]
    ]
    more = f"; quantiles that are surely not kept: {', '.join(wrong)}" if wrong else ""
    if verdict in ("calibrated", "quantiles off"):
        most = figure(interval.high, interval)
        return f"{what} predictions are not shown to be off on average; by up to {most} they may be{more}."
    tilt = around["slope"]
    sloped = f", labels rising by {stated(tilt['value'], tilt['interval'])} where predictions rise by 1" if tilt else ""
    return f"{what} predictions of a size are off by {stated(value, interval)} on average{sloped}{more}."
