"""How the model was chosen, and what its quality is if that is taken into account."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval, clopper_pearson, wilson
from pellucid.measure.base import Context, Measure

ON = ("validation", "training", "test", "unknown")


@dataclass(frozen=True, eq=False)
class ModelSelection(Measure):
    """How was this model chosen among others, and how good is it if it was chosen on the test rows?

    What is stated becomes part of the record. Chosen without the test rows, the accuracy on n of them is as it is, with Wilson's
    interval. Chosen on them, as the best of m, it is too high: the value is the accuracy a for which the best of m models of
    accuracy a, that err independently, shows as much as was seen on average; its interval goes from the lower end of Clopper and
    Pearson for each of the m at 1 - (1 - level) / m up to the upper end for a single model. Verdicts: "chosen without the test
    rows", "chosen on the test rows", "not known".

    `detail`: `candidates`, `on`, `by`, `seen` (the accuracy as counted, with the interval it would have by itself), and
    `optimism`, seen minus value.

    Args:
        candidates: How many models were compared, this one among them; each setting, seed and stopped epoch counts.
        on: The rows they were compared on: "validation", "training", "test" or "unknown", which is taken for "test".
        by: What they were compared by, in words.
        level: Confidence level of the interval, in (0, 1).

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.linspace(0, 1, 200)[:, None]
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> told = pl.ModelSelection(candidates=50, on="test")
        >>> found, = pl.measure(model, told, test=(x, (x[:, 0] > 0.3).astype(int)))
        >>> round(found.detail["seen"]["value"], 2), round(found.value, 2)
        (0.8, 0.73)

    References:
        Cawley and Talbot 2010, "On over-fitting in model selection and subsequent selection bias in performance evaluation",
        Journal of Machine Learning Research 11:2079-2107. Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404. Dunn 1961,
        doi:10.1080/01621459.1961.10482090.

    Limits:
        Nobody but the one who chose knows how many models there were; what is stated is not checked. Models that err alike leave
        less room to choose, so the value is then too low; the lower end holds anyhow. Adaptive choices, one look leading to the
        next, can be worse than the best of m.
    """

    candidates: int
    on: str = "validation"
    by: str = ""
    level: float = 0.95

    quantity: ClassVar[str] = "model_selection"

    def __post_init__(self) -> None:
        options.whole(self, "candidates")
        options.one_of(self, "on", ON)
        options.instance(self, "by", str, "words")
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("counts right answers")
        labels = context.labels("test")
        rows, right = len(labels), int(np.sum(context.probabilities("test").argmax(axis=1) == labels))
        own, used = wilson(right, rows, self.level), self.on in ("test", "unknown")
        seen = {"value": right / rows, "interval": own}
        value, interval = (seen["value"], own) if not used else corrected(right, rows, self.candidates, self.level)
        verdict = {"test": "chosen on the test rows", "unknown": "not known"}.get(
            self.on, "chosen without the test rows"
        )
        detail: dict[str, Any] = {
            "candidates": self.candidates, "on": self.on, "by": self.by, "seen": seen, "optimism": seen["value"] - value,
        }  # fmt: skip
        told = _told(self, seen, value, interval, used)
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})


def corrected(right: int, rows: int, candidates: int, level: float) -> tuple[float, Interval]:
    """The accuracy of which the best of so many models shows `right` of `rows` on average, and its interval."""
    from scipy.optimize import brentq

    if candidates == 1 or right == 0:
        return right / rows, clopper_pearson(right, rows, level)
    value = float(brentq(lambda a: best_of(a, rows, candidates) - right, 0, right / rows))
    each = 1 - (1 - level) / candidates
    low, high = clopper_pearson(right, rows, each).low, clopper_pearson(right, rows, level).high
    return value, Interval(min(low, value), high, level, "clopper-pearson, simultaneous below")


def best_of(accuracy: float, rows: int, candidates: int) -> float:
    """How many of so many rows the best of so many models of an accuracy gets right on average, erring independently."""
    from scipy.stats import binom

    return float(np.sum(1 - binom.cdf(np.arange(rows), rows, accuracy) ** candidates))


def _told(asked: ModelSelection, seen: dict[str, Any], value: float, interval: Interval, used: bool) -> str:
    share = partial(stated, percent=True)
    models = f"{counted(asked.candidates, 'model')}{f' by {asked.by}' if asked.by else ''}"
    if not used:
        return f"It was chosen among {models} on {asked.on} rows; on the test rows {share(value, interval)} are right."
    where = "the test rows" if asked.on == "test" else "rows that nobody told"
    there = figure(seen["value"], seen["interval"], percent=True)
    return (
        f"It was chosen among {models} on {where}: of the {there} that are right there, "
        f"{share(value, interval)} would be left on new ones."
    )
