"""Attention frozen to uniform: against a model that takes the mean, trained from the same weights."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid as pl
from pellucid.core.model import wrap
from pellucid.errors import InvalidOption
from pellucid.training import fit, fresh
from pellucid.verify.attention.uniform import evenly

SETTINGS = {"epochs": 6, "batch_size": 32}


def build(pool=True, masked=False):
    tokens = keras.Input((6, 3))
    hidden = layers.Masking()(tokens) if masked else tokens
    pooled = (pl.layers.AttentionPooling(name="pool") if pool else layers.GlobalAveragePooling1D())(hidden)
    net = keras.Model(tokens, layers.Dense(2, name="out")(pooled))
    net.compile(keras.optimizers.SGD(0.3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return net


def data(count, flagged, wanted, seed=0):
    x = flagged(count, 6, 2, seed=seed)
    x[..., 0] *= 3
    said = x[x[..., 0] > 0][:, 1] if wanted else x[..., 1].mean(1)
    return pl.Dataset(x, (said > 0).astype(int))


@pytest.mark.parametrize("masked", [False, True])
def test_frozen_attention_trains_as_the_mean_does(flagged, masked):
    train = data(160, flagged, wanted=False)
    if masked:
        padded = np.array(train.x)
        padded[:40, 4:] = 0
        train = pl.Dataset(padded, train.y)
    frozen, mean = fresh(lambda: build(masked=masked), 3), fresh(lambda: build(pool=False, masked=masked), 3)
    mean.get_layer("out").set_weights(frozen.get_layer("out").get_weights())
    before = [np.array(w) for w in frozen.get_layer("pool").get_weights()]
    with evenly(wrap(frozen), train):
        fit(frozen, train, settings=SETTINGS, seed=3, progress=False)
        scores = wrap(frozen).scores(train.x)
    fit(mean, train, settings=SETTINGS, seed=3, progress=False)
    np.testing.assert_allclose(scores, wrap(mean).scores(train.x), atol=1e-4)
    for old, new in zip(before, frozen.get_layer("pool").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.abs(wrap(frozen).scores(train.x) - scores).max() > 1e-3, "after the block it attends as before"


def test_it_tells_whether_the_task_needs_attention(flagged):
    net = build()
    e = pl.explain(net, flagged(4, 6, 2), pl.Gradient())

    def builder():
        made = build()
        made.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return made

    for wanted, verdict in ((True, "attention is needed"), (False, "attention is not needed")):
        train, test = data(400, flagged, wanted), data(300, flagged, wanted, seed=1)
        check = pl.UniformAttention(builder, train, test, fit=SETTINGS, seeds=3, margin=0.1)
        found = pl.verify(net, e, check)[0]
        assert found.verdict == verdict, found.detail["explanation"]
        difference = found.detail["own"] - found.detail["uniform"]
        assert found.value == pytest.approx(difference.mean())
        half = 4.302652729911275 * difference.std(ddof=1) / np.sqrt(3)  # Student's t with 2 degrees of freedom
        assert tuple(found.interval) == pytest.approx((found.value - half, found.value + half))


def test_without_a_builder_it_is_not_applicable(flagged):
    net = build()
    found = pl.verify(net, pl.explain(net, flagged(4, 6, 2), pl.Gradient()), pl.UniformAttention())[0]
    assert found.verdict == "not applicable"
    assert "build" in found.detail["explanation"]
    with pytest.raises(InvalidOption, match="seeds"):
        pl.UniformAttention(seeds=1)
