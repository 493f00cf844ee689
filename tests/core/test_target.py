"""Targets against scores worked out by hand."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.core.target import resolve, resolve_early
from pellucid.errors import InvalidInput

SCORES = np.array([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]], np.float32)


@pytest.mark.parametrize(
    ("target", "labels", "expected"),
    [
        ("predicted", None, [5, 4]),
        (2, None, [2, 3]),
        (np.array([0, 2]), None, [1, 3]),
        ([0.0, 2.0], None, [1, 3]),
        ("label", np.array([2, 1]), [2, 0]),
        (pl.Margin(1, 2), None, [3, -3]),
        (pl.Margin("predicted", 0), None, None),
        (lambda s: ops.max(s, axis=1) - ops.min(s, axis=1), None, [4, 4]),
    ],
)
def test_the_score_asked_about(target, labels, expected):
    if expected is None:
        with pytest.raises(InvalidInput, match="different classes"):
            resolve(target, SCORES, labels, binary=False)
        return
    np.testing.assert_allclose(resolve(target, SCORES, labels, binary=False).of(SCORES), expected)


def test_log_odds_of_one_output():
    scores = np.array([[2.0], [-3.0]], np.float32)
    of = lambda target: resolve(target, scores, None, binary=True).of(scores).tolist()  # noqa: E731
    assert of(1) == [2, -3]
    assert of(0) == [-2, 3]
    assert of("predicted") == [2, 3]
    assert of(pl.Margin(0, 1)) == [-2, 3]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "class 3 does not exist; the model has 3, numbered 0 to 2"),
        (-1, "class -1 does not exist"),
        ("best", '"predicted", "label"'),
        ("label", "needs labels"),
        ([0, 1, 2], r"one class an example \(2,\)"),
        (0.5, "whole class numbers"),
        (pl.Margin(1, 1), "two different classes"),
        (lambda s: s, "must give one number an example"),
        (lambda s: s[:, 9].wrong, "the callable failed"),
    ],
)
def test_targets_that_make_no_sense(target, message):
    with pytest.raises(InvalidInput, match=message):
        resolve(target, SCORES, None, binary=False)


def test_targets_through_explain(generator):
    net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    x, y = generator.normal(size=(5, 4)), np.array([0, 1, 2, 1, 0])
    weights = net.get_weights()[0]
    slopes = lambda target, data=x: pl.explain(net, data, pl.Gradient(), target).values  # noqa: E731
    np.testing.assert_allclose(slopes("label", pl.Dataset(x, y)), weights.T[y], rtol=1e-5)
    np.testing.assert_allclose(slopes(pl.Margin(2, 0))[0], weights[:, 2] - weights[:, 0], rtol=1e-5)
    np.testing.assert_allclose(slopes(lambda s: ops.sum(s, axis=1))[0], weights.sum(1), rtol=1e-5)


@pytest.mark.parametrize("target", ["predicted", 0, 1, [1, 0, 1], "label", pl.Margin(1, 0), pl.Margin(0, [1, 1, 1])])
@pytest.mark.parametrize("outputs", [1, 2])
def test_an_early_target_is_the_exact_one(target, outputs):
    scores = np.array([[1.5], [-2.0], [0.0]], np.float32)
    if outputs == 2:
        scores = np.concatenate([scores, -scores], axis=1)  # of equal scores the first is predicted
    labels, binary = np.array([1, 0, 1]), outputs == 1
    exact = resolve(target, scores, labels, binary=binary)
    early = resolve_early(target, outputs, 3, labels, binary=binary)
    assert early is not None
    np.testing.assert_array_equal(early.of(scores), exact.of(scores))


@pytest.mark.parametrize("target", [pl.Margin("predicted", 0), pl.Margin(0, "predicted"), lambda s: s[:, 0]])
def test_what_needs_the_scores_is_not_known_early(target):
    assert resolve_early(target, 3, 2, None, binary=False) is None
