import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(64, 6)).astype("float32")
Y = X[:, 0]
SHARES = np.array([1.0, -2.0, 0.5])
IMAGES = DRAW.normal(size=(32, 5, 5, 2)).astype("float32")
RATE = 0.05


def toward(shares):
    """Half the squared distance (B,) from the label times these shares, one an output."""

    def loss(y, outputs):
        gaps = outputs - keras.ops.reshape(y, (-1, 1)) * keras.ops.convert_to_tensor(np.asarray(shares, "float32"))
        return keras.ops.sum(keras.ops.square(gaps), axis=-1) / 2

    return loss


def with_values(values, shape, generator):
    """A matrix of these singular values."""
    left, right = (np.linalg.qr(generator.normal(size=(n, n)))[0] for n in shape)
    return left[:, : len(values)] * values @ right[: len(values)]


KERNEL = with_values(np.array([2.0, 1.0, 0.5]), (6, 3), DRAW)
FILTERS = with_values(np.array([3.0, 1.0, 0.5, 0.2]), (18, 4), DRAW).reshape(3, 3, 2, 4)


def linear():
    net = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, use_bias=False)])
    net.set_weights([KERNEL])
    net.compile(keras.optimizers.SGD(RATE), toward(SHARES), jit_compile=keras.backend.backend() == "jax")
    return net


def images():
    layers = keras.layers
    net = keras.Sequential([keras.Input((5, 5, 2)), layers.Conv2D(4, 3, use_bias=False), layers.GlobalMaxPooling2D()])
    net.set_weights([FILTERS])
    net.compile(keras.optimizers.SGD(RATE), toward([1.0]), jit_compile=keras.backend.backend() == "jax")
    return net


def kernel(run):
    return np.asarray(run.model.keras.get_weights()[0], float)


def spectral_slope(w):
    u, s, v = np.linalg.svd(w)
    return s[0] * np.outer(u[:, 0], v[0])


def orthogonal_slope(w):
    return 4 * w @ (w.T @ w - np.eye(w.shape[1])) if len(w) >= w.shape[1] else orthogonal_slope(w.T).T


SLOPES = [(pl.SpectralNorm(0.3), spectral_slope), (pl.Orthogonal(0.05), orthogonal_slope)]


def rounds(start):
    """The slope of the spectral price as one round of power iteration a step finds it."""
    v = np.linalg.svd(start)[2][0]

    def slope(w):
        nonlocal v
        u = w @ v / np.linalg.norm(w @ v)
        v = u @ w / np.linalg.norm(u @ w)
        return (u @ w @ v) * np.outer(u, v)

    return slope


def descended(slope, strength, steps):
    w, x = KERNEL.copy(), X.astype(float)
    for _ in range(steps):
        w -= RATE * (x.T @ (x @ w - Y[:, None] * SHARES) / len(Y) + strength * slope(w))
    return w


def by_training(remedy, steps):
    fit = {"epochs": steps, "batch_size": 64, "shuffle": False}
    return kernel(pl.improve(linear, remedy, train=(X, Y), fit=fit, progress=False))


def test_training_follows_the_spectral_norm_for_many_steps():
    found = by_training(pl.SpectralNorm(0.3), 12)
    np.testing.assert_allclose(found, descended(rounds(KERNEL), 0.3, 12), atol=2e-5)
    exact, plain = descended(spectral_slope, 0.3, 12), descended(spectral_slope, 0.0, 12)
    assert np.abs(found - exact).max() < np.abs(plain - exact).max() / 20  # one round a step keeps up


def test_training_follows_orthogonality_for_many_steps():
    np.testing.assert_allclose(by_training(pl.Orthogonal(0.05), 12), descended(orthogonal_slope, 0.05, 12), atol=2e-5)


@pytest.mark.parametrize(("remedy", "slope"), SLOPES)
def test_a_convolution_is_a_matrix_of_inputs_by_maps(remedy, slope):
    fit = {"epochs": 1, "batch_size": 32, "shuffle": False}
    y = np.zeros(32, "float32")
    free, paid = (
        kernel(pl.improve(images, r, train=(IMAGES, y), fit=fit, progress=False)) for r in (pl.Recipe(), remedy)
    )
    step = RATE * remedy.strength * slope(FILTERS.reshape(18, 4)).reshape(FILTERS.shape)
    np.testing.assert_allclose(paid, free - step, atol=2e-6)


@pytest.mark.parametrize(("remedy", "slope"), SLOPES)
def test_with_more_units_than_inputs(remedy, slope):
    wide = with_values(np.array([2.0, 1.0]), (2, 7), np.random.default_rng(1))

    def build():
        net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(7, use_bias=False)])
        net.set_weights([wide])
        net.compile(keras.optimizers.SGD(RATE), toward([1.0]), jit_compile=keras.backend.backend() == "jax")
        return net

    data = (X[:, :2], Y)
    fit = {"epochs": 1, "batch_size": 64, "shuffle": False}
    free, paid = (kernel(pl.improve(build, r, train=data, fit=fit, progress=False)) for r in (pl.Recipe(), remedy))
    np.testing.assert_allclose(paid, free - RATE * remedy.strength * slope(wide), atol=2e-6)


def test_the_log_is_exact_and_nothing_is_left_behind():
    recipe = pl.Recipe(pl.SpectralNorm(0.3), pl.Orthogonal(0.05), pl.L2(0.01))
    run = pl.improve(linear, recipe, train=(X, Y), fit={"epochs": 3}, progress=False)
    w, told = kernel(run), run.history["penalty"]
    assert told["spectral_norm"][-1] == pytest.approx(0.15 * np.linalg.svd(w)[1][0] ** 2, rel=1e-12)
    assert told["orthogonal"][-1] == pytest.approx(0.05 * ((w.T @ w - np.eye(3)) ** 2).sum(), rel=1e-12)
    np.testing.assert_allclose(run.history["loss"], run.history["data_loss"] + sum(told.values()), rtol=1e-15)
    net = run.model.keras
    assert len(net.variables) == 1
    assert net.trainable_variables[0].regularizer is None


def test_beside_a_changed_step():
    """The state of a penalty belongs to the model that is trained, which a changed step puts around the user's."""
    from pellucid.improve.base import StepRemedy

    class Still(StepRemedy):
        slot = "still"

    fit = {"epochs": 12, "batch_size": 64, "shuffle": False}
    alone, beside = (
        pl.improve(linear, pl.Recipe(pl.SpectralNorm(0.3), *more), train=(X, Y), fit=fit, progress=False)
        for more in ((), (Still(),))
    )
    np.testing.assert_allclose(kernel(beside), kernel(alone), atol=1e-6)


def test_unitary_weights_cost_nothing():
    assert pl.Orthogonal(1.0).exactly(np.linalg.qr(DRAW.normal(size=(5, 5)))[0][:, :3]) == pytest.approx(0, abs=1e-25)


def test_what_is_no_matrix_is_left_alone():
    layers = keras.layers
    net = keras.Sequential(
        [keras.Input((4,)), layers.Embedding(9, 3), layers.LSTM(2), layers.BatchNormalization(), layers.Dense(2)]
    )
    priced = [v.path.split("/")[-1] for v in net.trainable_variables if pl.Orthogonal().penalizes(v)]
    assert priced == ["kernel", "recurrent_kernel", "kernel"]
    with pytest.raises(InvalidOption, match=r"SpectralNorm\.strength"):
        pl.SpectralNorm(-0.1)


def test_the_spectral_norm_of_a_kernel_that_starts_at_zero_is_priced():
    """A matrix of zeros stretches nothing in any direction: the direction is looked for again when it is none any more."""

    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        net.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=keras.backend.backend() == "jax")
        return net

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    fit = {"epochs": 5, "batch_size": 64, "shuffle": False}
    two = [
        pl.improve(make, r, train=(x, x[:, 0]), fit=fit).model.keras.get_weights()[0]
        for r in (pl.SpectralNorm(1.0), pl.L2(0.5))
    ]
    np.testing.assert_allclose(*two, rtol=1e-5)  # of one column the norm is that of all weights: strength / 2 * |w|^2
