"""Numbers land on the pixels that arithmetic says."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pellucid.plot.axes import Frame, Scale, limits, spaced, tick_label, ticks
from pellucid.plot.scene import text_width
from pellucid.plot.theme import SMALL


def test_scale_is_straight_and_stops_at_its_edges():
    scale = Scale(-1.0, 3.0, 100.0, 300.0)
    assert [scale(v) for v in (-1, 0, 1, 3)] == [100, 150, 200, 300]
    assert [scale(v) for v in (-9, 9)] == [100, 300]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
@example(999999.0, 0.001)
@example(-1e6, 0.0013)
def test_ticks_are_round_few_and_inside(low, width):
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 7 or len(found) >= 1
    slack = 1e-6 * (abs(low) + width)
    assert all(low - slack <= t <= low + width + slack for t in found)
    steps = {f"{b - a:.6g}".strip("0.").replace(".", "")[0] for a, b in pairwise(found) if b > a}
    assert steps <= set("12459")  # 1, 2, 2.5 and 5 times a power of ten, rounding apart


def test_labels():
    assert [tick_label(0.25, True), tick_label(-0.5, False), tick_label(1200, False)] == ["25 %", "−0.5", "1,200"]


def test_labels_that_would_touch_are_left_out():
    scale = Scale(0.9927, 0.9946, 0.0, 100.0)
    found = spaced(scale, True, 4)
    assert 1 <= len(found) < len(ticks(0.9927, 0.9946, 4))
    wide = [text_width(tick_label(t, True), SMALL) for t in found]
    for (a, b), (w, v) in zip(pairwise(found), pairwise(wide), strict=True):
        assert scale(b) - scale(a) > (w + v) / 2
    assert spaced(Scale(0, 1, 0, 300), False) == ticks(0, 1)


def test_limits_hold_everything_and_never_collapse():
    low, high = limits([0.2, 0.4], include=(0.0,))
    assert low == 0.0
    assert high > 0.4
    low, high = limits([1.0, 1.0])
    assert low < 1.0 < high
    assert limits([float("nan")]) != (0.0, 0.0)


def test_a_frame_leaves_out_what_is_not_finite():
    frame = Frame(Scale(0, 1, 0, 100), Scale(0, 1, 100, 0))
    assert frame.path([0, 0.5, 1], [0, float("nan"), 1]) == [(0, 100), (100, 0)]
    assert frame.point(0.5, 0.25) == pytest.approx((50, 75))
