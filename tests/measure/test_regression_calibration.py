"""Mean calibration of predicted values: exact sums, a known truth, and rates by repetition."""

import numpy as np
import pytest
from scipy.stats import norm

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.bins import edges
from pellucid.measure.regression_calibration import p_value, slope

MODEL = pl.wrap(lambda x: x[:, :1], output="value")


def measured(f, y, **options):
    return pl.measure(
        MODEL, pl.RegressionCalibration(**options), test=(np.asarray(f, float)[:, None], np.asarray(y, float))
    )[0]


def test_parts_add_up_to_the_squared_error():
    g = np.random.default_rng(0)
    f = g.normal(size=303)
    found = measured(f, f**2 / 2 + g.normal(size=303))
    parts = [found.detail[name]["value"] for name in ("reliability", "resolution", "uncertainty")]
    assert parts[0] - parts[1] + parts[2] == pytest.approx(found.detail["mse"], abs=1e-9)
    assert found.value == pytest.approx(np.sqrt(parts[0]))
    assert found.detail["count"].sum() == 303


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda f: f, "calibrated"),
        (lambda f: f - 0.5, "too high"),
        (lambda f: f + 0.5, "too low"),
        (lambda f: 0.5 * f, "too far from the mean"),
        (lambda f: 1.5 * f, "too near the mean"),
        (lambda f: f + (f**2 - 1) / 2, "miscalibrated"),
    ],
)
def test_verdicts(change, verdict):
    g = np.random.default_rng(1)
    f = np.tile(norm.ppf((np.arange(250) + 0.5) / 250), 8)
    found = measured(f, change(f) + 0.5 * g.normal(size=2000))
    place = np.searchsorted(edges(f, 15, "equal-mass"), f, side="right")
    off = np.bincount(place, weights=change(f) - f) / np.bincount(place)
    assert found.verdict == verdict
    assert np.sqrt(np.mean(off[place] ** 2)) in found.interval


def test_slope_by_hand():
    g = np.random.default_rng(2)
    f = g.normal(size=60)
    y = 2 * f + g.normal(size=60) * (1 + np.abs(f))
    x = np.column_stack([np.ones(60), f])
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    left = (y - x @ beta) / (1 - np.einsum("ij,jk,ik->i", x, inverse, x))
    error = np.sqrt((inverse @ (x.T * left**2) @ x @ inverse)[1, 1])
    found = slope(f, y, 0.95)
    assert found["value"] == pytest.approx(beta[1])
    assert found["interval"].width == pytest.approx(2 * 2.0017175 * error)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["normal", "unequal", "heavy"])
def test_calibrated_models_are_seldom_said_not_to_be(noise):
    g, wrong = np.random.default_rng(3), 0
    for _ in range(500):
        f = g.normal(size=200)
        e = {"normal": g.normal(size=200), "unequal": g.normal(size=200) * np.exp(f), "heavy": g.standard_t(3, 200)}[
            noise
        ]
        wrong += p_value(f, f + e, 15, g) <= 0.05
    assert wrong / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert noise != "normal" or wrong / 500 >= 0.05 - 3 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
@pytest.mark.parametrize("tilt", [0.0, 0.2, 0.5])
def test_the_interval_holds_a_known_error(tilt):
    g, inside = np.random.default_rng(4), 0
    for seed in range(500):
        f = g.normal(size=400)
        y = (1 - tilt) * f + g.normal(size=400)
        found = pl.measure(MODEL, pl.RegressionCalibration(), test=(f[:, None], y), seed=seed)[0]
        inside += tilt in found.interval
    assert inside / 500 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 500)


def test_quantiles_kept_and_not():
    g = np.random.default_rng(5)
    f = g.normal(size=1000)
    y = f + g.normal(size=1000)
    found = measured(f, y, quantiles={0.9: f + norm.ppf(0.9), 0.1: f + norm.ppf(0.1)})
    assert [q["level"] for q in found.detail["quantiles"]] == [0.1, 0.9]
    assert found.detail["quantiles"][1]["value"] == np.mean(y <= f + norm.ppf(0.9))
    assert found.verdict == "calibrated"
    found = measured(f, y, quantiles={0.9: f + 0.8})
    assert found.verdict == "quantiles off"
    assert "surely not kept: 0.9" in found.detail["explanation"]


@pytest.mark.slow
def test_kept_quantiles_are_seldom_said_not_to_be():
    g, wrong = np.random.default_rng(6), 0
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    for _ in range(500):
        y = g.normal(size=300)
        found = pl.RegressionCalibration({q: np.full(300, norm.ppf(q)) for q in levels})._kept(y)
        wrong += any(q["level"] not in q["interval"] for q in found)
    assert wrong / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_what_it_is_not_for():
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    found = pl.measure(model, pl.RegressionCalibration(), test=(np.full((20, 1), 0.5), np.arange(20) % 2))[0]
    assert found.verdict == "not applicable"
    assert "gives classes" in found.detail["explanation"]
    assert "9 rows are too few" in measured(np.arange(9) / 7, np.arange(9) / 9).detail["explanation"]


def test_a_constant_prediction_has_no_slope():
    y = np.random.default_rng(7).normal(size=100)
    found = measured(np.full(100, 3.0), y)
    assert (found.verdict, found.detail["slope"]) == ("too high", None)


@pytest.mark.parametrize(
    "options", [{"bins": 0}, {"level": 2}, {"quantiles": {}}, {"quantiles": {1.5: [1]}}, {"quantiles": [1]}]
)
def test_options_outside_their_range(options):
    with pytest.raises(InvalidOption):
        pl.RegressionCalibration(**options)


@pytest.mark.parametrize("ends", [np.zeros(5), np.full(100, np.nan)])
def test_quantiles_that_do_not_fit(ends):
    y = np.random.default_rng(8).normal(size=100)
    with pytest.raises(InvalidInput, match="one finite value for each of the 100 test rows"):
        measured(y, y, quantiles={0.5: ends})
