"""Columns as tokens, and the class token, against a row at a time in NumPy."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption

X = np.array([[0.5, 2.0, -1.5, 0.0], [1.5, 0.0, 2.0, 4.0], [0.0, 7.0, 1.0, -1.0]], "float32")


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("cardinalities", [None, {1: 3}, {3: 5, 1: 3}, {0: 2, 1: 3, 2: 4, 3: 5}])
def test_tokens_equal_the_formula(cardinalities, class_token, as_array, randomize, round_trip):
    layer = pl.layers.FeatureTokenizer(6, cardinalities, class_token)
    layer.build(X.shape)
    randomize(layer)
    weights = {w.name: np.asarray(v, "float64") for w, v in zip(layer.weights, layer.get_weights())}
    counts = dict(sorted((cardinalities or {}).items()))
    numeric = [f for f in range(4) if f not in counts]
    wanted = np.zeros((3, 4, 6))
    for b, f in np.ndindex(3, 4):
        if f in counts:
            first = sum(count + 1 for column, count in counts.items() if column < f)
            row = int(X[b, f]) if X[b, f] in range(counts[f]) else counts[f]
            wanted[b, f] = weights["embeddings"][first + row]
        else:
            wanted[b, f] = X[b, f] * weights["slope"][numeric.index(f)]
        wanted[b, f] += weights["offset"][f]
    if class_token:
        wanted = np.concatenate([np.broadcast_to(weights["token"], (3, 1, 6)), wanted], 1)
    np.testing.assert_allclose(as_array(layer(X)), wanted, atol=1e-6)
    assert layer.compute_output_shape((None, 4)) == (None, 4 + class_token, 6)
    round_trip(layer, X)


def test_whole_numbers_are_taken_too(as_array):
    layer = pl.layers.FeatureTokenizer(3, {1: 3})
    x = np.array([[1, 2], [0, 0]])
    np.testing.assert_allclose(as_array(layer(x)), as_array(layer(x.astype("float32"))), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_categories_survive_half_precision(policy, as_array):
    """bfloat16 cannot hold 257: numbers of categories must not be rounded on the way in."""
    layer = pl.layers.FeatureTokenizer(3, {0: 4000}, dtype=policy)
    x = np.array([[256.0], [257.0], [2049.0], [2050.0]], "float32")
    rows = as_array(layer(x))[:, 0]
    wanted = np.asarray(layer.get_weights()[0])[[256, 257, 2049, 2050]] + np.asarray(layer.get_weights()[1])
    np.testing.assert_allclose(rows, wanted, atol=1e-3 if policy == "mixed_float16" else 8e-3)


def test_gradient_is_the_slope_of_numeric_columns(jacobian, randomize, generator):
    layer = pl.layers.FeatureTokenizer(6, {1: 3})
    layer.build(X.shape)
    randomize(layer)
    upstream = generator.normal(size=(3, 4, 6))
    slope = next(np.asarray(v) for w, v in zip(layer.weights, layer.get_weights()) if w.name == "slope")
    wanted = np.zeros((3, 4))
    wanted[:, [0, 2, 3]] = (upstream[:, [0, 2, 3]] * slope).sum(-1)
    np.testing.assert_allclose(jacobian(layer, X, upstream), wanted, atol=1e-5)


@pytest.mark.parametrize("cardinalities, told", [({9: 2}, "columns are 0 to 3"), ({1: 0}, "number of categories")])
def test_wrong_columns_are_refused(cardinalities, told):
    with pytest.raises(InvalidOption, match=told):
        pl.layers.FeatureTokenizer(4, cardinalities).build((None, 4))


def test_a_class_token_goes_before_and_always_counts(as_array, round_trip, generator):
    import keras

    x = generator.normal(size=(2, 3, 4)).astype("float32")
    layer = pl.layers.ClassToken()
    y = as_array(layer(x))
    np.testing.assert_allclose(y[:, 0], np.broadcast_to(layer.get_weights()[0][0], (2, 4)), atol=1e-7)
    np.testing.assert_array_equal(y[:, 1:], x)
    round_trip(layer, x)
    tokens = keras.layers.Embedding(4, 5, mask_zero=True)(np.array([[1, 2, 0], [3, 0, 0]]))
    mask = keras.src.backend.get_keras_mask(pl.layers.ClassToken()(tokens))
    assert keras.ops.convert_to_numpy(mask).tolist() == [[True, True, True, False], [True, True, False, False]]
