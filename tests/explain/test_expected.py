"""Expected gradients and backgrounds: against enumeration of the rows, and closed forms."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(5).normal(size=(12, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(6).normal(size=(4, 6)).astype(np.float32)


def test_a_quadratic_has_a_closed_form(rows, x):
    f = lambda x: x[:, 0] ** 2 + 3 * x[:, 1]  # noqa: E731
    e = pl.explain(f, x, pl.ExpectedGradients(rows, tolerance=0.02, max_evaluations=8192))
    truth = np.zeros_like(x)
    truth[:, 0] = x[:, 0] ** 2 - (rows[:, 0] ** 2).mean()
    truth[:, 1] = 3 * (x[:, 1] - rows[:, 1].mean())
    assert np.all(np.abs(e.values - truth) <= 4 * e.standard_error + 1e-5)
    np.testing.assert_allclose(e.baseline_output, (rows[:, 0] ** 2 + 3 * rows[:, 1]).mean(), rtol=1e-5)
    np.testing.assert_allclose(e.gap, np.abs(e.values.sum(1) - (e.output - e.baseline_output)), atol=1e-5)


def test_it_is_the_mean_of_the_paths_from_every_row(random_mlp, rows, x):
    paths = [
        pl.explain(random_mlp, x, pl.IntegratedGradients(r, tolerance=1e-3, max_evaluations=1023)).values for r in rows
    ]
    drawn = pl.explain(random_mlp, x, pl.ExpectedGradients(rows, tolerance=0.03, max_evaluations=4096))
    whole = pl.explain(random_mlp, x, pl.IntegratedGradients(pl.Background(rows), tolerance=1e-3, max_evaluations=1023))
    truth = np.mean(paths, axis=0)
    np.testing.assert_allclose(whole.values, truth, atol=2e-3 * np.abs(truth).max())
    assert np.mean(np.abs(drawn.values - truth) <= 2.5 * drawn.standard_error) > 0.9
    np.testing.assert_allclose(whole.baseline_output, drawn.baseline_output, rtol=1e-5)
    assert whole.gap.max() < 1e-2
    np.testing.assert_allclose(
        whole.standard_error, np.std(paths, axis=0, ddof=1) / np.sqrt(len(rows)), rtol=0.05, atol=1e-4
    )


def test_intervals_cover(random_mlp, rows, x):
    truth = pl.explain(
        random_mlp, x, pl.IntegratedGradients(pl.Background(rows), tolerance=1e-3, max_evaluations=511)
    ).values
    method = pl.ExpectedGradients(rows, tolerance=1e-9, max_evaluations=64)
    inside = []
    for seed in range(30):
        low, high = pl.explain(random_mlp, x, method, seed=seed).interval()
        inside.append((low <= truth) & (truth <= high))
    assert 0.93 <= np.mean(inside) <= 1.0


def test_every_row_is_drawn_as_often():
    from pellucid.explain.gradients.expected import _rows_of

    drawn = np.concatenate([_rows_of(3, range(10), 7), _rows_of(3, range(10, 21), 7)])
    assert sorted(drawn.tolist()) == sorted(list(range(7)) * 3)
    assert drawn[:7].tolist() != drawn[7:14].tolist()


def test_at_a_hidden_layer_it_adds_up(rows, x):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((6,)), layers.Dense(5, "tanh", name="inner"), layers.Dense(3)])
    e = pl.explain(net, x, pl.ExpectedGradients(rows, layer="inner"), target=1)
    kernel, after = net.layers[0], ops.convert_to_numpy(net.layers[1].kernel)
    out = lambda given: ops.convert_to_numpy(kernel(given))  # noqa: E731
    truth = (out(x) - out(rows).mean(0)) * after[:, 1]
    assert e.values.shape == (4, 5)
    assert np.all(np.abs(e.values - truth) <= 4 * e.standard_error + 1e-5)


def test_tokens_with_padding_start_from_other_tokens():
    keras.utils.set_random_seed(0)
    tokens = keras.Input((5,), dtype="int32")
    net = keras.Model(tokens, layers.Dense(2)(layers.GRU(4)(layers.Embedding(9, 3, mask_zero=True)(tokens))))
    x = np.array([[3, 4, 0, 0, 0], [5, 6, 7, 8, 1]])
    rows = np.array([[1, 2, 3, 4, 5], [8, 8, 8, 8, 8]])
    method = pl.IntegratedGradients(pl.Background(rows), tolerance=0.005)
    e = pl.explain(net, x, method)
    assert e.gap.max() < 0.02 * np.abs(e.values).sum(1).max()
    assert np.abs(e.values[0, 2:]).max() < 1e-6


def test_two_inputs_and_a_background_of_dicts():
    keras.utils.set_random_seed(0)
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    net = keras.Model([a, b], layers.Dense(1)(layers.Dense(4, "tanh")(layers.Concatenate()([a, b]))))
    draw = np.random.default_rng(0)
    make = lambda n: {"a": draw.normal(size=(n, 2)), "b": draw.normal(size=(n, 3))}  # noqa: E731
    e = pl.explain(net, make(3), pl.IntegratedGradients(pl.Background(make(5))), target=0)
    assert set(e.values) == {"a", "b"}
    assert e.gap.max() < 0.01


def test_bad_backgrounds_are_told(random_mlp, x):
    with pytest.raises(InvalidInput, match=r"takes \(B, 6\)"):
        pl.explain(random_mlp, x, pl.ExpectedGradients(np.zeros((3, 5))))
    with pytest.raises(InvalidOption, match="not a Background"):
        pl.explain(random_mlp, x, pl.Occlusion(baseline=pl.Background(np.zeros((3, 6)))))


def test_a_blurred_baseline_is_scipys(random_cnn):
    from scipy.ndimage import gaussian_filter1d

    x = np.random.default_rng(0).random((2, 8, 8, 1)).astype(np.float32)
    e = pl.explain(random_cnn, x, pl.IntegratedGradients(pl.Blurred(1.5)))
    twice = gaussian_filter1d(gaussian_filter1d(x, 1.5, axis=1, mode="nearest"), 1.5, axis=2, mode="nearest")
    np.testing.assert_allclose(e.baseline, twice, atol=1e-6)
    short = pl.explain(random_cnn, x, pl.IntegratedGradients("blur"))
    np.testing.assert_allclose(short.baseline, pl.Blurred(0.8).beside(x, "x"), atol=1e-6)


@pytest.mark.parametrize("baseline", [pl.Blurred(2.0), "blur", pl.MaskToken(1), "mask"])
def test_a_baseline_that_does_not_fit_is_told(random_mlp, x, baseline):
    with pytest.raises(InvalidInput, match="baseline of x"):
        pl.explain(random_mlp, x, pl.IntegratedGradients(baseline))


def test_special_tokens_stay_in_a_masked_baseline():
    f = lambda x: ops.sum(ops.cast(x, "float32"), axis=1)  # noqa: E731
    e = pl.explain(f, np.array([[101, 7, 9, 0]]), pl.Occlusion(baseline=pl.MaskToken(103, keep=(0, 101))))
    assert e.values.tolist() == [[0.0, -96.0, -94.0, 0.0]]


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="plain torch modules run on torch")
def test_channels_that_come_first_are_not_blurred_into_each_other():
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    stripes = np.zeros((1, 3, 8, 8), np.float32)
    stripes[:, 0, :, ::2] = 1
    baseline = pl.explain(net, stripes, pl.IntegratedGradients("blur"), target=0).baseline
    assert not baseline[:, 1:].any()
    assert np.ptp(baseline[0, 0, :, 2:6]) < 0.2


def test_a_background_may_be_given_as_one_and_is_named_in_errors(random_mlp, rows, x):
    method = pl.ExpectedGradients(pl.Background(rows), max_evaluations=16)
    np.testing.assert_array_equal(
        pl.explain(random_mlp, x, method).values,
        pl.explain(random_mlp, x, pl.ExpectedGradients(rows, max_evaluations=16)).values,
    )
    with pytest.raises(InvalidInput, match="background: x: the model takes"):
        pl.explain(random_mlp, x, pl.ExpectedGradients(np.zeros((3, 5))))
