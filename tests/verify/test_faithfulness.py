"""Deletion and insertion against curves worked out by hand, and against explanations known to be right or wrong."""

from dataclasses import replace

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import student
from pellucid.errors import InvalidInput, InvalidOption

WEIGHTS = np.array([4.0, 2.0, 1.0, 0.0])


def linear(x):
    return x @ WEIGHTS.astype(np.asarray(x).dtype)


def explained(x, values=None, **change):
    e = pl.explain(linear, x, pl.Occlusion())
    return replace(e, **change) if values is None else replace(e, values=values, **change)


def test_the_curve_of_a_linear_model_by_hand():
    x = np.ones((3, 4))
    v = pl.verify(linear, explained(x), [pl.Deletion(), pl.Insertion()])
    fractions = [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(v[0].detail["fractions"], fractions)
    np.testing.assert_allclose(v[0].detail["curve"], [7, 3, 1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(v[1].detail["curve"], [0, 4, 6, 7, 7], atol=1e-5)
    np.testing.assert_allclose(v[0].detail["areas"], np.trapezoid([7, 3, 1, 0, 0], fractions), rtol=1e-5)
    assert v[0].detail["scale"] == pytest.approx(7)
    # The mean curve over all rankings is the straight line, whose area is 3.5.
    np.testing.assert_allclose(v[0].detail["random_curve"], np.linspace(7, 0, 5), atol=0.8)


def test_value_and_interval_are_means_over_examples(generator):
    x = generator.normal(size=(30, 4)) + 1
    m = pl.verify(linear, explained(x), pl.Deletion())[0]
    gain = (m.detail["random_areas"] - m.detail["areas"]) / m.detail["scale"]
    np.testing.assert_allclose(m.detail["advantages"], gain, rtol=1e-6)
    assert m.value == pytest.approx(gain.mean())
    assert (m.interval.low, m.interval.high) == pytest.approx(tuple(student(gain)))


@pytest.mark.parametrize("check", [pl.Deletion(), pl.Insertion()])
def test_right_wrong_and_random_explanations(check, generator):
    x = np.abs(generator.normal(size=(120, 4))) + 0.1
    right = explained(x)
    assert pl.verify(linear, right, check)[0].verdict == "better than random"
    wrong = pl.verify(linear, explained(x, -right.values), check)
    assert wrong[0].verdict == "worse than random"
    assert wrong.verdict == "refuted"
    chance = pl.verify(linear, explained(x, generator.normal(size=x.shape)), check)
    assert chance[0].verdict == "like random"
    assert chance.verdict == "refuted"


def test_random_explanations_are_rarely_called_better(generator):
    """The share of random explanations that pass is the interval's nominal 2.5 %."""
    x, passed = np.abs(generator.normal(size=(40, 4))) + 0.1, 0
    model, base = pl.wrap(linear), explained(x)
    base = replace(base, provenance=replace(base.provenance, model=model.fingerprint()))
    for seed in range(60):
        e = replace(base, values=np.random.default_rng(seed).normal(size=x.shape))
        passed += pl.verify(model, e, pl.Deletion(rankings=20), seed=seed)[0].interval.low > 0
    assert passed <= 6  # P(Binomial(60, 0.025) > 6) < 0.1 %


def test_slopes_are_ranked_by_their_size(generator):
    x = -np.abs(generator.normal(size=(40, 4))) - 0.5
    f = lambda t: t[:, 0] * 4 + t[:, 1] * 2 + t[:, 2] + 0 * t[:, 3]  # noqa: E731
    e = pl.explain(f, x, pl.Gradient())
    order = lambda how: pl.verify(f, e, pl.Deletion(order=how))[0].detail["areas"]  # noqa: E731
    np.testing.assert_allclose(order("auto"), order("magnitude"))


def test_columns_of_one_origin_are_hidden_together(generator):
    data = pl.Dataset(generator.normal(size=(5, 4)), columns=["a", "b", "b", "c"])
    e = pl.explain(linear, data, pl.Occlusion())
    m = pl.verify(linear, e, pl.Deletion())[0]
    np.testing.assert_allclose(m.detail["fractions"], [0, 1 / 3, 2 / 3, 1])


def test_the_explanations_own_baseline_stands_for_hidden_parts(generator):
    x = generator.normal(size=(6, 4))
    e = pl.explain(linear, x, pl.Occlusion(baseline=np.full(4, 2.0)))
    m = pl.verify(linear, e, pl.Deletion())[0]
    assert m.detail["curve"][-1] == pytest.approx(14, rel=1e-5)
    assert pl.verify(linear, e, pl.Deletion(baseline=0.0))[0].detail["curve"][-1] == pytest.approx(0, abs=1e-5)


def test_one_example_gets_an_interval_from_random_rankings():
    m = pl.verify(linear, explained(np.ones((1, 4))), pl.Deletion())[0]
    assert m.interval.kind == "random rankings"
    assert m.interval.low <= m.value <= m.interval.high


def test_what_cannot_be_compared_says_why():
    flat = pl.explain(lambda x: x[:, 0] * 0 + 1.0, np.ones((3, 2)), pl.Occlusion())
    m = pl.verify(lambda x: x[:, 0] * 0 + 1.0, replace(flat, provenance=flat.provenance), pl.Deletion())[0]
    assert m.verdict == "not applicable"
    assert "does not change the score" in m.detail["explanation"]


def test_an_explanation_of_another_model_is_refused(random_mlp, generator):
    e = pl.explain(linear, generator.normal(size=(3, 4)), pl.Occlusion())
    with pytest.raises(InvalidInput, match="another model"):
        pl.verify(lambda x: x.sum(1), replace(e, provenance=replace(e.provenance, model="0" * 16)))


def test_a_callable_target_cannot_be_verified(random_mlp, generator):
    e = pl.explain(random_mlp, generator.normal(size=(3, 6)), pl.Gradient(), target=lambda s: s[:, 0] - s[:, 1])
    with pytest.raises(InvalidInput, match="explain a class or a Margin"):
        pl.verify(random_mlp, e)


@pytest.mark.parametrize("options", [{"steps": 1}, {"rankings": 0}, {"order": "up"}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"Deletion.{next(iter(options))}: expected"):
        pl.Deletion(**options)
