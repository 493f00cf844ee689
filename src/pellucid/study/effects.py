"""What each recipe does, in words: what it improves, what it costs elsewhere, and how long it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.core.numbers import counted, figure, signed
from pellucid.core.resampling import Interval, student
from pellucid.shapes import Array
from pellucid.study.paired import BETTER, FAILED, HIGHER, LOWER, NONE, WORSE, Quantity, Row

WORTH_TELLING = 1.1
"""A training time that is longer or shorter by less than this factor is no side effect."""


def effects(comparison: Any) -> tuple[str, ...]:
    """A sentence for each recipe but the reference: gains, then what they cost."""
    named = {q.name: q for q in comparison.quantities}
    others = [name for name in comparison.recipes if name != comparison.reference]
    return tuple(_effect(comparison, name, [r for r in comparison.rows if r.recipe == name], named) for name in others)


def _effect(comparison: Any, name: str, rows: Sequence[Row], named: Mapping[str, Quantity]) -> str:
    if any(row.verdict == FAILED for row in rows):
        return f"{name}: failed, so it is not judged. {comparison.failures[name]}."
    hollow = _hollow(rows)
    gains = _those((r for r in rows if r.metric not in hollow), named, (BETTER,))
    losses, changes = (_those(rows, named, verdicts) for verdicts in ((WORSE,), (HIGHER, LOWER)))
    changes += [
        f"{c}: smaller only as training quality fell"
        for c in _those((r for r in rows if r.metric in hollow), named, (BETTER,))
    ]
    saved, paid = price(comparison, name)
    return f"{name}: {'; '.join([_weighed(rows, named, (gains, saved), [*losses, *paid]), *changes])}."


def _weighed(
    rows: Sequence[Row], named: Mapping[str, Quantity], good: tuple[Sequence[str], Sequence[str]], bad: Sequence[str]
) -> str:
    """Gains and what is saved; but what it costs."""
    gains, saved = good
    if gains or (saved and bad):
        return "; but ".join(", ".join(part) for part in ([*gains, *saved], bad) if part)
    return "; ".join([*([", ".join(saved)] if saved else []), _no_gain(rows, named, bad)])


def _hollow(rows: Sequence[Row]) -> set[str]:
    """Gaps that are smaller beside a quality that is worse: no gain."""
    return {f"gap.{row.metric}" for row in rows if row.verdict == WORSE}


def _no_gain(rows: Sequence[Row], named: Mapping[str, Quantity], prices: Sequence[str]) -> str:
    if prices:
        return f"{', '.join(prices)}, and nothing is shown to be better"
    tested = [row for row in rows if row.verdict == NONE]
    if not tested:
        return "nothing could be compared"
    return f"no difference shown in {counted(len(tested), 'quantity', 'quantities')}{_room(tested[0], named)}"


def _room(row: Row, named: Mapping[str, Quantity]) -> str:
    """By how much a quantity may differ that is not shown to; seeds that all agree are no proof that others would."""
    label, around = named[row.metric].label, row.difference_interval
    if around is None:
        return ""
    if not around.width < 2 * named[row.metric].most:
        return f"; with {counted(row.seeds, 'seed', 'seeds')} {label} may differ by any amount"
    if row.alike and not row.difference:
        return f"; {label} is the same with all {row.seeds} seeds"
    if row.alike:
        told = signed(row.difference, percent=named[row.metric].share)
        return f", and {label} differs by {told} in all {row.seeds} seeds, which so few may by chance"
    unit = " points" if named[row.metric].share else ""
    return f", and {label} may differ by {row.around(percent=bool(unit))}{unit}"


def _those(rows: Iterable[Row], named: Mapping[str, Quantity], verdicts: tuple[str, ...]) -> list[str]:
    return [f"{named[r.metric].label} {change(r, named[r.metric])}" for r in rows if r.verdict in verdicts]


def change(row: Row, quantity: Quantity) -> str:
    """The difference of a row with its interval: "+1.2 points [0.3 to 2.1]"."""
    told = signed(row.difference, row.difference_interval, percent=quantity.share)
    return f"{told} [{row.around(percent=quantity.share)}]"


# -- what it costs -----------------------------------------------------------------------------------------------------


def price(comparison: Any, name: str) -> tuple[list[str], list[str]]:
    """What of the reference's time and size a recipe saves, and what it takes more of, in words."""
    ratio, interval = of_time(comparison, name)
    told: tuple[list[str], list[str]] = ([], [])
    if max(ratio, 1 / ratio if ratio else 1) >= WORTH_TELLING and not (interval.low <= 1 <= interval.high):
        told[ratio > 1].append(f"{figure(ratio)} times the training time")
    size, left = (_of_size(comparison, name, kind) for kind in ("parameters", "nonzero"))
    if size != 1:
        told[size > 1].append(f"{figure(size)} times the parameters")
    if left != 1 and max(left / size, size / left) >= WORTH_TELLING:
        told[left > 1].append(f"{figure(left)} times the parameters that are not zero")
    return told


def _of_size(comparison: Any, name: str, kind: str) -> float:
    """The size of a recipe's model in units of the reference's; 1 where either is not known."""
    sizes = comparison.cost[kind][[list(comparison.recipes).index(n) for n in (name, comparison.reference)]]
    own, base = (float(np.nanmean(s)) if np.isfinite(s).any() else 0.0 for s in sizes)
    return own / base if own and base else 1.0


def of_time(comparison: Any, name: str) -> tuple[float, Interval]:
    """The training time of a recipe in units of the reference's: the geometric mean over seeds with Student's interval."""
    seconds: Array = comparison.cost["seconds"]
    own, base = (seconds[list(comparison.recipes).index(n)] for n in (name, comparison.reference))
    both = np.isfinite(own) & np.isfinite(base) & (own > 0) & (base > 0)
    if not both.any():
        return math.nan, Interval(-math.inf, math.inf, comparison.level, "t")
    logs = np.log(own[both] / base[both])
    around = student(logs, comparison.level)
    return float(np.exp(logs.mean())), Interval(
        float(np.exp(around.low)), float(np.exp(around.high)), around.level, "t"
    )
