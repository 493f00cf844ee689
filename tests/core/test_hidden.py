"""A model opened at a hidden layer, and a hidden unit as the target: against closed forms."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidInput, UnknownName


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    inner = layers.Dense(5, "tanh", name="inner", bias_initializer="random_normal")
    return keras.Sequential([keras.Input((6,)), inner, layers.Dense(3, "softmax", name="out")])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


def weights(net):
    return [np.asarray(w, np.float64) for w in net.get_weights()]


def test_a_gradient_at_a_hidden_layer_is_the_one_of_what_follows(net, x):
    _, _, after, _ = weights(net)
    e = pl.explain(net, x, pl.Gradient(layer="inner"), target=1)
    assert e.hidden
    assert e.layer == "inner"
    np.testing.assert_allclose(e.values, np.tile(after[:, 1], (4, 1)), rtol=1e-6)


def test_the_product_uses_what_the_layer_puts_out(net, x):
    before, bias, after, _ = weights(net)
    e = pl.explain(net, x, pl.GradientInput(layer="inner"), target=2)
    np.testing.assert_allclose(e.values, np.tanh(x @ before + bias) * after[:, 2], rtol=1e-4, atol=1e-6)


def test_a_path_at_a_hidden_layer_adds_up(net, x):
    e = pl.explain(net, x, pl.IntegratedGradients(layer="inner", baseline=0.3))
    assert e.values.shape == (4, 5)
    assert e.gap.max() < 1e-5
    np.testing.assert_allclose(e.values.sum(1), e.output - e.baseline_output, atol=1e-5)


def test_noise_is_added_at_the_input_not_at_the_layer():
    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input((2,)), layers.Dense(3, name="inner"), layers.Dense(1, ops.square)])
    method = pl.SmoothGrad(pl.Gradient(layer="inner"), noise=np.array([1.0, 0.0]), tolerance=0.02, max_evaluations=4096)
    x = np.array([[0.5, -1.0]], np.float32)
    e = pl.explain(net, x, method, target=0)
    kernel, _, after, _ = (np.asarray(w, np.float64) for w in net.get_weights())
    expected = 2 * (x @ kernel @ after) * after[:, 0]  # the mean over noise of a gradient that is linear in the input
    np.testing.assert_allclose(e.values, expected, atol=4 * e.standard_error.max())


def test_a_hidden_unit_is_a_target(net, x):
    before, bias, *_ = weights(net)
    e = pl.explain(net, x, pl.Gradient(), pl.Unit("inner", 3))
    z = x @ before + bias
    np.testing.assert_allclose(e.output, np.tanh(z[:, 3]), rtol=1e-5)
    np.testing.assert_allclose(e.values, (1 - np.tanh(z[:, 3:4]) ** 2) * before[:, 3], rtol=1e-3, atol=1e-6)
    assert e.unit == pl.Unit("inner", 3)
    assert set(e.classes) == {-1}


def test_a_channel_is_its_mean_over_positions(random_cnn):
    x = np.random.default_rng(1).random((2, 8, 8, 1)).astype(np.float32)
    conv = next(layer.name for layer in random_cnn.layers if "conv" in layer.name)
    e = pl.explain(random_cnn, x, pl.Occlusion(), pl.Unit(conv, (None, None, 2)))
    whole = keras.Model(random_cnn.inputs[0], random_cnn.get_layer(conv).output)
    np.testing.assert_allclose(e.output, ops.convert_to_numpy(whole(x))[..., 2].mean((1, 2)), rtol=1e-5)


def test_a_hidden_unit_is_verified_as_it_was_explained(net, x):
    e = pl.explain(net, x, pl.IntegratedGradients(), pl.Unit("inner", 0))
    verified = pl.verify(net, e, [pl.Deletion(), pl.ParameterRandomization()])
    assert {"better than random", "unclear"} & {verified[0].verdict}
    np.testing.assert_allclose(verified[0].detail["curve"][0], e.output.mean(), rtol=1e-4)


def test_values_of_a_hidden_layer_are_not_verified_as_inputs(net, x):
    e = pl.explain(net, x, pl.Gradient(layer="inner"))
    with pytest.raises(InvalidInput, match="layer 'inner'"):
        pl.verify(net, e, [pl.Deletion()])


def test_a_layer_called_twice_gets_a_map_for_each_call():
    shared, a, b = layers.Dense(2, name="shared"), keras.Input((3,), name="a"), keras.Input((3,), name="b")
    net = keras.Model([a, b], layers.Dense(1)(layers.Subtract()([shared(a), shared(b)])))
    e = pl.explain(net, {"a": np.ones((2, 3)), "b": np.zeros((2, 3))}, pl.Gradient(layer="shared"), target=0)
    after = net.layers[-1].get_weights()[0][:, 0]
    np.testing.assert_allclose(e.values["shared:0"], np.tile(after, (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(e.values["shared:1"], -np.tile(after, (2, 1)), rtol=1e-6)


def test_a_path_around_the_layer_keeps_the_input():
    x = keras.Input((3,))
    out = layers.Dense(1, name="last")(layers.Add()([layers.Dense(3, name="inner")(x), x]))
    net = keras.Model(x, out)
    given = np.random.default_rng(2).normal(size=(3, 3)).astype(np.float32)
    e = pl.explain(net, given, pl.IntegratedGradients(layer="inner"), target=0)
    bias_only = net.get_layer("inner").get_weights()[1]
    expected = ((bias_only + given) @ net.get_layer("last").get_weights()[0])[:, 0] + net.get_layer(
        "last"
    ).get_weights()[1]
    np.testing.assert_allclose(e.baseline_output, expected, rtol=1e-4, atol=1e-5)
    assert e.gap.max() < 1e-5


def test_a_saved_explanation_of_a_unit_comes_back(net, x, tmp_path):
    e = pl.explain(net, x, pl.Gradient(layer="inner"), pl.Unit("out", 1))
    assert pl.load(e.save(tmp_path / "e")) == e


def test_a_name_that_does_not_exist_is_answered_with_the_nearest(net, x):
    with pytest.raises(UnknownName, match="'inner'"):
        pl.explain(net, x, pl.Gradient(layer="iner"))
    with pytest.raises(UnknownName, match="'inner'"):
        pl.explain(net, x, pl.Gradient(), pl.Unit("iner", 0))


@pytest.mark.parametrize("index", [5, (0, 0), -6])
def test_a_unit_that_does_not_exist_is_refused(net, x, index):
    with pytest.raises(InvalidInput, match=r"puts out \(5,\)"):
        pl.explain(net, x, pl.Gradient(), pl.Unit("inner", index))


@pytest.mark.parametrize("index", [1.5, "a", True, (0, 0.5)])
def test_an_index_that_is_no_number_is_refused_at_once(index):
    with pytest.raises(InvalidInput, match="whole number"):
        pl.Unit("inner", index)


def test_a_layer_behind_the_unit_is_not_on_the_way(net, x):
    with pytest.raises(InvalidInput, match="not on the way"):
        pl.explain(net, x, pl.Gradient(layer="out"), pl.Unit("inner", 0))
