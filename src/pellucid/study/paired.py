"""The statistics of a comparison: every recipe against the reference, seed by seed, corrected over the whole table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid.core.numbers import span
from pellucid.core.record import Value
from pellucid.core.resampling import Interval, student
from pellucid.shapes import Array, Floats

BETTER, WORSE, HIGHER, LOWER, NONE = "better", "worse", "higher", "lower", "no difference shown"
REFERENCE, FAILED, BLANK = "reference", "failed", "blank"

ROUNDING = 1e-6
"""Numbers that differ by no more than this share of them are the same."""


@dataclass(frozen=True, eq=False)
class Quantity(Value):
    """A column of a comparison.

    Attributes:
        name: What it is called.
        better: Which way is better: "higher", "lower", or "" where neither is.
        share: Whether it is a share, to be read in per cent, and its differences in points.
        measure: The measure that found it, or None for what is always found.
    """

    name: str
    better: str = ""
    share: bool = False
    measure: Any = None

    @property
    def label(self) -> str:
        """The name in words."""
        first, _, more = self.name.replace("_", " ").partition(".")
        return f"gap in {more}" if first == "gap" else f"{first} ({more})" if more else first

    @property
    def most(self) -> float:
        """The largest difference that there can be: 1 of shares, 2 of gaps between shares."""
        return (2.0 if self.name.startswith("gap.") else 1.0) if self.share else math.inf


@dataclass(frozen=True, eq=False)
class Row(Value):
    """One recipe and one quantity, over seeds.

    `value` is the mean, in `interval`; `difference` is the mean of (recipe - reference) seed by seed, in
    `difference_interval`, which of shares ends where their differences do; `p` belongs to the difference, `adjusted` holds for
    the whole table. The reference has none.
    `seeds` are those that have the quantity under both; `note` says why something is missing.
    """

    recipe: str
    metric: str
    value: float | None
    interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    p: float | None = None
    adjusted: float | None = None
    verdict: str = REFERENCE
    seeds: int = 0
    note: str = ""

    @property
    def alike(self) -> bool:
        """Whether all seeds differ by the same, as counts of few rows may: Student's interval then has no width."""
        interval, difference = self.difference_interval, self.difference
        return interval is not None and difference is not None and interval.width <= ROUNDING * abs(difference)

    def around(self, *, percent: bool = False) -> str:
        """The interval of the difference in words, without its unit."""
        if self.alike:
            return f"in all {self.seeds} seeds"
        return span(self.difference_interval, percent=percent, unit="points").removesuffix("\xa0points")


def paired_difference(values: Array, reference: Array, level: float = 0.95) -> tuple[float, Interval, float]:
    """Mean of `values - reference` (S,), Student's interval around it, and the two-sided p-value of no difference.

    Where all seeds differ by exactly the same, as counts of few rows do by chance, Student's t is no help: the p-value is then
    that of the sign test, 2 / 2^S. A difference within the rounding of the 32 bits that models count in is none.
    """
    from scipy.stats import t

    values, reference = np.asarray(values, float), np.asarray(reference, float)
    gaps = np.where(np.isclose(values, reference, rtol=ROUNDING, atol=0.0), 0.0, values - reference)
    mean, interval = float(gaps.mean()), student(gaps, level)
    if len(gaps) < 2:
        return mean, interval, 1.0
    error = gaps.std(ddof=1) / np.sqrt(len(gaps))
    if error <= 1e-12 * abs(mean):
        return mean, interval, 1.0 if mean == 0 else 2 / 2 ** len(gaps)
    return mean, interval, float(2 * t.sf(abs(mean) / error, len(gaps) - 1))


def table(
    names: Sequence[str],
    quantities: Sequence[Quantity],
    scores: Floats,
    reference: int,
    level: float = 0.95,
    failed: Mapping[str, str] | None = None,
) -> tuple[Row, ...]:
    """The rows of all recipes and quantities from scores (R, S, M), NaN where there is none; `failed` recipes have no verdict.

    P-values are adjusted over the whole table (Benjamini and Hochberg).
    """
    rows = [
        _row(name, quantity, scores[r, :, m], None if r == reference else scores[reference, :, m], level)
        for r, name in enumerate(names)
        for m, quantity in enumerate(quantities)
    ]
    rows = [_told(row, (failed or {}).get(row.recipe, "")) for row in rows]
    return _judged(rows, {q.name: q.better for q in quantities}, 1 - level)


def _row(name: str, quantity: Quantity, own: Array, reference: Array | None, level: float) -> Row:
    """One row before anything is adjusted."""
    there = np.isfinite(own)
    if not there.any():
        return Row(name, quantity.name, None, verdict=BLANK)
    start = (name, quantity.name, float(own[there].mean()), student(own[there], level))
    if reference is None:
        return Row(*start, seeds=int(there.sum()))
    both = there & np.isfinite(reference)
    if not both.any():
        return Row(*start, verdict=BLANK, note="the reference has none to compare with")
    mean, interval, p = paired_difference(own[both], reference[both], level)
    fewer = f"of {both.sum()} of {len(own)} seeds" if both.sum() < len(own) else ""
    interval = _possible(interval, quantity, np.array([own[both], reference[both]]))
    return Row(*start, mean, interval, p, None, NONE, int(both.sum()), fewer)


def _possible(interval: Interval, quantity: Quantity, values: Array) -> Interval:
    """The interval of a difference without what no difference of shares can be, which Student's t knows nothing of.

    It is left as it is where the values are no shares of a whole.
    """
    most, least = quantity.most, 1 - quantity.most
    if not math.isfinite(interval.width) or values.min() < least or values.max() > 1:
        return interval
    return replace(interval, low=max(-most, interval.low), high=min(most, interval.high))


def _told(row: Row, why: str) -> Row:
    """A row of a recipe that failed: what finished is told, but not judged, for the seeds that finished are chosen ones."""
    if not why or row.verdict == REFERENCE:
        return row
    return Row(row.recipe, row.metric, row.value, row.interval, verdict=FAILED, seeds=row.seeds, note=why)


def _judged(rows: Sequence[Row], better: Mapping[str, str], limit: float) -> tuple[Row, ...]:
    """The rows with their adjusted p-values and verdicts."""
    from scipy.stats import false_discovery_control

    tested = [i for i, row in enumerate(rows) if row.p is not None]
    adjusted = dict(zip(tested, false_discovery_control([rows[i].p for i in tested]), strict=True)) if tested else {}
    return tuple(
        replace(row, adjusted=float(adjusted[i]), verdict=verdict(better[row.metric], row.difference, adjusted[i], limit))
        if i in adjusted else row
        for i, row in enumerate(rows)
    )  # fmt: skip


def verdict(better: str, difference: float | None, adjusted: float, limit: float) -> str:
    """What an adjusted p-value and the sign of a difference say."""
    if adjusted > limit or not difference:
        return NONE
    if not better:
        return HIGHER if difference > 0 else LOWER
    return BETTER if (difference > 0) == (better == "higher") else WORSE
