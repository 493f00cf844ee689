"""Rows in the order of time: counts by hand, and a correlation whose level is tested."""

import datetime

import numpy as np
import pytest
from scipy.stats import spearmanr

import pellucid as pl
from pellucid.core.resampling import wilson
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.time_order import TimeOrder, along

MODEL = pl.wrap(lambda x: x[:, :1], output="value")


def ordered(train, test):
    """`TimeOrder` of rows that are nothing but their times."""
    sides = [np.zeros((len(times), 1)) for times in (train, test)]
    return pl.measure(None, TimeOrder({"train": train, "test": test}), train=sides[0], test=sides[1])[0]


def test_by_hand():
    found = ordered(np.arange(10), np.array([3, 8, 9, 11, 12]))
    assert (found.verdict, found.value) == ("past and future are mixed", 0.4)  # 9 is as new as the newest, not older
    assert tuple(found.interval) == tuple(wilson(2, 5))
    assert found.detail["training_later"] == 0.6
    assert [found.detail[k] for k in ("newest_train", "oldest_test", "newest_test")] == ["9", "3", "12"]
    assert ordered(np.arange(10), np.arange(9, 14)).verdict == "later rows are held out"


@pytest.mark.parametrize("kind", ["datetime64", "text", "datetime"])
def test_dates(kind):
    days = np.arange("2024-02-20", "2024-03-10", dtype="datetime64[D]")
    days = {"datetime64": days, "text": days.astype(str), "datetime": days.astype(datetime.datetime)}[kind]
    found = ordered(days[:10], days[8:14])
    assert (found.value, found.detail["newest_train"]) == (pytest.approx(1 / 6), "2024-02-29")
    assert ordered(days[:10], days[10:]).value == 0


def test_a_column_by_name():
    x = np.column_stack([np.arange(20.0), np.zeros(20)])
    train, test = (pl.Dataset(x[part], feature_names=["year", "dose"]) for part in (slice(0, 12), slice(10, 20)))
    (found,) = pl.measure(None, TimeOrder("year"), train=train, test=test)
    assert found.value == 0.1
    words = [np.array([[f"2024-02-{d:02}", "a"] for d in days], object) for days in ((1, 9), (3, 10))]
    told = [pl.Dataset(w, feature_names=["day", "site"]) for w in words]
    assert (
        pl.measure(None, TimeOrder("day"), train=told[0], test=told[1])[0].value == 0.5
    )  # days, not places in an alphabet
    with pytest.raises(InvalidInput, match=r"train has no column 'month' \(its named columns: year, dose\)"):
        pl.measure(None, TimeOrder("month"), train=train, test=test)


def test_quality_that_falls_with_time():
    g = np.random.default_rng(0)
    x, times = g.normal(size=(200, 1)), np.arange(200)
    y = x[:, 0] + g.normal(size=200) * (0.1 + times / 100)
    by = {"train": times[:100] - 500, "test": times}
    (found,) = pl.measure(MODEL, TimeOrder(by), train=(x[:100], y[:100]), test=(x, y))
    rho, p = spearmanr(times, np.abs(x[:, 0] - y))
    assert (found.detail["fading"]["rho"], found.detail["fading"]["p"]) == pytest.approx((rho, p))
    assert found.detail["fading"]["falls"]
    assert "quality falls with time" in found.detail["explanation"]
    assert pl.measure(None, TimeOrder(by), train=x[:100], test=x)[0].detail["fading"] is None
    assert along(np.ones(20), np.arange(20.0), 0.95) is None


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_interval_of_the_correlation_covers(correlation):
    """Of normal numbers, Spearman's correlation is 6 / pi arcsin(r / 2)."""
    g, held = np.random.default_rng(1), 0
    truth = 6 / np.pi * np.arcsin(correlation / 2)
    for _ in range(1000):
        one, two = g.normal(size=(2, 60))
        found = along(correlation * one + np.sqrt(1 - correlation**2) * two, one, 0.95)
        held += truth in found["interval"]
    assert held / 1000 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        (np.arange(5.0), np.array([1.0, np.nan]), "test: the time of row 1 is missing"),
        (np.array(["2024-01-01", "NaT"], "datetime64[D]"), np.array(["2024-01-02"], "datetime64[D]"), "train: the time of row 1"),
        (np.array(["monday", "tuesday"]), np.array(["friday"]), "expected numbers or dates, got"),
        (np.arange(3.0), np.array(["2024-01-02"], "datetime64[D]"), "times of two kinds"),
    ],
)  # fmt: skip
def test_times_that_are_none(train, test, told):
    with pytest.raises(InvalidInput, match=told):
        ordered(train, test)


def test_bad_options():
    x = np.zeros((4, 1))
    with pytest.raises(InvalidInput, match="train needs one time for each of its 4 rows"):
        pl.measure(None, TimeOrder({"train": [1], "test": [1]}), train=x, test=x)
    for by in (3, {"train": [1]}):
        with pytest.raises(InvalidOption, match="expected a column's name, or"):
            TimeOrder(by)


def test_times_that_tell_no_order():
    x = np.zeros((5, 1))
    (found,) = pl.measure(None, pl.TimeOrder({"train": np.ones(5), "test": np.ones(5)}), train=x, test=x)
    assert found.verdict == "not applicable"
    for wrong in (np.nan, np.inf):
        with pytest.raises(pl.errors.InvalidInput, match="row 1 is missing or infinite"):
            pl.measure(
                None, pl.TimeOrder({"train": np.arange(5.0), "test": np.array([0, wrong, 1, 2, 3])}), train=x, test=x
            )
    with pytest.raises(pl.errors.InvalidOption, match="got a mapping of when"):
        pl.TimeOrder({"when": np.arange(5000)})
