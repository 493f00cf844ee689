"""DeepSHAP against DeepLIFT from each row of its background, one after another."""

import re

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.explain import background

DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(7, 6)).astype(np.float32)
X = DRAW.normal(size=(5, 6)).astype(np.float32)


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_the_mean_over_all_rows(rule, random_mlp):
    e = pl.explain(random_mlp, X, pl.DeepShap(ROWS, rule), target=pl.Margin(0, 2))
    each = [pl.explain(random_mlp, X, pl.DeepLift(rule, baseline=row), target=pl.Margin(0, 2)) for row in ROWS]
    maps = np.array([one.values for one in each], float)
    np.testing.assert_allclose(e.values, maps.mean(0), atol=1e-6)
    np.testing.assert_allclose(e.standard_error, maps.std(0, ddof=1) / np.sqrt(7), atol=1e-6)
    np.testing.assert_allclose(e.baseline_output, np.mean([one.baseline_output for one in each], 0), atol=1e-6)
    assert (e.samples == 7).all()
    assert (e.evaluations == 14).all()
    assert e.gap.max() < 1e-5 * np.abs(e.output).max()


def test_a_linear_model_gets_its_shapley_values():
    weights = np.arange(1.0, 7.0, dtype=np.float32)
    e = pl.explain(lambda x: keras.ops.sum(x * keras.ops.convert_to_tensor(weights), axis=1), X, pl.DeepShap(ROWS))
    np.testing.assert_allclose(e.values, weights * (X - ROWS.mean(0)), atol=1e-5)


def test_pairs_of_examples_and_rows_go_through_in_parts(random_mlp, monkeypatch):
    whole = pl.explain(random_mlp, X, pl.DeepShap(ROWS), target=1)
    monkeypatch.setattr(background, "BLOCK", 2 * X[0].nbytes * 3)  # three pairs at once
    parts = pl.explain(random_mlp, X, pl.DeepShap(ROWS), target=1)
    alone = pl.explain(random_mlp, X[3:4], pl.DeepShap(ROWS), target=1)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)
    np.testing.assert_allclose(parts.standard_error, whole.standard_error, atol=1e-6)
    np.testing.assert_allclose(alone.values, whole.values[3:4], atol=1e-6)


def test_several_inputs_a_dataset_and_a_hidden_layer():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    hidden = layers.Dense(4, "relu", name="low")(layers.Concatenate()([a, b]))
    net = keras.Model([a, b], layers.Dense(2)(hidden))
    net.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in net.get_weights()])
    x = {"a": X[:, :3], "b": X[:, 3:5]}
    rows = {"a": ROWS[:, :3], "b": ROWS[:, 3:5]}
    e = pl.explain(net, x, pl.DeepShap(rows), target=0)
    from_data = pl.explain(net, x, pl.DeepShap(pl.Dataset(rows, np.zeros(7, int))), target=0)
    np.testing.assert_array_equal(e.values["a"], from_data.values["a"])
    assert e.gap.max() < 1e-5
    inside = pl.explain(net, x, pl.DeepShap(rows, layer="low"), target=0)
    assert inside.values.shape == (5, 4)
    assert inside.gap.max() < 1e-5


def test_what_does_not_fit_is_said(random_mlp):
    with pytest.raises(InvalidInput, match=re.escape("the model takes (B, 6)")):
        pl.explain(random_mlp, X, pl.DeepShap(ROWS[:, :4]))
    with pytest.raises(InvalidOption, match=re.escape("DeepShap.rule")):
        pl.DeepShap(ROWS, "linear")
