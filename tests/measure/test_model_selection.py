"""The best of many looks better than it is: by how much, against simulation."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import clopper_pearson, wilson
from pellucid.errors import InvalidOption
from pellucid.measure.model_selection import best_of, corrected

MODEL = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")


def rows(n=100, wrong=20):
    x = np.linspace(0, 1, n)[:, None]
    y = (x[:, 0] > 0.5).astype(int)
    y[:wrong] = 1 - y[:wrong]
    return x, y


def test_the_best_of_many_by_exact_enumeration():
    from scipy.stats import binom

    at = np.arange(6)
    chance = binom.pmf(at, 5, 0.6)
    truth = sum(max(i, j) * chance[i] * chance[j] for i in at for j in at)
    assert best_of(0.6, 5, 2) == pytest.approx(truth)
    assert best_of(0.6, 50, 1) == pytest.approx(30)


@pytest.mark.parametrize("candidates", [1, 10, 100])
def test_the_correction_is_right_on_average_and_its_interval_holds(candidates):
    g, truth, n = np.random.default_rng(0), 0.7, 300
    seen = g.binomial(n, truth, size=(2000, candidates)).max(axis=1)
    found = [corrected(int(k), n, candidates, 0.9) for k in seen]
    assert np.mean([value for value, _ in found]) == pytest.approx(truth, abs=0.003)
    kept = np.mean([truth in interval for _, interval in found])
    assert kept >= 0.9 - 3 * np.sqrt(0.09 / 2000)


def test_what_is_stated_is_recorded():
    (found,) = pl.measure(MODEL, pl.ModelSelection(12, by="loss"), test=rows())
    assert (found.value, found.interval) == (0.8, wilson(80, 100))
    assert (found.verdict, found.detail["optimism"]) == ("chosen without the test rows", 0)
    assert "12 models by loss on validation rows" in found.detail["explanation"]
    (found,) = pl.measure(MODEL, pl.ModelSelection(12, on="test"), test=rows())
    assert found.verdict == "chosen on the test rows"
    assert found.value < 0.8
    assert found.interval.low == clopper_pearson(80, 100, 1 - 0.05 / 12).low
    (found,) = pl.measure(MODEL, pl.ModelSelection(1, on="unknown"), test=rows())
    assert (found.value, found.verdict) == (0.8, "not known")


def test_a_model_that_is_never_right_is_not_corrected():
    assert corrected(0, 30, 5, 0.95)[0] == 0


def test_bad_options_are_told():
    for wrong in ({"candidates": 0}, {"candidates": 2, "on": "holdout"}, {"candidates": 2, "by": 3}):
        with pytest.raises(InvalidOption):
            pl.ModelSelection(**wrong)
    (found,) = pl.measure(pl.wrap(lambda x: x, output="value"), pl.ModelSelection(2), test=(rows()[0], rows()[0][:, 0]))
    assert found.verdict == "not applicable"
