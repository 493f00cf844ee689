"""The important direction: a rule of its own in NumPy, the published one in the limit, and a sum that is always exact."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidOption

PATHS = (
    pl.IntegratedGradients(), pl.GuidedIntegratedGradients(max_distance=0.1), pl.BlurIntegratedGradients(max_sigma=2.0),
)  # fmt: skip


def network(draw):
    """A small tanh network in NumPy and in Keras: the score and its gradient."""
    a, b = draw.normal(size=(4, 5)).astype(np.float32), draw.normal(size=5).astype(np.float32)
    net = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, "tanh", use_bias=False), layers.Dense(1, use_bias=False)]
    )
    net.set_weights([a, b[:, None]])
    return net, lambda z: np.tanh(z @ a) @ b, lambda z: a @ (b * (1 - np.tanh(z @ a) ** 2))


def test_the_rule_by_hand(generator):
    net, score, slope = network(generator)
    x = generator.normal(size=(3, 4)).astype(np.float32)
    e = pl.explain(net, x, pl.ImportantDirection(tolerance=1e-9, max_evaluations=59))
    np.testing.assert_array_equal(e.evaluations, 33)  # 8, 16 and 32 steps, no place looked at twice
    for row, values in zip(x, e.values, strict=True):
        places = np.linspace(0, 1, 33)[:, None] * row
        shares = np.array([slope(p) ** 2 / (slope(p) ** 2).sum() for p in places])
        changes = np.diff([score(p) for p in places])
        np.testing.assert_allclose(
            values, ((shares[1:] + shares[:-1]) / 2 * changes[:, None]).sum(0), rtol=1e-3, atol=1e-5
        )


def test_it_goes_to_what_the_authors_go_to(generator):
    """Their rule takes the gradient at the start of each step; both have one limit."""
    net, score, slope = network(generator)
    x = generator.normal(size=(3, 4)).astype(np.float32)
    e = pl.explain(net, x, pl.ImportantDirection(tolerance=0.01))
    for row, values, error in zip(x, e.values, e.error, strict=True):
        places = np.linspace(0, 1, 20001)[:, None] * row
        shares = np.array([slope(p) ** 2 / (slope(p) ** 2).sum() for p in places[:-1]])
        published = (shares * np.diff([score(p) for p in places])[:, None]).sum(0)
        assert np.linalg.norm(values - published) <= max(error, 1e-3) * np.linalg.norm(published)


def test_a_linear_model_by_hand():
    f = lambda x: 3 * x[:, 0] + 4 * x[:, 1]  # noqa: E731
    e = pl.explain(f, np.array([[1.0, 1.0]]), pl.ImportantDirection())
    np.testing.assert_allclose(e.values, [[7 * 9 / 25, 7 * 16 / 25]], rtol=1e-5)


@pytest.mark.parametrize("method", PATHS, ids=lambda m: type(m).__name__)
def test_the_sum_is_exact_on_every_path(method, random_cnn, generator):
    x = generator.normal(size=(4, 8, 8, 1)).astype(np.float32)
    e = pl.explain(random_cnn, x, pl.ImportantDirection(method, tolerance=0.5), target=1)
    np.testing.assert_allclose(e.values.sum((1, 2, 3)), e.output - e.baseline_output, rtol=1e-4, atol=1e-5)
    assert e.gap.max() < 1e-5


def test_steps_without_a_slope_leave_their_neighbours_share(generator):
    f = lambda x: ops.relu(x[:, 0] + x[:, 1] - 1) + 0 * x[:, 0]  # noqa: E731
    e = pl.explain(f, np.array([[1.0, 1.5]]), pl.ImportantDirection())
    np.testing.assert_allclose(e.values, [[0.75, 0.75]], rtol=1e-4)
    assert e.gap[0] < 1e-6


def test_layers_tokens_and_backgrounds(generator):
    tokens = keras.Input((4,), dtype="int32")
    inner = layers.Dense(5, activation="tanh", name="inner")(layers.Flatten()(layers.Embedding(7, 3)(tokens)))
    net = keras.Model(tokens, layers.Dense(2)(inner))
    x = generator.integers(1, 7, size=(3, 4))
    e = pl.explain(net, x, pl.ImportantDirection(pl.IntegratedGradients(2)), target=0)
    assert e.values.shape == (3, 4)
    np.testing.assert_allclose(e.values.sum(1), e.output - e.baseline_output, atol=1e-5)
    hidden = pl.explain(net, x, pl.ImportantDirection(pl.IntegratedGradients(layer="inner")), target=0)
    assert hidden.values.shape == (3, 5)
    assert hidden.gap.max() < 1e-5
    rows = pl.Background(np.array([[0, 0, 0, 0], [1, 2, 3, 4]]))
    many = pl.explain(net, x, pl.ImportantDirection(pl.IntegratedGradients(rows)), target=0)
    np.testing.assert_allclose(many.values.sum(1), many.output - many.baseline_output, atol=1e-5)


@pytest.mark.parametrize("options", [{"method": pl.Gradient()}, {"tolerance": -1}, {"max_evaluations": 58}])
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"ImportantDirection.{next(iter(options))}: expected"):
        pl.ImportantDirection(**options)
