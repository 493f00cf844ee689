import itertools

import numpy as np
import pytest

import pellucid as pl
from pellucid.measure.selective import Curve, best_area


def area_of(wrong):
    return np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1))


def test_ties_are_the_mean_over_all_orders():
    confidence = np.array([0.9, 0.9, 0.7, 0.7, 0.7, 0.5])
    wrong = np.array([0, 1, 0, 1, 0, 1.0])
    areas = [
        area_of(np.concatenate([wrong[list(a)], wrong[list(b)], wrong[5:]]))
        for a in itertools.permutations((0, 1)) for b in itertools.permutations((2, 3, 4))
    ]  # fmt: skip
    assert Curve(confidence, wrong).area() == pytest.approx(np.mean(areas), abs=1e-12)


def test_best_area_is_the_least_over_all_orders():
    wrong = np.array([1, 0, 1, 0, 0.0])
    assert best_area(wrong) == pytest.approx(min(area_of(np.array(p)) for p in itertools.permutations(wrong)))


@pytest.mark.parametrize("rounded", [1, 8])
def test_resampled_areas_are_those_of_the_rows_drawn(rounded):
    g = np.random.default_rng(0)
    confidence, wrong = np.round(g.random(40), rounded), (g.random(40) < 0.3).astype(float)
    order = np.argsort(-confidence, kind="stable")
    curve, rows = Curve(confidence, wrong), g.integers(40, size=(5, 40))
    drawn = np.stack([np.bincount(r, minlength=40) for r in rows]).astype(float)
    direct = [Curve(confidence[order][r], wrong[order][r]).area() for r in rows]
    np.testing.assert_allclose(curve.resampled(drawn), direct, atol=1e-12)


@pytest.mark.parametrize("rounded", [1, 8])
def test_influence_is_the_jackknife(rounded):
    g = np.random.default_rng(1)
    confidence, wrong = np.round(g.random(30), rounded), (g.random(30) < 0.3).astype(float)
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], wrong[order]
    without = np.array([Curve(np.delete(confidence, i), np.delete(wrong, i)).area() for i in range(30)])
    np.testing.assert_allclose(Curve(confidence, wrong).influence(), 29 * (without.mean() - without), atol=1e-10)


def test_interval_covers():
    g = np.random.default_rng(2)

    def draw(n):
        confidence = g.uniform(0.5, 1, n)
        return Curve(confidence, (g.random(n) > confidence).astype(float))

    truth = np.mean([draw(20000).area() for _ in range(50)])
    hits = [truth in draw(200).interval(g, 0.95) for _ in range(400)]
    assert 0.92 <= np.mean(hits) <= 0.98


def measured(confidence, wrong):
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    return pl.measure(model, pl.SelectiveRisk(), test=(confidence[:, None], 1 - wrong.astype(int)))[0]


def test_verdicts():
    g = np.random.default_rng(3)
    confidence = g.uniform(0.51, 1, 2000)
    assert measured(confidence, g.random(2000) > confidence).verdict == "better than random"
    assert measured(confidence, g.random(2000) < 0.8 * (confidence - 0.5)).verdict == "worse than random"
    assert measured(confidence, np.zeros(2000)).verdict == "no errors"
    found = measured(np.full(50, 0.7), g.random(50) < 0.3)
    assert found.verdict == "no better than random"
    assert found.value == pytest.approx(found.detail["random"])


@pytest.mark.parametrize(("errors", "rows", "told"), [(1, 45, False), (1, 400, False), (8, 45, True)])
def test_few_errors_cannot_tell(errors, rows, told):
    confidence = np.linspace(0.51, 0.99, rows)
    wrong = np.zeros(rows, int)
    wrong[np.linspace(3, rows - 1, errors).astype(int)] = 1
    verdict = measured(confidence, wrong).verdict
    assert verdict == ("no better than random" if told else "too few errors to tell")


@pytest.mark.parametrize("wrong", [np.zeros(5), np.ones(5)])
def test_few_rows_that_are_all_alike_leave_room(wrong):
    found = measured(np.linspace(0.55, 0.95, 5), wrong)
    assert found.interval.width > 0.3
    assert found.detail["gain"]["interval"].width > 0.3
    assert found.detail["coverage_at"]["0.05"]["interval"].width > 0.3


def test_coverage_at_a_risk_is_read_at_a_threshold():
    confidence = np.array([0.95, 0.9, 0.8, 0.8, 0.7, 0.6])
    wrong = np.array([0, 0, 1, 0, 0, 1.0])
    g = np.random.default_rng(0)
    curve = Curve(confidence, wrong)
    assert curve.coverage_at(0.2, g, 0.95)["value"] == pytest.approx(5 / 6)
    assert curve.coverage_at(0.19, g, 0.95)["value"] == pytest.approx(2 / 6)
