import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
START = np.array([[0.5], [-0.3], [0.2], [0.1]], "float32")
ONE_STEP = {"epochs": 1, "batch_size": 64, "shuffle": False}


def linear():
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    net.set_weights([START, np.zeros(1)])
    net.compile(keras.optimizers.SGD(1.0), "binary_crossentropy", jit_compile=keras.backend.backend() == "jax")
    return net


def changed(remedy):
    """The batch as the remedy changes it, and the step."""
    from keras import ops

    from pellucid.improve.step import Step
    from pellucid.training import fresh

    step = Step(fresh(linear), [remedy], pl.Dataset(X, Y))
    batch = step.batch({name: ops.convert_to_tensor(a) for name, a in step.given().items()})
    return remedy.change(batch, step, step.held["adversarial"]), step


def test_the_worst_input_of_a_linear_model_is_known():
    """Against the sign of w, by the radius; where the range of the data lets it."""
    w, sign = START[:, 0].astype(float), np.where(Y == 1, -1, 1)[:, None]
    worst = X + 0.05 * sign * np.sign(w)
    inside = ((worst >= X.min(0)) & (worst <= X.max(0))).all(1)
    weight = inside.astype(float)
    back = (1 / (1 + np.exp(-worst @ w)) - Y) * weight
    remedy = pl.AdversarialTraining(0.05, steps=20)
    run = pl.improve(linear, remedy, train=(X, Y), fit=ONE_STEP | {"sample_weight": weight}, progress=False)
    np.testing.assert_allclose(START - run.model.keras.get_weights()[0], worst.T @ back[:, None] / 64, atol=2e-4)


def test_a_change_within_a_length_goes_against_the_weights():
    """The usual steps, 2.5 radii in all, turn a random start to within some degrees of the worst direction."""
    from keras import ops

    w, sign = START[:, 0].astype(float), np.where(Y == 1, -1, 1)
    batch, _ = changed(pl.AdversarialTraining(0.05, "2", steps=20))
    moved = ops.convert_to_numpy(batch.x).astype(float) - X
    inside = (np.abs(X) + 0.05 < np.minimum(X.max(0), -X.min(0))).all(1)
    assert np.linalg.norm(moved, axis=1).max() < 0.05 + 1e-6
    along = sign * (moved @ w) / np.linalg.norm(w) / 0.05
    assert along[inside].min() > 0.9
    assert along[inside].mean() > 0.98


def test_divergence_from_the_worst_neighbour():
    w, radius = START[:, 0].astype(float), 0.05
    p = 1 / (1 + np.exp(-X.astype(float) @ w))
    both = []
    for sign in (-1, 1):
        q = 1 / (1 + np.exp(-(X + sign * radius * np.sign(w)) @ w))
        both.append(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    from keras import ops

    remedy = pl.AdversarialTraining(radius, kind="trades", steps=20, strength=2.0)
    batch, step = changed(remedy)
    price = ops.convert_to_numpy(remedy.term(batch, step.run(batch.x), step))
    inside = (np.abs(X) + radius < np.minimum(X.max(0), -X.min(0))).all(1)
    assert inside.sum() > 20
    np.testing.assert_allclose(price[inside], 2 * np.maximum(*both)[inside], rtol=0.1)


def test_it_holds_against_an_attack():
    draw = np.random.default_rng(1)
    x = draw.normal(size=(600, 20)).astype("float32")
    y = draw.integers(0, 2, 600)
    x[:, 0] = x[:, 0] * 0.3 + 2.0 * (2 * y - 1)  # one strong column, and many weak ones
    x[:, 1:] += 0.25 * (2 * y - 1)[:, None]

    def make():
        net = keras.Sequential([keras.Input((20,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(0.01), loss, jit_compile=keras.backend.backend() == "jax")
        return net

    held = []
    for recipe in (pl.Recipe(), pl.AdversarialTraining(0.5, steps=3)):
        run = pl.improve(make, recipe, train=(x[:400], y[:400]), fit={"epochs": 15}, progress=False)
        attack = pl.AdversarialRobustness(0.5, steps=10, restarts=1)
        (found,) = pl.measure(run.model, [attack], train=(x[:400], y[:400]), test=(x[400:], y[400:]), seed=0)
        held.append(found.value)
    assert held[1] > held[0]


def regular():
    """A model with a price of its own on what a layer puts out, and statistics of what it sees."""
    priced = keras.layers.Dense(8, activation="tanh", activity_regularizer=keras.regularizers.L1(0.05))
    net = keras.Sequential([keras.Input((4,)), priced, keras.layers.BatchNormalization(), keras.layers.Dense(2)])
    draw = np.random.default_rng(3)
    net.set_weights([draw.normal(size=w.shape) ** 2 for w in net.get_weights()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(0.1), loss, jit_compile=keras.backend.backend() == "jax")
    return net


@pytest.mark.parametrize(
    "recipe",
    [
        pl.AdversarialTraining(1e-9, steps=3),
        pl.AdversarialTraining(1e-9, steps=3, kind="trades", strength=0.0),
        pl.Recipe(pl.AdversarialTraining(1e-9, steps=2, kind="trades", strength=0.0), pl.InputGradientPenalty(0.0)),
        pl.AttributionPrior("sparse", strength=0.0),
        pl.Recipe(pl.AttributionPrior("sparse", strength=0.0), pl.SharpnessAware(1e-9)),
    ],
    ids=lambda r: str(r)[:60],
)
def test_what_is_tried_beside_the_step_is_charged_nothing(recipe):
    """With next to no strength a recipe trains as none does: layers charge for the run that is learnt from, once."""
    fit = {"epochs": 3, "batch_size": 32, "shuffle": False}
    plain, run = (pl.improve(regular, r, train=(X, Y), fit=fit, progress=False) for r in (pl.Recipe(), recipe))
    np.testing.assert_allclose(run.history["running"]["loss"], plain.history["running"]["loss"], rtol=1e-5)
    for mine, its in zip(run.model.keras.get_weights(), plain.model.keras.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)


def test_tokens_have_no_neighbourhood():
    def make():
        net = keras.Sequential(
            [
                keras.Input((4,), dtype="int32"),
                keras.layers.Embedding(9, 2),
                keras.layers.Flatten(),
                keras.layers.Dense(2),
            ]
        )
        net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
        return net

    x = DRAW.integers(0, 9, (64, 4)).astype("int32")
    with pytest.raises(NotApplicable, match="tokens"):
        pl.improve(make, pl.AdversarialTraining(0.1), train=(x, Y), fit={"epochs": 1}, progress=False)


def test_bad_options_are_told():
    with pytest.raises(InvalidOption, match="norm"):
        pl.AdversarialTraining(0.1, norm="1")
    with pytest.raises(InvalidOption, match="steps"):
        pl.AdversarialTraining(0.1, steps=0)
