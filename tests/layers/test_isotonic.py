"""The isotonic layer against NumPy's interpolation."""

import numpy as np
import pytest
from keras import ops

import pellucid as pl
from pellucid.errors import InvalidOption

KNOTS = [([0.1, 0.4, 0.4000001, 0.9], [0.0, 0.2, 0.7, 0.8]), ([0.2, 0.3], [0.0, 0.5]), ([0.5], [0.25])]
P = np.random.default_rng(0).random((200, 3)).astype("float32")


def test_it_is_numpys_interpolation(as_array):
    layer = pl.layers.Isotonic(functions=3, knots=4)
    layer.set_functions(KNOTS)
    exact = np.stack([np.interp(P[:, k], *map(np.float32, KNOTS[k])) for k in range(3)], axis=1)
    np.testing.assert_allclose(as_array(layer.steps(ops.convert_to_tensor(P))), exact, atol=1e-6)
    np.testing.assert_allclose(as_array(layer(P)), exact / exact.sum(axis=1, keepdims=True), atol=1e-6)


def test_where_nothing_is_left_all_classes_are_alike(as_array):
    layer = pl.layers.Isotonic(functions=3, knots=1)
    layer.set_functions([([0.5], [0.0])] * 3)
    np.testing.assert_allclose(as_array(layer(P[:2])), 1 / 3)


def test_one_function_serves_two_classes(as_array):
    layer = pl.layers.Isotonic(functions=1, knots=2)
    layer.set_functions([([0.0, 1.0], [0.2, 0.4])])
    two = np.array([[0.5, 0.5], [0.0, 1.0]], "float32")
    np.testing.assert_allclose(as_array(layer(two)), [[0.7, 0.3], [0.6, 0.4]], atol=1e-6)


def test_its_slope_is_that_of_the_line(jacobian):
    layer = pl.layers.Isotonic(functions=1, knots=3)
    layer.set_functions([([0.2, 0.4, 0.8], [0.1, 0.5, 0.7])])
    p = np.array([[0.1], [0.3], [0.5], [0.9]], "float32")
    np.testing.assert_allclose(jacobian(layer, p, np.ones((4, 1)))[:, 0], [0, 2, 0.5, 0], atol=1e-5)


def test_options_are_checked():
    with pytest.raises(InvalidOption, match="functions"):
        pl.layers.Isotonic(0, 3)
