"""How much worse the model is on new data than on the data it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, stated
from pellucid.core.resampling import Interval, difference
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import METRICS, Estimate, Metric, headline, paired_correlation
from pellucid.measure.performance import estimated, known_metric, written
from pellucid.shapes import Array

TOLERANCE = 0.02
"""What counts as no gap worth speaking of, for qualities on a scale from 0 to 1."""


@dataclass(frozen=True, eq=False)
class Gap(Measure):
    """How much of its quality does the model lose on new data?

    gap = quality(train) - quality(test), or the other way round for a loss: above 0 always means worse on new data.

    Each side has its own interval (see `Performance`), and they are combined: for accuracy this is Newcombe's hybrid
    score interval of a difference of proportions. Rows of the two sets that share an id are the same example seen
    twice; the correlation of their results then enters, and a fully paired comparison is the special case. The verdict,
    with t the tolerance and (low, high) the interval:

    - "generalizes": -t <= low and high <= t. Any gap is too small to matter: both one-sided tests (TOST) reject a
      larger one.
    - "overfits": low > 0. The model is surely better on what it was trained on.
    - "held-out is better": high < 0. Suspicious: another kind of rows, a leak, or augmented training data.
    - "no gap found": the data allow both no gap and one that matters; the explanation says how large.

    Args:
        metric: A metric of `Performance`; None for accuracy, or R2 for a regression.
        level: Confidence level of the interval, in (0, 1).
        tolerance: A gap too small to matter, in units of the metric, at least 0; None for 0.02, and 0 for metrics
            without a natural scale (log_loss, mae, rmse).

    Raises:
        InvalidOption: A metric that does not exist.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.linspace(0, 1, 400)[:, None]
        >>> y = (x[:, 0] > 0.5).astype(int)
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> gap, = pl.measure(model, pl.Gap(), train=(x, y), test=(x[::4], np.roll(y[::4], 15)))
        >>> print(gap)
        gap.accuracy = 0.3 [0.2184, 0.3958] (overfits)

    References:
        Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
        Zou and Donner 2008, doi:10.1002/sim.3095. Schuirmann 1987, doi:10.1007/BF01068419 (TOST).

    Limits:
        The interval is about which rows were drawn, for this trained model; training again would give another model
        and another gap. A small gap does not make a good model: both sides may be bad. Rows that belong together
        (`groups`) make the interval too short.
    """

    metric: str | None = None
    level: float = 0.95
    tolerance: float | None = None

    quantity: ClassVar[str] = "gap"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        check_compared(self)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        train, test = context.data("train"), context.data("test")
        name = self.metric or headline(context.task)
        metric = METRICS[name]
        seen, new = (estimated(context, name, split, self.level) for split in ("train", "test"))
        pairs = matched(train.ids, test.ids)
        gap, interval = gap_of(seen, new, metric.higher_is_better, pairs)
        tolerance = tolerated(self.tolerance, name)
        verdict = judged(interval, tolerance)
        detail = {
            "explanation": _told(metric, (seen, new), gap, interval, verdict, tolerance), "train": written(seen),
            "test": written(new), "paired_rows": len(pairs[0]), "tolerance": tolerance,
        }  # fmt: skip
        return Measurement(f"gap.{name}", gap, interval, verdict, detail, share=metric.share)


def check_compared(owner: Any) -> None:
    """Require the options `metric`, `level` and `tolerance` to be what they must be."""
    options.fraction(owner, "level")
    if owner.metric is not None:
        known_metric(owner, owner.metric)
    if owner.tolerance is not None:
        options.not_negative(owner, "tolerance")


def tolerated(given: float | None, metric: str) -> float:
    """A difference too small to matter: as given, or else none for metrics without a natural scale."""
    return given if given is not None else 0.0 if metric in {"log_loss", "mae", "rmse"} else TOLERANCE


def gap_of(seen: Estimate, new: Estimate, higher_is_better: bool, pairs: tuple[Array, Array]) -> tuple[float, Interval]:
    """The gap, positive for worse on new data, with its interval; `pairs` are rows that are the same example."""
    correlation = paired_correlation(seen, new, pairs)
    sides = [(seen.value, seen.interval), (new.value, new.interval)]
    first, second = sides if higher_is_better else sides[::-1]
    return first[0] - second[0], difference(first, second, correlation)


def matched(first: Array | None, second: Array | None) -> tuple[Array, Array]:
    """The rows of two sets that have the same id; none where ids are missing or repeat within a set."""
    nothing = np.array([], dtype=int), np.array([], dtype=int)
    if first is None or second is None or any(len(np.unique(ids)) < len(ids) for ids in (first, second)):
        return nothing
    _, here, there = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return here, there


def judged(interval: Interval, tolerance: float) -> str:
    """The verdict on an interval of the gap; see `Gap`."""
    if -tolerance <= interval.low and interval.high <= tolerance:
        return "generalizes"
    if interval.low > 0:
        return "overfits"
    return "held-out is better" if interval.high < 0 else "no gap found"


def _told(
    metric: Metric, sides: tuple[Estimate, Estimate], gap: float, interval: Interval, verdict: str, tolerance: float
) -> str:
    seen, new = (figure(side.value, side.interval, percent=metric.share) for side in sides)
    told = partial(stated, percent=metric.share, unit="points")
    what = f"The {metric.label} is {seen} on training data and {new} on new data, a gap of {told(gap, interval)}"
    return {
        "generalizes": f"{what}: any gap is smaller than {told(tolerance)}.",
        "overfits": f"{what}: the model is surely better on the rows it was trained on.",
        "held-out is better": f"{what}: better on new data, which is suspicious; check how the rows were split.",
        "no gap found": f"{what}: no gap is shown, but one at the upper end cannot be ruled out.",
    }[verdict]
