"""Whether a column gives the label away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import stated
from pellucid.core.randomness import some
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import Estimate, auroc, r2
from pellucid.measure.shift import adjusted, compared
from pellucid.measure.slice_search import Table, table_of
from pellucid.shapes import Array

FOLDS, DEPTH, LEAF = 3, 5, 5
"""Parts of the rows that take turns in being predicted, and the conditions and rows of a tree that predicts them."""

PAIRED = 8
"""The columns, best by themselves, of which all pairs are tried."""

GIVEN, TOLD = "a column gives the label away", "missing values tell the label"
"""Two of the verdicts."""

FAR = 3
"""What all other columns lack to perfection must surely be so many times what the column itself lacks."""


@dataclass(frozen=True, eq=False)
class TargetLeakage(Measure):
    """Does a column give the label away?

    A diagnosis code entered after the diagnosis, an account closed because of the fraud: such columns predict the label on
    every split of the data, and are not there when the model is used. Each column of the training rows alone (one that was
    encoded as several, as a whole), and each pair of the 8 best, predicts the label by a shallow tree, on rows that it was
    not grown on (3 folds; groups stay together). q is the AUROC (mean over classes) or, of numbers, R2, with an interval that
    holds for all columns and pairs at once. A column is suspicious where q is surely above `least`, and the others, with a
    forest of extremely random trees of all of them together, surely lack 3 times as much to a q of 1: a label that is easy
    anyhow gives no alarm. A pair counts where neither column does alone. The value is the largest q of a single column; the
    largest true one lies between the largest lower and the largest upper end. Verdicts:

    - "a column gives the label away".
    - "missing values tell the label": labels surely differ between rows where a column is missing and where it is not
      (chi-square or Kolmogorov-Smirnov, adjusted by Benjamini and Hochberg).
    - "no column gives the label away".

    `detail`: `suspicious` (names: columns, and pairs as "a with b"), `columns` and `pairs` (name, value and interval, best
    first), `others` (how well all not suspicious ones together predict, or None where it was not asked), `missing` (column,
    share missing, test, statistic, p, adjusted p), and `metric`.

    Args:
        least: The q that a column must surely exceed, in (0, 1).
        most: Training rows looked at; drawn at random from more.
        level: Of the intervals together with the tests of missing values, in (0, 1).

    Raises:
        InvalidInput: No labels, or labels that are NaN.
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> g = np.random.default_rng(0)
        >>> y = g.integers(0, 2, 600)
        >>> x = np.column_stack([y + g.normal(size=600), np.where(y == 1, g.exponential(size=600), 0)])
        >>> found, = pl.measure(None, pl.TargetLeakage(), train=pl.Dataset(x, y, feature_names=["age", "refund"]))
        >>> found.verdict, found.detail["suspicious"]
        ('a column gives the label away', ('refund',))

    References:
        Kapoor and Narayanan 2023, doi:10.1016/j.patter.2023.100804. Kaufman, Rosset, Perlich and Stitelman 2012,
        doi:10.1145/2382577.2382579. DeLong et al. 1988, doi:10.2307/2531595. Benjamini and Hochberg 1995,
        doi:10.1111/j.2517-6161.1995.tb02031.x.

    Limits:
        A good predictor is no proof of a leak: ask when and by whom the column is filled in. Leaks that are weaker, spread over
        three or more columns, or over a pair of which neither column alone is among the best, are not seen, nor is a leak in
        most columns, or in the only one. Missing values that tell the label may be honest (a test is ordered for the ill).
    """

    least: float = 0.95
    most: int = 2000
    level: float = 0.95

    quantity: ClassVar[str] = "target_leakage"

    def __post_init__(self) -> None:
        options.fraction(self, "least", "level")
        options.whole(self, "most", 50)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        rows, miss = _rows(context, self.most), (1 - self.level) / 2
        asked = _each(rows, miss)
        suspicious = [names for names, q in asked.items() if q.interval.low > self.least]
        alone = {names[0] for names in suspicious if len(names) == 1}
        suspicious = [names for names in suspicious if len(names) == 1 or not alone & set(names)]
        left = [name for name in rows.columns if not any(name in names for names in suspicious)]
        others = rows.predicted(left, 1 - miss, forest=True) if suspicious and len(alone) <= len(left) else None
        beyond = 1 - (1 - others.interval.high) / FAR if others else np.inf
        easy, suspicious = bool(suspicious), [names for names in suspicious if asked[names].interval.low >= beyond]
        missing = _missing(rows)
        telling = [m["column"] for m in missing if m["adjusted_p"] <= miss]
        verdict = GIVEN if suspicious else TOLD if telling else "no column gives the label away"
        columns, pairs = ({n: q for n, q in asked.items() if len(n) == size} for size in (1, 2))
        best, interval = _best(list(columns.values()), self.level)
        detail = {
            "suspicious": tuple(map(_named, suspicious)), "columns": _written(columns), "pairs": _written(pairs),
            "others": others and {"value": others.value, "interval": others.interval}, "missing": missing,
            "metric": "auroc" if rows.classes else "r2",
        }  # fmt: skip
        quality = f"{'an AUROC' if rows.classes else 'an R2'} of {stated(best, interval)}"
        told = _told(_named(next(iter(columns))), quality, suspicious, others, easy, telling)
        return Measurement(self.quantity, best, interval, verdict, {"explanation": told, **detail})


@dataclass(frozen=True)
class _Rows:
    """A table, its labels (class numbers or values), which part of the rows each is of, and where draws come from."""

    table: Table
    y: Array
    classes: bool
    folds: Array
    context: Context

    @property
    def columns(self) -> list[str]:
        """The columns as they were before they were encoded."""
        return list(dict.fromkeys(self.table.origins))

    def predicted(self, names: Sequence[str], level: float, forest: bool = False) -> Estimate:
        """How well some columns alone predict the label of rows that were not learned from."""
        from sklearn.ensemble import ExtraTreesRegressor
        from sklearn.tree import DecisionTreeRegressor

        x = self.table.x[:, [o in names for o in self.table.origins]]
        wanted = np.eye(int(self.y.max()) + 1)[self.y] if self.classes else self.y
        found = np.empty(wanted.shape)
        for fold in range(FOLDS):
            model: Any = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
            if forest:
                model = ExtraTreesRegressor(30, min_samples_leaf=2, max_features=1 / 3, random_state=0)
            asked = self.folds == fold
            found[asked] = model.fit(x[~asked], wanted[~asked]).predict(x[asked])
        draws = self.context.stream("quality", *names)
        return auroc(self.y, found, level, draws) if self.classes else r2(self.y, found, level, draws)


def _rows(context: Context, most: int) -> _Rows:
    """The training rows that are looked at, or an error that says why none can be."""
    whole = context.data("train")
    if whole.y is None:
        raise InvalidInput("train: TargetLeakage needs labels; give train=pl.Dataset(x, y)")
    data = whole.take(some(len(whole), most, context.stream("rows")))
    if (table := table_of(data)) is None:
        raise NotApplicable(f"TargetLeakage looks at the columns of a table, and the rows are of kind {data.kind}")
    if data.groups is not None and len(np.unique(data.groups)) < FOLDS:
        raise NotApplicable(f"TargetLeakage parts the rows by group in {FOLDS}, and there are fewer groups")
    classes = data.task == "classification"
    if not classes and not np.isfinite(data.y).all():
        raise InvalidInput(
            f"train: the label at row {int(np.argmin(np.isfinite(whole.y)))} is NaN or infinite; drop such rows"
        )
    y = np.unique(data.y, return_inverse=True)[1] if classes else data.y.astype(float)
    counts = np.unique(y, return_counts=True)[1]
    if len(data) < 50 or len(counts) < 2 or (classes and counts.min() < 2 * FOLDS):
        raise NotApplicable(
            f"TargetLeakage predicts labels of at least 50 rows, with at least {2 * FOLDS} of each of two or more classes, "
            f"got {len(data)} with {counts.tolist()[:10] if classes else 'one value'}"
        )
    return _Rows(table, y, classes, _folds(data, context.stream("folds")), context)


def _folds(data: Dataset, generator: np.random.Generator) -> Array:
    """Which part (B,) each row is of, about equally many of each; rows of one group are of one."""
    unit = np.unique(np.arange(len(data)) if data.groups is None else data.groups, return_inverse=True)[1]
    of_unit = generator.permutation(np.arange(unit.max() + 1) % FOLDS)
    return of_unit[unit]


def _each(rows: _Rows, miss: float) -> dict[tuple[str, ...], Estimate]:
    """The quality of each column, and then of each pair of the best, the best first, with intervals that hold for all at once."""
    most = min(len(rows.columns), PAIRED)
    level = 1 - miss / (len(rows.columns) + most * (most - 1) // 2)
    ordered = lambda keys: dict(sorted(((k, rows.predicted(k, level)) for k in keys), key=lambda pair: -pair[1].value))  # noqa: E731
    alone = ordered((name,) for name in rows.columns)
    return alone | ordered(combinations([name for (name,) in alone][:most], 2))


def _missing(rows: _Rows) -> list[dict[str, Any]]:
    """For each column with missing values, whether labels differ between rows with and without it."""
    labels, found = rows.y.astype(str) if rows.classes else rows.y, []
    for name in rows.columns:
        gone: Array = np.isnan(rows.table.x[:, [o == name for o in rows.table.origins]]).max(axis=1)
        if 0 < gone.sum() < len(gone):
            found.append({"column": name, "share": float(gone.mean()), **compared(labels[gone], labels[~gone])})
    return adjusted(found) if found else []


def _best(found: Sequence[Estimate], level: float) -> tuple[float, Interval]:
    """The largest of several qualities, and where the largest true one lies if each lies in its own interval."""
    ends = [f.interval for f in found]
    interval = Interval(max(e.low for e in ends), max(e.high for e in ends), level, f"simultaneous {ends[0].kind}")
    return max(f.value for f in found), interval


def _named(names: Sequence[str]) -> str:
    return " with ".join(names)


def _written(found: dict[tuple[str, ...], Estimate]) -> list[dict[str, Any]]:
    return [{"name": _named(n), "value": q.value, "interval": q.interval} for n, q in found.items()]


def _told(
    best: str,
    quality: str,
    suspicious: Sequence[Sequence[str]],
    others: Estimate | None,
    easy: bool,
    telling: Sequence[str],
) -> str:
    said = f"Of single columns, {best} predicts the label best, with {quality}"
    if suspicious and others:
        names, rest = ", ".join(map(_named, suspicious)), stated(others.value, others.interval)
        said += f"; {names} alone all but determine{'s' if len(suspicious) == 1 else ''} it, where the other columns together "
        said += f"reach {rest}: ask whether this is known before the label"
    elif easy:
        said += ", and the other columns do as well or nearly so: an easy label"
    also = (
        f" Whether {', '.join(telling)} {'is' if len(telling) == 1 else 'are'} missing tells of the label."
        if telling
        else ""
    )
    return f"{said}.{also}"
