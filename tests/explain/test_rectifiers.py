"""Guided backpropagation and deconvolution against their printed rules, on dense matrices in float64."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl

WAYS = {"GuidedBackprop": lambda a, g: (a > 0) * np.maximum(g, 0), "Deconvolution": lambda a, g: np.maximum(g, 0)}
METHODS = [pl.GuidedBackprop(), pl.Deconvolution()]


def filled(net, seed=0):
    draw = np.random.default_rng(seed)
    net.set_weights([draw.normal(0, 0.5, w.shape) for w in net.get_weights()])
    return net


def dense_answer(method, weights, x, k):
    """The changed gradient of score k at x (I,) through (W, b) pairs with rectifiers between them."""
    way, seen, a = WAYS[type(method).__name__], [], x
    for w, b in weights:
        seen.append(np.maximum(a, 0) @ w + b if seen else a @ w + b)
        a = seen[-1]
    g = np.eye(len(a))[k]
    for i in range(len(weights) - 1, 0, -1):
        g = way(seen[i - 1], weights[i][0] @ g)
    return weights[0][0] @ g


def relu_by_layer(x):
    return layers.ReLU()(x)


def relu_by_operation(x):
    return ops.relu(x)


def relu_by_name(x):
    return layers.Activation("relu")(x)


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("rectify", [None, relu_by_layer, relu_by_operation, relu_by_name])
def test_rectifiers_pass_back_what_the_papers_say(method, rectify):
    x = inputs = keras.Input((5,))
    for width in (8, 7, 6):
        x = layers.Dense(width, None if rectify else "relu")(x)
        x = rectify(x) if rectify else x
    net = filled(keras.Model(inputs, layers.Dense(3, "softmax")(x)))
    held = [w.astype(float) for w in net.get_weights()]
    weights = list(zip(held[::2], held[1::2], strict=True))
    data = np.random.default_rng(1).normal(size=(20, 5))
    e = pl.explain(net, data, method, target=np.arange(20) % 3)
    expected = np.array([dense_answer(method, weights, row, i % 3) for i, row in enumerate(data)])
    np.testing.assert_allclose(e.values, expected, atol=1e-5 * np.abs(expected).max())
    assert not method.contributes


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_an_image_gets_what_its_unrolled_network_gets(method):
    x = np.random.default_rng(2).normal(size=(4, 6, 6, 2)).astype(np.float32)
    conv, dense = layers.Conv2D(3, 3, activation="relu"), layers.Dense(4)
    net = filled(keras.Sequential([keras.Input((6, 6, 2)), conv, layers.Flatten(), dense]))
    linear = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.Flatten()])
    linear.set_weights(conv.get_weights())
    ask = lambda rows: ops.convert_to_numpy(linear(rows.reshape(-1, 6, 6, 2).astype("float32"))).astype(float)  # noqa: E731
    bias = ask(np.zeros((1, 72)))
    pairs = [(ask(np.eye(72)) - bias, bias[0]), tuple(w.astype(float) for w in dense.get_weights())]
    e = pl.explain(net, x, method, target=2)
    expected = np.array([dense_answer(method, pairs, row.ravel().astype(float), 2) for row in x]).reshape(x.shape)
    np.testing.assert_allclose(e.values, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_at_a_hidden_layer(method):
    net = filled(keras.Sequential([
        keras.Input((5,)), layers.Dense(8, "relu", name="low"), layers.Dense(7, "relu"), layers.Dense(3)
    ]))  # fmt: skip
    x = np.random.default_rng(6).normal(size=(5, 5))
    w = [a.astype(float) for a in net.get_weights()]
    inside = np.maximum(x @ w[0] + w[1], 0)
    e = pl.explain(net, x, type(method)(layer="low"), target=1)
    expected = [dense_answer(method, [(w[2], w[3]), (w[4], w[5])], row, 1) for row in inside]
    np.testing.assert_allclose(e.values, expected, atol=1e-5)


def test_a_bounded_rectifier_is_closed_beyond_its_bound_and_a_leaky_one_is_none():
    f = lambda x: ops.relu6(4 * x[:, 0]) + ops.relu(-x[:, 1]) + ops.leaky_relu(-x[:, 1])  # noqa: E731
    x = np.array([[1.0, 1.0], [2.0, -1.0]])
    np.testing.assert_allclose(pl.explain(f, x, METHODS[0]).values, [[4, -0.2], [0, -2]], atol=1e-6)
    np.testing.assert_allclose(pl.explain(f, x, METHODS[1]).values, [[4, -1.2], [4, -2]], atol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_model_is_left_as_it_was(method, random_mlp):
    x = np.random.default_rng(3).normal(size=(3, 6))
    before = pl.explain(random_mlp, x, pl.Gradient()).values
    pl.explain(random_mlp, x, method)
    np.testing.assert_array_equal(pl.explain(random_mlp, x, pl.Gradient()).values, before)


def test_tokens_get_a_length():
    net = filled(keras.Sequential([
        keras.Input((4,), dtype="int32"), layers.Embedding(7, 3), layers.Dense(5, "relu"), layers.GlobalMaxPooling1D(),
        layers.Dense(2),
    ]))  # fmt: skip
    e = pl.explain(net, np.array([[1, 2, 3, 4]]), pl.GuidedBackprop(), target=0)
    assert e.values.shape == (1, 4)
    assert (e.values >= 0).all()


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_model_without_rectifiers_gets_its_gradient_and_is_told(method, random_mlp):
    net = keras.Sequential([keras.Input((3,)), layers.Dense(4, "gelu"), layers.LeakyReLU(), layers.Dense(2)])
    x = np.random.default_rng(5).normal(size=(3, 3))
    e = pl.explain(net, x, method)
    np.testing.assert_allclose(e.values, pl.explain(net, x, pl.Gradient()).values, rtol=1e-5)
    assert "holds no rectifier" in e.provenance.notes[-1]
    assert not any("rectifier" in note for note in pl.explain(random_mlp, np.ones((1, 6)), method).provenance.notes)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_torch_module_gets_what_its_keras_twin_gets(method):
    import torch

    twin = filled(
        keras.Sequential([keras.Input((5,)), layers.Dense(9, "relu"), layers.Dense(7, "relu"), layers.Dense(3)])
    )
    nn = torch.nn
    module = nn.Sequential(nn.Linear(5, 9), nn.ReLU(inplace=True), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))
    names = ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"]
    module.load_state_dict({n: torch.tensor(w.T) for n, w in zip(names, twin.get_weights(), strict=True)})
    x = np.random.default_rng(4).normal(size=(6, 5)).astype(np.float32)
    e, t = pl.explain(twin, x, method, target=1), pl.explain(pl.wrap(module, output="logits"), x, method, target=1)
    np.testing.assert_allclose(t.values, e.values, atol=1e-5)
