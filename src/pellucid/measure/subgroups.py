"""Whether some rows are served worse than others: the quality group by group, with intervals that hold for all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval, difference
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import METRICS, Estimate, Metric
from pellucid.measure.gap import check_compared, tolerated
from pellucid.measure.performance import chosen
from pellucid.shapes import Array

MOST = 30
"""Different values of one attribute beyond which they are numbers, not groups."""


Member = tuple[str, str, Array]
"""An attribute, one of its values, and the rows (N,) that have it."""


@dataclass(frozen=True)
class Group:
    """Some rows, and the quality of the model's answers on them."""

    attribute: str
    value: str
    rows: Array
    found: Estimate

    @property
    def name(self) -> str:
        """How it is called: "sex = F"."""
        return f"{self.attribute} = {self.value}"

    @property
    def written(self) -> dict[str, Any]:
        """How it is written down."""
        return {
            "attribute": self.attribute, "group": self.value, "rows": len(self.rows), "value": self.found.value,
            "interval": self.found.interval, "explanation": self.found.note,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subgroups(Measure):
    """Does the model serve some groups worse than others?

    For each attribute the rows with equal values are a group g with quality q_g. The value is the quality of the worst group; the
    disparity is the largest abs(q_g - q_h) of two groups of one attribute. All G groups, and all P pairs, have intervals at
    1 - (1 - level) / G and 1 - (1 - level) / P, which then hold for all at once, at least at `level` (Bonferroni). So the worst
    group's true quality lies between the least lower and the least upper end, and the true disparity between the largest
    ends of the pairs, whichever groups happen to look worst. Verdicts, with t the tolerance:

    - "groups differ": some pair surely does, its lower end is above 0.
    - "groups are alike": no pair differs by more than t.
    - "no difference shown": both are possible; the explanation says how large a difference can be.

    `detail`: `groups` (attribute, value, rows, value and interval of each), `disparity` with its interval and the two groups, and
    `left_out`, groups too small, or without this quality, with the reason.

    Args:
        by: What makes groups: a column's name or several (by `feature_names`, or `columns` where one was encoded as several), or
            a mapping from names to values (B,), one a test row, where these are no columns. Missing values are a group.
        metric: A metric of `Performance`; None for accuracy, or R2 for a regression.
        least: Rows that a group needs to be compared.
        level: Confidence level of all intervals together, in (0, 1).
        tolerance: A difference too small to matter, in units of the metric, at least 0; None for 0.02, and 0 for metrics without
            a natural scale (log_loss, mae, rmse).

    Raises:
        InvalidInput: A column that does not exist, values for another number of rows, or more than 30 different ones.
        InvalidOption: A metric that does not exist, or another option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.tile(np.linspace(0, 1, 200), 2)[:, None]
        >>> y = (x[:, 0] > np.repeat([0.5, 0.8], 200)).astype(int)  # the model errs on the second half
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.Subgroups({"site": np.repeat(["A", "B"], 200)}), test=(x, y))
        >>> found.verdict, found.detail["worst"], round(found.value, 2)
        ('groups differ', 'site = B', 0.7)

    References:
        Buolamwini and Gebru 2018, "Gender shades", PMLR 81:77-91. Newcombe 1998,
        doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I. Dunn 1961,
        doi:10.1080/01621459.1961.10482090 (Bonferroni intervals).

    Limits:
        Equal accuracy is one notion of fairness of several that exclude each other; error rates by class may differ where it does
        not. Groups that nobody named are not looked at, nor are intersections unless given as an attribute. A group's rows may
        be harder, not worse served. Where a metric's interval is a bootstrap's, ends at such levels rest on few resamples.
    """

    by: str | Sequence[str] | Mapping[str, Any]
    metric: str | None = None
    least: int = 10
    level: float = 0.95
    tolerance: float | None = None

    quantity: ClassVar[str] = "subgroups"

    def __post_init__(self) -> None:
        check_by(self)
        options.whole(self, "least", 2)
        check_compared(self)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        name, metric = chosen(context, self.metric)
        kept, left = parts(self, context.data("test"))
        groups, reasons = estimated_each(context, name, kept, len(kept), self.level)
        pairs = _pairs(groups)
        if not pairs:
            told = "; ".join(f"{g}: {why}" for g, why in {**left, **reasons}.items())
            raise NotApplicable(
                f"Subgroups compares groups of at least {self.least} rows, but fewer than two of one attribute have "
                f"them{f' ({told})' if told else ''}"
            )
        apart = estimated_each(context, name, kept, len(pairs), self.level)[0]
        sign = 1 if metric.higher_is_better else -1
        worst = min(groups, key=lambda g: sign * g.found.value)
        interval = _of_the_worst([g.found.interval for g in groups], sign, self.level)
        disparity = _disparity(_pairs(apart), sign, self.level)
        tolerance = tolerated(self.tolerance, name)
        verdict = judged(disparity["interval"], tolerance)
        detail = {
            "worst": worst.name, "groups": [g.written for g in groups], "disparity": disparity, "tolerance": tolerance,
            "left_out": {**left, **reasons},
        }  # fmt: skip
        told = _told(metric, worst, interval, disparity, verdict, len(groups))
        detail = {"explanation": told, **detail}
        return Measurement(f"subgroups.{name}", worst.found.value, interval, verdict, detail, **metric.read)


def check_by(owner: Any) -> None:
    """Require the option `by` to name columns, or to map names to values."""
    by = owner.by
    fits = isinstance(by, Mapping) or (isinstance(by, str | Sequence) and all(isinstance(name, str) for name in by))
    if not fits or not len(by):
        raise InvalidOption(
            f"{type(owner).__name__}.by: expected a column's name, several, or a mapping from names to values, one a test row; "
            f"got {type(by).__name__} {by!r}"
        )


def parts(owner: Any, test: Dataset) -> tuple[list[Member], dict[str, str]]:
    """The groups that `owner.by` makes of test rows and that have `owner.least` of them, and the others with their sizes."""
    members = [m for attribute, values in attributes(owner, test) for m in _members(attribute, values)]
    left = {f"{a} = {v}": counted(len(rows), "row") for a, v, rows in members if len(rows) < owner.least}
    return [m for m in members if len(m[2]) >= owner.least], left


def attributes(owner: Any, test: Dataset) -> Iterator[tuple[str, Array]]:
    """The name of each attribute of `owner.by`, and its values (B,) as text.

    Raises:
        InvalidInput: See `Subgroups`.
    """
    by, option = owner.by, f"{type(owner).__name__}.by"
    for name in (by,) if isinstance(by, str) else by:
        values = np.asarray(by[name]) if isinstance(by, Mapping) else _column(name, test, option)
        if values.shape != (len(test),):
            raise InvalidInput(
                f"{option}: {name!r} needs one value for each of the {len(test)} test rows, got shape {values.shape}"
            )
        text = np.array([_as_text(v) for v in values])
        if (count := len(np.unique(text))) > MOST:
            raise InvalidInput(
                f"{option}: {name!r} has {count} different values, too many for groups (at most {MOST}); give bands, such as "
                f"by={{{name!r}: np.digitize(values, edges)}}"
            )
        yield name, text


def _column(name: str, test: Dataset, option: str) -> Array:
    """The values of a column of a table; of one encoded as several columns, the tuple of these."""
    if isinstance(test.x, dict):
        raise InvalidInput(
            f"{option}: {name!r} is looked for in one table, but test has several inputs; give its values"
        )
    for names in (test.feature_names, test.columns):
        at = [i for i, n in enumerate(names or ()) if n == name]
        if at and test.x.ndim == 2:
            return test.x[:, at[0]] if len(at) == 1 else _category(test, name, at)
    known = ", ".join(dict.fromkeys((*(test.feature_names or ()), *(test.columns or ())))) or "none"
    raise InvalidInput(f"{option}: test has no column {name!r} (its named columns: {known}); give values for each row")


def _category(test: Dataset, name: str, at: list[int]) -> Array:
    """What a column says (B,) that was encoded as several: the name of the one that is 1, or all of their values."""
    part, names = (
        test.x[:, at],
        [(test.feature_names or ())[i].removeprefix(f"{name}=") for i in at if test.feature_names],
    )
    if names and np.all(np.sort(part, axis=1)[:, :-1] == 0) and np.all(part.max(axis=1) == 1):
        return np.array(names)[part.argmax(axis=1)]
    return np.array([str(tuple(row.tolist())) for row in part])


def _as_text(value: Any) -> str:
    if value is None or value != value:
        return "missing"
    number = isinstance(value, float | np.floating)
    return f"{value:g}" if number else str(value)


def _members(attribute: str, values: Array) -> list[Member]:
    return [(attribute, v, np.flatnonzero(values == v)) for v in dict.fromkeys(np.sort(values).tolist())]


def estimated_each(
    context: Context, name: str, members: Sequence[Member], count: int, level: float
) -> tuple[list[Group], dict[str, str]]:
    """The quality of each group, with intervals for so many statements at once; and why others have none."""
    metric, labels = METRICS[name], context.labels("test")
    answers = context.probabilities("test") if metric.task == "classification" else context.values("test")
    own, found, reasons = 1 - (1 - level) / max(1, count), [], {}
    for attribute, value, rows in members:
        try:
            quality = metric.compute(labels[rows], answers[rows], own, context.stream(name, attribute, value))
        except NotApplicable as reason:
            reasons[f"{attribute} = {value}"] = str(reason)
        else:
            found.append(Group(attribute, value, rows, quality))
    return found, reasons


def _pairs(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    return [(a, b) for a, b in combinations(groups, 2) if a.attribute == b.attribute]


def _of_the_worst(found: Sequence[Interval], sign: int, level: float) -> Interval:
    """Where the worst of several true qualities lies, if each lies in its own interval."""
    pick = min if sign > 0 else max
    return Interval(pick(i.low for i in found), pick(i.high for i in found), level, f"simultaneous {found[0].kind}")


def _disparity(pairs: Sequence[tuple[Group, Group]], sign: int, level: float) -> dict[str, Any]:
    """The largest difference of two groups, and where the largest true one lies, if each lies in its own interval."""
    ordered = [sorted(pair, key=lambda g: g.found.value) for pair in pairs]
    end = lambda g: (g.found.value, g.found.interval)  # noqa: E731
    ends = [difference(end(more), end(less)) for less, more in ordered]
    size = [more.found.value - less.found.value for less, more in ordered]
    worst, best = ordered[int(np.argmax(size))][::sign]
    low, high = max(0.0, *(e.low for e in ends)), max(max(e.high, -e.low) for e in ends)
    interval = Interval(low, high, level, f"simultaneous {ends[0].kind}")
    return {"value": max(size), "interval": interval, "best": best.name, "worst": worst.name}


def judged(disparity: Interval, tolerance: float) -> str:
    """The verdict on the interval of the disparity; see `Subgroups`."""
    if disparity.low > 0:
        return "groups differ"
    return "groups are alike" if disparity.high <= tolerance else "no difference shown"


def _told(
    metric: Metric, worst: Group, interval: Interval, disparity: Mapping[str, Any], verdict: str, count: int
) -> str:
    quality = stated(worst.found.value, interval, percent=metric.share)
    size = stated(disparity["value"], disparity["interval"], percent=metric.share, unit="points")
    what = (
        f"Of {count} groups, {worst.name} ({counted(len(worst.rows), 'row')}) has the worst {metric.label}, {quality}"
    )
    most = figure(disparity["interval"].high, disparity["interval"], percent=metric.share, unit="points")
    return {
        "groups differ": f"{what}; {disparity['best']} and {disparity['worst']} surely differ, by {size}.",
        "groups are alike": f"{what}; no two groups differ by more than {most}.",
        "no difference shown": f"{what}; no difference is shown, but one of up to {most} cannot be ruled out.",
    }[verdict]
