"""An interval is drawn from its low end to its high end: pixels computed anew from the picture's own axis."""

import numpy as np
import pytest

from pellucid.core.measurement import Measurement
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidInput
from pellucid.plot.estimates import intervals, strip
from pellucid.plot.scene import Dot, Line, Text

ROWS = [("one", 0.4, Interval(0.3, 0.6)), ("two", 0.7, Interval(0.65, 0.72)), ("three", 0.5, None)]


def axis_of(picture):
    """Slope and intercept from numbers to pixels, read from the tick labels that were drawn."""
    marks = [m for m in picture.marks if isinstance(m, Text) and m.anchor == "middle"]
    ticks = [(float(t.text.replace("−", "-").replace(" %", "")), t.x) for t in marks if t.text[0] in "−0123456789"]
    numbers, pixels = zip(*ticks, strict=True)
    return np.polyfit(numbers, pixels, 1)


def test_whiskers_run_from_low_to_high():
    picture = intervals(ROWS)
    slope, start = axis_of(picture)
    dots = [m for m in picture.marks if isinstance(m, Dot)]
    assert [d.x for d in dots] == pytest.approx([slope * v + start for _, v, _ in ROWS])
    for dot, (_, _, interval) in zip(dots, ROWS, strict=True):
        spans = [m for m in picture.marks if isinstance(m, Line) and m.points[0][1] == m.points[1][1] == dot.y]
        assert len(spans) == (interval is not None)
        if interval is not None:
            assert [p[0] for p in spans[0].points] == pytest.approx([slope * e + start for e in interval])


def test_figures_and_table_say_the_same():
    picture = intervals(ROWS, percent=True)
    words = [m.text for m in picture.marks if isinstance(m, Text)]
    assert "40\u202f%" in words
    assert "30\u00a0to\u00a060\u202f%" in words
    assert picture.table.columns == ("quantity", "estimate", "low", "high")
    assert picture.table.rows[2] == ("three", "0.500", "", "")


def test_measurements_without_a_value_are_left_out():
    known = Measurement("gap.accuracy", 0.1, Interval(0.0, 0.2))
    picture = intervals([known, Measurement("leakage", None, verdict="not applicable")])
    assert [row[0] for row in picture.table.rows] == ["gap.accuracy"]
    with pytest.raises(InvalidInput, match="nothing to draw"):
        intervals([Measurement("leakage", None)])


def test_the_reference_is_drawn_where_it_lies():
    picture = intervals(ROWS, reference=0.5)
    slope, start = axis_of(picture)
    (dashed,) = [m for m in picture.marks if isinstance(m, Line) and m.dash]
    assert dashed.points[0][0] == pytest.approx(slope * 0.5 + start)


def test_a_strip_shows_value_interval_and_reference():
    picture = strip(0.05, Interval(0.02, 0.09), reference=(0.0, "no gap"), unit="%", colour="warning")
    slope, start = axis_of(picture)
    (dot,) = [m for m in picture.marks if isinstance(m, Dot)]
    assert dot.x == pytest.approx(slope * 5 + start, abs=0.01)
    assert dot.colour == "warning"
    (dashed,) = [m for m in picture.marks if isinstance(m, Line) and m.dash]
    assert dashed.points[0][0] == pytest.approx(start, abs=0.01)
    assert "no gap" in [m.text for m in picture.marks if isinstance(m, Text)]
    assert picture.description == "5.0\u202f%, interval 2.0\u00a0to\u00a09.0\u202f%"


def test_points_stand_without_a_sign_on_the_ticks():
    picture = strip(0.05, Interval(0.02, 0.09), unit="points")
    assert "5" in [m.text for m in picture.marks if isinstance(m, Text)]
    assert picture.description == "5.0\u00a0points, interval 2.0\u00a0to\u00a09.0\u00a0points"
