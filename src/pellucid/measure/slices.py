"""Whether rows that nobody named are served worse: slices found on one half of the test rows and tested on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.features import features
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import agreeing, counted, figure, stated
from pellucid.core.randomness import some
from pellucid.core.resampling import Interval, clopper_pearson, difference, student
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.performance import row_losses
from pellucid.measure.slice_search import Candidate, Table, by_clusters, by_trees, most_suspicious, table_of
from pellucid.shapes import Array, Floats

LOSSES = {
    "error": ("classification", "error rate"), "log_loss": ("classification", "log loss"),
    "brier": ("classification", "Brier score"), "squared_error": ("regression", "mean squared error"),
    "absolute_error": ("regression", "mean absolute error"),
}  # fmt: skip
"""The loss of a row: the task it belongs to, and what its mean is called."""


@dataclass(frozen=True, eq=False)
class SliceDiscovery(Measure):
    """Which rows that nobody named are served worse?

    The test rows are parted in two halves (rows of one group stay together). On the first, slices are looked for: the nodes of
    shallow decision trees that predict the loss from the columns of a table, and clusters of the features before the last layer,
    for every kind of data. The most suspicious ones are then tested on the second half only; and the same with the
    halves exchanged. For a slice S the drop is

        d = mean loss in S - mean loss in the other rows,    both of the half that did not find it.

    Each of the m candidates that a half found has an interval at 1 - (1 - level) / (2 m): all intervals of both halves then
    hold at once, at least at `level` (Bonferroni). A slice whose interval lies above 0 is confirmed. The value is the largest
    confirmed drop, or the largest at all; the true drop of the worst candidate lies between the largest lower and the largest
    upper end, whichever looks worst. Verdicts: "a slice is served worse" or "no slice confirmed".

    `detail`: `slices`, the confirmed ones first and then by drop: `description` in words, `by` ("tree" or "cluster"), `rows`
    (numbers of all test rows in it), `size` (those that it was tested on), `inside` and `outside` (mean losses), `drop`,
    `interval`, `adjusted_p` (the smallest 1 - level at which it would be confirmed) and `confirmed`; the `loss`; and
    `looked_at`, how many rows.

    Args:
        loss: "error" (share of wrong classes), "log_loss" or "brier"; of a regression "squared_error" or "absolute_error";
            None for the error or the squared error.
        clusters: "kmeans" or "mixture" (of Gaussian distributions), how clusters are found.
        candidates: Slices of each half that are tested on the other; fewer are tested more sharply.
        least: Rows that a slice and the rest need in each half.
        most: Test rows looked at; drawn at random from more.
        level: Confidence level of all intervals together, in (0, 1).

    Raises:
        InvalidOption: A loss that does not exist, or another option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).uniform(size=(1000, 2))
        >>> y = (x[:, 0] > 0.5) ^ (x[:, 1] > 0.8)  # the model knows nothing of the second column
        >>> model = pl.wrap(lambda x: np.hstack([1 - x[:, :1], x[:, :1]]), output="probabilities")
        >>> data = pl.Dataset(x, y.astype(int), feature_names=["dose", "age"])
        >>> found, = pl.measure(model, pl.SliceDiscovery(), test=data)
        >>> found.verdict, found.detail["slices"][0]["description"]
        ('a slice is served worse', 'age > 0.8')

    References:
        Chung, Kraska, Polyzotis, Tae and Whang 2019, "Slice Finder", arXiv:1807.06068. Eyuboglu et al. 2022, "Domino",
        arXiv:2203.14960. Dunn 1961, doi:10.1080/01621459.1961.10482090 (Bonferroni intervals). Clopper and Pearson 1934,
        doi:10.1093/biomet/26.4.404. Zou and Donner 2008, doi:10.1002/sim.3095 (intervals of differences).

    Limits:
        A slice's rows may be harder, not worse served. "No slice confirmed" is no promise: small slices, and those that neither a
        few columns nor a cluster describe, stay hidden. Slices overlap and have one cause often. A cluster has no words of its
        own: look at its rows. The two halves may confirm the same slice, with slightly different borders. Rows that belong
        together (`groups`) make the intervals too short, though not the halves dependent.
    """

    loss: str | None = None
    clusters: str = "kmeans"
    candidates: int = 10
    least: int = 20
    most: int = 10_000
    level: float = 0.95

    quantity: ClassVar[str] = "slices"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        options.one_of(self, "loss", (None, *LOSSES))
        options.one_of(self, "clusters", ("kmeans", "mixture"))
        options.whole(self, "candidates")
        options.whole(self, "least", 2)
        options.whole(self, "most", 100)
        options.fraction(self, "level")

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`."""
        return min(test, self.most)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        whole = context.data("test")
        rows = some(len(whole), self.most, context.stream("rows"))
        name, losses = _losses(context, self.loss, rows)
        data = whole.take(rows)
        first = _half(data, context.stream("halves"))
        if min(first.sum(), len(first) - first.sum()) < 2 * self.least:
            raise NotApplicable(
                f"SliceDiscovery halves the test rows: {agreeing(len(data), 'row')} too few (at least {4 * self.least})"
            )
        if np.ptp(losses) == 0:
            raise NotApplicable(
                f"SliceDiscovery: the loss of all {len(data)} rows is {losses[0]:g}, so none is served worse"
            )
        places = table_of(data), _features(context, data)
        if places[0] is None and places[1] is None:
            raise NotApplicable(
                f"SliceDiscovery looks in columns or features, and {context.model.name} has neither here"
            )
        found = [s for taught in (first, ~first) for s in self._tested(context, places, losses, taught)]
        if not found:
            raise NotApplicable("SliceDiscovery found no rows with a larger loss that could be tested")
        found.sort(key=lambda s: (not s["confirmed"], -s["drop"]))
        ends = [s["interval"] for s in found]
        interval = Interval(
            max(e.low for e in ends), max(e.high for e in ends), self.level, f"simultaneous {ends[0].kind}"
        )
        slices = [{**s, "description": _described(s, data), "rows": rows[s["rows"]]} for s in found]
        verdict = "a slice is served worse" if slices[0]["confirmed"] else "no slice confirmed"
        told = _told(slices, interval, name)
        detail = {"explanation": told, "slices": slices, "loss": name, "looked_at": len(data)}
        return Measurement(f"slices.{name}", slices[0]["drop"], interval, verdict, detail)

    def _tested(
        self, context: Context, places: tuple[Table | None, Floats | None], losses: Floats, taught: Array
    ) -> list[dict[str, Any]]:
        """The slices that the rows `taught` (B,) suggest, tested on the others."""
        found, asked, (table, state) = list[Candidate](), ~taught, places
        if table is not None:
            found += by_trees(table, losses, taught, self.least)
        if state is not None:
            found += by_clusters(state, taught, self.clusters == "mixture", context.stream("clusters", int(taught[0])))
        kept = [c for c in found if min(np.sum(asked & c.members), np.sum(asked & ~c.members)) >= self.least]
        kept = most_suspicious(kept, losses, taught, self.candidates)
        return [judged(c, losses, asked, 2 * len(kept), self.level) for c in kept]


def judged(candidate: Candidate, losses: Floats, asked: Array, statements: int, level: float) -> dict[str, Any]:
    """A slice as it is written down: the drop on the rows `asked`, with an interval that holds for so many statements at once."""
    inside, outside = losses[asked & candidate.members], losses[asked & ~candidate.members]
    interval = drop(inside, outside, 1 - (1 - level) / statements)
    p = min(1.0, statements * least_error(inside, outside, 1 / statements))
    return {
        "description": candidate.description, "by": candidate.by, "rows": np.flatnonzero(candidate.members), "size": len(inside),
        "inside": float(inside.mean()), "outside": float(outside.mean()), "drop": float(inside.mean() - outside.mean()),
        "interval": interval, "adjusted_p": p, "confirmed": interval.low > 0,
    }  # fmt: skip


def drop(inside: Floats, outside: Floats, level: float) -> Interval:
    """The interval of a difference of mean losses: of shares by exact intervals, of other means by Student's."""
    shares = bool(np.isin(inside, (0, 1)).all() and np.isin(outside, (0, 1)).all())
    each = [
        clopper_pearson(int(side.sum()), len(side), level) if shares else student(side, level)
        for side in (inside, outside)
    ]
    return difference((float(inside.mean()), each[0]), (float(outside.mean()), each[1]))


def least_error(inside: Floats, outside: Floats, most: float = 0.999) -> float:
    """The smallest 1 - level, from 1e-12 to `most`, at which the interval of the drop lies above 0; 1 where there is none."""
    from scipy.optimize import brentq

    low = lambda exponent: drop(inside, outside, 1 - 10.0**exponent).low  # noqa: E731
    last = float(np.log10(most))
    if inside.mean() <= outside.mean() or low(last) <= 0:
        return 1.0
    return 1e-12 if low(-12.0) > 0 else float(10 ** brentq(low, -12.0, last, xtol=1e-3))  # type: ignore[arg-type]


def _losses(context: Context, asked: str | None, rows: Array) -> tuple[str, Floats]:
    """The name of the loss, and that of each row (B,)."""
    name = asked or ("error" if context.task == "classification" else "squared_error")
    if LOSSES[name][0] != context.task:
        raise NotApplicable(f"SliceDiscovery.loss: {name} is of a {LOSSES[name][0]}, but {context.model.name} is none")
    return name, row_losses(context, "test", name)[rows]


def _half(data: Dataset, generator: np.random.Generator) -> Array:
    """Which rows (B,) are of the first half; rows of one group are of one half."""
    _, unit = np.unique(np.arange(len(data)) if data.groups is None else data.groups, return_inverse=True)
    order = generator.permutation(unit.max() + 1)
    before = np.cumsum(np.bincount(unit)[order])
    first = order[before <= max(before[0], len(data) / 2)]
    return np.isin(unit, first)


def _features(context: Context, data: Dataset) -> Floats | None:
    """The features (B, D) before the last layer, or None of a model that has none."""
    try:
        found = features(context.model, context.model.prepare(data))
    except NotApplicable:
        return None
    return found.astype(float)


def _described(found: dict[str, Any], data: Dataset) -> str:
    """A slice in words; of a cluster of classes also which class most of its rows are of."""
    if found["by"] == "tree" or data.y is None or data.task != "classification":
        return found["description"]
    classes, counts = np.unique(data.y[found["rows"]].astype(int), return_counts=True)
    share = figure(counts.max() / counts.sum(), percent=True)
    return f"{found['description']} ({share} of class {data.label(int(classes[counts.argmax()]))})"


def _told(slices: Sequence[dict[str, Any]], interval: Interval, name: str) -> str:
    worst, share, what = slices[0], name == "error", LOSSES[name][1]
    inside, outside = (figure(worst[side], percent=share) for side in ("inside", "outside"))
    where = f"where {worst['description']}" if worst["by"] == "tree" else f"in {worst['description']}"
    size = stated(worst["drop"], interval, percent=share, unit="points")
    if worst["confirmed"]:
        sure = sum(s["confirmed"] for s in slices)
        return (
            f"{where[0].upper()}{where[1:]}, {counted(len(worst['rows']), 'row')}, the {what} is {inside} and elsewhere "
            f"{outside}, on rows that did not suggest it: worse by {size}. Of {counted(len(slices), 'slice')} "
            f"tested, {sure} {'is' if sure == 1 else 'are'} confirmed."
        )
    most = figure(max(interval.high, 0.0), interval, percent=share, unit="points")
    return (
        f"Of {counted(len(slices), 'slice')} that one half of the rows suggested, the other half confirms none; worst is "
        f"the {what} {where}: {inside}, and elsewhere {outside}. It is worse by at most {most} in each."
    )
