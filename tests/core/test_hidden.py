"""A model opened at a hidden layer, and a hidden unit as the target: against closed forms."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidInput, NotApplicable, UnknownName


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


def members():
    """An ensemble of two clones, whose layers have the same names."""
    keras.utils.set_random_seed(4)
    base = keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu"), layers.Dense(6, "relu"), layers.Dense(2)])
    first, second = keras.models.clone_model(base), keras.models.clone_model(base)
    second.name = "other"
    start = keras.Input((4,))
    return first, second, keras.Model(start, layers.Average()([first(start), second(start)]))


@pytest.mark.parametrize(
    "method",
    [pl.GuidedBackprop(), pl.LayerRelevance(pl.Epsilon(1e-9)), pl.DeepLift(baseline=0.5)],
    ids=lambda m: type(m).__name__,
)
def test_layers_of_the_same_name_are_all_treated(method):
    first, second, both = members()
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    parts = [pl.explain(net, x, method, target=0).values for net in (first, second)]
    np.testing.assert_allclose(
        pl.explain(both, x, method, target=0).values, np.mean(parts, axis=0), rtol=1e-3, atol=1e-5
    )


def test_layers_of_the_same_name_are_all_reached():
    def inner(name):
        start = keras.Input((4,))
        return keras.Model(start, layers.Dense(4, "tanh", name="d")(start), name=name)

    start = keras.Input((4,))
    net = keras.Model(start, layers.Dense(2)(inner("B")(inner("A")(start))))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    first, second = (pl.explain(net, x, pl.LayerActivation(f"{name}/d")).values for name in "AB")
    assert np.abs(first - second).max() > 1e-3
    with pytest.raises(UnknownName):
        pl.explain(net, x, pl.LayerActivation("d"))


def test_another_length_is_another_shape():
    keras.utils.set_random_seed(0)
    start = keras.Input((None, 3))
    conv = layers.Conv1D(4, 2, activation="relu", name="c")(start)
    net = pl.wrap(keras.Model(start, layers.Dense(2)(layers.GlobalAveragePooling1D()(conv))))
    draw = np.random.default_rng(0)
    for length in (3, 8):
        x = draw.normal(size=(2, length, 3)).astype(np.float32)
        e = pl.explain(net, x, pl.Conductance("c"), target=0)
        assert e.values.shape == (2, length - 1, 4)
        assert e.gap.max() < 0.03 * np.abs(e.values).sum((1, 2)).max()
    with pytest.raises(InvalidInput, match="no unit"):
        pl.explain(net, draw.normal(size=(1, 3, 3)), pl.Gradient(), pl.Unit("c", (6, 0)))


def test_a_head_that_is_not_asked_about_is_no_row_of_zeros():
    start = keras.Input((4,))
    middle = layers.Dense(5, "relu")(start)
    net = keras.Model(start, [layers.Dense(2, name="p")(middle), layers.Dense(1, name="v")(middle)])
    with pytest.raises(InvalidInput, match="does not depend on the layer 'p'"):
        pl.explain(net, np.ones((2, 4), np.float32), pl.GradientInput(layer="p"), target=2)


def test_half_precision_layers_are_explained_in_full():
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        start = keras.Input((4,))
        net = keras.Model(start, layers.Dense(3, dtype="float32")(layers.Dense(5, "relu", name="d")(start)))
    finally:
        keras.mixed_precision.set_global_policy(policy)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    for method in (pl.IntegratedGradients(layer="d"), pl.Conductance("d"), pl.Gradient(layer="d")):
        assert pl.explain(net, x, method).values.dtype == np.float32


def test_the_embedding_itself_has_no_conductance():
    tokens = keras.Input((5,), dtype="int32")
    net = keras.Model(
        tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Embedding(9, 3, name="e")(tokens)))
    )
    with pytest.raises(NotApplicable, match="IntegratedGradients"):
        pl.explain(net, np.ones((2, 5), int), pl.Conductance("e"))


def test_a_wrong_dict_leaves_the_model_as_it_was(net, x):
    model = pl.wrap(net)
    with pytest.raises(InvalidInput):
        pl.explain(model, {"x": x[:, :2]}, pl.Gradient())
    assert pl.explain(model, x, pl.Gradient()).values.shape == x.shape


def two_tensors():
    given = keras.Input((5, 3))
    states, last = keras.layers.GRU(4, return_sequences=True, return_state=True, name="memory")(given)
    joined = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling1D()(states), last])
    return keras.Model(given, keras.layers.Dense(2)(joined))


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (pl.GradientInput(layer="memory"), 0),
        (pl.Conductance("memory"), 0),
        (pl.LayerActivation("memory"), 0),
        (pl.DeepLift(layer="memory"), 0),
        (pl.Gradient(), pl.Unit("memory", (None, 1))),
    ],
    ids=repr,
)
def test_of_several_tensors_the_record_says_which_is_meant(method, target):
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    net = two_tensors()
    told = "the layer 'memory' puts out 2 tensors; the first is meant"
    assert pl.explain(net, x, method, target).provenance.notes.count(told) == 1
    assert told not in pl.explain(net, x, pl.GradientInput(), 0).provenance.notes


@pytest.mark.parametrize(
    "method", [pl.GradientInput(layer="given"), pl.Conductance("given"), pl.LayerRelevance(layer="given")]
)
def test_an_input_is_no_hidden_layer(method):
    given = keras.Input((3,), name="given")
    net = keras.Model(given, keras.layers.Dense(2)(given))
    with pytest.raises(InvalidInput, match="'given' is an input of the model, not a hidden layer; leave layer= away"):
        pl.explain(net, np.ones((1, 3)), method, 0)
