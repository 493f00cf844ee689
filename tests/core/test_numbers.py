"""Figures have the digits their interval supports: the cases of the Particle Data Group's own text, and edges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.numbers import decimals, figure, plain, span, sureness
from pellucid.core.resampling import Interval


@pytest.mark.parametrize(
    "uncertainty, places",
    [(0.119, 2), (0.367, 1), (0.827 , 1), (0.954, 1), (0.0354, 3), (0.0355, 2), (354.0, -1), (1.0, 1), (9.6, 0), (99.0, -1)],
)  # fmt: skip
def test_decimals_follow_the_rule(uncertainty, places):
    # "if the three highest order digits lie between 100 and 354, we round to two digits. If they lie between 355 and
    # 949, we round to one digit. Finally, if they lie between 950 and 999, we round up to 1000 and keep two digits"
    assert decimals(uncertainty) == places


@pytest.mark.parametrize("value, error, told", [(0.827, 0.119, "0.83"), (0.827, 0.367, "0.8")])
def test_the_published_examples(value, error, told):
    assert figure(value, Interval(value - error, value + error)) == told


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e4))
def test_what_is_written_lies_within_a_quarter_of_the_uncertainty(value, half):
    told = figure(value, Interval(value - half, value + half))
    number = float(told.replace("−", "-").replace(",", ""))
    assert abs(number - value) <= 0.25 * half * 2 or abs(number - value) <= 0.5 * 10 ** -decimals(half) + 1e-9 * abs(
        value
    )


def test_shares_differences_and_ends():
    interval = Interval(0.914, 0.978)
    assert figure(0.956, interval, percent=True) == "95.6\u202f%"
    assert figure(0.035, Interval(0.002, 0.0871), percent=True, unit="points") == "3.5\u00a0points"
    assert span(interval, percent=True) == "91.4\u00a0to\u00a097.8\u202f%"
    assert span(None) == ""


def test_an_end_never_rounds_onto_zero_and_hides_its_side():
    assert span(Interval(0.002, 0.0871), percent=True) == "0.2\u00a0to\u00a08.7\u202f%"
    assert span(Interval(0.0, 0.0871), percent=True) == "0\u00a0to\u00a09\u202f%"
    assert span(Interval(-0.0004, 0.5)) == "0.00\u00a0to\u00a00.50"  # one more digit would not help


def test_a_value_near_one_end_of_a_skewed_interval_is_not_rounded_onto_it():
    assert figure(0.105, Interval(0.0167, 30.4)) == "0.1"
    assert figure(0.848, Interval(-3.7, 0.9), percent=True) == "85\u202f%"


def test_an_interval_of_rounding_asks_for_no_digits():
    near = Interval(1 - 1e-9, 1 + 1e-9)
    assert (figure(1.0, near, percent=True), span(near, percent=True)) == ("100\u202f%", "100\xa0to\xa0100\u202f%")


def test_huge_numbers_have_an_exponent():
    assert figure(-1.234e62) == "−1.2e62"
    assert span(Interval(-2e62, 5e3)) == "−2e62\xa0to\xa00"


def test_numbers_that_are_none():
    assert figure(None) == figure(math.nan) == "n/a"
    assert figure(math.inf) == "∞"
    assert figure(-math.inf) == "−∞"
    assert figure(-0.0) == "0.0"
    assert figure(0.5, Interval(0.5, 0.5)) == "0.500"
    assert span(Interval(-math.inf, 1.0)) == "−∞\u00a0to\u00a01.00"


def test_cells():
    assert [plain(v) for v in (True, None, 1234, 2.0, 0.12345, np.int64(7), "a")] == [
        "yes",
        "–",
        "1,234",
        "2",
        "0.123",
        "7",
        "a",
    ]


def test_nothing_short_of_certain_is_called_certain():
    assert [sureness(p) for p in (1.0, 0.99999, 0.999, 0.5)] == [
        "100\u202f%",
        "over 99.9\u202f%",
        "99.9\u202f%",
        "50.0\u202f%",
    ]
