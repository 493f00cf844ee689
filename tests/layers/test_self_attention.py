"""Self-attention, dense and sparse, against NumPy: a head and a query at a time."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption

MAPS = {1.0: "softmax", 1.5: "entmax15", 2.0: "sparsemax"}


def make(alpha, **options):
    layer = pl.layers.SelfAttention(**options) if alpha == 1 else pl.layers.SparseAttention(alpha=alpha, **options)
    return layer


def weigh(z, alpha):
    """The alpha-entmax of one row, by bisection."""
    if alpha == 1:
        e = np.exp(z - z.max())
        return e / e.sum()
    z = z * (alpha - 1)
    low, high = z.max() - 1, z.max()
    for _ in range(80):
        t = (low + high) / 2
        low, high = (t, high) if (np.maximum(z - t, 0) ** (1 / (alpha - 1))).sum() >= 1 else (low, t)
    return np.maximum(z - low, 0) ** (1 / (alpha - 1))


def reference(layer, x, visible, alpha):
    """Output (B, T, F) and weights (B, H, T, T) of the formula, in float64; `visible` is (B, T, T)."""
    wq, bq, wk, bk, wv, bv, wo, bo = (w.astype("float64") for w in layer.get_weights())
    batch, length, _ = x.shape
    heads, depth = wq.shape[1:]
    weights, output = np.zeros((batch, heads, length, length)), np.zeros(x.shape)
    for b, h in np.ndindex(batch, heads):
        q, k, v = (x[b] @ w[:, h] + bias[h] for w, bias in ((wq, bq), (wk, bk), (wv, bv)))
        for i in range(length):
            seen = visible[b, i]
            if seen.any():
                weights[b, h, i, seen] = weigh(q[i] @ k[seen].T / np.sqrt(depth), alpha)
        output[b] += weights[b, h] @ v @ wo[h]
    return output + bo, weights


@pytest.fixture
def x(generator):
    return generator.normal(size=(3, 5, 6)).astype("float32")


@pytest.fixture
def mask():
    return np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize("alpha", MAPS)
@pytest.mark.parametrize("heads, key_dim", [(1, None), (2, None), (3, 4)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_output_and_weights_equal_the_formula(alpha, heads, key_dim, masked, causal, x, mask, as_array, randomize):
    layer = make(alpha, heads=heads, key_dim=key_dim, causal=causal)
    layer.build(x.shape)
    randomize(layer)
    y, weights = layer(x, mask=mask if masked else None, return_attention_scores=True)
    visible = np.broadcast_to(mask[:, None] if masked else True, (3, 5, 5)) & (
        np.tri(5, dtype=bool) if causal else True
    )
    wanted, wanted_weights = reference(layer, x.astype("float64"), visible, alpha)
    np.testing.assert_allclose(as_array(y), wanted, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(as_array(weights), wanted_weights, atol=1e-6)
    assert not as_array(weights)[~np.broadcast_to(visible[:, None], weights.shape)].any()
    np.testing.assert_array_equal(as_array(layer(x, mask=mask if masked else None)), as_array(y))


@pytest.mark.parametrize("alpha", MAPS)
@pytest.mark.parametrize("rank", [3, 4])
def test_each_query_may_have_keys_of_its_own(alpha, rank, x, mask, as_array, randomize, generator):
    layer = make(alpha, heads=2)
    layer.build(x.shape)
    randomize(layer)
    given = generator.random((3, 5, 5)) < 0.5
    shaped = given if rank == 3 else np.broadcast_to(given[:, None], (3, 2, 5, 5))
    y, weights = layer(x, mask=mask, attention_mask=shaped, return_attention_scores=True)
    wanted, wanted_weights = reference(layer, x.astype("float64"), given & mask[:, None], alpha)
    np.testing.assert_allclose(as_array(y), wanted, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(as_array(weights), wanted_weights, atol=1e-6)


@pytest.mark.parametrize("alpha", MAPS)
@pytest.mark.parametrize("policy, tolerance", [("mixed_float16", 1e-3), ("mixed_bfloat16", 8e-3)])
def test_half_precision(alpha, policy, tolerance, x, mask, as_array, randomize):
    """bfloat16 has three bits fewer than float16: eight times the rounding. After the weights come two more products."""
    layer = make(alpha, heads=2, dtype=policy)
    layer.build(x.shape)
    randomize(layer)
    y, weights = layer(x / 2, mask=mask, return_attention_scores=True)
    assert policy.removeprefix("mixed_") in str(y.dtype)
    assert policy.removeprefix("mixed_") in str(weights.dtype)
    visible = np.broadcast_to(mask[:, None], (3, 5, 5))
    wanted, wanted_weights = reference(layer, (x / 2).astype("float64"), visible, alpha)
    np.testing.assert_allclose(as_array(weights), wanted_weights, atol=tolerance)
    np.testing.assert_allclose(as_array(y), wanted, atol=2 * tolerance * np.abs(wanted).max())
    assert not as_array(weights)[1, ..., [2, 4]].any()


@pytest.mark.parametrize("alpha", MAPS)
def test_what_is_masked_does_not_matter(alpha, x, mask, as_array):
    layer = make(alpha, heads=2)
    other = np.where(mask[..., None], x, 1e4).astype("float32")
    np.testing.assert_array_equal(as_array(layer(x, mask=mask))[mask], as_array(layer(other, mask=mask))[mask])


@pytest.mark.parametrize("alpha", MAPS)
def test_weights_meet_values_in_one_place(alpha, x, mask, as_array, randomize):
    layer, seen = make(alpha, heads=2, dropout=0.0), []
    layer.build(x.shape)
    randomize(layer)

    def attend(weights, values):
        seen.append((weights, values))
        return values * 0.0

    object.__setattr__(layer, "attend", attend)
    y = as_array(layer(x, mask=mask))
    (weights, values), *rest = seen
    assert not rest
    assert tuple(weights.shape) == (3, 2, 5, 5)
    assert tuple(values.shape) == (3, 2, 5, 3)
    np.testing.assert_array_equal(y, np.broadcast_to(layer.get_weights()[-1], y.shape))


@pytest.mark.parametrize("alpha", MAPS)
def test_saves_and_loads(alpha, x, round_trip):
    round_trip(make(alpha, heads=2, key_dim=5, causal=True, dropout=0.1, seed=3), x)


def test_symbolic_shapes_are_those_that_come(x, as_array):
    import keras

    inputs = keras.Input((None, 6))
    layer = pl.layers.SelfAttention(2)
    model = keras.Model(inputs, layer(inputs, return_attention_scores=True))
    assert model.output_shape == [(None, None, 6), (None, 2, None, None)] or list(model.output_shape) == [
        (None, None, 6), (None, 2, None, None),
    ]  # fmt: skip
    y, weights = model(x)
    assert tuple(weights.shape) == (3, 2, 5, 5)
    np.testing.assert_allclose(as_array(y), as_array(layer(x)), atol=1e-6)
    assert layer.compute_output_shape((3, 5, 6)) == (3, 5, 6)


def test_a_mask_is_taken_from_an_embedding_and_passed_on(as_array):
    import keras

    keras.utils.set_random_seed(0)
    tokens = np.array([[1, 2, 3, 0, 0]])
    embedding, layer = keras.layers.Embedding(5, 6, mask_zero=True), pl.layers.SelfAttention(2)
    inputs = keras.Input((None,), dtype="int32")
    y, weights = layer(embedding(inputs), return_attention_scores=True)
    model = keras.Model(inputs, [keras.layers.GlobalAveragePooling1D()(y), weights])
    long, short = model(tokens), model(tokens[:, :3])
    np.testing.assert_allclose(as_array(long[0]), as_array(short[0]), atol=1e-6)
    assert not as_array(long[1])[..., 3:].any()


def test_dropout_thins_the_weights_in_training_alone(x, as_array):
    layer, seen = pl.layers.SelfAttention(2, dropout=0.5, seed=1), []
    original = layer.attend
    object.__setattr__(layer, "attend", lambda w, v: (seen.append(as_array(w)), original(w, v))[1])
    _, weights = layer(x, training=True, return_attention_scores=True)
    layer(x)
    assert 0.3 < (seen[0] == 0).mean() < 0.7
    assert (as_array(weights) > 0).all(), "weights are given as they were before the dropout"
    np.testing.assert_array_equal(seen[1], as_array(weights))


@pytest.mark.parametrize("alpha", MAPS)
def test_gradients_equal_finite_differences(alpha, x, mask, jacobian, randomize, as_array, generator):
    layer = make(alpha, heads=2)
    layer.build(x.shape)
    randomize(layer)
    upstream, visible = generator.normal(size=x.shape), np.broadcast_to(mask[:, None], (3, 5, 5))
    found = jacobian(lambda v: layer(v, mask=mask), x, upstream)
    loss = lambda v: (reference(layer, v, visible, alpha)[0] * upstream).sum()  # noqa: E731
    for index in ((0, 1, 2), (1, 0, 5), (1, 2, 0), (2, 3, 3)):
        step = np.zeros(x.shape)
        step[index] = 1e-5
        slope = (loss(x.astype("float64") + step) - loss(x.astype("float64") - step)) / 2e-5
        np.testing.assert_allclose(found[index], slope, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("options", [{"heads": 0}, {"heads": 2.0}, {"heads": 2, "key_dim": 0}])
def test_wrong_numbers_are_refused(options):
    with pytest.raises(InvalidOption, match="whole number"):
        pl.layers.SelfAttention(**options)


def test_too_many_heads_are_refused(x):
    with pytest.raises(InvalidOption, match="7 heads cannot share 6 features"):
        pl.layers.SelfAttention(7).build(x.shape)
    with pytest.raises(InvalidOption, match="alpha"):
        pl.layers.SparseAttention(2, alpha=1.0)
