"""Values are read by what the method promises: contributions have sides, slopes have signs, magnitudes have neither."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.plot.reading import reading_of
from pellucid.plot.scene import Raster, Text
from pellucid.plot.theme import HEAT_AGAINST, HEAT_FOR, HEAT_MAGNITUDE


@pytest.fixture
def reading(explanation):
    def read(values, method=None):
        values = np.asarray(values, float)
        return reading_of(explanation(values[None], values[None], method), 0, values)

    return read


CASES = {
    "both sides": ([1.0, -2.0], None, True, "What counted for and against “yes”", "−2.00 against", "for +2.00"),
    "one side": ([1.0, 2.0], pl.IntegratedGradients(), True, "What counted for “yes”", "0", "for +2.00"),
    "slopes": ([1.0, -2.0], pl.Gradient(), True, "Gradient for “yes”", "−2.00", "+2.00"),
    "magnitudes": ([1.0, 2.0], pl.SmoothGrad(statistic="squared"), False, "SmoothGrad for “yes”", "0", "2.00"),
}


@pytest.mark.parametrize("values, method, signed, title, low, high", CASES.values(), ids=CASES)
def test_words_and_scale(reading, values, method, signed, title, low, high):
    found = reading(values, method)
    assert (found.signed, found.title) == (signed, title)
    ramp, *ends = found.key(0, 0, 300)
    assert [end.text for end in ends] == [low, high]
    assert isinstance(ramp, Raster)
    assert tuple(ramp.pixels[0, -1, :3]) == (HEAT_FOR if signed else HEAT_MAGNITUDE)
    assert tuple(ramp.pixels[0, 0, :3]) == (HEAT_AGAINST if min(values) < 0 else tuple(ramp.pixels[0, -1, :3]))
    assert ramp.pixels[0, 0, 3] == (255 if min(values) < 0 else 0)


def test_a_narrow_scale_keeps_its_numbers(reading):
    _, low, high = reading([0.034, -0.034]).key(0, 0, 110)
    assert (low.text, high.text) == ("−0.0340", "+0.0340")


def test_nothing_is_said_to_be_nothing(reading):
    found = reading([0.0, 0.0])
    assert [mark.text for mark in found.key(0, 0, 200) if isinstance(mark, Text)] == ["zero everywhere"]
    assert found.legend == "every value is zero"
    assert (found.paint(np.zeros((1, 2)))[..., 3] == 0).all()
