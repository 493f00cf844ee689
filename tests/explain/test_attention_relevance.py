"""Relevance and differences through the attention layers of the package: as through Keras's own with the same kernels."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.core.tensors import to_array
from pellucid.errors import UnsupportedLayer


def drawn(net, seed=3):
    generator = np.random.default_rng(seed)
    for w in net.weights:
        w.assign(generator.normal(size=w.shape) / np.sqrt(max(1, int(np.prod(w.shape[:-1])))))
    return net


def pair(causal=False):
    """Our self-attention and Keras's, with the same kernels and biases."""
    ends = keras.Input((5, 4))
    ours, theirs = pl.layers.SelfAttention(2, 3, causal=causal), layers.MultiHeadAttention(2, 3)
    out = layers.Dense(2)
    first = drawn(keras.Model(ends, out(layers.GlobalAveragePooling1D()(ours(ends)))))
    second = keras.Model(ends, out(layers.GlobalAveragePooling1D()(theirs(ends, ends, use_causal_mask=causal))))
    for name in ("query", "key", "value", "output"):
        dense = getattr(theirs, f"_{name}_dense")
        for w, own in zip(dense.weights, getattr(ours, f"{name}_projection").weights, strict=True):
            w.assign(ops.reshape(own, w.shape))
    return first, second


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "method",
    [pl.LayerRelevance(pl.Epsilon()), pl.LayerRelevance(pl.Gamma(0.3)), pl.DeepLift()],
    ids=["epsilon", "gamma", "lift"],
)
def test_self_attention_is_treated_as_that_of_keras(method, causal, generator):
    ours, theirs = pair(causal)
    x = generator.normal(size=(3, 5, 4))
    found, expected = (pl.explain(net, x, method, target=1) for net in (ours, theirs))
    np.testing.assert_allclose(found.output, expected.output, atol=1e-5)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)
    if found.gap is not None:
        np.testing.assert_allclose(found.gap, 0, atol=1e-4)


def test_a_pooling_attention_gives_weights_half(generator):
    """Scores that are all zero have no relevance, so of each product half is left: x_j w / (2 T)."""
    ends = keras.Input((5, 4))
    net = drawn(keras.Model(ends, layers.Dense(2, use_bias=False)(pl.layers.AttentionPooling(name="pool")(ends))))
    net.get_layer("pool").score_projection.kernel.assign(np.zeros((4, 1)))
    x = generator.normal(size=(3, 5, 4))
    found = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon()), target=0).values
    np.testing.assert_allclose(found, x * to_array(net.weights[-1])[:, 0] / 10, atol=1e-5)


def test_differences_through_a_pooling_attention_add_up(generator):
    ends = keras.Input((5, 4))
    net = drawn(keras.Model(ends, layers.Dense(2)(pl.layers.AttentionPooling()(ends))))
    e = pl.explain(net, generator.normal(size=(3, 5, 4)), pl.DeepLift(), target=0)
    np.testing.assert_allclose(e.gap, 0, atol=1e-4)


def test_sparse_weights_are_refused(generator):
    ends = keras.Input((5, 4))
    net = keras.Model(ends, layers.Dense(2)(layers.GlobalAveragePooling1D()(pl.layers.SparseAttention(2)(ends))))
    with pytest.raises(UnsupportedLayer, match="no softmax"):
        pl.explain(net, np.ones((1, 5, 4)), pl.LayerRelevance())


@pytest.mark.parametrize("pool", ["class", "mean", "attention"])
def test_differences_add_up_through_every_ready_transformer(pool, generator):
    text = pl.models.text_transformer(6, 12, 3, width=8, heads=2, pool=pool)
    ids = generator.integers(1, 12, (3, 6))
    ids[1, 4:] = 0
    for net, x in (
        (text, ids),
        (pl.models.tabular_transformer(5, 2, width=8, heads=2, pool=pool), generator.normal(size=(3, 5))),
    ):
        net = pl.wrap(drawn(net))
        e = pl.explain(net, x, pl.DeepLift(), target=0)
        np.testing.assert_allclose(e.gap, 0, atol=1e-3)
        assert np.isfinite(pl.explain(net, x, pl.LayerRelevance(), target=0).values).all()
