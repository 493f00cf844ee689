"""A block against its two lines of algebra."""

import math

import numpy as np
import pytest
from scipy.special import erf

import pellucid as pl
from pellucid.errors import InvalidOption


def normalized(x, gamma, beta):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta


def gelu(x):
    """As Keras has it by default: with a hyperbolic tangent, or exactly; both are tried."""
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def gelu_approximate(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("causal", [False, True])
def test_a_block_equals_its_algebra(alpha, causal, as_array, randomize, generator, round_trip):
    x = generator.normal(size=(2, 5, 6)).astype("float32")
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    block = pl.layers.TransformerBlock(2, hidden=7, alpha=alpha, causal=causal)
    block.build(x.shape)
    randomize(block)
    found, weights = block(x, mask=mask, return_attention_scores=True)
    part = lambda layer: [np.asarray(w, "float64") for w in layer.get_weights()]  # noqa: E731
    normal = normalized(x.astype("float64"), *part(block.attention_norm))
    attended, wanted_weights = block.attention(normal.astype("float32"), mask=mask, return_attention_scores=True)
    middle = x + as_array(attended)
    (w1, b1), (w2, b2) = part(block.mlp_hidden), part(block.mlp_output)
    wanted = middle + gelu_approximate(normalized(middle, *part(block.mlp_norm)) @ w1 + b1) @ w2 + b2
    exact = middle + gelu(normalized(middle, *part(block.mlp_norm)) @ w1 + b1) @ w2 + b2
    gap = min(np.abs(as_array(found) - other).max() for other in (wanted, exact))
    assert gap < 1e-5
    np.testing.assert_allclose(as_array(weights), as_array(wanted_weights), atol=1e-5)
    assert isinstance(block.attention, pl.layers.SparseAttention) == (alpha > 1)
    round_trip(block, x)


def test_what_is_masked_does_not_matter(as_array, generator):
    x = generator.normal(size=(1, 5, 6)).astype("float32")
    mask = np.array([[1, 1, 1, 0, 0]], bool)
    block, other = pl.layers.TransformerBlock(2), np.where(mask[..., None], x, 99).astype("float32")
    np.testing.assert_array_equal(as_array(block(x, mask=mask))[mask], as_array(block(other, mask=mask))[mask])


def test_a_causal_block_does_not_look_ahead(jacobian, generator):
    block, upstream = pl.layers.TransformerBlock(2, causal=True), np.zeros((1, 5, 6))
    block.build((1, 5, 6))
    upstream[0, 2] = generator.normal(size=6)
    slope = np.abs(jacobian(block, generator.normal(size=(1, 5, 6)), upstream)).max(-1)[0]
    assert (slope > 0).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_near(alpha, policy, as_array, randomize, generator):
    x = generator.normal(size=(2, 5, 6)).astype("float32") / 2
    half, full = (pl.layers.TransformerBlock(2, alpha=alpha, dtype=d) for d in (policy, "float32"))
    for block in (half, full):
        block.build(x.shape)
        randomize(block)
    gap = np.abs(as_array(half(x)) - as_array(full(x)))
    bits = 11 if policy == "mixed_float16" else 8
    assert gap.max() < 16 * 2.0**-bits, "some roundings of numbers of one to four"


def test_masks_are_taken_and_passed_on(as_array):
    import keras

    inputs = keras.Input((None,), dtype="int32")
    h = keras.layers.Embedding(5, 6, mask_zero=True)(inputs)
    h = pl.layers.TransformerBlock(2)(pl.layers.TransformerBlock(2)(h))
    model = keras.Model(inputs, pl.layers.AttentionPooling()(h))
    np.testing.assert_allclose(
        as_array(model(np.array([[3, 1, 2, 0, 0]]))), as_array(model(np.array([[3, 1, 2]]))), atol=1e-5
    )


def test_wrong_options_are_refused():
    with pytest.raises(InvalidOption, match="alpha"):
        pl.layers.TransformerBlock(2, alpha=1.2)
    with pytest.raises(InvalidOption, match="hidden"):
        pl.layers.TransformerBlock(2, hidden=-1)
