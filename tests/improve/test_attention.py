"""Prices on attention: what they come to, that they teach what they say, and that nothing of them stays."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.training import fresh

T, VOCABULARY = 8, 12


def sentences(count=256, seed=0):
    """The label is told twice: by token 1 or 2 at one place, and by token 3 or 4 at another; marks are on the first."""
    draw = np.random.default_rng(seed)
    x = draw.integers(5, VOCABULARY, (count, T)).astype("int32")
    y = draw.integers(0, 2, count)
    places = np.argsort(draw.random((count, T)), axis=1)[:, :2]
    rows = np.arange(count)
    x[rows, places[:, 0]], x[rows, places[:, 1]] = 1 + y, 3 + y
    marks = np.zeros((count, T))
    marks[rows, places[:, 0]] = 1
    return x, y, marks, places


def build(pool="attention", name=None):
    def make():
        tokens = keras.Input((T,), dtype="int32", name=name)
        h = layers.Embedding(VOCABULARY, 16)(tokens)
        if pool == "attention":
            h = pl.layers.AttentionPooling(name="pool")(h)
        else:
            h = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 8, name="heads")(h, h))
        net = keras.Model(tokens, layers.Dense(2)(h))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
        return net

    return make


def weights(run, x):
    return pl.attention(run.model, x)[-1].astype(float).mean((1, 2))


def test_supervision_moves_attention_to_the_marks_and_costs_no_accuracy_here():
    x, y, marks, _ = sentences()
    unseen, _, _, where = sentences(seed=1)
    rows = np.arange(len(unseen))
    plain, taught = (
        pl.improve(build(), recipe, train=(x, y), fit={"epochs": 12}, seed=0)
        for recipe in (pl.Recipe(), pl.AttentionSupervision(marks, strength=0.5))
    )
    assert plain.history["accuracy"][-1] > 0.95
    assert taught.history["accuracy"][-1] > 0.95
    assert weights(taught, unseen)[rows, where[:, 0]].mean() > 0.8
    assert weights(plain, unseen)[rows, where[:, 0]].mean() < 0.7


@pytest.mark.parametrize("pool", ["attention", "mean"])
def test_the_price_in_the_log_is_that_of_the_weights_that_are_read(pool):
    x, y, marks, _ = sentences(64)
    marks[:5] = 0
    recipe = pl.Recipe(pl.AttentionSupervision(marks, 0.3), pl.AttentionEntropy(0.2), pl.L2(0.01))
    run = pl.improve(build(pool), recipe, train=(x, y), fit={"epochs": 2}, seed=1)
    found = pl.attention(run.model, x)[-1].astype(float)
    attended = found.mean((1, 2))
    supervised = -0.3 * (marks * np.log(attended + 1e-8)).sum(1).mean()
    entropy = -0.2 * (found * np.log(found + 1e-8)).sum(-1).mean()
    penalty = run.history["penalty"]
    np.testing.assert_allclose(penalty["attention_supervision"][-1], supervised, rtol=1e-5)
    np.testing.assert_allclose(penalty["attention_entropy"][-1], entropy, rtol=1e-5)
    scores = run.model.scores(x).astype(float)
    data_loss = (np.log(np.exp(scores).sum(1)) - scores[np.arange(64), y]).mean()
    np.testing.assert_allclose(run.history["data_loss"][-1], data_loss, rtol=1e-5)
    total = data_loss + sum(p[-1] for p in penalty.values())
    np.testing.assert_allclose(run.history["loss"][-1], total, rtol=1e-5)


def test_a_step_of_training_goes_down_the_price():
    """One step of plain descent with and without the price, against differences of the price by hand."""
    x, y, marks, _ = sentences(16)

    def slow():
        net = build()()
        net.compile(keras.optimizers.SGD(0.1), net.loss)
        return net

    once = {"epochs": 1, "batch_size": 16}
    recipes = (pl.Recipe(), pl.AttentionSupervision(marks, 2.0))
    plain, taught = (pl.improve(slow, r, train=(x, y), fit=once, seed=0).model.keras for r in recipes)
    net = fresh(slow, 0)
    at = next(i for i, w in enumerate(net.weights) if "pool" in w.path and len(w.shape) == 2)
    start = net.get_weights()[at]

    def price(change):
        net.weights[at].assign(start + change)
        a = pl.attention(net, x)[0].astype(float).mean((1, 2))
        return -2 * (marks * np.log(a + 1e-8)).sum(1).mean()

    moved = (taught.get_weights()[at] - plain.get_weights()[at]) / -0.1
    entries = list(np.ndindex(start.shape))[:: start.size // 12]
    steps = [np.where(np.indices(start.shape).transpose(1, 2, 0) == e, 0.02, 0).prod(-1) ** 0.5 for e in entries]
    expected = [(price(step) - price(-step)) / (2 * step.max()) for step in steps]
    np.testing.assert_allclose([moved[e] for e in entries], expected, atol=0.01 * np.abs(expected).max())


def test_entropy_sharpens_and_below_zero_spreads():
    x, y, _, _ = sentences()
    entropy = {}
    for strength in (-0.3, 0.0, 0.3):
        run = pl.improve(build(), pl.AttentionEntropy(strength), train=(x, y), fit={"epochs": 8}, seed=0)
        a = weights(run, x)
        entropy[strength] = -(a * np.log(a + 1e-12)).sum(1).mean()
    assert entropy[0.3] < entropy[0.0] < entropy[-0.3]
    assert entropy[-0.3] > 0.9 * np.log(T)


def test_the_model_that_comes_back_is_the_builders_own():
    x, y, marks, _ = sentences(64)
    run = pl.improve(build(name="words"), pl.AttentionSupervision(marks), train=(x, y), fit={"epochs": 1}, seed=0)
    net = run.model.keras
    assert net.input_shape == (None, T)
    assert not net.losses
    before = net.get_weights()
    log = net.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(log["loss"], run.history["data_loss"][-1], rtol=1e-5)
    net.fit(x, y, epochs=1, verbose=0)
    assert any(np.abs(a - b).max() > 0 for a, b in zip(before, net.get_weights(), strict=True))


def test_a_penalty_of_the_models_own_is_back_in_its_loss_afterwards():
    x, y, _, _ = sentences(64)

    def make():
        net = build()()
        net.layers[-1].kernel.regularizer = keras.regularizers.L2(0.5)
        return net

    run = pl.improve(make, pl.AttentionEntropy(0.1), train=(x, y), fit={"epochs": 1}, seed=0)
    net = run.model.keras
    own = 0.5 * (net.get_weights()[-2].astype(float) ** 2).sum()
    np.testing.assert_allclose(run.history["penalty"]["own"][-1], own, rtol=1e-5)
    loss = net.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(loss, run.history["data_loss"][-1] + own, rtol=1e-5)


def test_the_log_is_the_same_however_little_memory_there_is(monkeypatch):
    x, y, marks, _ = sentences(67)
    recipe = pl.Recipe(pl.AttentionSupervision(marks, 0.3), pl.AttentionEntropy(0.2))
    whole = pl.improve(build("mean"), recipe, train=(x, y), fit={"epochs": 1}, seed=0).history
    monkeypatch.setattr("pellucid.core.chunks.COMFORTABLE", 30_000)
    parts = pl.improve(build("mean"), recipe, train=(x, y), fit={"epochs": 1}, seed=0).history
    for name, values in whole["penalty"].items():
        np.testing.assert_allclose(parts["penalty"][name], values, rtol=1e-6)


def test_several_inputs_are_handed_on_by_name():
    x, y, marks, _ = sentences(64)

    def make():
        tokens, number = keras.Input((T,), dtype="int32", name="tokens"), keras.Input((1,), name="number")
        h = pl.layers.AttentionPooling()(layers.Embedding(VOCABULARY, 8)(tokens))
        net = keras.Model({"tokens": tokens, "number": number}, layers.Dense(2)(layers.Concatenate()([h, number])))
        net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return net

    data = pl.Dataset({"tokens": x, "number": np.ones((64, 1), "float32")}, y)
    more, labels, _, _ = sentences(64, seed=1)
    held = pl.Dataset({"tokens": more, "number": np.ones((64, 1), "float32")}, labels)
    run = pl.improve(make, pl.AttentionSupervision(marks), train=data, validation=held, fit={"epochs": 2}, seed=0)
    assert run.history["val_loss"].shape == (2,)


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        (np.ones((4, T)), "64 training examples, got 4"),
        (np.ones((64, T - 3)), "8 positions"),
        (np.ones((64, T + 1)), "8 positions"),
    ],
)
def test_marks_that_do_not_fit_are_told(marks, told):
    x, y, _, _ = sentences(64)
    with pytest.raises(InvalidInput, match=told):
        pl.improve(build(), pl.AttentionSupervision(marks), train=(x, y), fit={"epochs": 1})


def test_bad_options_are_told():
    with pytest.raises(InvalidOption, match="rationales"):
        pl.AttentionSupervision(np.full((2, 3), -1))
    with pytest.raises(InvalidOption, match="strength"):
        pl.AttentionEntropy(float("nan"))
    x, y, _, _ = sentences(32)
    with pytest.raises(InvalidOption, match="pool"):
        pl.improve(build(), pl.AttentionEntropy(layer="polo"), train=(x, y), fit={"epochs": 1})


def test_a_model_without_attention_is_told():
    def plain():
        net = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
        net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return net

    with pytest.raises(InvalidInput, match="no attention"):
        pl.improve(plain, pl.AttentionEntropy(), train=(np.ones((8, 3), "float32"), np.arange(8) % 2))
