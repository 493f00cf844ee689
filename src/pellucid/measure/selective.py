"""What a model gains by answering only where it is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval, bootstrap_counts, unseen, wilson
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.shapes import Array, Floats

CLOSE = 1e-9
"""Rounding leaves less than this of a gain."""


@dataclass(frozen=True, eq=False)
class SelectiveRisk(Measure):
    """If the model may decline where it is unsure, how much better are the answers that remain?

    Rows are accepted from the most confident down; risk(k) is the error rate of the first k of B. The value is the area
    under the risk-coverage curve, AURC = (1/B) sum_k risk(k). Rejecting at random gives the error rate itself; the best
    order possible gives the least area, and `excess` is the area above that. Rows of equal confidence have no order: the
    value is the expectation over all of them. Verdicts: "better than random", "no better than random", "worse than
    random"; "too few errors to tell", where not even the best order of these rows could be shown to be better; "no errors".

    `detail`: `coverage` and `risk` (the curve, at most 1,000 points), `excess`, `random` and `gain` (random - AURC), each
    with an interval, and for each accepted risk `coverage_at[risk]`, the largest share that keeps to it.

    Args:
        risks: Error rates at which the coverage is read, in (0, 1).
        level: Confidence level, in (0, 1).

    Raises:
        InvalidOption: A risk outside (0, 1).

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.linspace(0, 1, 200)[:, None]
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.SelectiveRisk(), test=(x, (x[:, 0] > 0.4).astype(int)))
        >>> found.verdict, round(found.detail["coverage_at"]["0.05"]["value"], 3)
        ('better than random', 0.88)

    References:
        Geifman and El-Yaniv 2017, arXiv:1705.08500. Geifman et al. 2019, arXiv:1805.08206 (excess AURC).

    Limits:
        A threshold chosen on these rows keeps its risk on them; on new rows only within the interval. The area mixes how
        good the model is with how well it knows; compare models by `excess`.
    """

    risks: Sequence[float] = (0.01, 0.05)
    level: float = 0.95

    quantity: ClassVar[str] = "selective_risk"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        options.fraction(self, "level")
        object.__setattr__(self, "risks", tuple(self.risks))
        if not all(isinstance(r, int | float) and 0 < r < 1 for r in self.risks):
            raise InvalidOption(f"SelectiveRisk.risks: expected error rates between 0 and 1, got {self.risks!r}")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("ranks by class probability")
        labels, probabilities = context.labels("test"), context.probabilities("test")
        if len(labels) < 2:
            raise NotApplicable("SelectiveRisk ranks rows by confidence, and one row has no rank")
        wrong = (probabilities.argmax(axis=1) != labels).astype(float)
        curve = Curve(probabilities.max(axis=1), wrong)
        area = curve.area()
        interval = curve.interval(context.stream("area"), self.level)
        gain = curve.gain_interval(context.stream("gain"), self.level)
        verdict = judged(wrong, gain)
        if verdict == "no better than random" and not curve.telling(context.stream("telling"), self.level):
            verdict = "too few errors to tell"
        points = np.unique(np.linspace(0, len(wrong) - 1, 1000).astype(int))
        risk = curve.risk()
        detail = {
            "coverage": (points + 1) / len(wrong), "risk": risk[points], "excess": area - best_area(wrong),
            "random": float(wrong.mean()), "gain": {"value": float(wrong.mean()) - area, "interval": gain},
            "coverage_at": {f"{r:g}": curve.coverage_at(r, context.stream("at", str(r)), self.level) for r in self.risks},
        }  # fmt: skip
        told = _told(wrong, area, interval, verdict, risk)
        return Measurement(self.quantity, area, interval, verdict, {"explanation": told, **detail})


class Curve:
    """The risk-coverage curve of confidences (B,) and errors (B,), equal confidences counted as in no order."""

    def __init__(self, confidence: Floats, wrong: Floats) -> None:
        order = np.argsort(-confidence, kind="stable")
        self.wrong, ranked = wrong[order], confidence[order]
        self.starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        self.sizes = np.diff(np.append(self.starts, len(ranked)))

    def risk(self) -> Floats:
        """Expected error rate (B,) of the first 1, 2, ... rows."""
        spread = np.repeat(np.add.reduceat(self.wrong, self.starts) / self.sizes, self.sizes)
        return np.cumsum(spread) / np.arange(1, len(spread) + 1)

    def area(self) -> float:
        """AURC."""
        return float(self.risk().mean())

    def resampled(self, drawn: Array) -> Floats:
        """AURC (R,) of resamples, given how often each row was drawn (R, B), rows in the order of the curve.

        An error at rank r counts in risk(k) for every k >= r, so AURC = (1/B) sum over errors of sum_{k >= r} 1/k; the
        inner sums over a run of ranks are differences of a table.
        """
        rows = self.wrong.size
        tail = np.cumsum(1 / np.arange(rows, 0, -1))[::-1]
        table = np.append(0.0, np.cumsum(tail))
        if len(self.starts) < rows:
            wrong = np.add.reduceat(drawn * self.wrong, self.starts, axis=1)
            drawn = np.add.reduceat(drawn, self.starts, axis=1)
        else:
            wrong = drawn * self.wrong
        last = np.cumsum(drawn, axis=1).astype(np.intp)
        weight = table[last] - table[last - drawn.astype(np.intp)]
        share = np.divide(wrong, drawn, out=np.zeros_like(wrong), where=drawn > 0)
        return np.sum(share * weight, axis=1) / rows

    def influence(self) -> Floats:
        """How the area moves with each row's weight (B,): (B - 1) (area - area without the row), centred."""
        rows, group = self.wrong.size, np.repeat(np.arange(len(self.sizes)), self.sizes)
        tail = np.cumsum(1 / np.arange(rows - 1, 0, -1))[::-1]
        table = np.append(0.0, np.cumsum(tail))
        wrong, ends = np.add.reduceat(self.wrong, self.starts), self.starts + self.sizes
        share = wrong / self.sizes
        before = np.append(0.0, np.cumsum(share * (table[np.minimum(ends, rows - 1)] - table[self.starts])))[:-1]
        after_each = share * (table[ends - 1] - table[np.maximum(self.starts - 1, 0)])
        after = np.append(np.cumsum(after_each[::-1])[::-1][1:], 0.0)
        rest = np.maximum(self.sizes[group] - 1, 1)
        own = (wrong[group] - self.wrong) / rest * (table[ends[group] - 1] - table[self.starts[group]])
        without = (before[group] + own + after[group]) / (rows - 1)
        change = without.mean() - without
        return (rows - 1) * change

    def interval(self, generator: np.random.Generator, level: float) -> Interval:
        """BCa bootstrap; without any error, or nothing else, the Wilson interval of the error rate."""
        if np.ptp(self.wrong) == 0:
            return wilson(int(self.wrong.sum()), len(self.wrong), level)
        return bootstrap_counts(self.resampled, self.area(), self.influence(), generator, level=level)

    def gain_interval(self, generator: np.random.Generator, level: float) -> Interval:
        """BCa bootstrap of the error rate minus the area: above 0, confidence tells right from wrong."""
        mean = float(self.wrong.mean())
        if np.ptp(self.wrong) == 0 or len(self.starts) == 1:  # nothing to order, or no order
            return unseen(0.0, len(self.wrong), -1.0, 1.0, level)
        gained = lambda drawn: drawn @ self.wrong / len(self.wrong) - self.resampled(drawn)  # noqa: E731
        influence = self.wrong - mean - self.influence()
        return bootstrap_counts(gained, mean - self.area(), influence, generator, level=level)

    def telling(self, generator: np.random.Generator, level: float) -> bool:
        """Whether there are errors enough to show that the best order, all of them last, is better than a random one."""
        best = Curve(np.arange(len(self.wrong), 0, -1.0), np.sort(self.wrong))
        return best.gain_interval(generator, level).low > CLOSE

    def coverage_at(self, risk: float, generator: np.random.Generator, level: float) -> dict[str, object]:
        """The largest share accepted by a threshold with at most this error rate, with its percentile interval."""
        kept = self._reach(np.ones((1, len(self.wrong))), risk)[0]
        found = bootstrap_counts(lambda drawn: self._reach(drawn, risk), float(kept), np.zeros(len(self.wrong)),
                                 generator, level=level, resamples=500)  # fmt: skip
        low, high = max(0.0, found.low), min(1.0, found.high)
        if kept == 1 and wilson(int(self.wrong.sum()), len(self.wrong), level).high <= risk:
            low = 1.0  # the error rate of all rows is surely no larger
        return {"value": float(kept), "interval": Interval(low, high, level, found.kind)}

    def _reach(self, drawn: Array, risk: float) -> Floats:
        wrong = np.cumsum(np.add.reduceat(drawn * self.wrong, self.starts, axis=1), axis=1)
        taken = np.cumsum(np.add.reduceat(drawn, self.starts, axis=1), axis=1)
        return np.max(np.where(wrong <= risk * taken, taken, 0), axis=1) / len(self.wrong)


def best_area(wrong: Floats) -> float:
    """AURC of the best order: every error last."""
    rows, errors = len(wrong), int(wrong.sum())
    k = np.arange(rows - errors + 1, rows + 1)
    return float(np.sum((k - (rows - errors)) / k) / rows)


def judged(wrong: Floats, gain: Interval) -> str:
    """The verdict on the interval of the gain over rejecting at random."""
    if not wrong.any():
        return "no errors"
    if gain.low > CLOSE:
        return "better than random"
    return "worse than random" if gain.high < -CLOSE else "no better than random"


def _told(wrong: Floats, area: float, interval: Interval, verdict: str, risk: Floats) -> str:
    rows, half = counted(len(wrong), "unseen row"), float(risk[(len(wrong) - 1) // 2])
    rate = wilson(int(wrong.sum()), len(wrong))
    if verdict == "no errors":
        return f"None of {rows} is wrong, so there is no error that confidence could warn of."
    everything, kept = (figure(r, rate, percent=True) for r in (float(wrong.mean()), half))
    return (
        f"Answering all of {rows}, the model is wrong on {everything}; answering the surer half, on {kept} "
        f"(area under the risk-coverage curve {stated(area, interval)}, {verdict})."
    )
