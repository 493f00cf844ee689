"""Permuted attention: against all permutations, tried one by one in NumPy."""

from itertools import permutations

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def medians_by_hand(x, gain, kernel, bias):
    """The median move of each example over all permutations of its weights."""
    out, answer = [], lambda a, v: softmax(a @ v @ kernel + bias)
    for row in x.astype(float):
        a, v = softmax(gain * row[:, 0]), row[:, 1:]
        moves = [np.abs(answer(a[list(p)], v) - answer(a, v)).sum() / 2 for p in permutations(range(len(a)))]
        out.append(np.median(moves))
    return np.array(out)


def test_the_median_is_that_of_all_permutations(picking):
    keras.utils.set_random_seed(2)
    net, x = (
        picking(4, 3, layers.Dense(3), gain=1.5),
        np.random.default_rng(1).normal(size=(11, 4, 4)).astype("float32"),
    )
    expected = medians_by_hand(x, 1.5, *map(np.asarray, net.get_weights()))
    found = pl.verify(net, pl.explain(net, x, pl.Gradient()), pl.AttentionPermutation())[0]
    assert found.detail["moves"].shape == (24, 11), "few permutations are all taken"
    np.testing.assert_allclose(found.detail["per_example"], expected, atol=2e-6)
    assert found.value == pytest.approx(expected.mean(), abs=1e-6)


def test_drawn_permutations_come_near_all_of_them(picking):
    keras.utils.set_random_seed(2)
    net, x = picking(6, 3, layers.Dense(3), gain=1.5), np.random.default_rng(1).normal(size=(4, 6, 4)).astype("float32")
    expected = medians_by_hand(x, 1.5, *map(np.asarray, net.get_weights()))
    e = pl.explain(net, x, pl.Gradient())
    found = pl.verify(net, e, pl.AttentionPermutation(permutations=600))[0]
    np.testing.assert_allclose(found.detail["per_example"], expected, rtol=0.12)
    again = pl.verify(net, e, pl.AttentionPermutation(permutations=600))[0]
    np.testing.assert_array_equal(found.detail["moves"], again.detail["moves"])


def test_weights_stay_among_what_is_not_masked(picking, flagged):
    x = flagged(6, 7, 2)
    x[:, 3:] = 0
    x[:, :3, 0] = [0, 1, 0]
    keras.utils.set_random_seed(2)
    long, short = picking(7, 2, layers.Dense(3), masked=True), picking(3, 2, layers.Dense(3))
    short.set_weights(long.get_weights())
    wide = pl.verify(long, pl.explain(long, x, pl.Gradient()), pl.AttentionPermutation(permutations=400))[0]
    all_six = pl.verify(short, pl.explain(short, x[:, :3], pl.Gradient()), pl.AttentionPermutation())[0]
    assert all_six.detail["moves"].shape == (6, 6)
    np.testing.assert_allclose(wide.detail["moves"].max(0), all_six.detail["moves"].max(0), atol=1e-5)
    for row in range(6):  # every draw is one of the six
        off = np.abs(wide.detail["moves"][:, row, None] - all_six.detail["moves"][None, :, row]).min(1)
        assert off.max() < 1e-5


def test_values_are_measured_by_what_another_example_does(picking, flagged):
    keras.utils.set_random_seed(2)
    net = picking(8, 2, layers.Dense(1))
    net.compile("sgd", "mse")
    x = flagged(30, 8, 2)
    found = pl.verify(net, pl.explain(net, x, pl.Gradient()), pl.AttentionPermutation())[0]
    y = net.predict(x, verbose=0)[:, 0]
    pairs = np.abs(y[:, None] - y[None])[~np.eye(30, dtype=bool)]
    assert found.detail["unit"] == pytest.approx(pairs.mean(), rel=1e-5)
    assert found.detail["exchanged"] == pytest.approx(1, rel=1e-5)
    assert found.verdict == "moves the output"
    ten = picking(8, 2, layers.Dense(1))
    ten.compile("sgd", "mse")
    ten.set_weights([10 * w for w in net.get_weights()])
    scaled = pl.verify(ten, pl.explain(ten, x, pl.Gradient()), pl.AttentionPermutation())[0]
    assert scaled.value == pytest.approx(found.value, rel=1e-4), "the unit of the output does not matter"


def test_one_probability_moves_by_its_difference(picking):
    keras.utils.set_random_seed(2)
    x = np.random.default_rng(1).normal(size=(9, 4, 3)).astype("float32")
    net = picking(4, 2, layers.Dense(1, "sigmoid"), gain=1.5)
    two = picking(4, 2, layers.Dense(2), gain=1.5)
    kernel, bias = net.get_weights()
    two.set_weights([np.concatenate([0 * kernel, kernel], 1), np.concatenate([0 * bias, bias])])
    one, other = (
        pl.verify(m, pl.explain(m, x, pl.Gradient()), pl.AttentionPermutation())[0].detail["moves"] for m in (net, two)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)
