import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.penalties import is_kernel
from pellucid.improve.run import _prepared

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(32, 4)).astype("float32")
Y = X[:, 0]
SHARES = np.array([1.0, -2.0], "float32")
START = [DRAW.normal(size=(4, 2)).astype("float32"), np.array([0.3, -0.2], "float32")]
RATE, SHARE = 0.1, 0.2


def loss(y, outputs):
    gaps = outputs - keras.ops.reshape(y, (-1, 1)) * keras.ops.convert_to_tensor(SHARES)
    return keras.ops.sum(keras.ops.square(gaps), axis=-1) / 2


def builder(optimizer, made=None):
    def build():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        net.set_weights(START)
        own = optimizer()
        if made is not None:
            made.append(own)
        net.compile(own, loss, jit_compile=keras.backend.backend() == "jax")
        return net

    return build


def trained(optimizer, steps, on="kernels"):
    fit = {"epochs": steps, "batch_size": 32, "shuffle": False}
    run = pl.improve(builder(optimizer), pl.WeightDecay(SHARE, on=on), train=(X, Y), fit=fit, progress=False)
    return [np.asarray(w, float) for w in run.model.keras.get_weights()]


def slopes(weights):
    x, y = X.astype(float), Y.astype(float)
    rest = (x @ weights[0] + weights[1] - y[:, None] * SHARES) / len(y)
    return [x.T @ rest, rest.sum(0)]


def by_hand(step, rates, on="kernels"):
    """Decay first, then the optimizer's step by the gradient at the weights before: Loshchilov and Hutter's order."""
    weights = [w.astype(float) for w in START]
    for t, rate in enumerate(rates, 1):
        found = slopes(weights)
        for i, w in enumerate(weights):
            share = SHARE if on == "all" or w.ndim > 1 else 0.0
            weights[i] = w - rate * share * w - step(i, t, rate, found[i])
    return weights


def sgd(i, t, rate, slope):
    return rate * slope


class Adam:
    def __init__(self):
        self.m, self.v = [0.0, 0.0], [0.0, 0.0]

    def __call__(self, i, t, rate, slope):
        self.m[i] = 0.9 * self.m[i] + 0.1 * slope
        self.v[i] = 0.999 * self.v[i] + 0.001 * slope**2
        one, two = (1 - float(np.float32(beta)) ** t for beta in (0.9, 0.999))  # Keras takes the powers of float32
        return rate * (self.m[i] / one) / (np.sqrt(self.v[i] / two) + 1e-12)


@pytest.mark.parametrize("on", ["kernels", "all"])
@pytest.mark.parametrize(
    ("optimizer", "step"),
    [
        (lambda: keras.optimizers.SGD(RATE), lambda: sgd),
        (lambda: keras.optimizers.Adam(RATE, epsilon=1e-12), Adam),
    ],
)
@pytest.mark.parametrize("steps", [1, 5])
def test_steps_match_numpy(optimizer, step, steps, on):
    expected = by_hand(step(), [RATE] * steps, on)
    for one, two in zip(trained(optimizer, steps, on), expected, strict=True):
        np.testing.assert_allclose(one, two, atol=2e-6)


def test_it_follows_the_schedule_of_the_learning_rate():
    def scheduled():
        return keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [0.2, 0.1, 0.01]))

    expected = by_hand(sgd, [0.2, 0.2, 0.1, 0.1, 0.01])
    np.testing.assert_allclose(trained(scheduled, 5)[0], expected[0], atol=2e-6)


def test_the_users_optimizer_is_not_changed():
    made = []
    run = pl.improve(
        builder(lambda: keras.optimizers.Adam(0.02, beta_1=0.8, clipnorm=3.0), made),
        pl.WeightDecay(SHARE), train=(X, Y), fit={"epochs": 1}, progress=False,
    )  # fmt: skip
    used = run.model.keras.optimizer
    assert used is not made[0]
    assert not made[0].weight_decay
    assert not made[0].built
    assert (used.beta_1, used.clipnorm, used.weight_decay) == (0.8, 3.0, SHARE)
    assert "weight_decay" not in run.history["penalty"]


def test_a_subclassed_model_and_a_name_for_the_optimizer():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm, self.last = keras.layers.LayerNormalization(), keras.layers.Dense(2)

        def call(self, x):
            return self.last(self.norm(x))

    def build():
        net = Own()
        net.compile("sgd", loss, jit_compile=keras.backend.backend() == "jax")
        return net

    fit = {"epochs": 1, "batch_size": 32}
    plain, decayed = (
        pl.improve(build, r, train=(X, Y), fit=fit, progress=False).model.keras
        for r in (pl.Recipe(), pl.WeightDecay(SHARE))
    )
    start = _prepared(build, pl.Recipe(), pl.Dataset(X, Y), 0)
    for before, free, less in zip(start.get_weights(), plain.get_weights(), decayed.get_weights(), strict=True):
        expected = free - 0.01 * SHARE * before if before.ndim > 1 else free
        np.testing.assert_allclose(less, expected, atol=1e-6)


def test_beside_what_changes_the_optimizer_or_the_weights():
    for other in (pl.WeightAveraging(over="steps", momentum=0.9), pl.BatchEnsemble(2)):
        recipe = pl.Recipe(other, pl.WeightDecay(SHARE))
        build = builder(lambda: keras.optimizers.Adam(0.02))
        net = _prepared(build, recipe, pl.Dataset(X, Y), 0)
        assert net.optimizer.weight_decay == SHARE
        assert net.optimizer.use_ema == isinstance(other, pl.WeightAveraging)
        for variable in net.trainable_variables:
            assert net.optimizer._use_weight_decay(variable) == is_kernel(variable)


def test_what_decays_already_is_refused():
    with pytest.raises(NotApplicable, match=r"AdamW already has weight_decay=0.004"):
        pl.improve(builder(keras.optimizers.AdamW), pl.WeightDecay(0.1), train=(X, Y), fit={"epochs": 1})
    for other in (pl.L2(0.1), pl.ElasticNet()):
        with pytest.raises(InvalidOption, match="towards zero"):
            pl.Recipe(other, pl.WeightDecay(0.1))


def test_an_optimizer_that_cannot_be_copied_is_named():
    class Own(keras.optimizers.SGD):
        def __init__(self, partner):
            super().__init__(0.1)

    with pytest.raises(NotApplicable, match="Own cannot be copied"):
        pl.improve(builder(lambda: Own(1)), pl.WeightDecay(0.1), train=(X, Y), fit={"epochs": 1})
