"""The mean of probabilities against NumPy, far out as well."""

import numpy as np
import pytest
from scipy.special import expit, logsumexp, softmax

import pellucid as pl
from pellucid.errors import InvalidOption

Z = [np.random.default_rng(m).normal(0, 3, size=(20, 4)).astype("float32") for m in range(3)]


def test_softmax_of_it_is_the_mean(as_array):
    logits = as_array(pl.layers.EnsembleLogits()(Z))
    mean = np.mean([softmax(z.astype(float), axis=1) for z in Z], axis=0)
    np.testing.assert_allclose(logits, np.log(mean), atol=1e-5)


def test_sigmoid_of_it_is_the_mean(as_array):
    logits = as_array(pl.layers.EnsembleLogits("sigmoid")(Z))
    np.testing.assert_allclose(expit(logits), np.mean([expit(z.astype(float)) for z in Z], axis=0), atol=1e-6)


def test_nothing_becomes_zero_that_is_not(as_array):
    far = [np.array([[0.0, -300.0]], "float32"), np.array([[0.0, -310.0]], "float32")]
    exact = logsumexp([-300.0, -310.0]) - np.log(2)
    assert as_array(pl.layers.EnsembleLogits()(far))[0, 1] == pytest.approx(exact, rel=1e-6)
    assert as_array(pl.layers.EnsembleLogits("sigmoid")([far[0][:, 1:], far[1][:, 1:]]))[0, 0] == pytest.approx(
        exact, rel=1e-6
    )


@pytest.mark.parametrize("how", ["softmax", "sigmoid"])
def test_members_may_give_probabilities(as_array, how):
    make = (lambda z: softmax(z, axis=1)) if how == "softmax" else expit
    one = as_array(pl.layers.EnsembleLogits(how)(Z))
    two = as_array(pl.layers.EnsembleLogits(how, of="probabilities")([make(z) for z in Z]))
    np.testing.assert_allclose(one, two, atol=2e-4)


@pytest.mark.parametrize("how", ["softmax", "sigmoid"])
def test_its_slope_is_the_share_of_each_member(jacobian, how):
    layer = pl.layers.EnsembleLogits(how)
    up = np.zeros((20, 4))
    up[:, 1] = 1
    found = jacobian(lambda z: layer([z, Z[1]]), Z[0], up)
    make = (lambda z: softmax(z, axis=1)) if how == "softmax" else expit
    p, q = make(Z[0].astype(float)), make(Z[1].astype(float))
    mean = (p + q) / 2
    if how == "softmax":
        exact = (p[:, 1] / (2 * mean[:, 1]))[:, None] * (np.eye(4)[1] - p)
    else:
        exact = np.eye(4)[1] * p * (1 - p) / (2 * mean * (1 - mean))
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_options_are_checked():
    with pytest.raises(InvalidOption, match="how"):
        pl.layers.EnsembleLogits("mean")
