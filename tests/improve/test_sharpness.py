import keras
import numpy as np
import pytest

import pellucid as pl
from improve.by_hand import ONE_HOT, WEIGHTS, gradient, logs, step_of
from pellucid.errors import InvalidOption

W = [w.astype(float) for w in WEIGHTS]


def loss(w):
    return -(ONE_HOT * logs(w)).sum(1).mean()


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_step_is_the_gradient_at_the_worst_weights(adaptive):
    slopes = gradient(loss, W)
    scales = [np.abs(w) + 0.01 if adaptive and w.ndim > 1 else np.ones_like(w) for w in W]
    length = np.sqrt(sum(((s * g) ** 2).sum() for s, g in zip(scales, slopes, strict=True)))
    worst = [w + 0.3 * s * s * g / length for w, s, g in zip(W, scales, slopes, strict=True)]
    found, _ = step_of(pl.SharpnessAware(0.3, adaptive))
    for mine, there in zip(found, gradient(loss, worst), strict=True):
        np.testing.assert_allclose(mine, there, atol=3e-7)


def test_penalties_stay_where_the_weights_are():
    plain, _ = step_of(pl.SharpnessAware(0.3))
    priced, _ = step_of(pl.Recipe(pl.SharpnessAware(0.3), pl.L2(0.1)))
    for w, one, two in zip(W, plain, priced, strict=True):
        np.testing.assert_allclose(two - one, 0.2 * w if w.ndim > 1 else 0 * w, atol=1e-6)


@pytest.mark.slow
def test_it_lowers_the_measured_sharpness():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")

    def make():
        layers = [keras.Input((64,)), keras.layers.Dense(32, activation="tanh"), keras.layers.Dense(10)]
        net = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, jit_compile=False)
        return net

    tops = []
    for recipe in (pl.Recipe(), pl.SharpnessAware(0.2)):
        run = pl.improve(make, recipe, train=(x[:1000], y[:1000]), fit={"epochs": 15}, progress=False)
        (found,) = pl.measure(run.model, [pl.Curvature(top=1)], train=(x[:1000], y[:1000]), seed=0)
        tops.append(found.value)
    assert tops[1] < 0.8 * tops[0]


def test_bad_options_are_told():
    with pytest.raises(InvalidOption, match="rho"):
        pl.SharpnessAware(0)
