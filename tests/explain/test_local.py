"""Slopes against closed forms, on every kind of input."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidInput


def test_a_network_by_hand(random_mlp, generator):
    x = generator.normal(size=(5, 6)).astype(np.float32)
    w1, b1, w2, _ = random_mlp.get_weights()
    open_units = (x @ w1 + b1 > 0)[:, :, None]
    slopes = np.einsum("fh,bhk,hk->bfk", w1, open_units, w2)
    e = pl.explain(random_mlp, x, pl.Gradient(), target=2)
    np.testing.assert_allclose(e.values, slopes[:, :, 2], rtol=1e-4, atol=1e-6)
    e = pl.explain(random_mlp, x, pl.GradientInput(), target=pl.Margin(0, 1))
    np.testing.assert_allclose(e.values, x * (slopes[:, :, 0] - slopes[:, :, 1]), rtol=1e-4, atol=1e-6)
    assert e.evaluations.tolist() == [1] * 5
    assert e.error is None


def test_a_convolution_by_hand(generator):
    net = keras.Sequential([keras.Input((5, 5, 2)), layers.Conv2D(1, 5)])
    x = generator.normal(size=(3, 5, 5, 2))
    e = pl.explain(net, x, pl.Gradient(), target=0)
    kernel = net.get_weights()[0][..., 0]
    np.testing.assert_allclose(e.values, np.broadcast_to(kernel, e.values.shape), rtol=1e-5, atol=1e-6)


def test_a_token_gets_the_length_of_its_embeddings_slope(generator):
    inputs = keras.Input((4,), dtype="int32")
    net = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Embedding(7, 3)(inputs))))
    tokens = generator.integers(0, 7, size=(2, 4))
    e = pl.explain(net, tokens, pl.Gradient())
    slopes = net.get_weights()[1].reshape(4, 3)
    np.testing.assert_allclose(e.values, np.broadcast_to(np.linalg.norm(slopes, axis=1), (2, 4)), rtol=1e-5)


@pytest.mark.parametrize("cell", [layers.LSTM, layers.GRU])
def test_recurrent_slopes_are_finite_differences(cell, generator):
    net = keras.Sequential([keras.Input((5, 2)), cell(4), layers.Dense(1)])
    x = generator.normal(size=(1, 5, 2))
    e = pl.explain(net, x, pl.Gradient())
    model, h = pl.wrap(net), 1e-2
    for t, f in [(0, 0), (2, 1), (4, 0)]:
        up, down = x.copy(), x.copy()
        up[0, t, f] += h
        down[0, t, f] -= h
        slope = (model.scores(up) - model.scores(down))[0, 0] / (2 * h)
        assert e.values[0, t, f] == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_attention_slopes_are_finite_differences(generator):
    inputs = keras.Input((4, 3))
    mixed = layers.LayerNormalization()(layers.MultiHeadAttention(2, 3)(inputs, inputs))
    net = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(mixed)))
    x = generator.normal(size=(1, 4, 3))
    e = pl.explain(net, x, pl.Gradient(), target=1)
    model, h = pl.wrap(net), 1e-2
    step = np.zeros_like(x)
    step[0, 2, 1] = h
    slope = (model.scores(x + step) - model.scores(x - step))[0, 1] / (2 * h)
    assert e.values[0, 2, 1] == pytest.approx(slope, rel=0.05, abs=1e-4)


def test_units_matter_for_slopes_but_not_for_slope_times_input(generator):
    x = generator.normal(size=(4, 2))
    metres = lambda t: ops.tanh(t[:, 0]) + t[:, 1]  # noqa: E731
    millimetres = lambda t: ops.tanh(t[:, 0] / 1000) + t[:, 1]  # noqa: E731
    scale = np.array([1000.0, 1.0])
    small, large = (pl.explain(f, g, pl.Gradient()).values for f, g in [(metres, x), (millimetres, x * scale)])
    np.testing.assert_allclose(large * scale, small, rtol=1e-4)
    same = [pl.explain(f, g, pl.GradientInput()).values for f, g in [(metres, x), (millimetres, x * scale)]]
    np.testing.assert_allclose(*same, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", [pl.Gradient(), pl.GradientInput(), pl.GuidedBackprop(), pl.Gradient(layer="inner")])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("target", ["predicted", 1, pl.Margin(1, 0)])
def test_a_slope_and_its_score_come_of_one_pass(method, width, target, generator, monkeypatch):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu", name="inner"), layers.Dense(width)])
    net.compile(loss="binary_crossentropy" if width == 1 else "mse")
    model, x = pl.wrap(net, output="logits"), generator.normal(size=(40, 4)).astype(np.float32)
    scores = model.scores(x)
    chosen = scores.argmax(1) if width > 1 else (scores[:, 0] > 0).astype(int)
    given = pl.explain(model, x, method, target=chosen if target == "predicted" else target)
    pl.explain(model, x, method, target=target)  # where gradients get to is looked at once
    monkeypatch.setattr(pl.Model, "outputs_of", lambda *_: pytest.fail("the model was run apart for its scores"))
    e = pl.explain(model, x, method, target=target)
    np.testing.assert_allclose(e.output, given.output, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(e.classes, given.classes)
    np.testing.assert_allclose(e.values, given.values, rtol=1e-5, atol=1e-6)


def test_a_slope_of_scores_that_are_no_numbers_is_refused(generator):
    net = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: ops.log(x)), layers.Dense(2)])
    with pytest.raises(InvalidInput, match="NaN or infinity for example 1"):
        pl.explain(net, np.array([[1.0, 2, 3], [0, -1, 1]]), pl.Gradient(), target=0)
