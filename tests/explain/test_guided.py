"""Guided integrated gradients: the published path step by step, and the sums along it."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from sklearn.datasets import load_digits

import pellucid as pl
from pellucid.errors import InvalidOption
from pellucid.explain.gradients import walks


def published_path(slope, x, fraction, distance, steps):
    """The places where the authors' algorithm takes gradients, written down one example and one entry at a time."""
    place, whole, places = np.zeros(len(x)), np.abs(x).sum(), []
    for k in range(1, steps + 1):
        places.append(place.copy())
        size = np.abs(slope(place))
        low, high = max(k / steps - distance, 0) * x, min(k / steps + distance, 1) * x
        behind = np.abs(place) < np.abs(low)
        place[behind] = low[behind]
        wanted = whole * (1 - k / steps)
        while np.abs(x - place).sum() > wanted * (1 + 1e-9) + 1e-9:
            open_ = [i for i in range(len(x)) if place[i] != high[i]]
            ranked = sorted(size[i] if i in open_ else np.inf for i in range(len(x)))
            moved = [i for i in open_ if size[i] <= ranked[int(fraction * (len(x) - 1))]]
            room = sum(abs(high[i] - place[i]) for i in moved)
            share = min(1.0, (np.abs(x - place).sum() - wanted) / room)
            for i in moved:
                place[i] = high[i] if share == 1.0 else place[i] + share * (high[i] - place[i])
    return np.array([*places, x])


def network(draw, width=6):
    """A small tanh network in NumPy and in Keras."""
    a, b = draw.normal(size=(width, 5)).astype(np.float32), draw.normal(size=5).astype(np.float32)
    net = keras.Sequential(
        [keras.Input((width,)), layers.Dense(5, "tanh", use_bias=False), layers.Dense(1, use_bias=False)]
    )
    net.set_weights([a, b[:, None]])
    return net, lambda z: a @ (b * (1 - np.tanh(z @ a) ** 2))


@pytest.mark.parametrize("fraction, distance", [(0.25, 0.02), (0.5, 1.0), (0.1, 0.2), (1.0, 0.3), (0.25, 0.0)])
def test_the_path_is_the_published_one(fraction, distance, generator):
    net, slope = network(generator)
    x = generator.normal(size=(3, 6)).astype(np.float32)
    method = pl.GuidedIntegratedGradients(fraction, distance, tolerance=1e-9, max_evaluations=59)
    found = pl.explain(net, x, method)
    assert not found.converged.any()
    np.testing.assert_array_equal(found.evaluations, 59)
    for row, values in zip(x, found.values, strict=True):
        places = published_path(slope, row.astype(float), fraction, distance, 32)
        slopes = np.array([slope(p) for p in places])
        by_hand = ((slopes[1:] + slopes[:-1]) / 2 * np.diff(places, axis=0)).sum(0)
        np.testing.assert_allclose(values, by_hand, rtol=1e-4, atol=1e-5)


def test_without_room_it_is_integrated_gradients(generator):
    net, _ = network(generator)
    x = generator.normal(size=(4, 6)).astype(np.float32)
    guided = pl.explain(net, x, pl.GuidedIntegratedGradients(max_distance=0.0, tolerance=1e-3))
    straight = pl.explain(net, x, pl.IntegratedGradients(tolerance=1e-6))
    np.testing.assert_allclose(guided.values, straight.values, rtol=1e-2, atol=1e-3)
    assert guided.converged.all()


def test_what_matters_least_goes_first():
    """Of x y + y, with all the room there is, x goes to its end while y, and with it its slope, is still at nothing."""
    f = lambda x: x[:, 0] * x[:, 1] + x[:, 1]  # noqa: E731
    e = pl.explain(f, np.array([[2.0, 1.0]]), pl.GuidedIntegratedGradients(0.5, 1.0, tolerance=1e-3))
    np.testing.assert_allclose(e.values, [[0.0, 3.0]], atol=0.02)
    straight = pl.explain(f, np.array([[2.0, 1.0]]), pl.IntegratedGradients(tolerance=1e-4))
    np.testing.assert_allclose(straight.values, [[1.0, 2.0]], atol=1e-3)


def test_its_sum_is_the_change_in_score(random_cnn, generator):
    x = generator.normal(size=(6, 8, 8, 1)).astype(np.float32)
    e = pl.explain(random_cnn, x, pl.GuidedIntegratedGradients(), target=1)
    change = pl.wrap(random_cnn).scores(x)[:, 1] - pl.wrap(random_cnn).scores(0 * x)[:, 1]
    np.testing.assert_allclose(e.gap, np.abs(e.values.sum((1, 2, 3)) - change), atol=1e-4)
    assert e.gap.max() <= 0.01 * np.abs(e.values).sum((1, 2, 3)).max()


@pytest.mark.slow
def test_its_error_is_honest():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    keras.utils.set_random_seed(0)
    parts = [layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10)]
    net = keras.Sequential([keras.Input((8, 8, 1)), *parts])
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.fit(x, y, epochs=5, batch_size=64, verbose=0)
    e = pl.explain(net, x[:64], pl.GuidedIntegratedGradients())
    fine = pl.explain(net, x[:64], pl.GuidedIntegratedGradients(tolerance=1e-9, max_evaluations=2046))
    norm = lambda a: np.sqrt((a**2).sum((1, 2, 3)))  # noqa: E731
    true = norm(e.values - fine.values) / norm(fine.values)
    assert np.mean(true <= e.error) >= 0.8


def test_tokens_layers_inputs_and_blocks(monkeypatch, generator):
    a, b = keras.Input((4,), dtype="int32", name="a"), keras.Input((3,), name="b")
    inner = layers.Dense(5, activation="tanh", name="inner")
    both = layers.Concatenate()([layers.Flatten()(layers.Embedding(7, 3)(a)), b])
    net = keras.Model([a, b], layers.Dense(2)(inner(both)))
    x = {"a": generator.integers(1, 7, size=(5, 4)), "b": generator.normal(size=(5, 3)).astype(np.float32)}
    method = pl.GuidedIntegratedGradients(0.5, 0.2, tolerance=1e-3)
    e = pl.explain(net, x, method, target=0)
    assert e.values["a"].shape == (5, 4)
    np.testing.assert_allclose(e.values["a"].sum(1) + e.values["b"].sum(1), e.output - e.baseline_output, atol=2e-3)
    monkeypatch.setattr(walks, "BLOCK", 8 * 15 * 8 * 2)
    again = pl.explain(net, x, method, target=0)
    np.testing.assert_allclose(again.values["a"], e.values["a"], rtol=1e-4, atol=1e-5)
    hidden = pl.explain(net, x, pl.GuidedIntegratedGradients(layer="inner"), target=0)
    assert hidden.values.shape == (5, 5)
    assert hidden.gap.max() < 1e-4


def test_the_mean_over_a_background():
    f = lambda x: x[:, 0] ** 2 + x[:, 1]  # noqa: E731
    rows = np.array([[0.0, 0.0], [2.0, 2.0]])
    e = pl.explain(f, np.array([[3.0, 1.0]]), pl.GuidedIntegratedGradients(baseline=pl.Background(rows)))
    np.testing.assert_allclose(e.values, [[7.0, 0.0]], atol=1e-2)
    np.testing.assert_allclose(e.baseline_output, 3.0)


def test_nothing_changes_nothing_is_explained():
    e = pl.explain(lambda x: ops.tanh(x[:, 0]), np.zeros((2, 3)), pl.GuidedIntegratedGradients())
    np.testing.assert_array_equal(e.values, 0)
    assert e.converged.all()


@pytest.mark.parametrize(
    "options",
    [{"fraction": 0}, {"fraction": 1.5}, {"max_distance": -0.1}, {"max_distance": 2}, {"max_evaluations": 58}],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"GuidedIntegratedGradients.{next(iter(options))}: expected"):
        pl.GuidedIntegratedGradients(**options)
