"""What each recipe of a comparison does to every quantity: differences from the reference, each on the quantity's own scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.numbers import figure, signed, span
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidInput
from pellucid.plot.axes import Scale, limits, tick_label, ticks, whisker
from pellucid.plot.scene import Dot, Line, Mark, Picture, Table, Text, shorten, text_width
from pellucid.plot.theme import SMALL

COLOURS = {"better": "for", "worse": "against", "failed": "critical"}
"""The colour of a verdict; every other is grey."""

_STEP, _HEAD, _TAIL, _MOST = 50.0, 66.0, 34.0, 5


@dataclass(frozen=True)
class _Cell:
    """One recipe in one column: the difference, its interval, what it is called, and the words beside it."""

    value: float | None
    interval: Interval | None
    verdict: str
    figure: str
    around: str
    tip: str


@dataclass(frozen=True)
class _Column:
    """One quantity: its title, what its numbers are, the reference's value, and a cell for each other recipe."""

    title: str
    unit: str
    reference: str
    cells: tuple[_Cell, ...]
    percent: bool = False
    zero: float = 0.0

    def scale(self, start: float, end: float) -> Scale:
        """The scale that all its cells share."""
        ends = [x for c in self.cells for x in (c.value, *(c.interval or ())) if x is not None and math.isfinite(x)]
        return Scale(*limits(ends, include=(self.zero,), pad=0.1), start, end)


def ledger(comparison: Any, *, title: str = "What each recipe changes", width: float = 1040) -> Picture:
    """A row a recipe, a column a quantity: the difference from the reference with its interval.

    Blue is better, orange worse, and grey and hollow not shown to be different. The reference's own values stand in figures in
    the first row. Many quantities are drawn in several bands, one under the other.

    Args:
        comparison: A `Comparison` of at least two recipes.
        title: What is drawn.
        width: Width of the picture in pixels.

    Raises:
        InvalidInput: There is no recipe beside the reference.
    """
    others = [name for name in comparison.recipes if name != comparison.reference]
    if not others:
        raise InvalidInput("ledger: there is nothing to draw; compare at least two recipes")
    known = [
        q
        for q in comparison.quantities
        if any(row.value is not None for row in comparison.rows if row.metric == q.name)
    ]
    columns = [*(_column(comparison, q, others) for q in known), _time(comparison, others)]
    bands = math.ceil(len(columns) / _MOST)
    each = math.ceil(len(columns) / bands)
    names = [(comparison.reference, "the reference"), *((n, str(comparison.recipes[n])) for n in others)]
    left = min(width * 0.2, max(text_width(name, 13) for name, _ in names) + 30)
    left = max(left, 120.0)
    height = _HEAD + _STEP * len(names) + _TAIL
    marks: list[Mark] = []
    for band in range(bands):
        part = columns[band * each : (band + 1) * each]
        marks += _band(part, names, band * height, (left, (width - left) / each))
    return Picture(width, bands * height, tuple(marks), title, _told(comparison), _table(comparison))


def _column(comparison: Any, quantity: Any, others: Sequence[str]) -> _Column:
    way = {"higher": "higher is better", "lower": "lower is better"}.get(quantity.better, "neither way is better")
    own = comparison.row(comparison.reference, quantity.name)
    cells = tuple(_cell(comparison.row(name, quantity.name), quantity) for name in others)
    unit = f"points, {way}" if quantity.share else way
    return _Column(
        quantity.label, unit, figure(own.value, _finite(own.interval), percent=quantity.share), cells, quantity.share
    )


def _cell(row: Any, quantity: Any) -> _Cell:
    if row.difference is None:
        word = "failed" if row.verdict == "failed" else "–"
        return _Cell(None, None, row.verdict, word, "", row.note)
    told = signed(row.difference, row.difference_interval, percent=quantity.share)
    around = row.around(percent=quantity.share) if _finite(row.difference_interval) else ""
    tip = f"{row.recipe}, {quantity.label}: {told}, interval {around or 'unknown'}; {row.verdict}"
    return _Cell(
        row.difference, _finite(row.difference_interval), row.verdict, told.removesuffix("\xa0points"), around, tip
    )


def _time(comparison: Any, others: Sequence[str]) -> _Column:
    """The training time, which is told and not tested."""
    cells = []
    for name in others:
        ratio, interval = comparison.time(name)
        known = math.isfinite(ratio)
        told = f"{figure(ratio, _finite(interval))} ×" if known else "–"
        around = span(_finite(interval)) if known else ""
        cells.append(_Cell(ratio if known else None, _finite(interval), "", told, around, f"{name}: {told} {around}"))
    seconds = comparison.cost["seconds"][list(comparison.recipes).index(comparison.reference)]
    known = seconds[seconds == seconds]
    own = f"{figure(float(known.mean()))} s" if len(known) else "–"
    return _Column("training time", "times the reference's", own, tuple(cells), zero=1.0)


def _finite(interval: Interval | None) -> Interval | None:
    return interval if interval is not None and math.isfinite(interval.width) else None


# -- marks -------------------------------------------------------------------------------------------------------------


def _band(
    columns: Sequence[_Column], names: Sequence[tuple[str, str]], top: float, place: tuple[float, float]
) -> list[Mark]:
    left, step = place
    marks: list[Mark] = []
    for i, (name, told) in enumerate(names):
        y = top + _HEAD + _STEP * i
        marks += [Line([(0, y), (left + step * len(columns), y)], "rule", 1)]
        marks += [Text(6, y + 21, shorten(name, left - 14), bold=True)]
        marks += [Text(6, y + 38, shorten(told, left - 24, SMALL), "muted", SMALL)]
    for i, column in enumerate(columns):
        marks += _drawn(column, top, left + step * i + 8, left + step * (i + 1) - 10)
    return marks


def _drawn(column: _Column, top: float, start: float, end: float) -> list[Mark]:
    scale, first = column.scale(start + 6, end - 6), top + _HEAD + _STEP
    last = first + _STEP * len(column.cells)
    marks: list[Mark] = _head(column, top, start, end)
    for tick in _ticks(scale):
        marks.append(Line([(scale(tick), last), (scale(tick), last + 4)], "reference", 1))
        label = tick_label(100 * tick if column.percent else tick, False)
        marks.append(Text(scale(tick), last + 17, label, "muted", 11, "middle"))
    for i, cell in enumerate(column.cells):
        y = first + _STEP * i  # the line of no difference ends above the figures, which it would cross
        marks.append(Line([(scale(column.zero), y + 5), (scale(column.zero), y + 27)], "reference", 1.2, "4 3"))
        marks += _told_cell(cell, scale, y, start, end)
    return marks


def _ticks(scale: Scale) -> list[float]:
    """Few ticks, but two at least: one says nothing of the scale."""
    tried = [ticks(scale.low, scale.high, about) for about in (3, 4, 5, 6)]
    return next((found for found in tried if len(found) > 1), tried[-1])


def _head(column: _Column, top: float, start: float, end: float) -> list[Mark]:
    """The title of a column, in two lines where it needs them, what its numbers are, and the reference's value."""
    lines = _two_lines(column.title, end - start)
    marks: list[Mark] = [
        Text(start, top + 16 + 15 * i + 15 * (2 - len(lines)), t, bold=True) for i, t in enumerate(lines)
    ]
    marks.append(Text(start, top + 49, shorten(column.unit, end - start, 11), "muted", 11))
    marks.append(Text(start, top + _HEAD + 30, column.reference, bold=True))
    return marks


def _two_lines(text: str, width: float) -> list[str]:
    words, first = text.split(" "), ""
    while words and text_width(f"{first} {words[0]}".strip(), 15) <= width:  # bold letters are wider
        first = f"{first} {words.pop(0)}".strip()
    return [t for t in (first, shorten(" ".join(words), width)) if t]


def _told_cell(cell: _Cell, scale: Scale, y: float, start: float, end: float) -> list[Mark]:
    colour = COLOURS.get(cell.verdict, "reference")
    plain = "muted" if colour == "reference" else colour
    if cell.value is None:
        return [Text(start, y + 30, cell.figure, plain, bold=cell.verdict == "failed")]
    marks: list[Mark] = []
    if cell.interval is not None:
        marks += whisker(y + 16, scale(cell.interval.low), scale(cell.interval.high), colour, 4, 1.8)
    marks.append(Dot(scale(cell.value), y + 16, 4.2, colour, hollow=colour == "reference", tip=cell.tip))
    marks.append(Text(start, y + 40, cell.figure, "ink" if plain == "muted" else plain, bold=True))
    if cell.around and text_width(cell.figure, 14) + text_width(cell.around, 11) + 6 <= end - start:
        marks.append(Text(end, y + 40, cell.around, "muted", 11, "end"))
    return marks


# -- words and numbers -------------------------------------------------------------------------------------------------


def _told(comparison: Any) -> str:
    return " ".join(comparison.effects)


def _table(comparison: Any) -> Table:
    columns = ("recipe", "quantity", "mean", "difference", "low", "high", "adjusted p", "verdict")
    return Table(columns, tuple(_rows(comparison)))


def _rows(comparison: Any) -> Iterable[tuple[str, ...]]:
    named = {q.name: q for q in comparison.quantities}
    for row in comparison.rows:
        q, i = named[row.metric], row.difference_interval
        show = lambda v, around, q=q: figure(v, _finite(around), percent=q.share)  # noqa: E731
        mean = show(row.value, row.interval) if row.value is not None else "–"
        if row.difference is None or i is None:
            yield (row.recipe, q.label, mean, "", "", "", "", row.verdict)
            continue
        difference = signed(row.difference, i, percent=q.share)
        ends = [figure(e, _finite(i), percent=q.share, unit="points") for e in i]
        yield (row.recipe, q.label, mean, difference, *ends, figure(row.adjusted), row.verdict)
