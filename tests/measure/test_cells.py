"""Calibration by class and by a kernel: against slow loops, and by repetition on calibrated data sets."""

import numpy as np
import pytest
from scipy.stats import beta, binom

import pellucid as pl
from pellucid.errors import InvalidOption
from pellucid.measure.bins import binned, edges, expected_range
from pellucid.measure.calibration import outcomes
from pellucid.measure.cells import FINE, by_kernel, chosen_bandwidth, error_of, estimate_of, hits_drawn, in_bins

MODEL = pl.wrap(lambda x: x, output="probabilities")


def calibrated(g, rows, classes=3, off=0.0):
    """Probabilities, and labels drawn from them, or from flatter ones."""
    p = np.exp(1.5 * g.normal(size=(rows, classes)))
    p /= p.sum(axis=1, keepdims=True)
    true = p ** (1 - off)
    true /= true.sum(axis=1, keepdims=True)
    return p, (g.random((rows, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)


def cells_of(p, z, kernel, g, bins=15):
    inner = [edges(c, bins, "equal-mass") for c in p.T]
    if not kernel:
        return [in_bins(c, h, i) for c, h, i in zip(p.T, z.T, inner, strict=True)]
    widths = [chosen_bandwidth(c, g) for c in p.T]
    return [by_kernel(c, h, i, w) for c, h, i, w in zip(p.T, z.T, inner, widths, strict=True)]


def seen_and_null(p, every, g):
    seen = error_of(every, [(c.held.count * c.held.accuracy)[None] for c in every], 1)
    return float(seen[0]), error_of(every, hits_drawn(p, every, g), 1)


def slow_kernel_error(c, z, h, norm):
    total = 0.0
    for i in range(len(c)):
        weights = [beta.pdf(c[i], c[j] / h + 1, (1 - c[j]) / h + 1) if j != i else 0.0 for j in range(len(c))]
        total += abs(np.dot(weights, z) / np.sum(weights) - c[i]) ** norm
    return total / len(c)


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("places", [6, 2])
def test_kernel_is_that_of_a_double_loop(norm, places):
    g = np.random.default_rng(0)
    c = np.round(g.uniform(0.3, 0.99, FINE), places)
    z = g.random(FINE) < c
    cells = by_kernel(c, z, edges(c, 15, "equal-mass"), 0.01)
    hits = (cells.held.count * cells.held.accuracy)[None]
    assert cells.power(hits, norm)[0] == pytest.approx(slow_kernel_error(c, z, 0.01, norm), rel=1e-9)


def test_cells_of_many_rows_hardly_change_the_kernel():
    g = np.random.default_rng(1)
    c = g.uniform(0.5, 1, 2 * FINE)
    z = g.random(len(c)) < c - 0.05
    cells = by_kernel(c, z, edges(c, 15, "equal-mass"), 0.01)
    hits = (cells.held.count * cells.held.accuracy)[None]
    assert cells.power(hits, 1)[0] == pytest.approx(slow_kernel_error(c, z, 0.01, 1), rel=0.03)


@pytest.mark.parametrize("norm", [1, 2])
def test_by_class_is_the_mean_over_classes(norm):
    g = np.random.default_rng(2)
    p, y = calibrated(g, 400)
    z, total = np.eye(3)[y], 0.0
    for k in range(3):
        place = np.searchsorted(edges(p[:, k], 15, "equal-mass"), p[:, k], side="right")
        for b in np.unique(place):
            total += np.mean(place == b) * abs(np.mean((z[:, k] - p[:, k])[place == b])) ** norm / 3
    (found,) = pl.measure(MODEL, pl.CalibrationError(of="class-wise", norm=norm), test=(p, y))
    assert found.detail["equal_mass"]["plug_in"] == pytest.approx(total ** (1 / norm))
    assert len(found.detail["equal_mass"]["classes"]) == 3
    assert found.detail["equal_mass"]["classes"][1]["count"].sum() == 400
    assert found.detail["equal_mass"]["count"].sum() == 1200


def test_of_two_classes_one_says_all():
    p, y = calibrated(np.random.default_rng(3), 50, classes=2)
    said, came = outcomes(p, y, "class-wise")
    assert (said[:, 0] == p[:, 1]).all()
    assert (came[:, 0] == (y == 1)).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_hits_are_drawn_by_their_probabilities(classes):
    g = np.random.default_rng(4)
    p = calibrated(g, 60)[0][:, :classes]
    every = cells_of(p, np.zeros((60, classes)), False, g, bins=4)
    drawn = hits_drawn(p, every, g)
    for c, cells, hits in zip(p.T, every, drawn, strict=True):
        mean, variance = (np.bincount(cells.index, weights=part) for part in (c, c * (1 - c)))
        assert hits.mean(axis=0) == pytest.approx(mean, abs=5 * np.sqrt(variance.max() / 1000))
        assert hits.var(axis=0) == pytest.approx(variance, rel=0.25)
    assert classes == 1 or (sum(h.sum(axis=1) for h in drawn) == 60).all()


def test_expected_range_is_binomial_where_confidences_agree():
    found = binned(np.repeat([0.6, 0.9], 50), np.ones(100), np.array([0.7]))
    low, high = expected_range(found, 0.95)
    assert low == pytest.approx(binom.ppf(0.025, 50, [0.6, 0.9]) / 50)
    assert high == pytest.approx(binom.ppf(0.975, 50, [0.6, 0.9]) / 50)


def test_a_calibrated_model_lies_in_the_expected_range():
    """In 500 data sets of 10 bins of 100 rows; whole hits keep it a little below 5 % outside."""
    g, outside = np.random.default_rng(5), []
    for _ in range(500):
        c = g.uniform(0.5, 1, 1000)
        found = binned(c, g.random(1000) < c, edges(c, 10, "equal-mass"))
        low, high = expected_range(found, 0.95)
        outside.append(np.mean((found.accuracy < low - 1e-12) | (found.accuracy > high + 1e-12)))
    assert 0.025 <= np.mean(outside) <= 0.055


@pytest.mark.slow
@pytest.mark.parametrize("classes, kernel", [(3, False), (10, False), (1, True), (3, True)])
def test_zero_is_inside_for_calibrated_models(classes, kernel):
    """The interval holds 0 just where the error seen is below this quantile, as the next test has it."""
    g, inside = np.random.default_rng(6 + classes), 0
    for _ in range(500):
        p, y = calibrated(g, 300, max(2, classes))
        p, z = (p[:, :1], (y == 0)[:, None]) if classes == 1 else (p, y[:, None] == np.arange(classes))
        seen, null = seen_and_null(p, cells_of(p, z, kernel, g), g)
        inside += seen <= np.quantile(null, 0.95)
    assert abs(inside / 500 - 0.95) <= 3 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.parametrize("kernel", [False, True])
@pytest.mark.parametrize("off", [0.0, 0.15])
def test_zero_is_inside_where_the_error_is_below_the_quantile(kernel, off):
    for seed in range(4):
        p, y = calibrated(np.random.default_rng(seed), 100, off=off)
        every = cells_of(p, y[:, None] == np.arange(3), kernel, np.random.default_rng(0), bins=5)
        seen, null = seen_and_null(p, every, np.random.default_rng(1))
        interval = estimate_of(p, y[:, None] == np.arange(3), every, np.random.default_rng(1), 1, 0.95).interval
        assert (0 in interval) == (seen <= np.quantile(null, 0.95))


@pytest.mark.slow
@pytest.mark.parametrize("off, bias", [(-0.1, 0.006), (-0.05, 0.006)])
def test_a_kernel_finds_a_known_error(off, bias):
    g, inside, values = np.random.default_rng(8), 0, []
    for _ in range(100):
        c = g.uniform(0.55, 0.95, (1000, 1))
        z = g.random((1000, 1)) < c + off
        found = estimate_of(c, z, cells_of(c, z, True, g), g, 1, 0.95)
        inside += abs(off) in found.interval
        values.append(found.value)
    assert 0.90 <= inside / 100 <= 1
    assert abs(np.mean(values) - abs(off)) < bias


@pytest.mark.slow
def test_by_class_finds_a_known_error():
    """Too sharp probabilities; the truth is the error of the true probabilities in the same bins."""
    g, inside, values, truth = np.random.default_rng(9), 0, [], []
    for _ in range(200):
        p, y = calibrated(g, 1000, 4, off=0.4)
        true = p**0.6
        true /= true.sum(axis=1, keepdims=True)
        every = cells_of(p, y[:, None] == np.arange(4), False, g)
        error = np.mean([in_bins(p[:, k], true[:, k], edges(p[:, k], 15, "equal-mass")).held.deviation.__abs__()
                         @ every[k].held.weight for k in range(4)])  # fmt: skip
        found = estimate_of(p, y[:, None] == np.arange(4), every, g, 1, 0.95)
        inside += error in found.interval
        values.append(found.value)
        truth.append(error)
    assert 0.90 <= inside / 200 <= 0.99
    assert abs(np.mean(values) - np.mean(truth)) < 0.006


@pytest.mark.parametrize("of", ["top-label", "class-wise"])
@pytest.mark.parametrize("estimator", ["bins", "kernel"])
def test_every_way_tells_calibrated_from_not(of, estimator):
    g = np.random.default_rng(10)
    measure = pl.CalibrationError(bins=8, of=of, estimator=estimator)
    (found,) = pl.measure(MODEL, measure, test=calibrated(g, 500), seed=1)
    assert found.verdict == "calibrated"
    assert "cannot be ruled out" in found.detail["explanation"]
    (found,) = pl.measure(MODEL, measure, test=calibrated(g, 500, off=0.7), seed=1)
    assert found.verdict == ("over-confident" if of == "top-label" else "miscalibrated")
    assert found.value in found.interval
    assert found.detail["explanation"].count("off by") == 1
    assert ("kernel" in found.detail) == (estimator == "kernel")


@pytest.mark.parametrize("estimator", ["bins", "kernel"])
def test_classes_without_a_row_and_certainty(estimator):
    measure = pl.CalibrationError(of="class-wise", estimator=estimator)
    (found,) = pl.measure(MODEL, measure, test=(np.tile([1.0, 0.0, 0.0], (40, 1)), np.zeros(40, int)))
    assert (found.verdict, found.value) == ("calibrated", 0)
    assert found.interval.high > 0


@pytest.mark.parametrize("options", [{"of": "canonical"}, {"estimator": "kde"}])
def test_options_outside_their_range(options):
    with pytest.raises(InvalidOption):
        pl.CalibrationError(**options)
