"""Whether the model's reasons change on new rows, beside whether the rows do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, stated
from pellucid.core.threads import one_thread
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.memorization import losses
from pellucid.measure.shift import adjusted, alone, as_numbers, columns_of, compared, told_apart
from pellucid.measure.time_order import along
from pellucid.shapes import Array, Floats

FEW = 20
"""Rows of a side below which nothing is told."""


@dataclass(frozen=True, eq=False)
class ExplanationShift(Measure):
    """Do the model's reasons change on new rows, beyond how the rows do?

    Of the same rows, inputs and attributions are compared between both sides: all columns together, by the AUROC at which a
    classifier that learned on half of the rows tells the sides of the others, and column by column (Kolmogorov-Smirnov, or
    chi-square of up to 10 different values), p adjusted by Benjamini and Hochberg. These four tests are each made at
    (1 - level) / 4: a false alarm of any has probability 1 - level at most. Inputs can drift where the model does not look, and
    attributions drift where the model uses a column differently because of what else is in the row. The value is the AUROC of
    attributions. Verdicts: "explanations shift", "inputs shift, explanations do not" or "no shift found".

    With a model and labels of the test rows it is also asked which drift goes with error: Spearman's rank correlation of the
    loss of a test row with the probability, of the classifier that learned on the other half, that it is a test row.

    `detail`: `auroc` and `p` of "attributions" and "inputs" (each by all columns, "classifier", and by single ones,
    "columns"), `columns` of both (column, test, statistic, p, adjusted p, smallest first), `alarms`, `hidden` (columns whose
    attributions surely drift though their inputs are not seen to), `with_loss` (rho, interval and p of both; or None), and
    `rows`.

    Args:
        before: An explanation of the rows of train=, in their order: a `pl.Explanation`, anything with `values` (B, ...), or
            these values.
        after: Likewise of the rows of test=.
        most: Rows of each side looked at; drawn at random from more.
        level: 1 minus the probability of a false alarm, in (0, 1); also of each interval.

    Raises:
        InvalidInput: Explanations of another number of rows than the data, with NaN, or of two different shapes.
        InvalidOption: `before` or `after` has no `values`, or several arrays of them.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from types import SimpleNamespace
        >>> g = np.random.default_rng(0)
        >>> train, test = g.normal(size=(500, 2)), g.normal(size=(500, 2)) + [0, 1]
        >>> told = lambda x: SimpleNamespace(values=x * [1, 0])  # a linear model that never looks at the second column
        >>> asked = pl.ExplanationShift(told(train), told(test))
        >>> pl.measure(None, asked, train=train, test=test)[0].verdict
        'inputs shift, explanations do not'

    References:
        Mougan, Broelemann, Masip, Kasneci, Thiropanis and Staab 2023, arXiv:2303.08081. Lopez-Paz and Oquab 2017,
        arXiv:1610.06545. Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.

    Limits:
        Reasons that change need not be wrong, nor need a loss of quality show in them. On rows that it was trained on a model
        is surer, which may look like a shift: give as train= rows that were held out. Both explanations must come from one
        method with the same options and target. Attributions computed with a tolerance have errors, which are no shift.
        Inputs without columns are compared along 32 principal directions.
    """

    before: Any
    after: Any
    most: int = 1000
    level: float = 0.95

    quantity: ClassVar[str] = "explanation_shift"

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            given = getattr(self, name)
            values = np.asarray(given if isinstance(given, np.ndarray) else getattr(given, "values", None))
            if values.ndim < 2 or values.dtype.kind not in "biuf":
                raise InvalidOption(
                    f"ExplanationShift.{name}: expected an explanation with values (B, ...), such as pl.explain gives of a model "
                    f"with one input, or these values; got {type(given).__name__}"
                )
            object.__setattr__(self, name, values)
        options.whole(self, "most", FEW)
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        told = {s: _attributions(e, context.data(s), s) for s, e in (("train", self.before), ("test", self.after))}
        if self.before.shape[1:] != self.after.shape[1:]:
            raise InvalidInput(
                f"ExplanationShift: expected values of one shape, got {self.before.shape[1:]} a row before and "
                f"{self.after.shape[1:]} after"
            )
        rows = {s: alone(context.data(s), self.most, context.stream("groups", s)) for s in told}
        rows = {s: np.sort(context.stream("rows", s).permutation(r)[: self.most]) for s, r in rows.items()}
        if min(map(len, rows.values())) < FEW:
            few = " and ".join(counted(len(r), "row") for r in rows.values())
            raise NotApplicable(
                f"ExplanationShift compares distributions, for which {few} are too few (at least {FEW} a side)"
            )
        miss, found = (1 - self.level) / 4, dict[str, _Compared]()
        for what, sides in (("attributions", told), ("inputs", {s: context.data(s) for s in told})):
            one, two = (sides[s].take(rows[s]) for s in ("train", "test"))
            found[what] = _compared(one, two, self.level, context.stream(what))
        alarms = [f"{what} by {test}" for what, f in found.items() for test, p in f.p.items() if p <= miss]
        moved = [any(a.startswith(what) for a in alarms) for what in found]
        verdict = (
            "explanations shift" if moved[0] else "inputs shift, explanations do not" if moved[1] else "no shift found"
        )
        with_loss = None
        if context.has_model and context.data("test").y is not None:
            lost = losses(context, "test")[rows["test"]]
            with_loss = {what: along(lost, f.score, self.level) for what, f in found.items()}
        hidden = _hidden(found["attributions"].columns, found["inputs"].columns, miss)
        detail = {
            "auroc": {w: {"value": f.area.value, "interval": f.area.interval} for w, f in found.items()},
            "p": {w: f.p for w, f in found.items()}, "columns": {w: f.columns for w, f in found.items()}, "alarms": alarms,
            "hidden": hidden, "with_loss": with_loss, "rows": tuple(map(len, rows.values())),
        }  # fmt: skip
        area = found["attributions"].area
        said = _told(found, verdict, hidden, with_loss)
        return Measurement(self.quantity, area.value, area.interval, verdict, {"explanation": said, **detail})


@dataclass(frozen=True)
class _Compared:
    """How far two sides are apart: all together, column by column, and how new (B,) each row of the second looks."""

    area: Any
    p: dict[str, float]
    columns: list[dict[str, Any]]
    score: Floats


def _attributions(values: Array, data: Dataset, split: str) -> Dataset:
    """The attributions of a split's rows as data of their own, with its words."""
    side = "before" if split == "train" else "after"
    if len(values) != len(data):
        raise InvalidInput(
            f"ExplanationShift.{side}: expected values of the {len(data)} rows of {split}=, in their order, got shape "
            f"{values.shape}; explain these rows, or give those that were explained as {split}="
        )
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise InvalidInput(f"ExplanationShift.{side}: the values of row {row} hold NaN or infinity")
    table = data.kind == "tabular" and values.ndim == 2
    named = data.feature_names if table and data.feature_names and len(data.feature_names) == values.shape[1] else None
    values = values.astype(float) + 0.0  # -0.0, which would be another category, becomes 0.0
    return Dataset(values, kind="tabular" if table else "sequence", feature_names=named)


def _compared(one: Dataset, two: Dataset, level: float, generator: np.random.Generator) -> _Compared:
    names, here, there = columns_of(one, two, generator)
    each = [{"column": n, **compared(a, b)} for n, a, b in zip(names, here, there, strict=True)]
    columns = adjusted(each)
    sides = as_numbers(here, there)
    area, p = told_apart(*sides, level, generator)
    return _Compared(area, {"classifier": p, "columns": columns[0]["adjusted_p"]}, columns, newness(*sides, generator))


def newness(one: Floats, two: Floats, generator: np.random.Generator) -> Floats:
    """For each row of the second side (B,) the probability of being of it, by a classifier taught without that row's half."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, side = np.concatenate([one, two]), np.repeat([0, 1], [len(one), len(two)])
    half = np.concatenate([generator.permutation(np.arange(len(s)) % 2) for s in (one, two)])
    score = np.empty(len(x))
    with one_thread():
        for asked in (half == 0, half == 1):
            model = HistGradientBoostingClassifier(max_iter=50, early_stopping=False, random_state=0)
            score[asked] = model.fit(x[~asked], side[~asked]).predict_proba(x[asked])[:, 1]
    return score[side == 1]


def _hidden(attributions: Sequence[dict[str, Any]], inputs: Sequence[dict[str, Any]], miss: float) -> tuple[str, ...]:
    """Columns whose attributions drift though their inputs are not seen to; none where columns have no common names."""
    still = {c["column"] for c in inputs if c["adjusted_p"] > miss}
    if {c["column"] for c in inputs} != {c["column"] for c in attributions}:
        return ()
    return tuple(c["column"] for c in attributions if c["adjusted_p"] <= miss and c["column"] in still)


def _told(
    found: dict[str, _Compared], verdict: str, hidden: Sequence[str], with_loss: dict[str, dict[str, Any] | None] | None
) -> str:
    one, two = (stated(f.area.value, f.area.interval) for f in found.values())
    start = {
        "explanations shift": "The model's reasons change",
        "no shift found": "No shift is found",
    }.get(verdict, "The rows change, the model's reasons are not seen to")
    said = f"{start}: test rows are told from training rows with an AUROC of {one} by attributions and {two} by inputs"
    if hidden:
        said += f"; {', '.join(hidden[:5])} {'is' if len(hidden) == 1 else 'are'} used differently though not drawn differently"
    rho = (with_loss or {}).get("attributions")
    if rho is not None:
        goes = "goes with" if rho["falls"] else "is not seen to go with"
        said += f". How new the reasons of a row look {goes} its loss (rank correlation {stated(rho['rho'], rho['interval'])})"
    return f"{said}."
