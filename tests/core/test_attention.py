"""Attention found, read and changed: against NumPy written from the layers' own weights."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.core.attention import sites, watched
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput

BACKEND = keras.backend.backend()
B, T, F = 5, 6, 8
UNFUSED = 0.5 if BACKEND == "jax" else 0.0
"""Dropout where it is meant to keep JAX from its fused attention, which takes no half precision on a CPU."""


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(3)


@pytest.fixture
def x(generator):
    return generator.normal(size=(B, T, F)).astype("float32")


# -- NumPy's account ----------------------------------------------------------------------------------------------


def softmax(scores, mask=None):
    scores = scores if mask is None else np.where(mask, scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def projected(dense, h):
    """(B, T, F) to (B, H, T, D)."""
    kernel, *bias = map(to_array, dense.weights)
    return (np.einsum("btf,fhd->bthd", h, kernel) + (bias[0] if bias else 0)).transpose(0, 2, 1, 3)


def many_heads(layer, query, value, key=None, mask=None):
    """Weights, values and output of MultiHeadAttention or GroupQueryAttention; mask (B, 1, Q, K)."""
    key = value if key is None else key
    q, k, v = (
        projected(layer._query_dense, query),
        projected(layer._key_dense, key),
        projected(layer._value_dense, value),
    )
    k, v = (t.repeat(q.shape[1] // t.shape[1], axis=1) for t in (k, v))
    weights = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), mask)
    return weights, v, joined(layer._output_dense, weights, v)


def joined(dense, weights, values):
    """(B, Q, O) of weights and values, by the projection of the heads."""
    kernel, *bias = map(to_array, dense.weights)
    return np.einsum("bhqk,bhkd,hdo->bqo", weights, values, kernel) + (bias[0] if bias else 0)


def read(model, *inputs, hook=lambda seen: None):
    """Output of a compiled run, and what was seen in it: weights, values, kernel and bias of each site, as arrays."""
    model = pl.wrap(model)
    given = model.prepare(inputs if len(inputs) > 1 else inputs[0])
    before = model.outputs_of(given)

    def step(*tensors):
        kept = []

        def look(seen):
            kept.extend((seen.weights, seen.values))
            return hook(seen)

        with watched(model, look):
            out = model.forward(tensors)
        return (out, *kept)

    out, *kept = model.compiled(("test", hook), lambda: step)(*given)
    np.testing.assert_array_equal(model.outputs_of(given), before)
    return before, out, list(zip(kept[::2], kept[1::2], strict=True))


def near(found, expected, tolerance=1e-6):
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)


# -- each kind of layer -------------------------------------------------------------------------------------------

CAUSAL = np.tril(np.ones((T, T), bool))[None, None]
KINDS = {
    "plain": (lambda: layers.MultiHeadAttention(4, 3, bias_initializer="random_normal"), {}),
    "wider values": (lambda: layers.MultiHeadAttention(2, 3, value_dim=5, output_shape=7, dropout=0.1), {}),
    "dropout": (lambda: layers.MultiHeadAttention(4, 3, dropout=0.5), {}),
    "no bias": (lambda: layers.MultiHeadAttention(4, 3, use_bias=False), {}),
    "causal": (lambda: layers.MultiHeadAttention(4, 3), {"use_causal_mask": True}),
    "grouped": (lambda: layers.GroupQueryAttention(3, 4, 2, bias_initializer="random_normal"), {}),
    "grouped causal": (lambda: layers.GroupQueryAttention(3, 4, 1), {"use_causal_mask": True}),
    "grouped dropout": (lambda: layers.GroupQueryAttention(3, 4, 2, dropout=0.5), {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_many_heads(kind, x):
    make, options = KINDS[kind]
    layer, ends = make(), keras.Input((T, F))
    model = keras.Model(ends, ops.reshape(layer(ends, ends, **options), (-1, T * (7 if kind == "wider values" else F))))
    before, out, [(weights, values)] = read(model, x)
    expected = many_heads(layer, x, x, mask=CAUSAL if options else None)
    near(weights, expected[0])
    near(values, expected[1])
    near(before, expected[2].reshape(B, -1), 1e-5)
    near(out, before)


def test_a_boolean_mask_and_another_sequence(x, generator):
    other = generator.normal(size=(B, 4, F)).astype("float32")
    mask = generator.random((B, T, 4)) < 0.6
    mask[..., 0] = True
    a, b, m = keras.Input((T, F)), keras.Input((4, F)), keras.Input((T, 4), dtype="bool")
    layer = layers.MultiHeadAttention(2, 3, name="across")
    model = pl.wrap(keras.Model([a, b, m], ops.mean(layer(a, b, attention_mask=m), 1)))
    before, out, [(weights, values)] = read(model, x, other, mask.astype("float32"))
    near(weights, many_heads(layer, x, other, mask=mask[:, None])[0])
    near(values, many_heads(layer, x, other)[1])
    near(out, before)
    (site,) = sites(model, model.prepare((x, other, mask.astype("float32"))))
    assert (site.name, site.shape, site.depth, site.self_attention) == ("across", (2, T, 4), 3, False)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")  # Keras, of its own grouped layer
@pytest.mark.parametrize("make", [lambda: layers.MultiHeadAttention(2, 3), lambda: layers.GroupQueryAttention(3, 2, 1)])
def test_padding_also_where_its_rows_are_counted(make, generator):
    """Rows of padded queries may look nowhere; Keras's fused path takes the mean there, and the output holds it."""
    tokens = generator.integers(1, 9, (B, T))
    tokens[1, 4:], tokens[2, 1:] = 0, 0
    embed, layer, ends = layers.Embedding(9, F, mask_zero=True), make(), keras.Input((T,), dtype="int32")
    h = embed(ends)
    model = keras.Model(ends, ops.reshape(layer(h, h), (-1, T * F)))
    before, out, [(weights, _)] = read(model, tokens)
    real = tokens != 0
    mask = (real[:, :, None] & real[:, None, :])[:, None]
    h = to_array(embed.embeddings)[tokens]
    expected = many_heads(layer, h, h, mask=np.where(mask.any(-1, keepdims=True), mask, True))[0]
    expected = np.where(mask.any(-1, keepdims=True), expected, 1 / T)
    near(weights, expected)
    near(out, before)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["dot", "scaled", "concat", "additive"])
def test_one_head(kind, causal, x, generator):
    layer = {
        "dot": lambda: layers.Attention(), "scaled": lambda: layers.Attention(use_scale=True, dropout=0.5),
        "concat": lambda: layers.Attention(score_mode="concat", use_scale=True),
        "additive": lambda: layers.AdditiveAttention(),
    }[kind]()  # fmt: skip
    a, b = keras.Input((T, F)), keras.Input((T, F))
    model = keras.Model([a, b], ops.mean(layer([a, b], use_causal_mask=causal), 1))
    if kind != "dot":
        layer.set_weights([np.full_like(to_array(w), 0.7) for w in layer.weights])
    other = generator.normal(size=(B, T, F)).astype("float32")
    before, out, [(weights, values)] = read(model, x, other)
    total = x[:, :, None] + other[:, None]
    scores = {
        "dot": x @ other.swapaxes(1, 2), "scaled": 0.7 * x @ other.swapaxes(1, 2),
        "concat": 0.7 * np.tanh(0.7 * total).sum(-1), "additive": (0.7 * np.tanh(total)).sum(-1),
    }[kind]  # fmt: skip
    near(weights, softmax(scores[:, None], CAUSAL if causal else None), 3e-6)
    near(values, other[:, None])
    near(out, before)


def test_our_own_layers(x):
    ends = keras.Input((T, F))
    attend, pool = pl.layers.SelfAttention(heads=2, name="attend"), pl.layers.AttentionPooling(name="pool")
    model = pl.wrap(keras.Model(ends, layers.Dense(3)(pool(attend(ends)))))
    before, out, [(weights, values), (pooled, _)] = read(model, x)
    side = {
        name: to_array(getattr(attend, f"{name}_projection").kernel) for name in ("query", "key", "value", "output")
    }
    bias = {name: to_array(getattr(attend, f"{name}_projection").bias).squeeze() for name in side}
    q, k, v = (np.einsum("btf,fhd->bhtd", x, side[n]) + bias[n][:, None] for n in ("query", "key", "value"))
    near(weights, softmax(q @ k.swapaxes(-1, -2) / np.sqrt(F / 2)))
    near(values, v)
    h = np.einsum("bhqk,bhkd,hdo->bqo", weights, v, side["output"]) + bias["output"]
    hidden = np.tanh(h @ to_array(pool.hidden_projection.kernel) + to_array(pool.hidden_projection.bias))
    near(pooled[:, 0, 0], softmax((hidden @ to_array(pool.score_projection.kernel))[..., 0]))
    near(out, before)
    first, second = sites(model, (x,))
    assert (first.name, first.shape, first.self_attention, first.projected) == ("attend", (2, T, T), True, True)
    assert (second.name, second.shape, second.self_attention) == ("pool", (1, 1, T), False)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision(policy, generator):
    """To the last place that the format has: 2^-10 for float16, 2^-8 for bfloat16."""
    x = generator.normal(size=(B, T, F)).astype("float32")
    layer, ends = layers.MultiHeadAttention(2, 3, dropout=UNFUSED, dtype=policy, name="half"), keras.Input((T, F))
    model = pl.wrap(keras.Model(ends, ops.mean(layer(ends, ends), 1)))
    layer.set_weights([np.asarray(w * 0.3).astype(np.float32) for w in map(as_float, layer.weights)])
    before, out, [(weights, _)] = read(model, x)
    assert weights.dtype == np.float32
    exact = layers.MultiHeadAttention(2, 3)
    exact.build((None, T, F), (None, T, F))
    exact.set_weights([as_float(w) for w in layer.weights])
    near(weights, many_heads(exact, x, x)[0], 2**-8 if "bfloat" in policy else 2**-10)
    near(out, before, 1e-2)
    assert sites(model, (x,))[0].self_attention


def as_float(variable):
    return ops.convert_to_numpy(ops.cast(ops.convert_to_tensor(variable), "float32"))


def test_attention_over_two_axes_and_over_one_of_two(generator):
    x = generator.normal(size=(B, 3, 4, F)).astype("float32")
    ends = keras.Input((3, 4, F))
    both, one = (
        layers.MultiHeadAttention(2, 5, name="both"),
        layers.MultiHeadAttention(2, 5, attention_axes=(2,), name="one"),
    )
    model = pl.wrap(keras.Model(ends, ops.mean(one(both(ends, ends), ends), (1, 2))))
    before, out, [(weights, _), (rows, _)] = read(model, x)
    flat = x.reshape(B, 12, F)
    near(weights, many_heads(both, flat, flat)[0])
    h = many_heads(both, flat, flat)[2].reshape(B * 3, 4, F)
    near(rows, many_heads(one, h, x.reshape(B * 3, 4, F))[0].reshape(B, 6, 4, 4))  # rows of the grid, then heads
    near(out, before)
    assert [s.shape for s in sites(model, (x,))] == [(2, 12, 12), (6, 4, 4)]
    same = read(model, x, hook=lambda seen: (seen.weights, seen.values))[1]
    near(same, before)


# -- each kind of model -------------------------------------------------------------------------------------------


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.attend = None  # a name that is not a method is left alone
        self.shared = layers.MultiHeadAttention(2, 3, name="shared")
        self.head = layers.Dense(2)

    def call(self, x):
        h, scores = self.shared(x, x, return_attention_scores=True)
        return self.head(ops.mean(self.shared(h, x), 1)) + ops.mean(scores)


def test_a_subclassed_model_that_calls_a_layer_twice(x):
    model = Subclassed()
    model(x)
    before, out, [(first, _), (second, _)] = read(model, x)
    expected = many_heads(model.shared, x, x)
    near(first, expected[0])
    near(second, many_heads(model.shared, expected[2], x)[0])
    near(out, before)
    found = sites(prepared(model, x), (x,))
    assert [(s.name, s.number, s.self_attention) for s in found] == [("shared", 0, True), ("shared:1", 1, False)]


def prepared(native, x):
    model = pl.wrap(native)
    model.prepare(x)
    return model


class OwnArithmetic(layers.MultiHeadAttention):
    """A subclass that computes its attention itself: distance counts."""

    def _compute_attention(self, query, key, value, attention_mask=None, training=None, return_attention_scores=False):
        del training, return_attention_scores
        far = ops.abs(ops.arange(T)[:, None] - ops.arange(T)[None])
        scores = ops.einsum(self._dot_product_equation, key, query) - ops.cast(far, query.dtype)
        weights = self._masked_softmax(scores, attention_mask)
        return ops.einsum(self._combine_equation, weights, value), weights


def test_a_nested_model_and_a_layer_with_arithmetic_of_its_own(x):
    ends = keras.Input((T, F))
    own = OwnArithmetic(2, 3, name="own")
    inner = keras.Model(ends, own(ends, ends), name="inner")
    model = keras.Model(ends, ops.mean(inner(ends), 1))
    before, out, [(weights, _)] = read(model, x)
    q, k = projected(own._query_dense, x), projected(own._key_dense, x)
    far = np.abs(np.arange(T)[:, None] - np.arange(T))
    near(weights, softmax(q @ k.swapaxes(-1, -2) - far))
    near(out, before)


def test_no_attention_is_said():
    model = prepared(keras.Sequential([keras.Input((3,)), layers.Dense(2)]), np.ones((1, 3)))
    with pytest.raises(InvalidInput, match=r"no attention was found.*MultiHeadAttention.*scaled_dot_product"):
        sites(model, model.prepare(np.ones((1, 3))))


# -- changed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "wider values", "dropout", "grouped causal"])
def test_other_weights_and_values(kind, x):
    make, options = KINDS[kind]
    layer, ends = make(), keras.Input((T, F))
    model = keras.Model(ends, ops.reshape(layer(ends, ends, **options), (-1, T * (7 if kind == "wider values" else F))))

    def swapped(seen):
        return ops.flip(seen.weights, -1), seen.values * ops.cast(ops.arange(T) != 2, "float32")[:, None]

    weights, values, _ = many_heads(layer, x, x, mask=CAUSAL if options else None)
    values[:, :, 2] = 0
    before, out, _ = read(model, x, hook=swapped)
    near(out, joined(layer._output_dense, weights[..., ::-1], values).reshape(B, -1), 1e-5)
    assert np.abs(out - before).max() > 1e-3


def test_other_weights_in_one_head_and_in_our_layer(x):
    ends = keras.Input((T, F))
    for h in (layers.Attention()([ends, ends]), pl.layers.AttentionPooling()(ends)):
        model = keras.Model(ends, h if len(h.shape) == 2 else ops.mean(h, 1))
        even = read(model, x, hook=lambda seen: (ops.ones_like(seen.weights) / T, seen.values))[1]
        near(even, x.mean(1))


def test_the_projection_gives_the_layers_output(x):
    ends, layer = keras.Input((T, F)), layers.MultiHeadAttention(4, 3, bias_initializer="random_normal")
    model = prepared(keras.Model(ends, ops.reshape(layer(ends, ends), (-1, T * F))), x)
    kept = []
    with watched(model, kept.append):
        out = model.forward([ops.convert_to_tensor(x)])
    (seen,) = kept
    context = np.einsum("bhqk,bhkd,hdo->bqo", *map(to_array, (seen.weights, seen.values, seen.output_kernel)))
    near(context.reshape(B, -1) + np.tile(to_array(seen.output_bias), T), to_array(out), 1e-5)
    assert seen.layer is layer
    assert list(seen.arguments)[:2] == ["query", "value"]


def shifting(model, found):
    """A compiled gradient of the summed score by zero shifts of the weights, and a compiled run with given ones."""

    def shifted(shifts, tensors):
        with watched(model, lambda seen: (seen.weights + shifts[seen.number], seen.values)):
            return model.forward(tensors)

    def step(*tensors):
        zeros = [ops.zeros((ops.shape(tensors[0])[0], *site.shape)) for site in found]
        score = lambda *shifts: (ops.sum(shifted(shifts, tensors)), ())  # noqa: E731
        return tuple(model.backend.gradient(score, zeros)[1])

    run = lambda shift, *tensors: shifted([shift], tensors)  # noqa: E731
    return model.compiled("gradient", lambda: step), model.compiled("shifted", lambda: run)


def test_gradient_by_a_zero_shift(x):
    ends, head = keras.Input((T, F)), layers.Dense(1)
    exact, half = (layers.MultiHeadAttention(2, 3, dropout=UNFUSED, dtype=d) for d in ("float32", "mixed_float16"))
    native = [keras.Model(ends, head(ops.tanh(ops.cast(ops.mean(a(ends, ends), 1), "float32")))) for a in (exact, half)]
    half.set_weights(exact.get_weights())
    model, rough = (prepared(n, x) for n in native)
    gradients, run = shifting(model, sites(model, (x,)))
    (gradient,) = gradients(x)
    for place in ((0, 0, 1, 2), (3, 1, 4, 0)):
        shift = np.zeros(gradient.shape, np.float32)
        shift[place] = 0.05
        slope = (run(shift, x).sum(dtype=float) - run(-shift, x).sum(dtype=float)) / 0.1
        assert gradient[place] == pytest.approx(slope, rel=2e-3, abs=1e-4)
    (rounded,) = shifting(rough, sites(rough, (x,)))[0](x)
    np.testing.assert_allclose(rounded, gradient, atol=5e-3 * np.abs(gradient).max())


def test_an_example_is_read_alike_in_any_company(x):
    layer, ends = layers.MultiHeadAttention(4, 3), keras.Input((T, F))
    model = pl.wrap(keras.Model(ends, ops.mean(layer(ends, ends), 1)))
    _, _, [(together, _)] = read(model, x)
    for i in range(B):
        near(read(model, x[i : i + 1])[2][0][0], together[i : i + 1])


def test_nothing_stays_after_an_exception(x):
    layer, ends = layers.MultiHeadAttention(4, 3, flash_attention=None), keras.Input((T, F))
    single = layers.Attention()
    model = prepared(keras.Model(ends, ops.mean(single([layer(ends, ends), ends]), 1)), x)
    own = [set(vars(part)) for part in (layer, single)]

    def failing(seen):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), watched(model, failing):
        model.forward([ops.convert_to_tensor(x)])
    assert [set(vars(part)) for part in (layer, single)] == own
    assert inspect.getsource(layer._compute_attention) == inspect.getsource(
        layers.MultiHeadAttention._compute_attention
    )
    near(model.outputs_of((x,)), read(model, x)[1])
