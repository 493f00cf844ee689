"""What error rate on new data is ruled out, whatever the model and the data: bounds that hold for any sample size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.copies import arrays_of, digests, shared
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import agreeing, counted, figure
from pellucid.core.resampling import Interval, wilson
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.shapes import Array


@dataclass(frozen=True, eq=False)
class TestSetBound(Measure):
    """Which error rates on new data do the test rows rule out?

    With k errors on n rows, drawn independently of each other and of the model, the error rate on new rows is at most b with
    probability `level`, where P(Binomial(n, b) <= k) = (1 - level) / candidates. Nothing else is assumed, and n may be small.
    Verdicts: "bounded"; "vacuous" where b is no less than the share of errors of always answering the commonest class. Where the
    data show that rows are not independent, there is no bound, and the verdict is "not applicable": rows of one group, ids or
    groups of the training data, or rows repeated from it more often than it repeats its own.

    `detail`: `errors`, `rows`, `constant` (the share of errors of the commonest class), and `assumptions`, what was looked at
    and what had to be taken on trust.

    Args:
        level: The probability, over the rows drawn, with which the bound holds; in (0, 1).
        candidates: How many models were compared on these rows, the one kept being among them: the bound holds for each.

    Raises:
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.linspace(0, 1, 200)[:, None]
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.TestSetBound(), test=(x, (x[:, 0] > 0.5).astype(int)))
        >>> round(found.value, 4) == round(1 - 0.05 ** (1 / 200), 4)  # no error: (1 - b)^n = 1 - level
        True

    References:
        Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404. Langford 2005, "Tutorial on practical prediction theory for
        classification", Journal of Machine Learning Research 6:273-306.

    Limits:
        It is about rows drawn as these were: not about another hospital, month or camera. That the model was not chosen, stopped
        or tuned on these rows cannot be seen from them; state it by `candidates`. An audit of the same rows, read and acted
        upon, uses them up.
    """

    __test__: ClassVar[bool] = False  # no test, whatever pytest makes of its name
    level: float = 0.95
    candidates: int = 1

    quantity: ClassVar[str] = "test_set_bound"
    better: ClassVar[str] = "lower"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        options.fraction(self, "level")
        options.whole(self, "candidates")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("counts errors")
        test, labels = context.data("test"), context.labels("test")
        train = context.data("train") if context.has("train") else None
        seen = assumptions(train, test, self.candidates)
        if broken := [a for a in seen if a["holds"] is False]:
            raise NotApplicable(
                f"TestSetBound: {'; '.join(a['found'] for a in broken)}: no bound for independent rows holds"
            )
        wrong, rows = int(np.sum(context.probabilities("test").argmax(axis=1) != labels)), len(labels)
        bound = largest_risk(wrong, rows, (1 - self.level) / self.candidates)
        constant = 1 - float(np.bincount(labels).max()) / rows
        verdict = "bounded" if bound < constant else "vacuous"
        detail = {"errors": wrong, "rows": rows, "constant": constant, "assumptions": seen}
        interval = Interval(0.0, bound, self.level, "clopper-pearson, one side")
        told = _told(wrong, rows, bound, interval, verdict)
        return Measurement(self.quantity, bound, interval, verdict, {"explanation": told, **detail})


def largest_risk(wrong: int, rows: int, miss: float) -> float:
    """The largest error rate under which so few errors are seen with a probability of at least `miss`."""
    from scipy.stats import beta

    return 1.0 if wrong == rows else float(beta.ppf(1 - miss, wrong + 1, rows - wrong))


def assumptions(train: Dataset | None, test: Dataset, candidates: int) -> list[dict[str, Any]]:
    """What a bound for independent rows assumes, what the data say of it, and whether it holds (None: nothing can be seen)."""
    seen = [_alone(test)]
    if train is None:
        seen.append(_noted("new to the model", None, "no training data were given to compare with"))
    else:
        seen += [_apart(name, getattr(train, name), getattr(test, name)) for name in ("ids", "groups")]
        seen.append(_unseen(train, test))
    compared = "1 model was" if candidates == 1 else f"{candidates} models were"
    seen.append(_noted("chosen without these rows", None, f"{compared} said to have been compared on them"))
    return [a for a in seen if a]


def _noted(what: str, holds: bool | None, found: str) -> dict[str, Any]:
    return {"assumption": what, "holds": holds, "found": found}


def _alone(test: Dataset) -> dict[str, Any]:
    """Whether rows come one a group."""
    if test.groups is None:
        return _noted("independent of each other", None, "no groups are given")
    count = len(np.unique(test.groups))
    told = f"{counted(len(test), 'row')} in {counted(count, 'group')}"
    return _noted("independent of each other", count == len(test), told)


def _apart(name: str, first: Array | None, second: Array | None) -> dict[str, Any]:
    if first is None or second is None:
        return {}
    both = len(shared(first, second))
    return _noted(f"{name} of its own", not both, f"{agreeing(both, name.removesuffix('s'))} in the training data too")


def _unseen(train: Dataset, test: Dataset) -> dict[str, Any]:
    """Whether test rows are in the training data more often than its own rows are twice in it.

    Equal rows come by chance in tables of a few categories; surely more of them is a leak.
    """
    if any(a.dtype == object for a in (*arrays_of(train.x), *arrays_of(test.x))):
        return _noted("new to the model", None, "the inputs are objects, and were not compared")
    known, asked = digests(train.x, test.x)
    counts = Counter(known)
    twins = sum(digest in counts for digest in asked)
    within = sum(n for n in counts.values() if n > 1)
    sure = 1 - 0.05 / max(2, len(test))  # a row or two by chance breaks nothing
    leaks = wilson(twins, len(test), sure).low > wilson(within, len(known), sure).high
    both = f"{within} {'is' if within == 1 else 'are'} there twice"
    found = f"{twins} of {counted(len(test), 'test row')} {'is' if twins == 1 else 'are'} in the training data"
    told = f"{found}, of whose {counted(len(known), 'row')} {both}"
    return _noted("new to the model", not leaks, told)


def _told(wrong: int, rows: int, bound: float, interval: Interval, verdict: str) -> str:
    most = figure(bound, percent=True)
    seen = f"With {counted(wrong, 'error')} on {counted(rows, 'unseen row')}"
    what = f"{seen}, the error rate on rows drawn likewise is at most {most}"
    sure = f"{what}, at a confidence of {100 * interval.level:g}\u202f%"
    return f"{sure}." if verdict == "bounded" else f"{sure}; always answering the commonest class may do as well."
