"""A frame that turns numbers into pixels, with quiet gridlines, round ticks and labelled axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pellucid.core.numbers import figure
from pellucid.plot.scene import Area, Line, Mark, Point, Text, text_width
from pellucid.plot.theme import SMALL
from pellucid.shapes import Floats


@dataclass(frozen=True)
class Scale:
    """A straight map from the numbers `low` to `high` onto the pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, number: float) -> float:
        """The pixel of a number; numbers outside the range land on its edge."""
        share = (number - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, steps of 1, 2, 2.5 or 5 times a power of ten, nearly `about` of them.

    Example:
        >>> ticks(0, 1), ticks(-0.03, 0.11, 4)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.05, 0.1])
    """
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = 2 - math.floor(math.log10(step))  # enough for 2.5 times a power of ten, however far from zero the range is
    return [round(k * step, digits) for k in range(first, last + 1)]


def spaced(scale: Scale, percent: bool, about: int = 5) -> list[float]:
    """Ticks of a horizontal scale, so few that no label touches the next."""
    found: list[float] = []
    for count in range(about, 0, -1):
        found = ticks(scale.low, scale.high, count)
        half = [text_width(tick_label(t, percent), SMALL) / 2 + 4 for t in found]
        ends = [(scale(t) - h, scale(t) + h) for t, h in zip(found, half, strict=True)]
        if all(left[1] <= right[0] for left, right in pairwise(ends)):
            return found
    return found[:1]


def tick_label(number: float, percent: bool) -> str:
    """A tick in the fewest digits."""
    if percent:
        number *= 100
    text = f"{number:,.10g}".replace("-", "−")
    return text + (" %" if percent else "")


def limits(values: Iterable[float], *, include: Sequence[float] = (), pad: float = 0.06) -> tuple[float, float]:
    """A range that holds all finite values, with some air around it; never of width zero."""
    finite = [float(v) for v in (*values, *include) if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    air = (high - low) * pad or max(abs(high) * 0.1, 0.05)
    fixed = include if high > low else ()
    return (low if low in fixed else low - air), (high if high in fixed else high + air)


@dataclass(frozen=True)
class Frame:
    """The area of a chart inside its sheet, in numbers and in pixels."""

    x: Scale
    y: Scale

    @classmethod
    def of(cls, size: tuple[float, float], x: tuple[float, float], y: tuple[float, float]) -> Frame:
        """A frame that leaves room on the sheet for tick labels at the left and below, and for direct labels above."""
        width, height = size
        return cls(Scale(*x, 52, width - 18), Scale(*y, height - 46, 34))

    def point(self, x: float, y: float) -> Point:
        """The pixel of a pair of numbers."""
        return self.x(x), self.y(y)

    def path(self, xs: Iterable[float], ys: Iterable[float]) -> list[Point]:
        """The pixels of pairs of numbers, pairs that are not finite left out."""
        return [self.point(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]

    def line(self, xs: Iterable[float], ys: Iterable[float], colour: str, width: float = 2.0, dash: str = "") -> Mark:
        """A curve."""
        return Line(self.path(xs, ys), colour, width, dash)

    def band(self, xs: Floats, low: Floats, high: Floats, colour: str) -> Mark:
        """The area between two curves."""
        return Area([*self.path(xs, low), *self.path(xs[::-1], high[::-1])], colour)

    def grid(self, x_title: str, y_title: str, *, percent_x: bool = False, percent_y: bool = False) -> list[Mark]:
        """Horizontal gridlines, tick labels on both axes and their titles."""
        left, right, base = self.x.start, self.x.end, self.y.start
        marks: list[Mark] = []
        for tick in ticks(self.y.low, self.y.high, 5):
            y = self.y(tick)
            marks.append(Line([(left, y), (right, y)], "rule", 1))
            marks.append(Text(left - 8, y + 4, tick_label(tick, percent_y), "muted", SMALL, "end"))
        for tick in spaced(self.x, percent_x):
            x = self.x(tick)
            marks.append(Line([(x, base), (x, base + 4)], "reference", 1))
            marks.append(Text(x, base + 18, tick_label(tick, percent_x), "muted", SMALL, "middle"))
        marks.append(Text(right, base + 36, x_title, "muted", SMALL, "end"))
        marks.append(Text(8, 12, y_title, "muted", SMALL))
        return marks


def whisker(y: float, low: float, high: float, colour: str = "ink", cap: float = 4.0, width: float = 1.5) -> list[Mark]:
    """A horizontal interval at height `y`, from pixel `low` to pixel `high`, with caps."""
    return [
        Line([(low, y), (high, y)], colour, width),
        Line([(low, y - cap), (low, y + cap)], colour, width),
        Line([(high, y - cap), (high, y + cap)], colour, width),
    ]


def bar(y: float, start: float, end: float, thickness: float) -> tuple[float, float, float, float]:
    """Corner and size of a horizontal bar between two pixels, whichever comes first."""
    return min(start, end), y - thickness / 2, abs(end - start), thickness


def rounded(values: Iterable[float]) -> tuple[str, ...]:
    """Numbers as a table shows them."""
    return tuple(figure(float(v)) for v in np.asarray(list(values), dtype=float))
