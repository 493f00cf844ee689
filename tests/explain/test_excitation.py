"""Excitation backpropagation against winning probabilities worked out unit by unit in float64."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidOption, UnsupportedLayer


def filled(net, seed=0):
    draw = np.random.default_rng(seed)
    for layer in net.layers:
        spread = isinstance(layer, layers.BatchNormalization)
        layer.set_weights(
            [draw.uniform(0.5, 1.5, w.shape) if spread else draw.normal(0, 0.5, w.shape) for w in layer.get_weights()]
        )
    return net


def won(a, w, p):
    """Probabilities (I,) of units with activations a (I,), given those of the units above them (J,), weights w (I, J)."""
    excited = np.maximum(a, 0)[:, None] * np.maximum(w, 0)
    total = excited.sum(0)
    return (excited / np.where(total > 0, total, 1)) @ p


def dense_answer(pairs, x, unit, contrastive):
    """Probabilities at x (I,), of the unit whose weights are the last layer's times `unit` (K,)."""
    seen = [x]
    for w, b in pairs[:-1]:
        seen.append(np.maximum(seen[-1] @ w + b, 0))
    top = (pairs[-1][0] @ unit)[:, None]
    p = won(seen[-1], top, np.ones(1)) - contrastive * won(seen[-1], -top, np.ones(1))
    for a, (w, _) in zip(reversed(seen[:-1]), reversed(pairs[:-1]), strict=True):
        p = won(a, w, p)
    return p


UNITS = {
    "class": (1, np.array([0.0, 1, 0])), "margin": (pl.Margin(0, 2), np.array([1.0, 0, -1])),
    "callable": (lambda s: 2 * s[:, 1] - s[:, 0], np.array([-1.0, 2, 0])),
}  # fmt: skip


@pytest.mark.parametrize("contrastive", [False, True])
@pytest.mark.parametrize("asked", UNITS)
def test_a_network_of_rectifiers(asked, contrastive):
    target, unit = UNITS[asked]
    net = filled(keras.Sequential([
        keras.Input((6,)), layers.Dense(9, "relu"), layers.Dense(8), layers.ReLU(), layers.Dense(3, "softmax")
    ]))  # fmt: skip
    held = [w.astype(float) for w in net.get_weights()]
    pairs = list(zip(held[::2], held[1::2], strict=True))
    x = np.random.default_rng(1).normal(size=(12, 6))
    e = pl.explain(net, x, pl.ExcitationBackprop(contrastive), target=target)
    expected = np.array([dense_answer(pairs, row, unit, contrastive) for row in x])
    np.testing.assert_allclose(e.values, expected, atol=1e-5)
    if not contrastive:
        assert (e.values >= 0).all()


@pytest.mark.parametrize("contrastive", [False, True])
def test_class_zero_of_a_yes_or_no_question_has_the_opposite_weights(contrastive):
    net = filled(keras.Sequential([keras.Input((4,)), layers.Dense(7, "relu"), layers.Dense(1, "sigmoid")]))
    w, b, top, _ = (a.astype(float) for a in net.get_weights())
    x = np.random.default_rng(2).uniform(size=(5, 4))
    for k, sign in ((0, -1.0), (1, 1.0)):
        e = pl.explain(net, x, pl.ExcitationBackprop(contrastive), target=k)
        expected = [dense_answer([(w, b), (top, 0)], row, np.array([sign]), contrastive) for row in x]
        np.testing.assert_allclose(e.values, expected, atol=1e-5)


def matrix(parts, shape):
    """What linear layers do, as a matrix (I, J) and a bias (J,)."""
    net = keras.Sequential([keras.Input(shape), *parts])
    size = int(np.prod(shape))
    ask = lambda rows: ops.convert_to_numpy(net(rows.reshape(-1, *shape).astype("float32"))).astype(float)  # noqa: E731
    bias = ask(np.zeros((1, size))).reshape(1, -1)
    return ask(np.eye(size)).reshape(size, -1) - bias, bias[0]


def test_convolutions_their_normalization_and_pooling():
    conv, norm, pool, dense = (
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.AveragePooling2D(2),
        layers.Dense(3),
    )
    net = filled(keras.Sequential([keras.Input((8, 8, 2)), conv, norm, layers.ReLU(), pool, layers.Flatten(), dense]))
    pairs = [matrix([conv, norm], (8, 8, 2)), matrix([layers.AveragePooling2D(2), layers.Flatten()], (6, 6, 4))]
    pairs.append(tuple(w.astype(float) for w in dense.get_weights()))
    x = np.random.default_rng(3).uniform(size=(3, 8, 8, 2))
    e = pl.explain(net, x, pl.ExcitationBackprop(), target=0)
    expected = np.array([dense_answer(pairs, row.ravel(), np.array([1.0, 0, 0]), False) for row in x])
    np.testing.assert_allclose(e.values, expected.reshape(x.shape), atol=1e-5)
    np.testing.assert_allclose(e.values.sum((1, 2, 3)), 1, atol=1e-4)


def test_the_largest_of_a_window_wins_alone():
    net = filled(keras.Sequential([keras.Input((4, 1)), layers.MaxPooling1D(4), layers.Flatten(), layers.Dense(1)]))
    net.layers[-1].set_weights([np.ones((1, 1)), np.zeros(1)])
    e = pl.explain(pl.wrap(net, "value"), np.array([[1.0, 3, 2, 0]])[..., None], pl.ExcitationBackprop(), target=0)
    np.testing.assert_allclose(e.values.ravel(), [0, 1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("add", [lambda a, b: layers.Add()([a, b]), lambda a, b: a + b], ids=["layer", "operation"])
def test_what_is_below_zero_never_wins_in_a_sum(add):
    inputs = keras.Input((4,))
    added = add(layers.ReLU()(layers.Dense(4, name="one")(inputs)), layers.Dense(4, name="two")(inputs))
    net = filled(keras.Model(inputs, layers.Dense(2, name="last")(layers.ReLU()(added))))
    one, two, last = ([w.astype(float) for w in net.get_layer(n).get_weights()] for n in ("one", "two", "last"))
    x = np.random.default_rng(4).uniform(size=(6, 4))
    e = pl.explain(net, x, pl.ExcitationBackprop(), target=1)
    for row, values in zip(x, e.values, strict=True):
        a, b = np.maximum(row @ one[0] + one[1], 0), row @ two[0] + two[1]
        p = won(np.maximum(a + b, 0), last[0][:, 1:], np.ones(1))
        both = won(np.concatenate([a, b]), np.concatenate([np.eye(4)] * 2), p)
        np.testing.assert_allclose(values, won(row, one[0], both[:4]) + won(row, two[0], both[4:]), atol=1e-5)


def test_at_a_hidden_layer_and_for_a_hidden_unit():
    net = filled(keras.Sequential([
        keras.Input((6,)), layers.Dense(9, "relu", name="low"), layers.Dense(8, "relu", name="high"), layers.Dense(3)
    ]))  # fmt: skip
    held = [w.astype(float) for w in net.get_weights()]
    pairs = list(zip(held[::2], held[1::2], strict=True))
    x = np.random.default_rng(5).normal(size=(20, 6))
    at = pl.explain(net, x, pl.ExcitationBackprop(layer="low"), target=1).values
    inside = np.maximum(x @ pairs[0][0] + pairs[0][1], 0)
    expected = [dense_answer(pairs[1:], row, np.eye(3)[1], False) for row in inside]
    np.testing.assert_allclose(at, expected, atol=1e-5)
    of = pl.explain(net, x, pl.ExcitationBackprop(), target=pl.Unit("high", 5))
    lit = of.output > 0  # a unit that is silent has won nothing
    expected = np.array([dense_answer(pairs[:2], row, np.eye(8)[5], False) for row in x])
    assert lit.sum() > 3
    np.testing.assert_allclose(of.values[lit], expected[lit], atol=1e-5)


def test_a_score_of_several_layers_is_refused():
    inputs = keras.Input((4,))
    deep = layers.Dense(2)(layers.Dense(5, "relu")(inputs))
    net = keras.Model(inputs, layers.Add()([layers.Dense(2)(inputs), deep]))
    with pytest.raises(UnsupportedLayer, match="not made by the last linear layer alone"):
        pl.explain(net, np.ones((2, 4)), pl.ExcitationBackprop(), target=0)


@pytest.mark.parametrize(
    ("middle", "told"),
    [
        (layers.LayerNormalization(name="calm"), "nothing wins in 'calm' (LayerNormalization)"),
        (layers.Softmax(name="soft"), "nothing wins in 'soft' (Softmax)"),
    ],
)
def test_where_nothing_wins_is_refused(middle, told):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(4), middle, layers.Dense(2)])
    with pytest.raises(UnsupportedLayer, match=re.escape(told)):
        pl.explain(net, np.ones((2, 4)), pl.ExcitationBackprop())
    with pytest.raises(InvalidOption, match=re.escape("ExcitationBackprop.contrastive")):
        pl.ExcitationBackprop("yes")
