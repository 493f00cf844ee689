import itertools

import numpy as np
import pytest

import pellucid as pl
from pellucid.measure.bins import binned, bounds, debiased_square, edges, estimate, plug_in


def true_error(confidence, rate, inner, norm=1):
    found = binned(confidence, rate, inner)
    return float(plug_in(found.weight, found.deviation, norm))


def dense_ece(confidence, hit, inner, norm):
    bounds, total = [-np.inf, *inner, np.inf], 0.0
    for low, high in itertools.pairwise(bounds):
        held = (confidence >= low) & (confidence < high)
        if held.any():
            total += held.mean() * abs(hit[held].mean() - confidence[held].mean()) ** norm
    return total ** (1 / norm)


@pytest.mark.parametrize("binning", ["equal-mass", "equal-width"])
@pytest.mark.parametrize("norm", [1, 2])
def test_plug_in_is_the_sum_over_bins(binning, norm):
    g = np.random.default_rng(0)
    confidence = np.round(g.uniform(0.3, 1, 500), 2)
    hit = g.random(500) < confidence
    inner = edges(confidence, 15, binning)
    found = estimate(confidence, hit, inner, g, norm)
    assert found.plug_in == pytest.approx(dense_ece(confidence, hit, inner, norm), abs=1e-12)


def test_equal_mass_bins_hold_equal_numbers_and_ties_stay_together():
    confidence = np.random.default_rng(0).uniform(size=1500)
    count = binned(confidence, confidence, edges(confidence, 15, "equal-mass")).count
    assert count.max() - count.min() <= 1
    assert len(binned(np.full(9, 0.7), np.ones(9), edges(np.full(9, 0.7), 15, "equal-mass")).count) == 1


def calibrated_coverage(size, repeats, draw, binning="equal-mass", norm=1):
    g, inside = np.random.default_rng(7), 0
    for _ in range(repeats):
        confidence = draw(g, size)
        hit = g.random(size) < confidence
        inside += 0 in estimate(confidence, hit, edges(confidence, 15, binning), g, norm).interval
    return inside / repeats


SURE = lambda g, n: 1 - 0.5 * g.beta(0.3, 3, n)  # noqa: E731
SPREAD = lambda g, n: g.uniform(0.5, 1, n)  # noqa: E731


def test_zero_is_inside_for_a_calibrated_model_in_a_thousand_cases():
    assert 0.93 <= calibrated_coverage(300, 1000, SPREAD) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("draw", [SURE, SPREAD])
@pytest.mark.parametrize(
    "size, binning, norm", [(100, "equal-mass", 1), (1000, "equal-width", 1), (1000, "equal-mass", 2)]
)
def test_zero_is_inside_for_other_calibrated_models(draw, size, binning, norm):
    assert 0.93 <= calibrated_coverage(size, 1000, draw, binning, norm) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("off, bias", [(-0.05, 0.006), (-0.1, 0.006), (0.04, 0.008)])
def test_known_error_is_inside_and_the_value_is_nearly_unbiased(off, bias):
    """A small error is underestimated where the accuracies come close to one: by 0.006 of 0.04, measured."""
    g, inside, values, seen = np.random.default_rng(8), 0, [], []
    for _ in range(200):
        confidence = g.uniform(0.55, 0.95, 1000)
        hit = g.random(1000) < confidence + off
        found = estimate(confidence, hit, edges(confidence, 15, "equal-mass"), g)
        inside += abs(off) in found.interval
        values.append(found.value)
        seen.append(found.plug_in)
    assert 0.90 <= inside / 200 <= 0.99
    assert abs(np.mean(values) - abs(off)) < bias
    assert abs(np.mean(values) - abs(off)) <= abs(np.mean(seen) - abs(off)) + 1e-3


def test_debiased_square_is_unbiased():
    g, found = np.random.default_rng(9), []
    confidence = np.repeat(np.linspace(0.55, 0.95, 10), 30)
    inner = edges(confidence, 10, "equal-mass")
    for _ in range(2000):
        found.append(debiased_square(binned(confidence, g.random(300) < confidence - 0.1, inner)))
    assert np.mean(found) == pytest.approx(0.01, abs=4 * np.std(found) / 2000**0.5)


def model_of(confidence):
    return pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities"), confidence[:, None]


@pytest.mark.parametrize("off, verdict", [(0.0, "calibrated"), (-0.15, "over-confident"), (0.15, "under-confident")])
def test_verdicts(off, verdict):
    g = np.random.default_rng(3)
    model, x = model_of(g.uniform(0.6, 0.8, 3000))
    y = (g.random(3000) < x[:, 0] + off).astype(int)
    (found,) = pl.measure(model, pl.CalibrationError(), test=(x, y))
    assert found.verdict == verdict
    assert found.detail["equal_mass"]["count"].sum() == 3000
    assert found.value in found.interval


def test_errors_both_ways_are_miscalibrated():
    g = np.random.default_rng(4)
    model, x = model_of(g.uniform(0.6, 0.95, 4000))
    rate = np.where(x[:, 0] > 0.775, x[:, 0] - 0.15, x[:, 0] + 0.15)
    (found,) = pl.measure(model, pl.CalibrationError(), test=(x, (g.random(4000) < rate).astype(int)))
    assert found.verdict == "miscalibrated"


def test_values_have_no_confidence():
    data = (np.ones((4, 1)), [0.1, 0.2, 0.3, 0.5])
    (found,) = pl.measure(pl.wrap(lambda x: x, output="value"), pl.CalibrationError(), test=data)
    assert found.verdict == "not applicable"
    assert found.value is None


def test_certain_and_right_is_calibrated():
    model, x = model_of(np.ones(50))
    (found,) = pl.measure(model, pl.CalibrationError(), test=(x, np.ones(50, int)))
    assert found.verdict == "calibrated"
    assert found.value == 0
    assert found.interval.high > 0


@pytest.mark.parametrize("errors", [0, 1, 3, 10])
@pytest.mark.parametrize("binning", ["equal-mass", "equal-width"])
def test_saturated_confidences_leave_an_interval(errors, binning):
    g = np.random.default_rng(errors)
    confidence = 1 - 0.001 * g.random(450)
    confidence[:60] = g.uniform(0.5, 1, 60)
    hit = np.arange(450) >= errors
    found = estimate(confidence, hit, edges(confidence, 15, binning), g)
    assert found.interval.width > 1e-3
    assert found.value in found.interval


def test_confidences_of_one_leave_room_for_chance():
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    (found,) = pl.measure(model, pl.CalibrationError(), test=(np.ones((150, 1)), (np.arange(150) % 5 > 0).astype(int)))
    assert found.value == pytest.approx(0.2, abs=0.01)
    assert 0.1 < found.interval.low < 0.16
    assert 0.24 < found.interval.high < 0.3


@pytest.mark.parametrize("rows", [20, 30, 45])
def test_few_rows_still_bound_the_error(rows):
    ends = []
    for seed in range(10):
        g = np.random.default_rng(seed)
        p = g.uniform(0.6, 1, rows)
        model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        (found,) = pl.measure(model, pl.CalibrationError(), test=(p[:, None], (g.random(rows) < p).astype(int)))
        assert found.detail["equal_mass"]["count"].min() >= 10
        ends.append(found.interval.high)
        assert ("too few rows to tell" in found.detail["explanation"]) == (
            found.interval.high > 0.2 and found.verdict == "calibrated"
        )
    assert np.median(ends) < 0.25  # four rows a bin allowed 0.8


@pytest.mark.parametrize("rows", [20, 500])
def test_a_model_that_says_1_and_is_right_is_not_known_to_stay_so(rows):
    found = estimate(np.ones(rows), np.ones(rows, bool), np.array([]), np.random.default_rng(0))
    assert (found.value, found.interval.low) == (0, 0)
    assert found.interval.high == pytest.approx(1 - 0.025 ** (1 / rows))


def test_a_model_that_is_sure_and_right_errs_by_little_in_all_bins_together():
    """Ten of fifteen bins of 30 rows are all hits: each alone allows an error of 12 %, but not all of them at once."""
    confidence, hit = np.sort(1 - np.random.default_rng(1).beta(0.3, 12, 449)), np.ones(449, bool)
    hit[[1, 5, 9, 13, 17, 21, 30, 45]] = False
    found = estimate(confidence, hit, edges(confidence, 15, "equal-mass"), np.random.default_rng(0))
    assert found.interval.low == 0
    assert found.interval.high < (1 - confidence.mean()) + 0.036  # 8 of 449 wrong: at most 3.5 % are


@pytest.mark.parametrize("norm", [1, 2])
def test_bounds_of_all_bins_hold(norm):
    g, missed = np.random.default_rng(0), 0
    for _ in range(500):
        confidence = 1 - g.beta(1, 40, 300)
        rate = np.clip(confidence - g.choice([0, 0.02, 0.1]), 0, 1)
        inner = edges(confidence, 15, "equal-mass")
        around = bounds(binned(confidence, g.random(300) < rate, inner), norm, 0.95)
        missed += true_error(confidence, rate, inner, norm) not in around
    assert missed <= 25
