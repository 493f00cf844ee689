"""Methods of attention against their formulas in NumPy: weights, rollout, norms, zeroed values, on models with known kernels."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, UnknownName

METHODS = {
    "weights": pl.AttentionWeights, "rollout": pl.AttentionRollout, "flow": pl.AttentionFlow,
    "gradient": pl.GradientAttention, "values": pl.ValueWeightedAttention, "zeroing": pl.ValueZeroing,
}  # fmt: skip


def drawn(net, seed=1, spread=1.0):
    generator = np.random.default_rng(seed)
    for w in net.weights:
        w.assign(generator.normal(size=w.shape) * spread / np.sqrt(max(1, int(np.prod(w.shape[:-1])))))
    return net


@pytest.fixture(scope="module")
def texts():
    ids = np.random.default_rng(2).integers(1, 20, (4, 7))
    ids[1, 5:] = 0
    ids[2, 3:] = 0
    return ids


@pytest.fixture(scope="module")
def text_models():
    return {
        pool: pl.wrap(drawn(pl.models.text_transformer(7, 20, 3, width=8, heads=2, pool=pool)))
        for pool in ("class", "mean", "attention")
    }


def queries(pool, ids):
    """How much each query counts (B, Q), by hand."""
    if pool == "class":
        return np.eye(8)[[0] * len(ids)]
    if pool == "attention":
        return np.ones((len(ids), 1))
    there = ids > 0
    return there / there.sum(1, keepdims=True)


def words(values, pool):
    return values[:, 1:] if pool == "class" else values


@pytest.mark.parametrize("pool", ["class", "mean", "attention"])
@pytest.mark.parametrize("heads", ["mean", "max", "min", 0])
def test_weights_are_those_of_the_reading(text_models, texts, pool, heads):
    a = pl.attention(text_models[pool], texts)[-1]
    heads = 0 if pool == "attention" and heads == 1 else heads
    folded = a[:, heads] if isinstance(heads, int) else getattr(np, heads)(a, axis=1)
    expected = words(np.einsum("bq,bqk->bk", queries(pool, texts), folded), pool)
    found = pl.explain(text_models[pool], texts, pl.AttentionWeights(heads=heads)).values
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found[texts == 0] == 0).all()


def test_an_earlier_layer_is_asked_about_the_same_queries(text_models, texts):
    a = pl.attention(text_models["class"], texts)["block_1/attention"]
    e = pl.explain(text_models["class"], texts, pl.AttentionWeights("block_1/attention"))
    np.testing.assert_allclose(e.values, a.mean(1)[:, 0, 1:], atol=1e-6)
    assert "asked about query 0 of block_1/attention: the score is read from that position alone" in e.provenance.notes
    assert any("class token" in note for note in e.provenance.notes)
    assert any("padding" in note for note in e.provenance.notes)


def test_a_query_of_ones_own(text_models, texts):
    a = pl.attention(text_models["class"], texts)[-1].mean(1)
    for query in (3, -1):
        e = pl.explain(text_models["class"], texts, pl.AttentionWeights(query=query))
        np.testing.assert_allclose(e.values, a[:, query, 1:], atol=1e-6)


def rolled(matrices, residual):
    product = np.eye(matrices[0].shape[-1])[None]
    for a in matrices:
        if a.shape[1] == a.shape[2]:
            a = residual * np.eye(a.shape[1]) + (1 - residual) * a
        product = a / a.sum(-1, keepdims=True) @ product
    return product


@pytest.mark.parametrize("pool", ["class", "mean", "attention"])
@pytest.mark.parametrize(("residual", "heads"), [(0.5, "mean"), (0.2, "max")])
def test_rollout_is_the_product_of_layers(text_models, texts, pool, residual, heads):
    reading = pl.attention(text_models[pool], texts)
    product = rolled([getattr(np, heads)(reading[n].astype(float), axis=1) for n in reading], residual)
    expected = words(np.einsum("bq,bqk->bk", queries(pool, texts), product), pool)
    found = pl.explain(text_models[pool], texts, pl.AttentionRollout(residual, heads)).values
    np.testing.assert_allclose(found, expected, atol=1e-5)


def kernels(layer):
    """(W, b) of queries, keys, values and the output of a SelfAttention."""
    names = ("query", "key", "value", "output")
    return {n: tuple(map(to_array, getattr(layer, f"{n}_projection").weights)) for n in names}


def test_norms_are_of_the_transformed_values(text_models, texts):
    """f_h(x) = (x W_V + b_V) W_O from the layer's own kernels, and its own weights."""
    model = text_models["mean"]
    block = model.native.get_layer("block_2")
    before = keras.Model(model.native.inputs[0], model.native.get_layer("block_1").output)(texts)
    x = to_array(block.attention_norm(before)).astype(float)
    (w, b), (out, _) = kernels(block.attention)["value"], kernels(block.attention)["output"]
    f = np.einsum("bhkd,hdo->bhko", np.einsum("btf,fhd->bhtd", x, w) + b, out)
    a = pl.attention(model, texts)[-1].astype(float)
    norms = np.linalg.norm(np.einsum("bhqk,bhko->bqko", a, f), axis=-1)
    expected = np.einsum("bq,bqk->bk", queries("mean", texts), norms)
    found = pl.explain(model, texts, pl.ValueWeightedAttention()).values
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_norms_of_heads_that_no_projection_joins():
    x = np.random.default_rng(3).normal(size=(3, 5, 4)).astype(np.float32)
    ends = keras.Input((5, 4))
    net = drawn(keras.Model(ends, layers.Dense(2)(pl.layers.AttentionPooling(name="pool")(ends))))
    a = pl.attention(net, x)[0][:, 0, 0]
    found = pl.explain(net, x, pl.ValueWeightedAttention()).values
    np.testing.assert_allclose(found[..., 0], a * np.linalg.norm(x, axis=-1), rtol=1e-5)


def test_norms_of_all_layers_are_rolled_out(text_models, texts):
    model, reading = text_models["class"], pl.attention(text_models["class"], texts)
    one = [
        [pl.explain(model, texts, pl.ValueWeightedAttention(n, query=q, resize=False)).values for q in range(8)]
        for n in reading
    ]
    shares = [np.stack(m, 1).astype(float) for m in one]
    product = rolled([m / m.sum(-1, keepdims=True) for m in shares], 0.5)
    found = pl.explain(model, texts, pl.ValueWeightedAttention(rollout=True)).values
    np.testing.assert_allclose(found, product[:, 0, 1:], atol=1e-5)


def numpy_block(block, x, mask, zeroed=None):
    """A pre-norm block in float64; `zeroed`: the position whose value is zero."""

    def norm(layer, h):
        gamma, beta = map(to_array, layer.weights)
        return (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6) * gamma + beta

    w, h = kernels(block.attention), norm(block.attention_norm, x)
    q, k, v = (np.einsum("btf,fhd->bhtd", h, w[n][0]) + w[n][1] for n in ("query", "key", "value"))
    scores = np.where(mask[:, None, None], q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    a = np.exp(scores - scores.max(-1, keepdims=True))
    a /= a.sum(-1, keepdims=True)
    if zeroed is not None:
        v[:, :, zeroed] = 0
    x = x + np.einsum("bhtd,hdf->btf", a @ v, w["output"][0]) + w["output"][1]
    (w1, b1), (w2, b2) = (tuple(map(to_array, d.weights)) for d in (block.mlp_hidden, block.mlp_output))
    z = norm(block.mlp_norm, x) @ w1 + b1
    from scipy.special import erf

    exact = np.abs(to_array(keras.activations.gelu(ops.convert_to_tensor([1.0]))) - 0.8413447) < 1e-5
    gelu = (
        z * (1 + erf(z / np.sqrt(2))) / 2
        if exact
        else z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
    )
    return x + gelu @ w2 + b2


def mixing(block, x, mask):
    """C (B, Q, K) by brute force."""
    cosine = lambda a, b: (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)  # noqa: E731
    whole = numpy_block(block, x, mask)
    c = np.stack([1 - cosine(whole, numpy_block(block, x, mask, j)) for j in range(x.shape[1])], -1)
    return c / c.sum(-1, keepdims=True)


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_zeroed_values_by_brute_force(text_models, texts, pool):
    model = text_models[pool]
    first, second = (model.native.get_layer(f"block_{i}") for i in (1, 2))
    mask = texts > 0
    mask = np.concatenate([np.ones((4, 1), bool), mask], 1) if pool == "class" else mask
    start = model.native.get_layer("class_token" if pool == "class" else "positions").output
    x = to_array(keras.Model(model.native.inputs[0], start)(texts)).astype(float)
    one, two = mixing(first, x, mask), mixing(second, numpy_block(first, x, mask), mask)
    rows = queries(pool, texts)[:, None]
    e = pl.explain(model, texts, pl.ValueZeroing())
    np.testing.assert_allclose(e.values, words((rows @ two)[:, 0], pool), atol=2e-5)
    assert "what is compared after block_2/attention is the output of block_2" in e.provenance.notes
    first_alone = pl.explain(model, texts, pl.ValueZeroing("block_1/attention")).values
    np.testing.assert_allclose(first_alone, words((rows @ one)[:, 0], pool), atol=2e-5)
    together = pl.explain(model, texts, pl.ValueZeroing(rollout=True)).values
    np.testing.assert_allclose(together, words((rows @ two @ one)[:, 0], pool), atol=2e-5)


def test_without_a_block_the_last_of_the_residual_is_compared():
    ends = keras.Input((3, 4))
    h = ends + layers.MultiHeadAttention(2, 2, name="look")(ends, ends)
    net = drawn(
        keras.Model(ends, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.LayerNormalization(name="last")(h))))
    )
    notes = pl.explain(net, np.ones((2, 3, 4)), pl.ValueZeroing()).provenance.notes
    assert "what is compared after look is the output of last" in notes
    assert any("look itself" in n for n in pl.explain(*pooled(), pl.ValueZeroing()).provenance.notes)


def pooled():
    ends = keras.Input((3, 4))
    net = drawn(keras.Model(ends, layers.Dense(2)(pl.layers.AttentionPooling(name="look")(ends))))
    return net, np.random.default_rng(0).normal(size=(2, 3, 4))


# -- where positions lie ------------------------------------------------------------------------------------------


def test_patches_of_any_form_lie_on_their_pixels():
    net = pl.wrap(drawn(pl.models.vision_transformer((4, 6, 2), 3, patch=(2, 3), width=8, heads=2)))
    x = np.random.default_rng(1).normal(size=(2, 4, 6, 2))
    a = pl.attention(net, x)[-1].mean(1)[:, 0, 1:].reshape(2, 2, 2)
    e = pl.explain(net, x, pl.AttentionWeights())
    np.testing.assert_allclose(e.values[..., 0], a.repeat(2, 1).repeat(3, 2), atol=1e-6)
    alone = pl.explain(net, x, pl.AttentionWeights(resize=False))
    assert alone.values.shape == (2, 5)
    assert alone.hidden


def test_spectrograms_sequences_and_videos():
    draw = np.random.default_rng(1)
    sound = pl.wrap(drawn(pl.models.audio_transformer((8, 6), 2, patch=(4, 3), width=8, heads=2, pool="attention")))
    x = draw.normal(size=(2, 8, 6))
    a = pl.attention(sound, x)[-1][:, 0, 0].reshape(2, 2, 2)
    np.testing.assert_allclose(
        pl.explain(sound, x, pl.AttentionWeights()).values, a.repeat(4, 1).repeat(3, 2), atol=1e-6
    )
    curve = pl.wrap(drawn(pl.models.sequence_transformer((12, 2), 2, patch=4, width=8, heads=2, pool="attention")))
    x = draw.normal(size=(2, 12, 2))
    a = pl.attention(curve, x)[-1][:, 0, 0]
    np.testing.assert_allclose(pl.explain(curve, x, pl.AttentionWeights()).values[..., 0], a.repeat(4, 1), atol=1e-6)
    film = pl.wrap(
        drawn(pl.models.video_transformer((2, 4, 4, 1), 2, patch=(1, 2, 4), width=8, heads=2, pool="attention"))
    )
    x = draw.normal(size=(2, 2, 4, 4, 1))
    a = pl.attention(film, x)[-1][:, 0, 0].reshape(2, 2, 2, 1)
    np.testing.assert_allclose(
        pl.explain(film, x, pl.AttentionWeights()).values[..., 0], a.repeat(2, 2).repeat(4, 3), atol=1e-6
    )


def test_columns_of_a_table_categories_among_them():
    net = pl.wrap(drawn(pl.models.tabular_transformer(4, 2, {2: 3}, width=8, heads=2)))
    x = np.random.default_rng(1).normal(size=(3, 4))
    a = pl.attention(net, x)[-1].mean(1)[:, 0, 1:]
    np.testing.assert_allclose(pl.explain(net, x, pl.AttentionWeights()).values, a, atol=1e-6)


def test_a_class_token_behind_the_others():
    ends = keras.Input((3,), dtype="int32")
    h = layers.Embedding(9, 4)(ends)
    h = ops.concatenate([h, h[:, :1] * 0 + 1.5], axis=1)
    h = h + layers.MultiHeadAttention(1, 4, name="look")(h, h)
    net = pl.wrap(drawn(keras.Model(ends, layers.Dense(2)(h[:, -1]))))
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    e = pl.explain(net, ids, pl.AttentionWeights())
    np.testing.assert_allclose(e.values, pl.attention(net, ids)[0][:, 0, 3, :3], atol=1e-6)
    assert any(note.startswith("asked about query 3") for note in e.provenance.notes)


def test_positions_that_are_mixed_lie_nowhere():
    ends = keras.Input((6, 6))
    h = layers.Reshape((4, 5))(layers.Dense(20)(layers.Flatten()(ends)))
    net = pl.wrap(drawn(keras.Model(ends, layers.Dense(2)(layers.Flatten()(layers.MultiHeadAttention(1, 2)(h, h))))))
    with pytest.raises(InvalidInput, match=r"4 positions .* are no parts of an input \(x \(6, 6\)\).*resize=False"):
        pl.explain(net, np.ones((1, 6, 6)), pl.AttentionRollout())
    assert pl.explain(net, np.ones((1, 6, 6)), pl.AttentionRollout(resize=False)).values.shape == (1, 4)


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_has_no_attention_is_refused(method, random_mlp):
    with pytest.raises(NotApplicable, match=r"no attention was found.*IntegratedGradients"):
        pl.explain(random_mlp, np.zeros((2, 6)), method())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_queries_that_are_not_there(method, text_models, texts):
    with pytest.raises(InvalidOption, match="there is no 8"):
        pl.explain(text_models["class"], texts, method(query=8))
    with pytest.raises(InvalidOption, match="whole number or None"):
        method(query="first")


def test_options_out_of_range(text_models, texts):
    with pytest.raises(UnknownName, match="block_2/attention"):
        pl.explain(text_models["class"], texts, pl.AttentionWeights("block_3/attention"))
    with pytest.raises(InvalidOption, match="2 heads"):
        pl.explain(text_models["class"], texts, pl.AttentionWeights(heads=2))
    with pytest.raises(InvalidOption, match="heads"):
        pl.AttentionRollout(heads="median")
    with pytest.raises(InvalidOption, match="residual"):
        pl.AttentionFlow(residual=1.5)
    with pytest.raises(InvalidOption, match="rollout"):
        pl.ValueZeroing("block_1/attention", rollout=True)


def test_a_score_past_the_attention_is_refused():
    ends = keras.Input((3, 4))
    layers.MultiHeadAttention(1, 2)(ends, ends)

    class Aside(keras.Model):
        def __init__(self):
            super().__init__()
            self.look, self.out = layers.MultiHeadAttention(1, 2), layers.Dense(2)

        def call(self, x):
            self.look(x, x)
            return self.out(x[:, 0])

    net = Aside()
    net(np.ones((1, 3, 4), np.float32))
    with pytest.raises(NotApplicable, match="does not depend on its attention"):
        pl.explain(net, np.ones((1, 3, 4)), pl.AttentionRollout())
