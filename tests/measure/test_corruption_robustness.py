import numpy as np
import pytest

import pellucid as pl


def sign(x):
    return np.hstack([-x[:, :1], x[:, :1]])


X = np.random.default_rng(0).normal(size=(4000, 2))
Y = (X[:, 0] > 0).astype(int)


def test_drop_of_a_threshold_under_noise_is_the_known_angle():
    """A normal input crosses zero under noise of s deviations with probability arctan(s) / pi."""
    (found,) = pl.measure(pl.wrap(sign), pl.CorruptionRobustness("noise"), test=(X, Y))
    part = found.detail["corruptions"]["noise"]
    truth = np.arctan([0.1, 0.2, 0.3, 0.5, 1.0]) / np.pi
    np.testing.assert_allclose(part["drop"], truth, atol=4 * (0.25 / 4000) ** 0.5)
    assert ((part["low"] < truth) & (truth < part["high"])).sum() >= 4
    assert found.value == pytest.approx(part["drop"].mean())
    assert found.verdict == "fragile"


def test_regression_drop_is_the_added_variance():
    """R2 of f = x on y = x falls by the square of the noise in deviations."""
    (found,) = pl.measure(
        pl.wrap(lambda x: x[:, :1], output="value"), pl.CorruptionRobustness("noise"), test=(X, X[:, 0])
    )
    np.testing.assert_allclose(
        found.detail["corruptions"]["noise"]["drop"], np.square([0.1, 0.2, 0.3, 0.5, 1.0]), rtol=0.15
    )


def test_a_model_that_ignores_its_input_is_robust():
    model = pl.wrap(lambda x: np.tile([0.0, 1.0], (len(x), 1)), output="logits")
    (found,) = pl.measure(model, pl.CorruptionRobustness(), test=(X, Y))
    assert (found.value, found.verdict) == (0, "robust")
    assert found.interval.high > 0


def test_kinds_without_corruptions_and_own_ones():
    data = pl.Dataset(X[:, :, None], Y, kind="sequence")
    model = pl.wrap(lambda x: sign(x[:, :, 0]))
    assert pl.measure(model, pl.CorruptionRobustness(), test=data)[0].verdict == "not applicable"
    (found,) = pl.measure(model, pl.CorruptionRobustness({"flip": lambda x, s, g, r: -x}), test=data)
    assert found.value == 1
    with pytest.raises(pl.errors.InvalidOption, match="noise, missing"):
        pl.measure(pl.wrap(sign), pl.CorruptionRobustness("rain"), test=(X, Y))
