"""Numbers as a reviewer reads them, with the digits that their interval supports.

The rule is the Particle Data Group's: where the three leading digits of the uncertainty (here half the interval) lie
between 100 and 354 two of them are kept, between 355 and 949 one, and from 950 it is rounded up to 1000 and two are
kept. The value gets as many decimals as its uncertainty.

Source: Workman et al. (Particle Data Group) 2022, section 5.3 of the introduction, doi:10.1093/ptep/ptac097.
"""

from __future__ import annotations

import math
from typing import Any

from pellucid.core.resampling import Interval

SKEWED = 4
"""An interval is skewed if its value is so many times nearer to an end than to its middle."""

ROUNDING = 1e-6
"""Half an interval up to here is of rounding: nobody reads so many digits."""

HUGE = 1e15
"""Numbers from here on are written with an exponent."""

MINUS, THIN, SPACE = "−", "\u202f", "\u00a0"  # the spaces hold a figure together on one line


def decimals(uncertainty: float) -> int:
    """Decimals that a number with this uncertainty deserves; negative for tens, hundreds and so on.

    Example:
        >>> decimals(0.0321), decimals(0.36), decimals(0.0097), decimals(25.0)
        (3, 1, 3, 0)
    """
    order = math.floor(math.log10(uncertainty))
    lead = round(uncertainty / 10.0 ** (order - 2))
    if lead >= 950:
        return -order
    return -order + (1 if lead <= 354 else 0)


def figure(value: float | None, interval: Interval | None = None, *, percent: bool = False, unit: str = "%") -> str:
    """A number as a person should read it, with the digits its interval supports (three without one).

    Example:
        >>> figure(0.95614, Interval(0.914, 0.978)), figure(0.95614, Interval(0.914, 0.978), percent=True)
        ('0.956', '95.6\u202f%')
        >>> figure(-0.0001234), figure(None), figure(1234567.0)
        ('−0.000123', 'n/a', '1,230,000')
    """
    if value is None or not math.isfinite(value):
        return "n/a" if value is None or math.isnan(value) else "∞" if value > 0 else MINUS + "∞"
    scale = 100.0 if percent else 1.0
    places = _digits(value, interval, scale) + _skewed(value, interval)
    return _fixed(value * scale, places) + (_unit(unit) if percent else "")


def span(interval: Interval | None, *, percent: bool = False, unit: str = "%") -> str:
    """An interval in words, with the digits it supports.

    Example:
        >>> span(Interval(0.914, 0.978), percent=True), span(None)
        ('91.4\xa0to\xa097.8\u202f%', '')
    """
    if interval is None:
        return ""
    scale = 100.0 if percent else 1.0
    finite = [abs(end) for end in interval if math.isfinite(end)]
    places = _digits(max(finite, default=0.0), interval, scale)
    low, high = (_fixed(end * scale, places) if math.isfinite(end) else figure(end) for end in interval)
    return f"{low}{SPACE}to{SPACE}{high}" + (_unit(unit) if percent else "")


def stated(value: float | None, interval: Interval | None = None, *, percent: bool = False, unit: str = "%") -> str:
    """A number with its interval in a sentence.

    Example:
        >>> stated(0.31, Interval(0.27, 0.36))
        '0.31 (95\u202f% interval 0.27\xa0to\xa00.36)'
    """
    text = figure(value, interval, percent=percent, unit=unit)
    if interval is None:
        return text
    sure = f"{100 * interval.level:.{3 if interval.level < 0.999 else 5}g}"  # of many at once levels are long numbers
    return f"{text} ({sure}{THIN}% interval {span(interval, percent=percent, unit=unit)})"


def ranged(value: float | None, interval: Interval | None = None) -> str:
    """A number with its interval where there is little room, as inside brackets.

    Example:
        >>> ranged(0.31, Interval(0.27, 0.36))
        '0.31 [0.27\xa0to\xa00.36]'
    """
    return figure(value, interval) + (f" [{span(interval)}]" if interval else "")


def signed(
    value: float | None, interval: Interval | None = None, *, percent: bool = False, unit: str = "points"
) -> str:
    """A difference with its sign; an interval without an end says nothing of its digits.

    Example:
        >>> signed(0.0123, Interval(0.003, 0.021), percent=True), signed(-0.5), signed(0.0)
        ('+1.2\xa0points', '−0.500', '0.0')
    """
    finite = interval if interval is not None and math.isfinite(interval.width) else None
    text = figure(value, finite, percent=percent, unit=unit)
    return f"+{text}" if value is not None and value > 0 else text


def counted(number: int, noun: str, plural: str = "") -> str:
    """A count with its noun.

    Example:
        >>> counted(1, "row"), counted(12000, "row"), counted(2, "class", "classes")
        ('1 row', '12,000 rows', '2 classes')
    """
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def agreeing(number: int, noun: str, one: str = "is", many: str = "are") -> str:
    """A count with its noun and the verb that agrees with it.

    Example:
        >>> agreeing(1, "row"), agreeing(0, "row"), agreeing(2, "kernel", "has", "have")
        ('1 row is', '0 rows are', '2 kernels have')
    """
    return f"{counted(number, noun)} {one if number == 1 else many}"


def given(value: float) -> str:
    """A number that was measured by somebody else, as it came: whole, or with five significant digits.

    Example:
        >>> given(14782.0), given(0.15539999)
        ('14,782', '0.1554')
    """
    text = f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.5g}"
    return text.replace("-", MINUS)


def sureness(probability: float) -> str:
    """A probability in per cent that is never rounded up to certainty.

    Example:
        >>> sureness(0.99998), sureness(0.6321)
        ('over 99.9\u202f%', '63.2\u202f%')
    """
    return f"over 99.9{THIN}%" if 0.9995 <= probability < 1 else figure(probability, percent=True)


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{round(number):,}"


def plain(value: Any) -> str:
    """Any cell of a table: numbers as `figure` writes them, the rest as text."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return {True: "yes", False: "no", None: "–"}.get(value, str(value))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return count(number) if number.is_integer() and abs(number) < 1e15 else figure(number)


def _digits(value: float, interval: Interval | None, scale: float) -> int:
    """Decimals of `value * scale`: by the interval where it has a finite width, else three significant digits.

    An end of the interval that would be rounded onto zero keeps one digit more: on which side of zero an
    interval ends is often the whole point.
    """
    half = interval.width / 2 * scale if interval is not None else 0.0
    if interval is None or not ROUNDING < half < math.inf:
        magnitude = abs(value) * scale if math.isfinite(value) else 1.0
        return 1 if magnitude == 0 else min(8, 2 - math.floor(math.log10(magnitude)))
    places = decimals(half)
    hides = lambda n: any(end != 0 and round(end * scale, n) == 0 for end in interval)  # noqa: E731
    more = next((k for k in (0, 1) if not hides(places + k)), 0)
    return min(6, places + more)


def _skewed(value: float, interval: Interval | None) -> int:
    """One digit more for a value far nearer to one end of its interval than half its width: it would be rounded onto that end."""
    if interval is None or not 0 < interval.width < math.inf:
        return 0
    return int(0 < min(value - interval.low, interval.high - value) < interval.width / 2 / SKEWED)


def _unit(unit: str) -> str:
    return f"{THIN if unit == '%' else SPACE}{unit}"


def _fixed(number: float, places: int) -> str:
    if abs(number) >= HUGE:
        return f"{number:.2g}".replace("e+", "e").replace("-", MINUS)
    rounded = round(number, places)
    text = f"{abs(rounded):,.{max(0, places)}f}"
    negative = rounded < 0 and any(digit in "123456789" for digit in text)
    return (MINUS if negative else "") + text
