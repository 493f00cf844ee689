"""Additive attention pooling against its three formulas."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption


@pytest.fixture
def h(generator):
    return generator.normal(size=(3, 4, 5)).astype("float32")


@pytest.fixture
def mask():
    return np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0]], bool)


def reference(layer, h, mask):
    """Contexts (B, F) and weights (B, T), an example at a time."""
    w, b, v = (weight.astype("float64") for weight in layer.get_weights())
    context, weights = np.zeros((len(h), h.shape[-1])), np.zeros(h.shape[:2])
    for i, seen in enumerate(mask):
        e = np.exp([v[:, 0] @ np.tanh(h_j @ w + b) for h_j in h[i, seen].astype("float64")])
        weights[i, seen] = e / e.sum()
        context[i] = sum(a * h_j for a, h_j in zip(weights[i], h[i].astype("float64")))
    return context, weights


@pytest.mark.parametrize("hidden", [None, 7])
@pytest.mark.parametrize("masked", [False, True])
def test_context_and_weights_equal_the_formula(hidden, masked, h, mask, as_array, randomize):
    layer = pl.layers.AttentionPooling(hidden)
    layer.build(h.shape)
    randomize(layer)
    context, weights = layer(h, mask=mask if masked else None, return_attention_scores=True)
    wanted, wanted_weights = reference(layer, h, mask if masked else np.ones_like(mask))
    assert tuple(weights.shape) == (3, 1, 1, 4)
    np.testing.assert_allclose(as_array(context), wanted, atol=1e-6)
    np.testing.assert_allclose(as_array(weights)[:, 0, 0], wanted_weights, atol=1e-6)
    assert not as_array(weights)[:, 0, 0][~mask if masked else np.zeros_like(mask)].any()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy, h, mask, as_array):
    layer = pl.layers.AttentionPooling(dtype=policy)
    context, weights = layer(h / 4, mask=mask, return_attention_scores=True)
    wanted, wanted_weights = reference(layer, h / 4, mask)
    room = 1e-3 if policy == "mixed_float16" else 4e-3  # half a unit in the last of 8 bits
    np.testing.assert_allclose(as_array(context), wanted, atol=room)
    np.testing.assert_allclose(as_array(weights)[:, 0, 0], wanted_weights, atol=room)
    assert not as_array(weights)[:, 0, 0][~mask].any()


def test_sparse_weights(h, as_array, randomize):
    layer = pl.layers.AttentionPooling(alpha=2.0)
    layer.build(h.shape)
    randomize(layer)
    _, weights = layer(3 * h, return_attention_scores=True)
    assert (as_array(weights) == 0).any()
    np.testing.assert_allclose(as_array(weights).sum(-1), 1, atol=1e-6)


def test_weights_meet_values_in_one_place(h, mask, as_array):
    layer = pl.layers.AttentionPooling()
    layer.build(h.shape)
    seen = []
    object.__setattr__(layer, "attend", lambda w, v: seen.append((w, v)) or v[:, :, :1])
    np.testing.assert_array_equal(as_array(layer(h, mask=mask)), h[:, 0])
    assert [tuple(t.shape) for t in seen[0]] == [(3, 1, 1, 4), (3, 1, 4, 5)]


def test_saves_and_loads_and_drops_the_mask(h, round_trip):
    import keras

    round_trip(pl.layers.AttentionPooling(6, alpha=1.5), h)
    tokens = keras.layers.Embedding(4, 5, mask_zero=True)(np.array([[1, 2, 0]]))
    layer = pl.layers.AttentionPooling()
    pooled, weights = layer(tokens, return_attention_scores=True)
    assert keras.src.backend.get_keras_mask(pooled) is None
    assert float(keras.ops.convert_to_numpy(weights)[0, 0, 0, 2]) == 0


def test_gradient_flows_to_every_position_that_counts(h, mask, jacobian, generator):
    layer = pl.layers.AttentionPooling()
    layer.build(h.shape)
    slope = jacobian(lambda v: layer(v, mask=mask), h, generator.normal(size=(3, 5)))
    assert (np.abs(slope).max(-1) > 0).tolist() == mask.tolist()


def test_wrong_options_are_refused():
    with pytest.raises(InvalidOption, match="alpha"):
        pl.layers.AttentionPooling(alpha=3.0)
    with pytest.raises(InvalidOption, match="hidden"):
        pl.layers.AttentionPooling(0)
