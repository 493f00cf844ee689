"""Relevance and differences through normalizations, softmax and attention: dense multipliers in float64, and sums that add up."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import UnsupportedLayer


def filled(net, seed=0):
    draw = np.random.default_rng(seed)
    for v in net.weights:
        v.assign(draw.normal(0, 0.5, v.shape) + (1 if "gamma" in v.path or v.path.endswith("scale") else 0))
    return net


def ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=np.abs(b) > 1e-12)


def through_normalization(x, b, gamma, beta, eps, centred, m):
    """Contributions of x (D,) from b, for multipliers m (D,) of the normalization's outputs."""
    c, c0 = (v - v.mean() if centred else v for v in (x, b))
    v, v0 = (c**2).mean(), (c0**2).mean()
    s, s0 = 1 / np.sqrt(v + eps), 1 / np.sqrt(v0 + eps)
    weighted = m * gamma
    to_spread = (weighted * (c + c0) / 2).sum() * (s - s0) / (v - v0)
    to_centre = weighted * (s + s0) / 2 + to_spread * (c + c0) / len(x)
    return (x - b) * (to_centre - to_centre.mean() if centred else to_centre)


@pytest.mark.parametrize("kind", ["layer", "root_mean_square"])
def test_a_normalization_is_a_chain_of_squares_their_mean_its_root_and_a_product(kind):
    centred = kind == "layer"
    norm = layers.LayerNormalization(epsilon=1e-3) if centred else layers.RMSNormalization(epsilon=1e-3)
    net = filled(keras.Sequential([keras.Input((6,)), norm, layers.Dense(3)]))
    draw = np.random.default_rng(1)
    x, start = draw.normal(size=(5, 6)), draw.normal(size=6)
    e = pl.explain(net, x, pl.DeepLift(baseline=start), target=1)
    gamma, beta = (
        np.asarray(w, float) for w in (norm.get_weights() if centred else [*norm.get_weights(), np.zeros(6)])
    )
    m = np.asarray(net.layers[-1].get_weights()[0], float)[:, 1]
    expected = [through_normalization(row, start, gamma, beta, 1e-3, centred, m) for row in x]
    np.testing.assert_allclose(e.values, expected, atol=1e-5 * np.abs(expected).max())
    assert e.gap.max() < 1e-5


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling")  # Keras keeps it for old models
def test_scaling_by_the_spread_without_centring_is_the_same_chain():
    norm = layers.LayerNormalization(epsilon=1e-3, rms_scaling=True)
    net = filled(keras.Sequential([keras.Input((6,)), norm, layers.Dense(3)]))
    draw = np.random.default_rng(1)
    x, b = draw.normal(size=(5, 6)), draw.normal(size=6)
    e = pl.explain(net, x, pl.DeepLift(baseline=b), target=1)
    m = np.asarray(net.layers[-1].get_weights()[0], float)[:, 1] * np.asarray(norm.gamma, float)
    v, v0 = x.var(1), b.var()
    s, s0 = 1 / np.sqrt(v + 1e-3), 1 / np.sqrt(v0 + 1e-3)
    spread = (m * (x + b) / 2).sum(1) * (s - s0) / (v - v0)
    away = x - x.mean(1, keepdims=True) + b - b.mean()
    expected = (x - b) * (m * (s + s0)[:, None] / 2 + spread[:, None] * away / 6)
    np.testing.assert_allclose(e.values, expected, atol=1e-5 * np.abs(expected).max())
    assert e.gap.max() < 1e-5


def through_softmax(x, b, m):
    """Contributions of scores x (D,) from b, for multipliers m (D,) of the probabilities."""
    level, level0 = (np.log(np.exp(v).sum()) for v in (x, b))
    p, p0 = np.exp(x - level), np.exp(b - level0)
    inside = m * ratio(p - p0, (x - level) - (b - level0))
    slope = (level - level0) / (np.exp(x).sum() - np.exp(b).sum())
    return (x - b) * (inside - inside.sum() * slope * ratio(np.exp(x) - np.exp(b), x - b))


@pytest.mark.parametrize("make", [lambda: layers.Softmax(), lambda: layers.Activation("softmax"), lambda: ops.softmax])
def test_a_softmax_is_a_chain_of_exponentials_their_sum_and_its_logarithm(make):
    inputs = keras.Input((5,))
    net = filled(keras.Model(inputs, layers.Dense(2)(make()(inputs))))
    draw = np.random.default_rng(2)
    x, start = draw.normal(size=(4, 5)), draw.normal(size=5)
    e = pl.explain(net, x, pl.DeepLift(baseline=start), target=0)
    m = np.asarray(net.layers[-1].get_weights()[0], float)[:, 0]
    expected = [through_softmax(row, start, m) for row in x]
    np.testing.assert_allclose(e.values, expected, atol=1e-5 * np.abs(expected).max())
    assert e.gap.max() < 1e-6


@pytest.mark.parametrize(
    "make", [lambda: layers.Activation("log_softmax"), lambda: ops.log_softmax, lambda: layers.Dense(3, "log_softmax")]
)
def test_the_logarithm_of_a_softmax_adds_up(make):
    inputs = keras.Input((5,))
    net = filled(keras.Model(inputs, make()(layers.Dense(4)(inputs))))
    draw = np.random.default_rng(2)
    e = pl.explain(net, draw.normal(size=(4, 5)), pl.DeepLift(baseline=draw.normal(size=5)), target=0)
    assert e.gap.max() < 1e-6
    assert np.abs(e.output - e.baseline_output).min() > 1e-2


def test_a_softmax_of_scores_far_apart_overflows_nowhere():
    net = filled(keras.Sequential([keras.Input((4,)), layers.Softmax(), layers.Dense(2)]))
    x = np.array([[900.0, -900, 0, 1], [-1e4, -1e4, -1e4, -1e4 + 2], [0, 0, 0, 0]])
    e = pl.explain(net, x, pl.DeepLift(baseline=np.array([0.0, 200, 3, 1])), target=0)
    assert np.isfinite(e.values).all()
    assert e.gap.max() < 1e-3


ATTENTIONS = {
    "group": lambda x: layers.GroupNormalization(2)(x),
    "heads": lambda x: layers.MultiHeadAttention(2, 3)(x, x),
    "causal": lambda x: layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
    "grouped": lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x),
    "dot": lambda x: layers.Attention(use_scale=True)([x, layers.Dense(4)(x)]),
    "concat": lambda x: layers.Attention(score_mode="concat")([x, layers.Dense(4)(x), x]),
    "additive": lambda x: layers.AdditiveAttention()([x, layers.Dense(4)(x)]),
    "one_query": lambda x: layers.Attention()([x[:, :1], x], use_causal_mask=False),
}


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_differences_add_up_through_attention(kind):
    inputs = keras.Input((5, 4))
    net = filled(keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(ATTENTIONS[kind](inputs)))))
    draw = np.random.default_rng(3)
    e = pl.explain(net, draw.normal(size=(4, 5, 4)), pl.DeepLift(baseline=draw.normal(size=(5, 4))), target=1)
    assert e.gap.max() < 1e-5
    assert np.abs(e.output - e.baseline_output).max() > 1e-2


def block():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 8, mask_zero=True)(tokens)
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)]))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(8)(layers.Dense(16, "gelu")(x))]))
    x = layers.Add()([layers.Dense(8, "softmax")(x), x])
    return filled(keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))))


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_differences_add_up_through_a_transformer(rule):
    x = np.array([[3, 1, 4, 1, 5, 0], [9, 2, 6, 0, 0, 0], [5, 3, 5, 8, 9, 7]])
    e = pl.explain(block(), x, pl.DeepLift(rule), target=pl.Margin(0, 2))
    assert e.gap.max() < 1e-4 * np.abs(e.output - e.baseline_output).max()


@pytest.mark.parametrize(
    "method", [pl.LayerRelevance(pl.Epsilon(1e-9)), pl.DeepLift(baseline=0.2)], ids=["relevance", "differences"]
)
def test_attention_of_one_head_is_that_of_many(method):
    inputs = keras.Input((5, 4))
    one, many, last = layers.Attention(use_scale=True), layers.MultiHeadAttention(1, 4, use_bias=False), layers.Dense(2)
    pool = layers.GlobalAveragePooling1D()
    a, b = keras.Model(inputs, last(pool(one([inputs, inputs])))), keras.Model(inputs, last(pool(many(inputs, inputs))))
    filled(a)
    one.set_weights([np.float32(0.5)])
    many.set_weights([np.eye(4).reshape(4, 1, 4)] * 3 + [np.eye(4).reshape(1, 4, 4)])
    x = np.random.default_rng(4).normal(size=(3, 5, 4))
    e, other = (pl.explain(net, x, method, target=0) for net in (a, b))
    np.testing.assert_allclose(e.values, other.values, atol=1e-4 * np.abs(e.values).max())


@pytest.mark.parametrize(
    "method", [pl.LayerRelevance(pl.Epsilon(1e-9)), pl.DeepLift(baseline=0.2)], ids=["relevance", "differences"]
)
def test_grouped_heads_are_heads_that_share_keys_and_values(method):
    inputs = keras.Input((5, 4))
    grouped, many = layers.GroupQueryAttention(3, 4, 2, use_bias=False), layers.MultiHeadAttention(4, 3, use_bias=False)
    last, pool = layers.Dense(2), layers.GlobalAveragePooling1D()
    a = filled(keras.Model(inputs, last(pool(grouped(inputs, inputs)))))
    b = keras.Model(inputs, last(pool(many(inputs, inputs))))
    query, key, value, out = grouped.get_weights()
    many.set_weights([query, np.repeat(key, 2, 1), np.repeat(value, 2, 1), out])
    x = np.random.default_rng(5).normal(size=(3, 5, 4))
    e, other = (pl.explain(net, x, method, target=0) for net in (a, b))
    np.testing.assert_allclose(e.values, other.values, atol=1e-4 * np.abs(e.values).max())


def test_heads_behind_a_gate_are_refused():
    inputs = keras.Input((5, 4))
    attended = layers.GroupQueryAttention(3, 4, 2, use_gate=True, name="heads")(inputs, inputs)
    net = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(attended)))
    for method in (pl.LayerRelevance(), pl.DeepLift()):
        with pytest.raises(UnsupportedLayer, match=re.escape("which gates what it attends to")):
            pl.explain(net, np.ones((2, 5, 4)), method)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
def test_normalizations_of_torch_add_up():
    import torch

    nn = torch.nn
    module = nn.Sequential(
        nn.Linear(6, 8), nn.LayerNorm(8), nn.Unflatten(1, (4, 2)), nn.GroupNorm(2, 4), nn.Flatten(), nn.RMSNorm(8),
        nn.Softmax(-1), nn.Linear(8, 2),
    )  # fmt: skip
    draw = np.random.default_rng(6)
    x, start = draw.normal(size=(4, 6)), draw.normal(size=6)
    e = pl.explain(pl.wrap(module, "logits"), x, pl.DeepLift(baseline=start), target=0)
    assert e.gap.max() < 1e-5
