"""The spread and the agreement of members' explanations against SciPy, and intervals that hold."""

import keras
import numpy as np
import pytest
from scipy.stats import spearmanr

import pellucid as pl
from pellucid.core.record import load
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.explain.disagreement import _factors, correlations, over_members

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def ensemble(weights, ending=None):
    """The mean of linear members; with an ending, of their probabilities."""
    x, outs = keras.Input((5,)), []
    for w in weights:
        layer = keras.layers.Dense(w.shape[1], use_bias=False)
        outs.append(layer(x))
        layer.set_weights([w.astype("float32")])
    mean = pl.layers.EnsembleLogits(name="mean") if ending else keras.layers.Average(name="mean")
    out = mean(outs)
    return keras.Model(x, keras.layers.Softmax()(out) if ending else out)


def test_spread_and_agreement_are_those_of_numpy_and_scipy():
    weights = np.random.default_rng(1).normal(size=(4, 5, 1))
    found = pl.disagreement(ensemble(weights), X, pl.GradientInput(), progress=False)
    each = X[None] * weights[:, None, :, 0]
    np.testing.assert_allclose(found.values, each.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.spread, each.std(axis=0, ddof=1), rtol=1e-4)
    pairs = [(i, j) for i in range(4) for j in range(i)]
    for b in range(6):
        exact = np.mean([spearmanr(each[i, b], each[j, b])[0] for i, j in pairs])
        assert found.agreement[b] == pytest.approx(exact, abs=1e-6)
    assert found.mean_agreement == pytest.approx(found.agreement.mean())
    assert found.members == 4
    assert (found.spread_low < found.spread).all()
    assert (found.spread < found.spread_high).all()


def test_all_are_asked_about_the_class_of_the_ensemble():
    sure, other = np.zeros((5, 2)), np.zeros((5, 2))
    sure[0] = [5, -5]
    other[0] = [-1, 1]
    found = pl.disagreement(ensemble([sure, other], "softmax"), np.ones((1, 5)), pl.Gradient(), progress=False)
    assert found.classes.tolist() == [0]
    np.testing.assert_allclose(found.values[0], [2.0, 0, 0, 0, 0], atol=1e-6)


def test_members_that_agree_and_that_do_not():
    w = np.arange(1.0, 6.0)[:, None]
    same = pl.disagreement(ensemble([w, 2 * w, 3 * w]), np.ones((2, 5)), pl.GradientInput(), progress=False)
    np.testing.assert_allclose([*same.agreement, *same.interval], 1, atol=1e-12)
    turned = pl.disagreement(ensemble([w, -w]), np.ones((2, 5)), pl.GradientInput(), progress=False)
    np.testing.assert_allclose(turned.agreement, -1, atol=1e-12)
    assert "rank correlation of -1.00 (no interval from two members) over 2 examples" in str(turned)
    assert "rank correlation of 1.00 [1.00, 1.00] over 2 examples" in str(same)


def test_a_level_map_agrees_with_none():
    assert correlations([np.ones((1, 4)), np.arange(4.0)[None]]).tolist() == [[0.0]]


def test_the_interval_of_the_agreement_holds(generator):
    """Members are a common map and noise of their own: over drawn members it is the mean for endless ones."""
    common = generator.normal(size=(8, 20))
    draw = lambda m: [common + generator.normal(size=common.shape) for _ in range(m)]  # noqa: E731
    true = correlations(draw(120)).mean()
    kept = [true in over_members(correlations(draw(5)), 5, 0.95)[1] for _ in range(300)]
    assert 0.9 <= np.mean(kept) <= 1.0


def test_the_interval_of_the_spread_holds(generator):
    low, high = _factors(5, 0.95)
    spread = generator.normal(0, 2, size=(4000, 5)).std(axis=1, ddof=1)
    assert np.mean((spread * low <= 2) & (spread * high >= 2)) == pytest.approx(0.95, abs=0.015)


def test_it_can_be_written_down(tmp_path):
    found = pl.disagreement(ensemble(np.random.default_rng(1).normal(size=(3, 5, 1))), X, pl.Gradient(), progress=False)
    again = load(found.save(tmp_path / "kept"))
    np.testing.assert_array_equal(again.spread, found.spread)
    assert again.interval == found.interval


def test_what_cannot_be_is_told():
    plain = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(NotApplicable, match="has no members"):
        pl.disagreement(plain, X, pl.Gradient())
    with pytest.raises(InvalidOption, match="level"):
        pl.disagreement(plain, X, pl.Gradient(), level=95)
