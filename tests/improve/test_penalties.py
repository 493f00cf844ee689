import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(64, 4)).astype("float32")
Y = X[:, 0] - X[:, 1]
RATE = 0.05
ONE_STEP = {"epochs": 1, "batch_size": 64, "shuffle": False}


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = keras.layers.Dense(5, activation="relu"), keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))


def build():
    net = Own()
    net.compile(keras.optimizers.SGD(RATE), "mse", jit_compile=keras.backend.backend() == "jax")
    return net


def arrays(model):
    return [np.asarray(w, float) for w in model.get_weights()]


def at_start(build=build):
    from pellucid.improve.run import _prepared

    return arrays(_prepared(build, pl.Recipe(), pl.Dataset(X, Y), 0))


def test_a_step_follows_both_halves():
    start = at_start()
    plain, priced = (
        arrays(pl.improve(build, r, train=(X, Y), fit=ONE_STEP, progress=False).model.keras)
        for r in (pl.Recipe(), pl.ElasticNet(l1=0.03, l2=0.2))
    )
    for before, free, paid in zip(start, plain, priced, strict=True):
        slope = 0.03 * np.sign(before) + 0.4 * before if before.ndim > 1 else 0 * before
        np.testing.assert_allclose(paid, free - RATE * slope, atol=2e-6)


def test_the_log_is_exact():
    run = pl.improve(build, pl.ElasticNet(0.03, 0.2, on="all"), train=(X, Y), fit={"epochs": 2}, progress=False)
    weights = [w.ravel() for w in arrays(run.model.keras)]
    exact = sum(0.03 * np.abs(w).sum() + 0.2 * (w**2).sum() for w in weights)
    assert run.history["penalty"]["elastic_net"][-1] == pytest.approx(exact, rel=1e-12)
    np.testing.assert_allclose(
        run.history["loss"], run.history["data_loss"] + run.history["penalty"]["elastic_net"], rtol=1e-15
    )


def test_its_halves_are_not_used_beside_it():
    for half in (pl.L1(0.1), pl.L2(0.1)):
        with pytest.raises(InvalidOption, match="of its own"):
            pl.Recipe(half, pl.ElasticNet())
    with pytest.raises(InvalidOption, match=r"ElasticNet\.l2: expected a finite number of at least 0"):
        pl.ElasticNet(0.1, -1.0)
