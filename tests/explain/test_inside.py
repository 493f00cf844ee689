"""Conductance and internal influence against quadrature of the derivatives written out by hand, in float64."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption, UnknownName


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(3)
    inner = layers.Dense(4, "tanh", name="inner", bias_initializer="random_normal")
    return keras.Sequential([keras.Input((3,)), inner, layers.Dense(5, "tanh", name="next"), layers.Dense(2)])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32) * 2


def by_hand(net, x, b, target, points=20_001):
    """(B, U) of the change of the score that passes through each inner unit, and of the mean slope by it."""
    w1, b1, w2, b2, w3, _ = (np.asarray(w, np.float64) for w in net.get_weights())
    conductance, influence = [], []
    for row in np.asarray(x, np.float64):
        a = np.linspace(0, 1, points)[:, None]
        h = np.tanh((b + a * (row - b)) @ w1 + b1)
        k = np.tanh(h @ w2 + b2)
        slope = ((1 - k**2) * w3[:, target]) @ w2.T
        moved = (1 - h**2) * ((row - b) @ w1)
        conductance.append(np.trapezoid(slope * moved, a[:, 0], axis=0))
        influence.append(np.trapezoid(slope, a[:, 0], axis=0))
    return np.array(conductance), np.array(influence)


def test_conductance_is_the_integral(net, x):
    e = pl.explain(net, x, pl.Conductance("inner", baseline=0.5, tolerance=1e-3, max_evaluations=4096), target=1)
    truth, _ = by_hand(net, x, 0.5, 1)
    far = np.linalg.norm(e.values - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert np.all(far <= e.error)
    assert e.converged.all()
    assert e.hidden
    assert e.layer == "inner"
    np.testing.assert_allclose(e.values.sum(1), e.output - e.baseline_output, atol=1e-3)


def test_influence_is_the_mean_slope(net, x):
    e = pl.explain(net, x, pl.InternalInfluence("inner", tolerance=1e-3, max_evaluations=4096), target=0)
    _, truth = by_hand(net, x, 0.0, 0)
    assert np.all(np.linalg.norm(e.values - truth, axis=1) / np.linalg.norm(truth, axis=1) <= e.error)
    assert e.gap is None
    assert set(e.evaluations - 1) <= {8 * 2**k for k in range(9)}  # the points of the finest rule: none is asked twice


def test_conductance_of_the_layers_adds_up_to_the_same(net, x):
    sums = [
        pl.explain(net, x, pl.Conductance(name, tolerance=1e-3), target=0).values.sum(1) for name in ("inner", "next")
    ]
    np.testing.assert_allclose(*sums, rtol=5e-3)


@pytest.mark.parametrize("method", [pl.Conductance("c"), pl.InternalInfluence("c")])
def test_a_convolution_keeps_its_grid(method):
    keras.utils.set_random_seed(0)
    conv = layers.Conv2D(3, 3, activation="relu", name="c")
    cnn = keras.Sequential([keras.Input((6, 6, 1)), conv, layers.Flatten(), layers.Dense(2)])
    e = pl.explain(cnn, np.random.default_rng(0).random((2, 6, 6, 1)), method)
    assert e.values.shape == (2, 4, 4, 3)
    assert e.converged.all()


def test_tokens_go_from_a_mask_token_to_themselves():
    keras.utils.set_random_seed(0)
    tokens = keras.Input((5,), dtype="int32")
    inner = layers.Dense(4, "tanh", name="inner")(layers.GlobalAveragePooling1D()(layers.Embedding(9, 3)(tokens)))
    net = keras.Model(tokens, layers.Dense(2)(inner))
    x = np.random.default_rng(0).integers(1, 9, (3, 5))
    e = pl.explain(net, x, pl.Conductance("inner", baseline=pl.MaskToken(0)))
    assert e.values.shape == (3, 4)
    assert e.gap.max() < 0.02 * np.abs(e.values).sum(1).min() + 1e-4


def test_what_goes_around_a_layer_is_a_gap_and_no_convergence(x):
    start = keras.Input((3,))
    net = keras.Model(start, layers.Dense(1)(layers.Add()([layers.Dense(3, name="inner")(start), start])))
    e = pl.explain(net, x, pl.Conductance("inner"), target=0)
    assert not e.converged.any()
    assert (e.gap > 0.01).all()


def test_an_example_alone_gets_what_it_gets_among_others(net, x):
    method = pl.Conductance("inner", tolerance=1e-3)
    np.testing.assert_allclose(
        pl.explain(net, x[1:2], method).values, pl.explain(net, x, method).values[1:2], rtol=1e-5, atol=1e-7
    )


def test_bad_layers_are_told(net, x):
    with pytest.raises(UnknownName, match="'inner'"):
        pl.explain(net, x, pl.Conductance("iner"))
    with pytest.raises(InvalidInput, match="not on the way"):
        pl.explain(net, x, pl.Conductance("next"), pl.Unit("inner", 0))
    with pytest.raises(InvalidOption, match="layer"):
        pl.Conductance(3)
