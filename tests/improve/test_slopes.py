import keras
import numpy as np
import pytest

import pellucid as pl
from improve.by_hand import ONE_HOT, WEIGHTS, X, Y, build, check, data_loss, slopes
from pellucid.errors import InvalidInput, InvalidOption, UnknownName

BOTH = pytest.mark.parametrize("softmax", [True, False])
W = [w.astype(float) for w in WEIGHTS]


@BOTH
def test_the_slope_of_the_loss(softmax):
    run = check(
        pl.InputGradientPenalty(0.5), lambda w: data_loss(w) + 0.5 * (slopes(w, ONE_HOT) ** 2).sum(1).mean(), softmax
    )
    after = [w.astype(float) for w in run.model.keras.get_weights()]
    assert run.history["penalty"]["input_gradient"][0] == pytest.approx(
        0.5 * (slopes(after, ONE_HOT) ** 2).sum(1).mean(), rel=1e-5
    )


def test_the_whole_jacobian_on_average():
    """K |v J|^2 with v on the sphere has the mean |J|^2: the step over many draws goes down the exact price."""
    from pellucid.improve.step import Step
    from pellucid.training import fresh

    rows = np.repeat(np.arange(64), 200)
    step = Step(fresh(build()), [pl.JacobianPenalty(2.0)], pl.Dataset(X[rows], Y[rows]))
    from keras import ops

    given = {name: ops.convert_to_tensor(a) for name, a in step.given().items()}
    batch = step.remedies[0].change(step.batch(given), step, step.held["jacobian"])
    drawn = np.asarray(ops.convert_to_numpy(step.terms(batch, step.seen(batch))["jacobian"])).reshape(64, 200)
    exact = sum((slopes(W, np.tile(np.eye(3)[k], (64, 1))) ** 2).sum(1) for k in range(3))
    error = drawn.std(1, ddof=1) / np.sqrt(200)
    assert np.mean(np.abs(drawn.mean(1) - exact) < 2 * error) > 0.85
    assert drawn.mean() == pytest.approx(exact.mean(), rel=0.02)


def test_the_log_of_the_jacobian_asks_one_class_after_the_other():
    run = pl.improve(
        build(rate=0.0),
        pl.JacobianPenalty(2.0),
        train=(X, (X[:, 0] > 0).astype(int)),
        fit={"epochs": 1, "batch_size": 64},
        progress=False,
    )
    turn = np.eye(3)[np.arange(64) % 3]
    assert run.history["penalty"]["jacobian"][0] == pytest.approx(3 * (slopes(W, turn) ** 2).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize(("order", "size"), [(1, np.abs), (2, np.square)])
def test_what_hidden_units_put_out(order, size):
    def loss(w):
        return data_loss(w) + 0.1 * size(np.tanh(X @ w[0] + w[1])).sum(1).mean()

    check(pl.ActivityPenalty(0.1, order), loss)


def test_bad_options_are_told():
    with pytest.raises(InvalidOption, match="order"):
        pl.ActivityPenalty(0.1, 3)
    with pytest.raises(UnknownName, match="no layer named"):
        check(pl.ActivityPenalty(0.1, layer="nowhere"), data_loss)
    with pytest.raises(InvalidOption, match="both differentiate the model by its inputs"):
        pl.Recipe(pl.InputGradientPenalty(), pl.JacobianPenalty())


@pytest.mark.parametrize(
    "remedy", [pl.InputGradientPenalty(0.1), pl.JacobianPenalty(0.1), pl.RightReasons([1, 1, 0, 0])]
)
@pytest.mark.parametrize(("given", "taken"), [("uint8", "float32"), ("int32", "int32"), ("float32", "int32")])
def test_whole_numbers_have_no_slope(remedy, given, taken):
    """Nor have real numbers that the model casts to whole ones: their price would be 0."""

    def make():
        layers = [keras.Input((4,), dtype=taken), keras.layers.Rescaling(0.1), keras.layers.Dense(1)]
        net = keras.Sequential(layers)
        net.compile("sgd", "mse")
        return net

    with pytest.raises(InvalidInput, match=f"got {given} for a model that takes {taken}; convert"):
        pl.improve(make, remedy, train=(np.abs(9 * X).astype(given), X[:, 0]), progress=False)
