"""Sampled Shapley values against exact enumeration, and their intervals against their nominal rate."""

from itertools import permutations

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidOption


def exact(score, x, baseline):
    """The mean over all orders of what each column adds, one example at a time."""
    count = x.shape[1]
    total = np.zeros(x.shape)
    orders = list(permutations(range(count)))
    for order in orders:
        present = np.broadcast_to(baseline, x.shape).copy()
        before = score(present)
        for i in order:
            present[:, i] = x[:, i]
            after = score(present)
            total[:, i] += after - before
            before = after
    return total / len(orders)


def three_kinks(x):
    s = x[:, 0] + x[:, 1] + x[:, 2]
    return ops.relu(s - 10) + 3 * ops.relu(s + 1) - 1


TRUTH = np.array([76 + 2 / 3, 196 + 2 / 3, 116 + 2 / 3])


def test_enumeration_gives_the_known_answer():
    x = np.array([[20.0, 50.0, 30.0]])
    relu = lambda v: np.maximum(v, 0)  # noqa: E731
    score = lambda a: relu(a.sum(1) - 10) + 3 * relu(a.sum(1) + 1) - 1  # noqa: E731
    np.testing.assert_allclose(exact(score, x, np.zeros(3)), TRUTH[None], rtol=1e-12)


def test_intervals_cover_at_their_nominal_rate_over_200_seeds():
    model, x, inside, gaps = pl.wrap(three_kinks), np.array([[20.0, 50.0, 30.0]]), [], []
    for seed in range(200):
        e = pl.explain(model, x, pl.PermutationShapley(), seed=seed)
        low, high = e.interval()
        inside.append((low[0] <= TRUTH) & (high[0] >= TRUTH))
        gaps.append(e.gap[0])
        np.testing.assert_allclose(e.values[0], TRUTH, rtol=0.02)
    assert 0.92 <= np.mean(inside) <= 0.98
    assert max(gaps) < 1e-3


def test_a_network_against_enumeration(generator):
    net = keras.Sequential([keras.Input((5,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    x, start = generator.normal(size=(3, 5)), generator.normal(size=5)
    w1, b1, w2, b2 = (w.astype(float) for w in net.get_weights())
    score = lambda a: (np.maximum(a @ w1 + b1, 0) @ w2 + b2)[:, 1]  # noqa: E731
    method = pl.PermutationShapley(baseline=start, tolerance=0.01, max_evaluations=50_000)
    e = pl.explain(net, x, method, target=1)
    truth = exact(score, x, start)
    error = np.linalg.norm(e.values - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert (error <= 0.02).all()
    np.testing.assert_allclose(e.values.sum(1), score(x) - score(np.broadcast_to(start, x.shape)), rtol=1e-4, atol=1e-5)


def test_the_error_bounds_the_true_error_on_most_examples(generator):
    x = generator.normal(size=(80, 6)).astype(np.float32)
    f = lambda a: np.tanh(a[:, 0] * a[:, 1]) + np.maximum(a[:, 2] + a[:, 3], 0) * a[:, 4] + a[:, 5]  # noqa: E731
    e = pl.explain(f, x, pl.PermutationShapley(tolerance=0.05))
    truth = exact(f, x.astype(float), np.zeros(6))
    true = np.linalg.norm(e.values - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert np.mean(true <= e.error) >= 0.9
    assert e.converged.mean() > 0.9


def test_pairs_interactions_are_exact_from_the_first_draw(generator):
    """With an order and its reverse, a product of two columns is shared out exactly."""
    x = generator.normal(size=(4, 3))
    e = pl.explain(lambda t: t[:, 0] * t[:, 1] + t[:, 2], x, pl.PermutationShapley())
    half = x[:, 0] * x[:, 1] / 2
    np.testing.assert_allclose(e.values, np.column_stack([half, half, x[:, 2]]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(e.standard_error, 0, atol=1e-5)


def test_patches_of_an_image_share_their_value(random_cnn, generator):
    x = generator.random((2, 8, 8, 1)).astype(np.float32)
    e = pl.explain(random_cnn, x, pl.PermutationShapley(patch=4, tolerance=0.05), target=0)
    blocks = e.values.reshape(2, 2, 4, 2, 4)
    assert np.abs(blocks - blocks[:, :, :1, :, :1]).max() == 0
    change = e.output - e.baseline_output
    np.testing.assert_allclose(e.values.sum((1, 2, 3)), change, rtol=1e-3, atol=1e-5)


def test_columns_of_one_origin_are_one_player(generator):
    x = generator.normal(size=(3, 4))
    f = lambda t: t[:, 0] * t[:, 1] * t[:, 2] + t[:, 3]  # noqa: E731
    e = pl.explain(f, pl.Dataset(x, columns=list("abbc")), pl.PermutationShapley())
    half = x[:, 0] * x[:, 1] * x[:, 2] / 2
    np.testing.assert_allclose(e.values[:, 0], half, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(e.values[:, 1] + e.values[:, 2], half, rtol=1e-4, atol=1e-5)


def test_one_player_gets_everything():
    e = pl.explain(lambda t: t[:, 0] ** 2, np.array([[3.0]]), pl.PermutationShapley())
    np.testing.assert_allclose(e.values, [[9.0]], rtol=1e-6)


@pytest.mark.parametrize("options", [{"tolerance": -1}, {"max_evaluations": 2}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"PermutationShapley.{next(iter(options))}: expected"):
        pl.PermutationShapley(**options)
