"""Prediction sets by hand, the coverage that theory gives, and intervals that hold it."""

import numpy as np
import pytest
from scipy.stats import beta, betabinom

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.conformal_sets import (
    design_effect,
    halves,
    label_scores,
    least_rows,
    looked_at,
    mean_size,
    prediction_intervals,
    prediction_sets,
    predictor,
    rank,
    share_kept,
    spread,
    tied_spread,
)

MODEL = pl.wrap(lambda x: x, output="probabilities")
VALUES = pl.wrap(lambda x: x[:, :1], output="value")


def drawn(g, rows, classes=4, sharp=2.0, tilt=0.0):
    """Probabilities that are too sure, and labels."""
    z = 1.5 * g.normal(size=(rows, classes))
    said, true = np.exp(sharp * z), np.exp(z * np.exp(tilt))
    said, true = (a / a.sum(axis=1, keepdims=True) for a in (said, true))
    return said, (g.random((rows, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)


def kth(scores, coverage):
    return np.sort(scores)[rank(len(scores), coverage) - 1]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_are_those_by_hand(coverage):
    g = np.random.default_rng(0)
    p, y = drawn(g, 300)
    rows = g.permutation(300)[:137]
    limit = kth(1 - p[rows, y[rows]], coverage)
    assert (prediction_sets(p, y, rows, "lac", coverage, 0) == (1 - p <= limit)).all()
    f = g.normal(size=300)
    v = f + g.normal(size=300)
    half = kth(np.abs(v - f)[rows], coverage)
    assert prediction_intervals(f, v, rows, coverage) == pytest.approx(np.stack([f - half, f + half], axis=1))


def test_randomized_adaptive_sets_are_those_by_hand():
    """Scores sum what is likelier and u times the own probability; the same draws, in MAPIE's order, give the same sets."""
    g = np.random.default_rng(1)
    p, y = drawn(g, 200)
    rows = np.arange(120)
    draws = np.random.RandomState(5)
    order = np.argsort(-p, axis=1)
    above = np.empty_like(p)
    np.put_along_axis(above, order, np.cumsum(np.take_along_axis(p, order, 1), axis=1), axis=1)
    u = draws.uniform(size=120)
    limit = kth(above[rows, y[rows]] - u * p[rows, y[rows]], 0.9)
    u = draws.uniform(size=(200, 1))
    assert (prediction_sets(p, y, rows, "aps", 0.9, 5) == (above - u * p <= limit)).mean() > 0.995


@pytest.mark.parametrize("score", ["lac", "aps", "absolute residual"])
def test_a_hundred_halves_cover_what_the_theorem_says(score):
    g = np.random.default_rng(2)
    p, y = drawn(g, 600)
    answers, labels = (p, y) if score != "absolute residual" else (p[:, 0], p[:, 0] + g.normal(size=600))
    found = looked_at(predictor(answers, labels, score, 0.9), list(halves(600, None, 100, g)), 4, g)
    error = 3 * betabinom.std(300, 271, 30) / 300 / 10
    assert 0.9 - error <= found.coverage.mean() <= 0.9 + 1 / 301 + error
    assert rank(300, 0.9) == 271


def test_halves_keep_groups_whole():
    groups = np.repeat(np.arange(12), np.arange(1, 13))
    for rows, others in halves(78, groups, 5, np.random.default_rng(0)):
        assert not set(groups[rows]) & set(groups[others])
        assert len(rows) + len(others) == 78
        assert 20 <= len(rows) <= 58
    assert [len(part) for part in next(halves(101, None, 1, np.random.default_rng(0)))] == [50, 51]


@pytest.mark.parametrize("coverage, least", [(0.9, 10), (0.95, 20), (0.05, 20), (0.5, 2)])
def test_as_few_rows_as_mapie_takes(coverage, least):
    assert least_rows(coverage) == least
    assert rank(least, coverage) <= least
    p, y = drawn(np.random.default_rng(0), 30)
    assert prediction_sets(p, y, np.arange(least), "lac", coverage, 0).shape == (30, 4)
    with pytest.raises(ValueError, match="Number of samples of the score is too low"):
        prediction_sets(p, y, np.arange(least - 1), "lac", coverage, 0)


def test_design_effect_by_hand():
    groups = np.repeat(np.arange(50), 8)
    alike = np.repeat(np.random.default_rng(0).normal(size=50), 8)
    assert design_effect(alike, groups) == pytest.approx(8 * 50 / 49)
    assert design_effect(alike, None) == 1
    assert design_effect(np.ones(400), groups) == 8
    p = np.r_[np.ones(360), np.zeros(40)]
    assert share_kept(p, groups, 0.95)[1].width > share_kept(p, None, 0.95)[1].width


def test_spread_is_the_beta_of_one_calibration():
    counted, lasting = spread(271 / 301, (300, 300), 1.0, 0.95)
    assert (lasting.low, lasting.high) == pytest.approx(beta.ppf([0.025, 0.975], 271, 30))
    assert (counted.low, counted.high) == pytest.approx(betabinom.ppf([0.025, 0.975], 300, 271, 30) / 300)
    untied, known = tied_spread(np.random.default_rng(0).random(600), 0.9, (300, 300), 1.0, 0.95)[1], lasting
    assert (untied.low, untied.high) == pytest.approx((known.low, known.high), abs=0.004)


def held(reps, seed, rows, groups=0, tie=0):
    """How often the intervals hold the coverage of a fresh calibration on fresh rows, and the mean size."""
    g = np.random.default_rng(seed)
    inside, sizes, true = 0, [], []
    ids = np.repeat(np.arange(groups), rows // groups) if groups else None

    def new():
        tilt = 0.8 * g.normal(size=groups)[ids][:, None] if groups else 0.0
        p, y = drawn(g, rows, tilt=tilt)
        p = np.round(p * tie) / tie if tie else p
        return p / p.sum(axis=1, keepdims=True), y

    wide = drawn(g, 100_000)[0]
    for _ in range(reps):
        p, y = new()
        found = looked_at(predictor(p, y, "lac", 0.9), list(halves(rows, ids, 20, g)), 4, g)
        effect = design_effect(found.kept, ids)
        scores = label_scores(p, y, "lac", 0.9, 0)
        around = (
            tied_spread(scores, 0.9, found.rows, effect, 0.95)
            if tie
            else spread(float(found.coverage.mean()), found.rows, effect, 0.95)
        )[0]
        p, y = new()
        first, others = next(halves(rows, ids, 1, g))
        scores = 1 - p[np.arange(rows), y]
        limit = kth(scores[first], 0.9)
        inside += np.mean(scores[others] <= limit + 1e-9) in around
        sizes.append(mean_size(found, 0.9, effect, 0.95))
        true.append(np.mean(np.sum(1 - wide <= limit, axis=1)))
    return inside / reps, np.mean([np.mean(true) in s for s in sizes])


@pytest.mark.slow
@pytest.mark.parametrize("rows, groups, tie", [(200, 0, 0), (400, 40, 0), (200, 0, 30)])
def test_intervals_hold_the_coverage_of_a_calibration_on_new_rows(rows, groups, tie):
    """A beta-binomial of whole numbers covers at least its level: never below, and above by no more than its steps."""
    inside, size = held(500, rows + groups + tie, rows, groups, tie)
    error = 3 * np.sqrt(0.05 * 0.95 / 500)
    assert inside >= 0.95 - error
    assert inside <= 0.99
    if not groups and not tie:
        assert abs(size - 0.95) <= error


def test_a_group_that_is_not_covered_is_named():
    g = np.random.default_rng(3)
    p, y = drawn(g, 2000)
    site = np.where(np.arange(2000) < 300, "B", "A")
    y[:300] = g.integers(0, 4, 300)
    (found,) = pl.measure(MODEL, pl.ConformalCoverage(by={"site": site}), test=(p, y))
    assert found.verdict == "covers, but not every group"
    assert found.detail["under_covered"] == ("site = B",)
    assert "surely covered less than promised: site = B" in found.detail["explanation"]
    assert {c["name"] for c in found.detail["classes"]} == {f"class = {k}" for k in range(4)}
    by_hand = {m["group"]: m["value"] for m in found.detail["groups"]}
    assert 0.15 * by_hand["B"] + 0.85 * by_hand["A"] == pytest.approx(found.value, abs=0.003)


@pytest.mark.slow
def test_groups_alike_are_seldom_said_to_be_under_covered():
    g, wrong = np.random.default_rng(4), 0
    for _ in range(500):
        p, y = drawn(g, 300)
        by = {"a": g.integers(0, 5, 300)}
        (found,) = pl.measure(MODEL, pl.ConformalCoverage(by=by, splits=4), test=(p, y))
        wrong += found.verdict == "covers, but not every group"
    assert wrong / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_sizes_and_shares_add_up():
    g = np.random.default_rng(5)
    p, y = drawn(g, 500)
    (found,) = pl.measure(MODEL, pl.ConformalCoverage(), test=(p, y), seed=1)
    detail = found.detail
    assert detail["sizes"].sum() == pytest.approx(1)
    assert detail["sizes"] @ np.arange(5) == pytest.approx(detail["size"]["value"])
    assert (detail["empty"], detail["full"]) == (detail["sizes"][0], detail["sizes"][-1])
    assert found.verdict == "covers"
    assert pl.measure(MODEL, pl.ConformalCoverage(), test=(p, y), seed=1)[0].value == found.value


def test_ties_over_cover():
    p = np.tile([[0.99, 0.01]], (1000, 1))
    (found,) = pl.measure(MODEL, pl.ConformalCoverage(), test=(p, (np.arange(1000) % 50 == 0).astype(int)))
    assert (found.verdict, found.value) == ("over-covers", pytest.approx(0.98, abs=0.003))
    assert found.interval.low < 0.98 < found.interval.high


def test_regression_gives_widths():
    g = np.random.default_rng(6)
    x = g.normal(size=(1000, 1))
    y = x[:, 0] + g.normal(size=1000)
    (found,) = pl.measure(VALUES, pl.ConformalCoverage(), test=(x, y))
    assert (found.verdict, found.detail["classes"]) == ("covers", ())
    assert 2 * 1.645 in found.detail["width"]["interval"]
    (found,) = pl.measure(VALUES, pl.ConformalCoverage(score="aps"), test=(x, y))
    assert "is for classification; for regression" in found.detail["explanation"]


@pytest.mark.parametrize(
    ("rows", "groups", "told"),
    [(1, None, "there is one"), (15, None, "7 rows cannot calibrate"), (40, np.zeros(40), "all are of one group")],
)
def test_too_few_rows(rows, groups, told):
    p, y = drawn(np.random.default_rng(0), rows)
    (found,) = pl.measure(MODEL, pl.ConformalCoverage(), test=pl.Dataset(p, y, groups=groups))
    assert found.verdict == "not applicable"
    assert told in found.detail["explanation"]


def test_one_class_and_small_classes():
    p, y = drawn(np.random.default_rng(0), 100)
    (found,) = pl.measure(MODEL, pl.ConformalCoverage(), test=(p, np.zeros(100, int)))
    assert [c["name"] for c in found.detail["classes"]] == ["class = 0"]
    y = np.r_[np.zeros(97, int), 1, 1, 2]
    (found,) = pl.measure(MODEL, pl.ConformalCoverage(), test=(p, y))
    assert found.detail["left_out"] == {"class = 1": "2 rows", "class = 2": "1 row"}


@pytest.mark.parametrize(
    "options",
    [{"coverage": 1}, {"score": "raps"}, {"splits": 1}, {"least": 0}, {"level": 0}, {"by": 3}, {"by": []}],
)
def test_options_outside_their_range(options):
    with pytest.raises(InvalidOption):
        pl.ConformalCoverage(**options)


def test_bad_groups():
    p, y = drawn(np.random.default_rng(0), 100)
    with pytest.raises(InvalidInput, match="one value for each of the 100 test rows"):
        pl.measure(MODEL, pl.ConformalCoverage(by={"a": [1, 2]}), test=(p, y))


def test_large_units_change_nothing_but_the_width():
    g = np.random.default_rng(0)
    x, noise = g.normal(size=(200, 1)), g.normal(size=200)
    each = [
        pl.measure(
            pl.wrap(lambda x, s=s: x * s, output="value"), pl.ConformalCoverage(), test=(x, s * (x[:, 0] + noise))
        )[0]
        for s in (1.0, 1e9)
    ]
    assert each[0].value == pytest.approx(each[1].value, abs=0.01)
    assert each[0].detail["width"]["value"] == pytest.approx(each[1].detail["width"]["value"] / 1e9, rel=1e-4)


def test_two_classes_have_no_aps():
    p = np.random.default_rng(0).uniform(size=200)
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    (found,) = pl.measure(model, pl.ConformalCoverage(score="aps"), test=(p[:, None], np.arange(200) % 2))
    assert found.verdict == "not applicable"


def test_a_coverage_that_no_theorem_allows_is_told_as_it_is():
    y = np.arange(150) % 3
    model = pl.wrap(lambda x: np.eye(3)[x.astype(int)[:, 0]], output="probabilities")
    (found,) = pl.measure(
        model, pl.ConformalCoverage(score="aps"), test=(((y + 1) % 3)[:, None], y)
    )  # always wrong, and sure
    assert found.value in found.interval
    assert found.verdict in ("under-covers", "over-covers", "covers")
    assert (found.verdict == "under-covers") == (found.value < 0.9)
