"""What to decide, where one mistake costs more than another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.model import Model, wrap
from pellucid.core.numbers import stated
from pellucid.core.randomness import stream
from pellucid.core.record import Provenance, versions
from pellucid.core.resampling import Interval, studentized
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import Remedy
from pellucid.improve.fitted import WithModel
from pellucid.improve.held_out import held_out, require_classes
from pellucid.shapes import Array, Floats, Inputs

LEAST, FOLDS = 20, 10


@dataclass(frozen=True, eq=False)
class Decision(WithModel):
    """A model that decides for a class by what mistakes cost.

    Attributes:
        model: The model.
        costs: What it costs (K, K) to decide for the class of the column where that of the row is true.
        threshold: The least probability of class 1 at which it is decided for; None for more than two classes, where the
            class with the least expected cost is.
        cost: The cost of a decision on the validation rows, on average.
        interval: Its interval, of 95 %.
        usual: The same of deciding for the most probable class, for comparison.
        provenance: What was fitted, to which model.
    """

    costs: Floats
    threshold: float | None
    cost: float
    interval: Interval
    usual: float
    provenance: Provenance = field(default_factory=Provenance)

    def decide(self, x: Inputs | Dataset) -> Array:
        """The class (B,) that each example is decided to be of."""
        return decided(self.model.probabilities(x), self.costs, self.threshold)

    def __str__(self) -> str:
        how = (
            "the least expected cost"
            if self.threshold is None
            else f"class 1 from a probability of {self.threshold:.4g} on"
        )
        return f"{how}: {stated(self.cost, self.interval)} a decision, against {self.usual:.4g} for the most probable class"


@dataclass(frozen=True, eq=False)
class Threshold(Remedy):
    """Chooses from which probability on to decide for class 1, or which class to decide for, so that mistakes cost least.

    A miss costs five times a false alarm: from which probability on should the alarm be given?

        decide for class 1 if p_1 >= t;   with calibrated probabilities t = c_false / (c_false + c_miss)
        in general decide for the class j with the least sum over k of p_k cost[k, j]

    The model stays as it is; what decides is `run.after["threshold"]`, and `fit` gives the same for a model that is already
    trained: a `Decision` with `decide(x)`, the threshold, and what a decision costs with its interval. Where t is chosen on the
    validation rows, that cost is found on tenths of them, with a t chosen on the other nine: it is not too good.

    Args:
        false_alarm: What it costs to decide for class 1 where class 0 is true, above 0.
        miss: What it costs to decide for class 0 where class 1 is true, above 0.
        costs: For more classes: cost[k][j] (K, K) of deciding for class j where class k is true; it replaces the two.
        by: "probabilities": t by the formula, right if they are calibrated. "validation": the t with the least cost on the
            validation rows, right also where they are not; for two classes. More classes always go by probabilities.

    Raises:
        InvalidOption: Costs that are not above 0, are no square of at least 2 x 2, or punish being right more than being wrong.
        InvalidInput: While training or fitting, without validation data, with fewer than 20 rows or rows of one class.
        NotApplicable: A model of values, costs of another number of classes, or a threshold on validation rows for more than two.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> p = np.random.default_rng(0).uniform(size=(1000, 1))
        >>> y = (np.random.default_rng(1).random(1000) < p[:, 0]).astype(int)
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found = pl.Threshold(false_alarm=1, miss=4).fit(model, (p, y))
        >>> found.threshold, found.decide([[0.19], [0.21]]).tolist(), found.cost < found.usual
        (0.2, [0, 1], True)

    References:
        Elkan 2001, "The foundations of cost-sensitive learning", IJCAI 2001, 973-978.

    Limits:
        It is right for the base rates of the validation data: where mistakes are as dear but events rarer, it must be chosen
        again. By the formula it is only as good as the calibration: use TemperatureScaling or IsotonicCalibration beside it.
    """

    slot = "threshold"
    rank = 40
    false_alarm: float = 1.0
    miss: float = 1.0
    costs: Any = None
    by: str = "probabilities"

    def __post_init__(self) -> None:
        options.positive(self, "false_alarm", "miss")
        options.one_of(self, "by", ("probabilities", "validation"))
        if self.costs is not None:
            object.__setattr__(self, "costs", tuple(tuple(map(float, row)) for row in _square(self.costs)))

    @property
    def matrix(self) -> Floats:
        """Costs (K, K): true class by row, decision by column."""
        return np.array([[0.0, self.false_alarm], [self.miss, 0.0]] if self.costs is None else self.costs)

    def fit(self, model: Any, data: Any) -> Decision:
        """The same for a model that is already trained; `data` are rows it was not trained on."""
        model = wrap(model)
        require_classes(self, model, data)
        found = held_out(self, model, data, least=LEAST)
        costs, p, y = self.matrix, found.p, found.y
        if len(costs) != p.shape[1]:
            raise NotApplicable(
                f"Threshold: {model.name} has {p.shape[1]} classes, the costs are of {len(costs)}; give costs= of each pair"
            )
        if self.by == "validation" and len(costs) > 2:
            raise NotApplicable('Threshold: by="validation" is for two classes; for more take by="probabilities"')
        threshold = self._chosen(p, y)
        each = self._each(p, y)
        usual = float(costs[y, p.argmax(axis=1)].mean())
        interval = studentized(each, stream(0, "threshold"))
        about = Provenance(self, None, len(y), model=model.fingerprint(), versions=versions())
        return Decision(model, costs, threshold, float(each.mean()), interval, usual, about)

    def after(self, model: Model, validation: Dataset | None) -> Decision:
        """See `Remedy.after`."""
        return self.fit(model, validation)

    def _chosen(self, p: Floats, y: Array) -> float | None:
        if p.shape[1] > 2:
            return None
        return cheapest(p[:, 1], y, self.matrix) if self.by == "validation" else fair(self.matrix)

    def _each(self, p: Floats, y: Array) -> Floats:
        """What each row's decision costs (N,); by a threshold that was chosen without it."""
        if self.by == "probabilities":
            return self.matrix[y, decided(p, self.matrix, self._chosen(p, y))]
        fold = stream(0, "folds").permutation(len(y)) % FOLDS
        found = np.empty(len(y))
        for k in range(FOLDS):
            own = fold == k
            found[own] = self.matrix[y[own], decided(p[own], self.matrix, self._chosen(p[~own], y[~own]))]
        return found


def fair(costs: Floats) -> float:
    """The probability of class 1 from which on deciding for it costs no more, of costs (2, 2)."""
    alarm, miss = costs[0, 1] - costs[0, 0], costs[1, 0] - costs[1, 1]
    return float(alarm / (alarm + miss))


def cheapest(p: Floats, y: Array, costs: Floats) -> float:
    """The threshold on p (N,) with the least cost on these rows: of all that are equally good, the middle of the longest run."""
    order = np.argsort(p, kind="stable")
    none = 1.0 if p.max() < 1 else np.nextafter(1.0, 2.0)  # from where on no row decides for class 1
    change = np.where(y == 1, costs[1, 0] - costs[1, 1], costs[0, 0] - costs[0, 1])[
        order
    ]  # a row more below the threshold
    total = np.concatenate([[0.0], np.cumsum(change)])
    at = np.concatenate([[0.0], (p[order][1:] + p[order][:-1]) / 2, [none]])
    apart = np.concatenate([[True], p[order][1:] > p[order][:-1], [True]])
    total, at = total[apart], at[apart]
    best = np.flatnonzero(total <= total.min() + 1e-9 * np.abs(change).sum())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    longest = max(runs, key=lambda run: at[run[-1]] - at[run[0]])
    return float((at[longest[0]] + at[longest[-1]]) / 2)


def decided(p: Floats, costs: Floats, threshold: float | None) -> Array:
    """Decisions (B,) by class probabilities (B, K)."""
    return (p[:, 1] >= threshold).astype(int) if threshold is not None else (p @ costs).argmin(axis=1)


def _square(costs: Any) -> Floats:
    """Costs (K, K) as an array, or an error that says what is wrong with them."""
    try:
        found = np.asarray(costs, float)
    except (TypeError, ValueError):
        found = np.empty(0)
    fine = found.ndim == 2 and found.shape == (len(found),) * 2 and len(found) > 1 and np.isfinite(found).all()
    if not fine:
        raise InvalidOption(
            f"Threshold.costs: expected a square of finite numbers, one row a true class, got {costs!r}"
        )
    wrong = found - np.diag(found)[:, None] + np.eye(len(found))
    if (wrong <= 0).any():
        k, j = np.argwhere(wrong <= 0)[0]
        raise InvalidOption(
            f"Threshold.costs: to decide for class {j} where {k} is true costs {found[k, j]:g}, to be right {found[k, k]:g}; a "
            "mistake must cost more"
        )
    return found
