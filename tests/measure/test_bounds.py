"""Bounds on the error rate: exact by their definition, kept on drawn data, and not given where rows depend on each other."""

import numpy as np
import pytest
from scipy.stats import binom

import pellucid as pl
from pellucid.measure.bounds import largest_risk

MODEL = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")


def rows(n, seed=0, flipped=0):
    x = np.random.default_rng(seed).uniform(0, 1, n)[:, None]
    y = (x[:, 0] > 0.5).astype(int)
    y[:flipped] = 1 - y[:flipped]
    return x, y


@pytest.mark.parametrize(("wrong", "count"), [(0, 1), (0, 50), (3, 50), (49, 50), (17, 4000)])
@pytest.mark.parametrize("miss", [0.05, 0.001])
def test_so_few_errors_are_just_as_probable_as_allowed(wrong, count, miss):
    assert binom.cdf(wrong, count, largest_risk(wrong, count, miss)) == pytest.approx(miss, rel=1e-9)


def test_all_wrong_rules_nothing_out():
    assert largest_risk(5, 5, 0.05) == 1.0


@pytest.mark.parametrize("risk", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("count", [20, 300])
def test_it_holds_as_often_as_it_says(risk, count):
    drawn = np.random.default_rng(0).binomial(count, risk, size=2000)
    kept = np.mean([risk <= largest_risk(int(k), count, 0.1) for k in drawn])
    assert kept >= 0.9 - 3 * np.sqrt(0.09 / 2000)


@pytest.mark.parametrize("candidates", [1, 20])
def test_it_holds_for_the_best_of_the_models_compared(candidates):
    g, count, risk = np.random.default_rng(1), 200, 0.3
    best = g.binomial(count, risk, size=(1000, candidates)).min(axis=1)  # none is any better than the others
    kept = np.mean([risk <= largest_risk(int(k), count, 0.1 / candidates) for k in best])
    assert kept >= 0.9 - 3 * np.sqrt(0.09 / 1000)


def test_measured():
    (found,) = pl.measure(MODEL, pl.TestSetBound(level=0.9, candidates=5), test=rows(100, flipped=7))
    assert found.value == largest_risk(7, 100, 0.1 / 5)
    assert (found.interval.low, found.interval.high, found.interval.level) == (0.0, found.value, 0.9)
    assert (found.verdict, found.detail["errors"], found.detail["rows"]) == ("bounded", 7, 100)
    assert all(a["holds"] is None for a in found.detail["assumptions"])
    assert "7 errors on 100 unseen rows" in found.detail["explanation"]


def test_a_bound_above_what_a_constant_answer_does_is_vacuous():
    x = np.full((30, 1), 0.9)
    y = np.append(np.zeros(3), np.ones(27)).astype(int)
    (found,) = pl.measure(MODEL, pl.TestSetBound(), test=(x, y))
    assert found.detail["constant"] == pytest.approx(0.1)
    assert found.verdict == "vacuous"
    assert found.value > 0.1


def test_rows_of_one_group_have_no_bound():
    x, y = rows(60)
    (found,) = pl.measure(MODEL, pl.TestSetBound(), test=pl.Dataset(x, y, groups=np.arange(60) // 2))
    assert (found.value, found.verdict) == (None, "not applicable")
    assert "60 rows in 30 groups" in found.detail["explanation"]
    (found,) = pl.measure(MODEL, pl.TestSetBound(), test=pl.Dataset(x, y, groups=np.arange(60)))
    assert found.verdict == "bounded"


@pytest.mark.parametrize("part", ["ids", "groups"])
def test_what_is_in_the_training_data_too_has_no_bound(part):
    (x, y), (more, labels) = rows(60), rows(80, seed=1)
    train = pl.Dataset(more, labels, **{part: np.arange(80)})
    (found,) = pl.measure(MODEL, pl.TestSetBound(), train=train, test=pl.Dataset(x, y, **{part: np.arange(79, 139)}))
    assert found.verdict == "not applicable"
    assert f"1 {part.removesuffix('s')} is in the training data" in found.detail["explanation"]
    (found,) = pl.measure(MODEL, pl.TestSetBound(), train=train, test=pl.Dataset(x, y, **{part: np.arange(80, 140)}))
    assert found.verdict == "bounded"


def test_rows_copied_from_the_training_data_have_no_bound_but_equal_ones_by_chance_do():
    x, y = rows(300)
    (found,) = pl.measure(MODEL, pl.TestSetBound(), train=(x, y), test=(x[200:], y[200:]))
    assert found.verdict == "not applicable"
    assert "100 of 100 test rows are in" in found.detail["explanation"]
    few = lambda seed: np.random.default_rng(seed).choice([0.1, 0.2, 0.8, 0.9], size=(300, 1))  # noqa: E731
    here, there = few(0), few(1)
    label = lambda x: (x[:, 0] > 0.5).astype(int)  # noqa: E731
    (found,) = pl.measure(MODEL, pl.TestSetBound(), train=(here, label(here)), test=(there, label(there)))
    assert found.verdict == "bounded"


def test_a_regression_has_no_errors_to_count():
    model = pl.wrap(lambda x: x[:, :1], output="value")
    (found,) = pl.measure(model, pl.TestSetBound(), test=(np.ones((5, 1)), np.ones(5)))
    assert found.verdict == "not applicable"


@pytest.mark.parametrize("options", [{"level": 1}, {"level": 0.0}, {"candidates": 0}, {"candidates": 1.5}])
def test_options_outside_their_range(options):
    with pytest.raises(pl.errors.InvalidOption, match=next(iter(options))):
        pl.TestSetBound(**options)
