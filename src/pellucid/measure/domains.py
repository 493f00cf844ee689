"""How much worse the model is where it comes from elsewhere: another hospital, a later month, another camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, stated
from pellucid.core.resampling import Interval, difference
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import Metric
from pellucid.measure.gap import check_compared, tolerated
from pellucid.measure.performance import chosen
from pellucid.measure.subgroups import Group, attributes, check_by, estimated_each, parts


@dataclass(frozen=True, eq=False)
class DomainGap(Measure):
    """How much of its quality does the model lose in other domains?

    drop_d = quality(reference) - quality(d), or the other way round for a loss: above 0 means worse in domain d. The value is the
    largest drop. The intervals of all D drops hold at once, at least at `level` (each at 1 - (1 - level) / D, Bonferroni), so
    the true largest drop lies between the largest lower and the largest upper end, whichever domain happens to look
    worst. Verdicts, with t the tolerance:

    - "drops": in some domain the model is surely worse.
    - "holds": in no domain is it worse by more than t.
    - "no drop shown": both are possible; the explanation says how large a drop can be.

    `detail`: `domains` (rows, value, interval, `drop` with its interval, of each), `reference`, `worst`, and `left_out`, domains
    too small, or without this quality.

    Args:
        by: What makes domains: the name of one column of the test rows, or a mapping from one name to values (B,), one a row.
        reference: The domain that the others are held against, such as the hospital that the training rows come from.
        metric: A metric of `Performance`; None for accuracy, or R2 for a regression.
        least: Rows that a domain needs to be compared.
        level: Confidence level of all intervals together, in (0, 1).
        tolerance: A drop too small to matter, in units of the metric, at least 0; None for 0.02, and 0 for metrics without a
            natural scale (log_loss, mae, rmse).

    Raises:
        InvalidInput: No row is of that domain, there is no such column, or values for another number of rows.
        InvalidOption: Several attributes, a metric that does not exist, or another option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.tile(np.linspace(0, 1, 200), 2)[:, None]
        >>> y = (x[:, 0] > np.repeat([0.5, 0.8], 200)).astype(int)  # elsewhere the threshold is another one
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.DomainGap({"site": np.repeat(["A", "B"], 200)}, reference="A"), test=(x, y))
        >>> found.verdict, round(found.value, 2)
        ('drops', 0.3)

    References:
        Koh et al. 2021, "WILDS: a benchmark of in-the-wild distribution shifts", arXiv:2012.07421. Newcombe 1998,
        doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Limits:
        A drop may lie in harder rows, other rates of classes or other ways of recording, not only in the model: `ShiftDetection`
        shows what differs. Domains that are not among the test rows are not spoken of. Rows that belong together (`groups`)
        make the intervals too short.
    """

    by: str | Mapping[str, Any]
    reference: str
    metric: str | None = None
    least: int = 10
    level: float = 0.95
    tolerance: float | None = None

    quantity: ClassVar[str] = "domain_gap"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        check_by(self)
        if not isinstance(self.by, str) and len(self.by) > 1:
            raise InvalidOption(f"DomainGap.by: domains are of one attribute, got {', '.join(self.by)}")
        options.whole(self, "least", 2)
        check_compared(self)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        name, metric = chosen(context, self.metric)
        kept, left = parts(self, context.data("test"))
        home = str(self.reference)
        _require_known(self, home, context.data("test"))
        found, reasons = estimated_each(context, name, kept, len(kept) - 1, self.level)
        here = next((g for g in found if g.value == home), None)
        others = [g for g in found if g.value != home]
        if here is None or not others:
            told = "; ".join(f"{d}: {why}" for d, why in {**left, **reasons}.items()) or "there is no other"
            raise NotApplicable(f"DomainGap holds other domains against {home!r}, but {told}")
        drops, around = map(list, zip(*(_drop(here, g, metric) for g in others), strict=True))
        largest, worst = max(zip(drops, others, strict=True), key=lambda pair: pair[0])
        kind = f"simultaneous {around[0].kind}"
        interval = Interval(max(i.low for i in around), max(i.high for i in around), self.level, kind)
        verdict = judged(interval, tolerance := tolerated(self.tolerance, name))
        each = [
            {**g.written, "drop": {"value": v, "interval": i}} for g, v, i in zip(others, drops, around, strict=True)
        ]
        detail = {
            "domains": each, "reference": here.written, "worst": worst.value, "tolerance": tolerance,
            "left_out": {**left, **reasons},
        }  # fmt: skip
        told = _told(metric, (here, worst), stated(largest, interval, percent=metric.share, unit="points"), verdict)
        detail = {"explanation": told, **detail}
        return Measurement(f"domain_gap.{name}", largest, interval, verdict, detail, share=metric.share)


def _require_known(asked: DomainGap, home: str, test: Dataset) -> None:
    """Require that some row is of the reference: a name that no row has is a slip, one of few rows a matter of the data."""
    values = {value for _, each in attributes(asked, test) for value in each.tolist()}
    if home not in values:
        raise InvalidInput(
            f"DomainGap.reference: no test row is of {home!r}; there are {', '.join(sorted(values)) or 'none'}"
        )


def _drop(here: Group, there: Group, metric: Metric) -> tuple[float, Interval]:
    """How much worse the model is there, with its interval."""
    sides = [(g.found.value, g.found.interval) for g in (here, there)]
    first, second = sides if metric.higher_is_better else sides[::-1]
    return first[0] - second[0], difference(first, second)


def judged(drop: Interval, tolerance: float) -> str:
    """The verdict on the interval of the largest drop; see `DomainGap`."""
    if drop.low > 0:
        return "drops"
    return "holds" if drop.high <= tolerance else "no drop shown"


def _told(metric: Metric, sides: tuple[Group, Group], drop: str, verdict: str) -> str:
    seen = [
        f"{stated(g.found.value, g.found.interval, percent=metric.share)} in {_called(g)} ({counted(len(g.rows), 'row')})"
        for g in sides
    ]
    what = f"The {metric.label} is {seen[0]} and {seen[1]}, the largest drop: {drop}"
    return {
        "drops": f"{what}; the model is surely worse there.",
        "holds": f"{what}; in no domain is it worse by more than that matters.",
        "no drop shown": f"{what}; no drop is shown, but one at the upper end cannot be ruled out.",
    }[verdict]


def _called(group: Group) -> str:
    """A domain by its name: "Hungary", but "month 3"."""
    return group.value if any(map(str.isalpha, group.value)) else f"{group.attribute} {group.value}"
