"""Numbers as a reviewer reads them: as many digits as their interval supports."""

from __future__ import annotations

import math

from pellucid.core.resampling import Interval


def decimals(interval: Interval | None, default: int = 3) -> int:
    """Digits after the point: one of the half width's digits counts, two where they are below 36.

    Source: the rounding rule of the Particle Data Group, Review of Particle Physics, Introduction 5.3.
    """
    half = 0.0 if interval is None else interval.width / 2
    if not 0 < half < math.inf:
        return default
    return max(0, math.ceil(-math.log10(half / 3.55)))


def number(value: float, interval: Interval | None = None) -> str:
    """A number with its interval in words: "0.31 (95 % interval 0.27 to 0.36)"."""
    places = decimals(interval)
    around = "" if interval is None else f" ({_span(interval, places, 1)})"
    return f"{value + 0.0:.{places}f}{around}"


def percent(value: float, interval: Interval | None = None, unit: str = "%") -> str:
    """A share with its interval in words: "97.2 % (95 % interval 95.1 to 98.4 %)"; a difference has the unit points."""
    places = max(0, decimals(interval) - 2)
    around = "" if interval is None else f" ({_span(interval, places, 100)} {unit})"
    return f"{100 * value + 0.0:.{places}f} {unit}{around}"


def _span(interval: Interval, places: int, scale: int) -> str:
    ends = f"{scale * interval.low + 0.0:.{places}f} to {scale * interval.high + 0.0:.{places}f}"
    return f"{100 * interval.level:g} % interval {ends}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 row", "12,000 rows"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
