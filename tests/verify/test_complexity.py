import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

X = np.random.default_rng(0).normal(size=(40, 12)) + 3


def needed(function, x=X, method=None, **options):
    e = pl.explain(function, x, method or pl.Occlusion(), seed=0)
    (found,) = pl.verify(function, e, pl.EffectiveComplexity(**options), seed=0)
    return found


def by_hand(weights, x, tolerance):
    """Of a linear model: parts by the size of w x, until the rest is within the tolerance of the whole, for good."""
    parts = weights * x
    found = []
    for row in parts:
        order = np.argsort(-np.abs(row), kind="stable")
        missing = np.abs(row.sum() - np.concatenate([[0], np.cumsum(row[order])]))
        within = missing <= tolerance * np.abs(row.sum()) + 1e-9
        found.append(max((k for k in range(len(within)) if not within[k]), default=-1) + 1)
    return np.array(found) / x.shape[1]


@pytest.mark.parametrize("tolerance", [0.05, 0.1, 0.4])
def test_a_linear_model_counted_by_hand(tolerance):
    weights = np.array([5, 3, 2, 1, 0.5, -0.5, 0.2, -0.2, 0.1, 0.05, 0, 0])
    found = needed(lambda x: x @ weights, tolerance=tolerance, steps=12)
    np.testing.assert_allclose(found.detail["needed"], by_hand(weights, X, tolerance))
    assert found.value == pytest.approx(by_hand(weights, X, tolerance).mean())
    assert found.interval.low <= found.value <= found.interval.high
    assert found.better == "lower"


def test_a_model_of_one_column_needs_one_and_one_of_all_needs_most():
    assert needed(lambda x: 2 * x[:, 3]).value == pytest.approx(1 / 12)
    assert needed(lambda x: x.sum(1), tolerance=0.01, steps=12).value > 0.9


def test_a_bad_ranking_needs_more():
    weights = np.arange(12) ** 2.0
    e = pl.explain(lambda x: x @ weights, X, pl.Occlusion(), seed=0)
    from dataclasses import replace

    worst = replace(e, values=1 / (1 + np.abs(np.asarray(e.values))))
    good, bad = (
        pl.verify(lambda x: x @ weights, each, pl.EffectiveComplexity(), seed=0)[0].value for each in (e, worst)
    )
    assert bad > good + 0.3


def test_it_does_not_speak_for_or_against_an_explanation():
    e = pl.explain(lambda x: x[:, 0], X, pl.Occlusion(), seed=0)
    alone, beside = (
        pl.verify(lambda x: x[:, 0], e, checks, seed=0).verdict
        for checks in ([pl.Deletion()], [pl.Deletion(), pl.EffectiveComplexity()])
    )
    assert alone == beside


def test_what_cannot_be_counted_is_told():
    with pytest.raises(InvalidOption, match="tolerance"):
        pl.EffectiveComplexity(tolerance=0)
    for function, x in ((lambda x: 0 * x[:, 0], X), (lambda x: x[:, 0], X[:, :1])):
        try:
            found = needed(function, x)
        except NotApplicable:
            continue
        assert found.value is None
