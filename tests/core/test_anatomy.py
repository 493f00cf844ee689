"""What one run shows of a model: which embedding reads which input, what a callable reads, what has to stay whole."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidInput, NotDifferentiable


def two_texts():
    a, b = keras.Input((3,), dtype="int32", name="first"), keras.Input((3,), dtype="int32", name="second")
    read = lambda tokens: layers.Flatten()(layers.Embedding(9, 3)(tokens))  # noqa: E731
    return keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([read(a), read(b)])))


@pytest.mark.parametrize("rows", [[[1, 2, 3], [4, 5, 6]], [[0, 0, 0]]], ids=["two_rows", "padding_alone"])
def test_inputs_with_the_same_tokens_are_told_apart(rows):
    e = pl.explain(two_texts(), {"first": rows, "second": rows}, pl.IntegratedGradients(baseline=8, tolerance=1e-4))
    assert e.gap.max() < 1e-5
    assert all(np.abs(e.values[name]).max() > 0 for name in ("first", "second"))


def test_tokens_outside_the_vocabulary_are_refused():
    model, good = pl.wrap(two_texts()), {"first": [[1, 2, 3]], "second": [[1, 2, 3]]}
    pl.explain(model, good, pl.Gradient())
    with pytest.raises(InvalidInput, match=r"second: tokens are 0 to 8, got 30 at \(0, 2\)"):
        pl.explain(model, {**good, "second": [[1, 2, 30]]}, pl.Gradient())
    with pytest.raises(InvalidInput, match="baseline of first: tokens are 0 to 8, got 99"):
        pl.explain(model, good, pl.Occlusion(baseline=99))
    with pytest.raises(InvalidInput, match=r"whole token numbers, got 0\.5"):
        pl.explain(model, good, pl.IntegratedGradients(baseline=0.5))


def test_a_callable_follows_the_weights_of_the_model_it_calls(random_mlp):
    net = keras.models.clone_model(random_mlp)
    model, x = pl.wrap(lambda x: net(x, training=False)[:, :2], output="value"), np.ones((2, 6))
    before = pl.explain(model, x, pl.Gradient(), target=0)
    net.layers[-1].set_weights([w * 0 for w in net.layers[-1].get_weights()])
    after = pl.explain(model, x, pl.Gradient(), target=0)
    np.testing.assert_allclose(after.output, 1 / 3, rtol=1e-5)
    assert np.abs(after.values).max() == 0
    assert before.provenance.model != after.provenance.model


def test_an_index_into_a_table_stays_a_whole_number():
    table = np.arange(9.0, dtype=np.float32)
    e = pl.explain(lambda t: table[np.asarray(t)].sum(1), np.array([[1, 2, 3]]), pl.Occlusion())
    assert e.values.tolist() == [[1, 2, 3]]

    def looked_up(t):
        if ops.dtype(t).startswith("float"):
            raise TypeError("an index must be whole")
        return ops.sum(ops.take(ops.convert_to_tensor(table), t, axis=0), axis=1)

    assert pl.explain(looked_up, np.array([[1, 2, 3]]), pl.Occlusion()).values.tolist() == [[1, 2, 3]]
    with pytest.raises(
        NotDifferentiable, match=r"Gradient needs gradients, but \S+ (reads x as whole numbers|gives NumPy)"
    ):
        pl.explain(looked_up, np.array([[1, 2, 3]]), pl.Gradient())


def test_several_outputs_are_no_classes_of_one_question():
    x = keras.Input((3,))
    heads = keras.Model(x, [layers.Dense(2, activation="softmax")(x), layers.Dense(3, activation="softmax")(x)])
    data = pl.Dataset(np.eye(3), np.array([0, 1, 1]))
    with pytest.raises(InvalidInput, match="has 2 outputs, whose columns are no classes of one question"):
        pl.measure(heads, [pl.Performance()], test=data)
    with pytest.raises(InvalidInput, match="has 2 outputs"):
        pl.wrap(heads).probabilities(np.eye(3))
    assert pl.explain(heads, np.eye(3), pl.Gradient(), target=4).values.shape == (3, 3)


def test_inputs_are_named_by_the_keys_of_the_users_dict():
    a, b = keras.Input((2,)), keras.Input((1,))
    out = layers.Dense(1)(layers.Concatenate()([a, b]))
    with pytest.warns(UserWarning, match="keys in the dict"):  # Keras would rather have them named so
        net = keras.Model({"long": a, "age": b}, out)
    x = {"long": np.array([[1.0, 2.0]]), "age": np.array([[3.0]])}
    e = pl.explain(net, x, pl.IntegratedGradients())
    assert e.values["long"].shape == (1, 2)
    weights = net.get_weights()[0][:, 0]
    np.testing.assert_allclose(
        np.concatenate([e.values["long"][0], e.values["age"][0]]), weights * [1, 2, 3], rtol=1e-4
    )


@pytest.mark.parametrize(
    "method",
    [pl.IntegratedGradients(), pl.SmoothGrad(), pl.Occlusion(), pl.PermutationShapley(max_evaluations=64)],
    ids=repr,
)
def test_one_model_takes_sequences_of_different_lengths(method):
    net = keras.Sequential(
        [keras.Input((None, 3)), layers.Conv1D(4, 3, padding="same"), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    )
    model, draw = pl.wrap(net), np.random.default_rng(0)
    for length in (5, 6, 9):
        x = draw.normal(size=(2, length, 3))
        e, alone = pl.explain(model, x, method, target=1), pl.explain(pl.wrap(net), x, method, target=1)
        np.testing.assert_allclose(e.values, alone.values, atol=1e-5)


def test_parts_of_equal_bytes_and_other_shapes_are_not_mixed_up():
    model = pl.wrap(lambda x: ops.mean(ops.reshape(x**2, (ops.shape(x)[0], -1)), axis=1))
    for shape in ((4, 4, 1), (2, 8, 1)):
        e = pl.explain(model, np.ones((2, *shape)), pl.Occlusion(window=1))
        np.testing.assert_allclose(e.values, np.full((2, *shape), 1 / 16), rtol=1e-5)


@pytest.mark.parametrize("method", [pl.Occlusion(), pl.IntegratedGradients(), pl.PermutationShapley()], ids=repr)
def test_scores_that_are_no_numbers_are_refused(method):
    log = lambda x: ops.log(x[:, 0])  # noqa: E731
    with pytest.raises(InvalidInput, match=r"x: .* gives NaN or infinity for example 1"):
        pl.explain(log, np.array([[1.0, 2], [-1, 2]]), method)
    with pytest.raises(InvalidInput, match="gives NaN or infinity for example 0"):
        pl.explain(log, np.array([[1.0, 2]]), method)


def test_a_number_beyond_float32_is_refused():
    with pytest.raises(InvalidInput, match=r"1e\+39 is beyond float32"):
        pl.explain(lambda x: x[:, 0], np.array([[1e39, 2]]), pl.Gradient())


def test_what_a_framework_says_is_passed_on_without_its_frame():
    class Picky(keras.Model):
        def call(self, x):
            raise ValueError("only even widths")

    with pytest.raises(InvalidInput, match=r"inputs of shape \(1, 3\): only even widths$"):
        pl.explain(Picky(), np.ones((1, 3)), pl.Gradient())
