"""Attributions over time: the signal on a ground of colour, and what counted at each moment below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.axes import Scale, limits, rounded, tick_label, ticks
from pellucid.plot.reading import Reading
from pellucid.plot.scene import Area, Line, Mark, Picture, Raster, Table, Text, shorten
from pellucid.plot.theme import SMALL
from pellucid.shapes import Array, Floats

PANELS = 6
"""Channels that are drawn, the ones that count most."""

LEFT, STRIP = 54.0, 54.0
"""Pixels left of a panel, for the labels of its axis; height of what counted below."""


@dataclass(frozen=True)
class Channel:
    """One line over time (T,) and the colours behind it (T,)."""

    name: str
    signal: Floats
    values: Floats


def signal_map(signal: Array, values: Floats, reading: Reading, names: Sequence[str] | None, width: float) -> Picture:
    """A signal (T, F) and its attributions (T, F), (T, 1) or on a coarser grid (t,), whose cells are drawn as blocks.

    Each channel is a line on its own colours, or on those of all where there is one number a moment. The strip below is
    the sum over the channels.
    """
    along = stretched(values.reshape(len(values), -1), len(signal))
    channels = _channels(signal, along, names)
    height = 112.0 if len(channels) == 1 else 64.0
    x = Scale(0, max(1, len(signal) - 1), LEFT, width - 8)
    marks: list[Mark] = [Text(0, 12, reading.heading(width), "muted", SMALL)]
    for place, channel in enumerate(channels):
        top = 24 + (height + 14) * place
        marks += _panel(channel, reading, x, (top, height))
    base = 24 + (height + 14) * len(channels)
    total = along.sum(1)
    marks += [*_strip(total, reading, x, base), *_moments(x, base + STRIP)]
    told = f"The signal over time on the colours of what counts; {reading.legend}."
    return Picture(width, base + STRIP + 38, tuple(marks), reading.title, told, _table(channels, total))


def stretched(values: Floats, count: int) -> Floats:
    """Values (t, F) at `count` moments, each of them as a block of equal length."""
    return values[np.arange(count) * len(values) // count]


def _channels(signal: Array, along: Floats, names: Sequence[str] | None) -> list[Channel]:
    width = signal.shape[1]
    named = list(names) if names is not None and len(names) == width else [f"channel {i}" for i in range(width)]
    own = along if along.shape[1] == width else np.repeat(along.sum(1, keepdims=True), width, axis=1)
    order = np.argsort(-np.abs(own).sum(0), kind="stable")[:PANELS]
    return [Channel(named[i] if width > 1 else "", signal[:, i].astype(float), own[:, i]) for i in sorted(order)]


def _panel(channel: Channel, reading: Reading, x: Scale, place: tuple[float, float]) -> list[Mark]:
    top, height = place
    y = Scale(*limits(channel.signal), top + height, top)
    half = (x(1) - x(0)) / 2
    marks: list[Mark] = [
        Raster(x.start - half, top, x.end - x.start + 2 * half, height, reading.paint(channel.values[None])),
        Line([(x(t), y(float(v))) for t, v in enumerate(channel.signal)], "ink", 1.6),
    ]
    marks += [Text(LEFT - 8, y(t) + 4, tick_label(t, False), "muted", SMALL, "end") for t in ticks(y.low, y.high, 3)]
    if channel.name:
        marks.append(Text(x.start + 4, top + 13, shorten(channel.name, 160, SMALL), "ink", SMALL, bold=True))
    return marks


def _strip(total: Floats, reading: Reading, x: Scale, top: float) -> list[Mark]:
    """What counted at each moment: up for, down against."""
    y = Scale(*_reach(total), top + STRIP - 6, top + 6)
    sides = [(np.maximum(total, 0), reading.colour(1.0)), (np.minimum(total, 0), reading.colour(-1.0))]
    marks: list[Mark] = [Area(_steps(side, x, y), colour, 0.85) for side, colour in sides if np.any(side)]
    marks.append(Line([(x.start, y(0)), (x.end, y(0))], "reference", 1))
    ends = [float(end) for end in (total.max(), total.min()) if abs(end) > 0.2 * np.abs(total).max()]
    for end in dict.fromkeys(ends):
        text = f"+{figure(end)}" if end > 0 and reading.signed else figure(end)
        marks.append(Text(LEFT - 8, y(end) + 4, text, "muted", SMALL, "end"))
    if not np.any(total):
        marks.append(Text(x.start, y(0) - 6, "zero everywhere", "muted", SMALL))
    return marks


def _reach(total: Floats) -> tuple[float, float]:
    low, high = min(0.0, float(total.min())), max(0.0, float(total.max()))
    return (low, high) if high > low else (-1.0, 1.0)


def _steps(side: Floats, x: Scale, y: Scale) -> list[tuple[float, float]]:
    """The outline of bars from zero that touch each other."""
    half = (x(1) - x(0)) / 2
    outline = [(x(t) + shift, y(float(v))) for t, v in enumerate(side) for shift in (-half, half)]
    return [(outline[0][0], y(0)), *outline, (outline[-1][0], y(0))]


def _moments(x: Scale, base: float) -> list[Mark]:
    marks: list[Mark] = []
    for tick in ticks(x.low, x.high, 5):
        marks.append(Line([(x(tick), base), (x(tick), base + 4)], "reference", 1))
        marks.append(Text(x(tick), base + 18, tick_label(tick, False), "muted", SMALL, "middle"))
    marks.append(Text(x.end, base + 33, "time, in steps", "muted", SMALL, "end"))
    return marks


def _table(channels: Sequence[Channel], total: Floats) -> Table:
    order = np.argsort(-np.abs(total), kind="stable")[:10]
    names = [channel.name or "signal" for channel in channels]
    cells = (rounded([*(float(c.signal[t]) for c in channels), float(total[t])]) for t in order)
    return Table(("moment", *names, "attribution"), tuple((int(t), *row) for t, row in zip(order, cells, strict=True)))
