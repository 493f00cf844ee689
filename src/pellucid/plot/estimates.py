"""Estimates with their intervals: one under the other, or a small strip beside a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, span
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidInput
from pellucid.plot.axes import Scale, limits, spaced, tick_label, ticks, whisker
from pellucid.plot.scene import Box, Dot, Line, Mark, Picture, Table, Text, shorten
from pellucid.plot.theme import SMALL

Row = tuple[str, float, Interval | None]
_LEFT, _RIGHT, _STEP = 138.0, 160.0, 28.0


def intervals(
    items: Sequence[Measurement | Row], *, title: str = "Estimates and intervals", reference: float | None = None,
    percent: bool = False, width: float = 460,
) -> Picture:  # fmt: skip
    """One line an estimate: its name, a dot with a whisker over its interval, its figures.

    Args:
        items: Measurements, or (label, value, interval) triples; those without a value are left out.
        title: What is drawn.
        reference: A number to compare with (no difference, chance), drawn as a dashed line.
        percent: Whether the numbers are shares, to be read as percentages.
        width: Width of the picture in pixels.

    Example:
        >>> import pellucid as pl
        >>> from pellucid.core.resampling import Interval
        >>> pl.plot.intervals([("accuracy", 0.95, Interval(0.91, 0.98))]).table.rows
        (('accuracy', '0.950', '0.910', '0.980'),)
    """
    rows = [row for row in map(_row, items) if row is not None]
    if not rows:
        raise InvalidInput("intervals: there is nothing to draw; no item has a value")
    ends = [end for _, value, interval in rows for end in (value, *(interval or ()))]
    scale = Scale(*limits(ends, include=() if reference is None else (reference,)), _LEFT, width - _RIGHT)
    base = 14 + _STEP * len(rows)
    marks = _axis(scale, base, percent, reference)
    for place, row in enumerate(rows):
        marks += _estimate(row, 26 + _STEP * place, scale, width, percent)
    numbers = tuple(
        (label, figure(v, i), *(("", "") if i is None else (figure(i.low, i), figure(i.high, i))))
        for label, v, i in rows
    )
    told = "; ".join(
        f"{label} {figure(v, i, percent=percent)}" + (f", interval {span(i, percent=percent)}" if i else "")
        for label, v, i in rows
    )
    return Picture(width, base + 34, tuple(marks), title, told, Table(("quantity", "estimate", "low", "high"), numbers))


def _row(item: Measurement | Row) -> Row | None:
    if isinstance(item, Measurement):
        return None if item.value is None else (item.name.replace("_", " "), item.value, item.interval)
    return item


def _axis(scale: Scale, base: float, percent: bool, reference: float | None) -> list[Mark]:
    marks: list[Mark] = []
    for tick in spaced(scale, percent, 4):
        marks.append(Line([(scale(tick), 8), (scale(tick), base)], "rule", 1))
        marks.append(Text(scale(tick), base + 16, tick_label(tick, percent), "muted", SMALL, "middle"))
    if reference is not None:
        marks.append(Line([(scale(reference), 8), (scale(reference), base)], "reference", 1.5, "4 3"))
    return marks


def _estimate(row: Row, y: float, scale: Scale, width: float, percent: bool) -> list[Mark]:
    label, value, interval = row
    marks: list[Mark] = [Text(_LEFT - 14, y + 4, shorten(label, _LEFT - 18), anchor="end")]
    if interval is not None:
        marks += whisker(y, scale(interval.low), scale(interval.high), "accent")
    marks.append(Dot(scale(value), y, 4, "accent", tip=f"{label}: {figure(value, interval, percent=percent)}"))
    marks.append(Text(width - _RIGHT + 12, y + 4, figure(value, interval, percent=percent), bold=True))
    if interval is not None:
        marks.append(Text(width - 2, y + 4, span(interval, percent=percent), "muted", SMALL, "end"))
    return marks


def strip(
    value: float, interval: Interval | None, *, reference: tuple[float, str] | None = None, unit: str = "",
    colour: str = "accent", size: tuple[float, float] = (260, 62),
) -> Picture:  # fmt: skip
    """One estimate on a short scale, small enough to stand beside a sentence.

    Args:
        value: The estimate.
        interval: Its interval.
        reference: A number to compare with and what it is called, such as `(0.0, "no gap")`.
        unit: "%" for a share, "points" for a difference of shares, "" for anything else.
        colour: The meaning whose colour it takes, a severity for example.
        size: Width and height in pixels.
    """
    width, height = size
    middle = height - 32
    fixed = () if reference is None else (reference[0],)
    low, high = limits((value, *(interval or ())), include=fixed, pad=0.12)
    scale = Scale(low, high, 14, width - 14)
    marks: list[Mark] = [Line([(8, middle), (width - 8, middle)], "rule", 1)]
    marks += [m for t in ticks(low, high, 3) for m in _strip_tick(scale(t), middle, _strip_label(t, unit))]
    if reference is not None:
        marks += _strip_reference(scale(reference[0]), middle, reference[1], width)
    if interval is not None:
        start, end = scale(interval.low), scale(interval.high)
        marks.append(Box(start, middle - 5, max(2.0, end - start), 10, colour, 0.28, 5))
        marks += whisker(middle, start, end, colour, 5)
    marks.append(Dot(scale(value), middle, 5, colour))
    share = unit != ""
    told = figure(value, interval, percent=share, unit=unit)
    told += f", interval {span(interval, percent=share, unit=unit)}" if interval else ""
    return Picture(width, height, tuple(marks), "Estimate with its interval", told)


def _strip_label(tick: float, unit: str) -> str:
    """A tick; points stand without their unit, which the figure beside the strip names."""
    return tick_label(100 * tick, False) if unit == "points" else tick_label(tick, unit == "%")


def _strip_tick(x: float, y: float, label: str) -> list[Mark]:
    return [Line([(x, y - 3), (x, y + 3)], "reference", 1), Text(x, y + 21, label, "muted", 11, "middle")]


def _strip_reference(x: float, y: float, label: str, width: float) -> list[Mark]:
    anchor: Any = "start" if x < width * 0.3 else "end" if x > width * 0.7 else "middle"
    shift = {"start": -4, "middle": 0, "end": 4}[anchor]
    return [
        Line([(x, y - 12), (x, y + 9)], "reference", 1.5, "3 2"),
        Text(x + shift, y - 17, label, "muted", 11, anchor),
    ]
