"""Layers that are known to be given nothing below zero, and that relevance is the same where a rule makes use of it."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.explain.propagation import plan as planning
from pellucid.explain.propagation.reading import read_inputs
from pellucid.explain.propagation.signs import given_nothing_negative


def relu(x):
    return x - 1


def known(net, *shape):
    """Names of the layers that are."""
    model, x = pl.wrap(net), np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    model.prepare(x)
    calls = read_inputs(model, [x])[0]
    found = given_nothing_negative(calls)
    return sorted({call.name for call in calls if id(call.layer) in found})


def test_what_follows_a_rectifier_is_known():
    shortcut = layers.Conv2D(3, 1, activation="softplus", name="shortcut")
    given = keras.Input((8, 8, 2))
    x = layers.Conv2D(3, 3, padding="same", name="first")(given)
    x = layers.Add(name="add")([layers.ReLU(name="relu")(x), shortcut(given)])
    x = layers.Conv2D(3, 3, name="second")(layers.ZeroPadding2D(name="pad")(layers.MaxPooling2D(name="pool")(x)))
    x = layers.Dense(4, "tanh", name="third")(layers.Flatten(name="flat")(layers.BatchNormalization(name="norm")(x)))
    net = keras.Model(given, layers.Dense(2, name="last")(x))
    assert known(net, 8, 8, 2) == ["add", "pad", "pool", "second"]


def test_a_layer_that_is_called_twice_has_to_be_given_it_twice():
    given, twice = keras.Input((4,)), layers.Dense(4, "relu", name="twice")
    net = keras.Model(given, layers.Dense(2, name="last")(twice(twice(given))))
    assert known(net, 4) == ["last"]


@pytest.mark.parametrize("activation", [relu, "leaky_relu", "gelu", "linear", layers.ReLU(negative_slope=0.1)])
def test_what_can_be_below_zero_is_not(activation):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(6), layers.Activation(activation), layers.Dense(2)])
    assert known(net, 4) == []


RULES = [pl.ZPlus(), pl.Gamma(), pl.AlphaBeta(), pl.EpsilonPlusFlat(), pl.EpsilonGammaBox(low=-3.0, high=3.0)]


@pytest.mark.parametrize("rules", RULES, ids=lambda rule: type(rule).__name__)
def test_relevance_is_the_same(rules, monkeypatch):
    """With and without the knowledge, through biases, batch normalization, pooling and a sum."""
    given = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, activation="relu")(given)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.MaxPooling2D()(layers.ReLU()(layers.Add()([x, y])))
    x = layers.Dense(6, "relu")(layers.Flatten()(layers.Conv2D(5, 2)(x)))
    net = keras.Model(given, layers.Dense(3)(x))
    draw = np.random.default_rng(0)
    for v in net.weights:
        v.assign(draw.uniform(0.5, 1.5, v.shape) if "variance" in v.path else draw.normal(0, 0.4, v.shape))
    x = draw.normal(size=(3, 8, 8, 2))
    e = pl.explain(pl.wrap(net), x, pl.LayerRelevance(rules), target=1)
    monkeypatch.setattr(planning, "given_nothing_negative", lambda calls: set())
    plain = pl.explain(pl.wrap(net), x, pl.LayerRelevance(rules), target=1)
    np.testing.assert_allclose(e.values, plain.values, atol=2e-6 * np.abs(plain.values).max())


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
def test_what_torch_changes_in_place_is_not_known():
    from torch import nn

    class Net(nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.one, self.relu, self.two, self.shift = nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 2), shift

        def forward(self, x):
            h = self.relu(self.one(x))
            if self.shift:
                h -= 1
            return self.two(h)

    assert known(Net(False), 4) == ["two"]
    assert known(Net(True), 4) == []
