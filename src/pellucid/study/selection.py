"""Which recipe is chosen, on what, and what that is worth: choices on the data that judge are diagnostics alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.numbers import counted, figure, stated
from pellucid.core.record import Value
from pellucid.core.registry import unknown
from pellucid.core.resampling import Interval, student
from pellucid.errors import InvalidOption, NotApplicable, UnknownName
from pellucid.study.paired import Quantity

USUAL = ("log_loss", "rmse")
"""What is chosen by where nothing is named: they move with every row, where accuracy has many ties."""

ORACLE = "ORACLE, a diagnostic and no result"


@dataclass(frozen=True, eq=False)
class Selection(Value):
    """A choice among the recipes of a comparison.

    Attributes:
        recipe: The choice.
        on: The part of the data that it was made on.
        quantity: By the mean of what over the seeds.
        among: How many recipes could be chosen.
        means: That mean of each of them on that part, by name.
        left_out: Recipes that could not be chosen, because they failed or have no such number.
        oracle: Whether it was made on the data that judge, as no one could who has yet to use the model.
        score: The mean on the test data, which had no part in the choice unless it is an oracle's; None without test data.
        interval: Student's interval of the score over seeds.
        statement: All of this in words.
    """

    recipe: str
    on: str
    quantity: str
    among: int
    means: dict[str, float]
    left_out: tuple[str, ...] = ()
    oracle: bool = False
    score: float | None = None
    interval: Interval | None = None
    statement: str = ""

    def __str__(self) -> str:
        return self.statement


def selected(comparison: Any, on: str, quantity: str | None, oracle: bool) -> Selection:
    """A choice among the recipes of a comparison; see `Comparison.selected`."""
    if on not in ("validation", "test"):
        raise InvalidOption(f'on: expected "validation" or "test", got {on!r}')
    _require_right(comparison, on, oracle)
    asked = chosen_by(comparison.quantities, quantity)
    column = comparison.metrics.index(asked.name)
    means = comparison.scores[on][:, :, column].mean(axis=1)  # NaN where any seed has none: it cannot be chosen
    named = {n: float(m) for n, m in zip(comparison.recipes, means, strict=True) if np.isfinite(m)}
    if not named:
        raise NotApplicable(
            f"no recipe has a {asked.label} on the {on} data with every seed, so none can be chosen by it"
        )
    best = (max if asked.better == "higher" else min)(named, key=lambda name: named[name])
    left = tuple(n for n in comparison.recipes if n not in named)
    score, interval = _score(comparison, best, column)
    told = _statement(comparison, asked, best, named, on=on, oracle=oracle)
    return Selection(best, on, asked.name, len(named), named, left, oracle, score, interval, told)


def _require_right(comparison: Any, on: str, oracle: bool) -> None:
    """Refuse a choice on test data that is not called an oracle's, and a choice on data that are not there."""
    if on == "test" and not oracle:
        raise NotApplicable(
            "choosing a recipe by its test score would make that score too good; choose on validation data, held out from "
            'training and given as validation=. To see what a choice in hindsight would be: selected(on="test", oracle=True)'
        )
    if oracle and on != "test":
        raise InvalidOption('oracle: a choice on validation data is none; leave it out, or ask for on="test"')
    if on not in comparison.scores:
        raise NotApplicable(
            f"there are no {on} data to choose on; choosing a recipe by its test score would make that score too good: compare "
            f"again with {on}= data held out from training, choose on them, and read the test score of the choice"
        )


def chosen_by(quantities: Sequence[Quantity], name: str | None) -> Quantity:
    """The quantity that a choice is made by.

    Raises:
        UnknownName: There is none of that name for which it is known which way is better.
    """
    known = {q.name: q for q in quantities if q.better}
    name = name or next(n for n in USUAL if n in known)
    if name not in known:
        raise UnknownName(unknown("quantity to choose by", name, known))
    return known[name]


def _score(comparison: Any, recipe: str, column: int) -> tuple[float | None, Interval | None]:
    if "test" not in comparison.scores:
        return None, None
    own = comparison.scores["test"][list(comparison.recipes).index(recipe), :, column]
    return (float(own.mean()), student(own, comparison.level)) if np.isfinite(own).all() else (None, None)


def _statement(comparison: Any, asked: Quantity, best: str, means: dict[str, float], *, on: str, oracle: bool) -> str:
    seeds, rows = counted(len(comparison.seeds), "seed"), counted(comparison.sizes[on], f"{on} example")
    way = {"higher": "highest", "lower": "lowest"}[asked.better]
    what = f"the {way} mean {asked.label} of {counted(len(means), 'recipe')} over {seeds} on {rows}"
    score, interval = _score(comparison, best, comparison.metrics.index(asked.name))
    if oracle:
        return (
            f"{ORACLE}: {best} has {what}, the very examples that judge it. Nobody could have chosen so before seeing them, and "
            f"its {asked.label} there, {_read(asked, score, interval)}, is that of the best of several in hindsight: too good."
            f"{_honest(comparison, asked)}"
        )
    if "test" not in comparison.scores:
        return (
            f"{best} was selected: it has {what}. Its score on them is too good, being the best of several and of the data that "
            "chose it; hold out test= data to read what it is worth."
        )
    told = f"On the {counted(comparison.sizes['test'], 'test example')}, which had no part in the choice, its {asked.label}"
    read = f", read once, is {_read(asked, score, interval)}" if score is not None else " is not known"
    return f"{best} was selected: it has {what}. {told}{read}."


def _honest(comparison: Any, asked: Quantity) -> str:
    """What the choice on validation data would have scored, beside the oracle's."""
    if "validation" not in comparison.scores:
        return ""
    chosen = selected(comparison, "validation", asked.name, False)
    return f" The choice on validation data is {chosen.recipe}, with {_read(asked, chosen.score, chosen.interval)}."


def _read(asked: Quantity, score: float | None, interval: Interval | None) -> str:
    """A score with its interval where there is one: a single seed has none."""
    around = interval if interval is not None and np.isfinite(interval.width) else None
    return stated(score, around, percent=asked.share) if score is not None else figure(None)
