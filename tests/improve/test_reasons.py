import keras
import numpy as np
import pytest

import pellucid as pl
from improve.by_hand import ONE_HOT, X, Y, check, data_loss, slopes
from pellucid.errors import InvalidInput, InvalidOption, UnsupportedLayer

BOTH = pytest.mark.parametrize("softmax", [True, False])
ALL = np.ones((64, 3))


@BOTH
def test_slopes_outside_the_cause_have_a_price(softmax):
    def loss(w):
        return data_loss(w) + 2 * (slopes(w, ALL)[:, 2:] ** 2).sum(1).mean()

    run = check(pl.RightReasons([1, 1, 0, 0], 2.0), loss, softmax)
    after = [w.astype(float) for w in run.model.keras.get_weights()]
    price = 2 * (slopes(after, ALL)[:, 2:] ** 2).sum(1).mean()
    assert run.history["penalty"]["reasons"][0] == pytest.approx(price, rel=1e-5)
    assert run.history["loss"][0] == pytest.approx(run.history["data_loss"][0] + price, rel=1e-5)


def test_each_example_has_a_mask_of_its_own():
    cause = (np.random.default_rng(2).random((64, 4)) > 0.5).astype(int)
    check(
        pl.RightReasons(cause, 3.0),
        lambda w: data_loss(w) + 3 * ((1 - cause) * slopes(w, ALL) ** 2).sum(1).mean(),
    )


def parts(w, outside):
    """Beta and gamma of the network by hand, by contextual decomposition."""
    beta, gamma = X * outside, X * (1 - outside)
    for kernel, bias in ((w[0], w[1]), (w[2], w[3])):
        beta, gamma = beta @ kernel, gamma @ kernel
        share = bias * np.abs(beta) / (np.abs(beta) + np.abs(gamma) + 1e-7)
        scores = beta + share, gamma + bias - share
        beta = np.tanh(scores[0])
        gamma = np.tanh(scores[0] + scores[1]) - beta
    return scores


@BOTH
def test_what_comes_from_outside_the_cause_has_a_price(softmax):
    outside = np.array([0, 0, 1, 1])

    def price(w):
        return 0.5 * np.abs(parts(w, outside)[0]).sum(1).mean()

    run = check(pl.RightReasons(1 - outside, 0.5, kind="cdep"), lambda w: data_loss(w) + price(w), softmax)
    after = [w.astype(float) for w in run.model.keras.get_weights()]
    assert run.history["penalty"]["reasons"][0] == pytest.approx(price(after), rel=1e-5)
    assert run.history["loss"][0] == pytest.approx(run.history["data_loss"][0] + price(after), rel=1e-5)


def test_a_layer_that_cannot_be_decomposed_is_told_before_training():
    def make():
        net = keras.Sequential([keras.Input((4,)), keras.layers.LayerNormalization(name="norm"), keras.layers.Dense(3)])
        net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
        return net

    with pytest.raises(UnsupportedLayer, match=r"'norm'.*kind=.rrr"):
        pl.improve(make, pl.RightReasons([1, 1, 0, 0], kind="cdep"), train=(X, Y), progress=False)


def test_another_remedy_may_take_slopes_beside_cdep():
    assert len(pl.Recipe(pl.RightReasons([1, 1, 0, 0], kind="cdep"), pl.InputGradientPenalty(0.1)).remedies) == 2
    with pytest.raises(InvalidOption, match="both differentiate"):
        pl.Recipe(pl.RightReasons([1, 1, 0, 0]), pl.InputGradientPenalty(0.1))


def test_a_sparse_account():
    along = (np.arange(64) + 0.5)[:, None] / 64
    other = np.roll(X, 1, axis=0)

    def loss(w):
        phi = (X - other) * slopes(w, ONE_HOT, other + along * (X - other))
        m = np.abs(phi).mean(0)
        return data_loss(w) - 0.1 * np.abs(m[:, None] - m).sum() / (2 * 4 * m.sum())

    check(pl.AttributionPrior("sparse", 0.1), loss)


def images(count, seed, shortcut=True):
    """The cause is how bright the middle is; the first row of pixels tells the label much louder, or nothing."""
    draw = np.random.default_rng(seed)
    x = draw.normal(scale=0.7, size=(count, 8, 8, 1)).astype("float32")
    y = draw.integers(0, 2, count)
    x[:, 2:6, 2:6] += 0.2 * (2 * y - 1)[:, None, None, None]
    x[:, 0, :, 0] += (2 * (y if shortcut else draw.integers(0, 2, count)) - 1)[:, None]
    return x, y


def convolutional():
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"], jit_compile=keras.backend.backend() == "jax")
    return net


def test_a_planted_shortcut_is_removed():
    cause = np.zeros((8, 8, 1))
    cause[1:7, 1:7] = 1
    train, fit = images(400, 0), {"epochs": 12, "batch_size": 32}
    elsewhere = images(1000, 1, shortcut=False)
    plain, *right = [
        (run.model.predict(elsewhere[0]).argmax(1) == elsewhere[1]).mean()
        for run in (
            pl.improve(convolutional, recipe, train=train, fit=fit, progress=False)
            for recipe in (pl.Recipe(), pl.RightReasons(cause, 10.0), pl.RightReasons(cause, 1.0, "cdep"))
        )
    ]
    assert min(right) - plain > 0.2


def test_a_smooth_account_has_smaller_jumps():
    train = images(200, 0)
    fit = {"epochs": 3, "batch_size": 32}
    plain, smooth = (
        pl.improve(convolutional, recipe, train=train, fit=fit, progress=False)
        for recipe in (pl.Recipe(), pl.AttributionPrior("smooth", 1.0))
    )

    def jumps(run):
        e = pl.explain(run.model, images(50, 3)[0], pl.GradientInput(), seed=0).values[..., 0]
        return np.abs(np.diff(e, axis=1)).sum() + np.abs(np.diff(e, axis=2)).sum()

    assert jumps(smooth) < 0.7 * jumps(plain)


def test_tokens_are_priced_at_their_embedding():
    x = np.random.default_rng(0).integers(1, 9, (64, 6)).astype("int32")
    y = (x[:, 0] > 4).astype(int)

    def make():
        layers = [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(9, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
        net = keras.Sequential(layers)
        net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
        return net

    cause = np.array([1, 1, 1, 0, 0, 0])
    run = pl.improve(make, pl.RightReasons(cause, 5.0), train=(x, y), fit={"epochs": 2}, progress=False)
    kernel = run.model.keras.get_weights()[1].astype(float).reshape(6, 4, 2)
    table = run.model.keras.get_weights()[0].astype(float)
    scores = np.einsum("btd,tdk->bk", table[x], kernel) + run.model.keras.get_weights()[2]
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    slope = np.einsum("tdk,bk->btd", kernel, 1 - 2 * p)
    price = 5 * (slope[:, 3:] ** 2).sum((1, 2)).mean()
    assert run.history["penalty"]["reasons"][-1] == pytest.approx(price, rel=1e-4)


def test_bad_masks_are_told():
    with pytest.raises(InvalidOption, match="a mask of 0 and 1"):
        pl.RightReasons([0.5, 1])
    with pytest.raises(InvalidOption, match="a mask of 0 and 1"):
        pl.RightReasons()
    with pytest.raises(InvalidInput, match=r"expected a mask for x \(64, 4\)"):
        check(pl.RightReasons(np.ones((3, 3))), data_loss)
    with pytest.raises(InvalidOption, match="one of 'rrr', 'cdep'"):
        pl.RightReasons([0, 1], kind="cd")
    with pytest.raises(InvalidInput, match="images or series"):
        check(pl.AttributionPrior("smooth"), data_loss)


def test_dropout_and_normalization_go_on_in_a_changed_step():
    """Random layers draw anew at each step, and statistics move, though the model is run inside a derivative."""

    def make():
        net = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, activation="tanh", activity_regularizer="l2"),
                keras.layers.BatchNormalization(momentum=0.98),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(3),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.SGD(0.0), loss, jit_compile=keras.backend.backend() == "jax")
        return net

    fit = {"epochs": 30, "batch_size": 64, "shuffle": False}
    found = []
    for recipe in (
        pl.Recipe(),
        pl.RightReasons([1, 1, 0, 0], 0.0),
        pl.RightReasons([1, 1, 0, 0], 0.0, "cdep"),
        pl.SharpnessAware(),
        pl.GroupDro(Y % 2),
    ):
        run = pl.improve(make, recipe, train=(X, Y), fit=fit, progress=False)
        net = run.model.keras
        hidden = np.tanh(X.astype(float) @ net.get_weights()[0])
        moved = (1 - 0.98**30) * hidden.mean(0)  # from 0, a 50th of the way 30 times
        np.testing.assert_allclose(net.layers[1].moving_mean.numpy(), moved, atol=1e-5)
        found.append(run.history["running"]["loss"])
        assert found[-1][0] != found[-1][1]
    activity = 0.01 * (np.tanh(X.astype(float) @ net.get_weights()[0]) ** 2).sum() / 64
    assert found[0][0] > activity
    np.testing.assert_allclose(np.mean(found[1]), np.mean(found[0]), rtol=0.1)  # 30 draws of each, whose spread is 0.15
