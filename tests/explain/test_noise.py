"""SmoothGrad against Gaussian integrals that have a closed form."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

FORMULA = lambda x: ops.sin(x[:, 0]) + x[:, 1] ** 3  # noqa: E731


def smoothed(x, s):
    """E cos(x + s e) = cos(x) exp(-s^2 / 2); E 3 (x + s e)^2 = 3 x^2 + 3 s^2."""
    return np.column_stack([np.cos(x[:, 0]) * np.exp(-(s[0] ** 2) / 2), 3 * x[:, 1] ** 2 + 3 * s[1] ** 2])


def test_the_mean_is_the_smoothed_slope_and_its_intervals_cover(generator):
    x, s = generator.normal(size=(4, 2)), np.array([0.5, 0.3])
    method = pl.SmoothGrad(noise=s, tolerance=0.05)
    model, inside = pl.wrap(FORMULA), []
    for seed in range(60):
        e = pl.explain(model, x[:1], method, seed=seed)
        low, high = e.interval()
        inside.append((low <= smoothed(x[:1], s)) & (smoothed(x[:1], s) <= high))
        assert e.error[0] <= 0.05
    assert 0.88 <= np.mean(inside) <= 0.995


def test_a_share_of_each_examples_range(generator):
    x = np.array([[0.0, 2.0], [0.0, 20.0]])
    e = pl.explain(lambda t: t[:, 0] ** 3, x, pl.SmoothGrad(noise=0.5, tolerance=0.02, max_evaluations=20_000))
    np.testing.assert_allclose(e.values[:, 0], [3 * 1.0, 3 * 100.0], rtol=0.06)


def test_slope_times_the_noisy_input(generator):
    s = 0.4
    method = pl.SmoothGrad(pl.GradientInput(), noise=np.full(2, s), tolerance=0.02, max_evaluations=20_000)
    e = pl.explain(lambda t: t[:, 0] ** 2, np.array([[1.0, 0.0]]), method)
    assert e.values[0, 0] == pytest.approx(2 * (1 + s**2), rel=0.05)  # E 2 (x + s e)^2


def test_around_integrated_gradients_a_linear_model_keeps_its_weights(generator):
    net = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    x = generator.normal(size=(2, 3))
    e = pl.explain(net, x, pl.SmoothGrad(pl.IntegratedGradients(), noise=np.full(3, 0.1), tolerance=0.05))
    np.testing.assert_allclose(e.values, x * net.get_weights()[0][:, 0], atol=0.1)
    assert (e.evaluations == 7 * e.samples).all()


def test_easy_examples_cost_less():
    x = np.array([[0.0, 5.0], [3.0, 5.0]])
    f = lambda t: ops.where(t[:, 0] < 2, t[:, 0], ops.sin(20 * t[:, 0])) + 0 * t[:, 1]  # noqa: E731
    e = pl.explain(f, x, pl.SmoothGrad(noise=np.array([0.1, 0.0]), tolerance=0.2, max_evaluations=200))
    assert e.evaluations[0] == 16
    assert e.evaluations[1] == 200
    assert e.converged.tolist() == [True, False]


def test_noise_of_zero_is_the_method_itself(random_mlp, generator):
    x = generator.normal(size=(3, 6))
    plain = pl.explain(random_mlp, x, pl.Gradient(), target=0).values
    e = pl.explain(random_mlp, x, pl.SmoothGrad(noise=0.0), target=0)
    np.testing.assert_allclose(e.values, plain, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(e.standard_error, 0, atol=1e-7)


def test_tokens_get_their_noise_at_the_embedding(generator):
    inputs = keras.Input((4,), dtype="int32")
    net = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Embedding(7, 3)(inputs))))
    tokens = generator.integers(0, 7, size=(2, 4))
    e = pl.explain(net, tokens, pl.SmoothGrad(pl.GradientInput(), tolerance=0.01, max_evaluations=5000))
    plain = pl.explain(net, tokens, pl.GradientInput()).values
    np.testing.assert_allclose(e.values, plain, atol=0.02 * np.abs(plain).max())


@pytest.mark.parametrize(
    "options", [{"method": pl.SmoothGrad()}, {"noise": -1}, {"noise": "much"}, {"tolerance": 0}, {"max_evaluations": 1}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(InvalidOption, match=f"SmoothGrad.{next(iter(options))}: expected"):
        pl.SmoothGrad(**options)


def test_noise_that_does_not_fit(random_mlp):
    with pytest.raises(InvalidOption, match=r"shape \(5,\) does not fit"):
        pl.explain(random_mlp, np.zeros((2, 6)), pl.SmoothGrad(noise=np.ones(5)))


STATISTICS = {
    "mean": lambda x, s: 2 * x,
    "squared": lambda x, s: 4 * (x**2 + s**2),
    "variance": lambda x, s: 4 * s**2 + 0 * x,
}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_of_a_slope_that_is_linear_in_the_input_have_a_closed_form(statistic):
    x, s = np.array([[1.5, -0.4]]), np.array([0.3, 0.7])
    method = pl.SmoothGrad(pl.Gradient(), noise=s, statistic=statistic, tolerance=0.03, max_evaluations=20_000)
    e = pl.explain(lambda x: ops.sum(x**2, axis=1), x, method)
    truth = STATISTICS[statistic](x, s)
    assert e.converged.all()
    assert np.all(np.abs(e.values - truth) <= 4 * e.standard_error + 1e-6)
    assert np.linalg.norm(e.values - truth) / np.linalg.norm(truth) < 0.06
    assert e.method.contributes is False


def test_a_variance_costs_two_evaluations_a_draw():
    method = pl.SmoothGrad(statistic="variance", tolerance=1e-9, max_evaluations=40)
    e = pl.explain(lambda x: ops.sum(x**3, axis=1), np.array([[1.0, 2.0]]), method)
    assert e.evaluations.tolist() == [40]
    assert e.samples.tolist() == [20]


def test_any_method_for_real_numbers_is_smoothed():
    x, s = np.array([[1.0, 2.0, 3.0]]), 0.5 * np.ones(3)
    e = pl.explain(
        lambda x: x[:, 0] * x[:, 1] + x[:, 2], x, pl.SmoothGrad(pl.Occlusion(), noise=s, max_evaluations=4096)
    )
    np.testing.assert_allclose(e.values, [[2.0, 2.0, 3.0]], atol=4 * e.standard_error.max())


def test_tokens_are_smoothed_at_their_embedding_or_not_at_all():
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((4,), dtype="int32"), keras.layers.Embedding(7, 3), keras.layers.GRU(2)])
    x = np.array([[1, 2, 3, 4]])
    assert pl.explain(net, x, pl.SmoothGrad(statistic="squared")).values.shape == (1, 4)
    with pytest.raises(NotApplicable, match="Occlusion cannot be asked"):
        pl.explain(net, x, pl.SmoothGrad(pl.Occlusion()))
