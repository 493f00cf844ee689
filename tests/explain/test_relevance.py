"""Layer-wise relevance propagation against the rules as their papers print them, on dense matrices in float64."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidOption, UnknownName, UnsupportedLayer


def away(z, e):
    return z + e * np.where(z >= 0, 1, -1)


def up(a):
    return np.maximum(a, 0)


def down(a):
    return np.minimum(a, 0)


def shared(n, total, r, e=1e-6):
    """R_i = sum_j n_ij / total_j R_j."""
    return (n / away(total, e)) @ r


def backward(rule, x, w, b, r):
    """One linear layer by the printed rule: x (I,), w (I, J), b (J,), r (J,)."""
    xw = x[:, None] * w
    with_it, against = (
        up(x)[:, None] * up(w) + down(x)[:, None] * down(w),
        up(x)[:, None] * down(w) + down(x)[:, None] * up(w),
    )
    name = type(rule).__name__
    if name == "Epsilon":
        return shared(xw, xw.sum(0) + b, r, rule.stabilizer)
    if name == "ZPlus":
        return shared(with_it, with_it.sum(0) + up(b), r)
    if name == "AlphaBeta":
        return rule.alpha * shared(with_it, with_it.sum(0) + up(b), r) - rule.beta * shared(
            against, against.sum(0) + down(b), r
        )
    if name == "Gamma":
        z = xw.sum(0) + b
        n = np.where(z >= 0, xw + rule.gamma * with_it, xw + rule.gamma * against)
        total = n.sum(0) + b + rule.gamma * np.where(z >= 0, up(b), down(b))
        return shared(n, total, r)
    if name == "Flat":
        return shared((w != 0).astype(float), (w != 0).sum(0), r)
    if name == "WSquare":
        return shared(w**2, (w**2).sum(0), r)
    n = xw - rule.low * up(w) - rule.high * down(w)
    return shared(n, n.sum(0), r)


def matrix(layer, shape):
    """A linear layer as a dense matrix (I, J) and its bias (J,), found by asking it about unit vectors."""
    size = int(np.prod(shape))

    def answer(rows):
        tensor = layer(rows.reshape(-1, *shape).astype("float32"), training=False)
        return np.asarray(keras.ops.convert_to_numpy(tensor), float).reshape(len(rows), -1)

    bias = answer(np.zeros((1, size)))
    return answer(np.eye(size)) - bias, bias.ravel()


def filled(net, seed=0):
    """The same weights on every backend; variances above zero."""
    draw = np.random.default_rng(seed)
    for layer in net.layers:
        spread = isinstance(layer, layers.BatchNormalization)
        layer.set_weights(
            [draw.uniform(0.5, 1.5, w.shape) if spread else draw.normal(0, 0.4, w.shape) for w in layer.get_weights()]
        )
    return net


def dense_answer(stages, rules, x, k, activation):
    """Relevance of one example through (matrix, bias) stages with an activation between them."""
    kept, a = [], x.ravel().astype(float)
    for i, (w, b) in enumerate(stages):
        kept.append(a)
        a = a @ w + b
        a = activation(a) if i < len(stages) - 1 else a
    r = np.where(np.arange(len(a)) == k, a, 0.0)
    for (w, b), rule, at in reversed(list(zip(stages, rules, kept, strict=True))):
        r = backward(rule, at, w, b, r)
    return r.reshape(x.shape)


RULES = [
    pl.Epsilon(),
    pl.Epsilon(0.1),
    pl.ZPlus(),
    pl.AlphaBeta(),
    pl.AlphaBeta(alpha=1.0, beta=0.0),
    pl.Gamma(),
    pl.Gamma(gamma=2.0),
]
KINDS = {
    "conv1d": lambda: ([layers.Conv1D(4, 3, dilation_rate=2)], (9, 2)),
    "conv3d": lambda: ([layers.Conv3D(3, 2)], (4, 4, 3, 2)),
    "conv2d_transpose": lambda: ([layers.Conv2DTranspose(3, 2, strides=2)], (3, 3, 2)),
    "depthwise": lambda: ([layers.DepthwiseConv2D(3, depth_multiplier=2)], (6, 5, 2)),
    "separable": lambda: ([layers.SeparableConv2D(3, 3, depth_multiplier=2)], (6, 5, 2)),
    "separable_1d": lambda: ([layers.SeparableConv1D(3, 3)], (6, 2)),
    "einsum": lambda: ([layers.EinsumDense("abc,cd->abd", output_shape=(3, 4), bias_axes="d")], (3, 5)),
    "time_distributed": lambda: ([layers.TimeDistributed(layers.Dense(4))], (3, 5)),
    "conv_batch": lambda: ([layers.Conv2D(4, 3), layers.BatchNormalization()], (6, 5, 2)),
    "conv_batch_without_bias": lambda: ([layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization()], (6, 5, 2)),
    "transpose_batch": lambda: ([layers.Conv2DTranspose(3, 2), layers.BatchNormalization(scale=False)], (3, 3, 2)),
    "depthwise_batch": lambda: (
        [layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()],
        (6, 5, 2),
    ),
    "separable_batch": lambda: ([layers.SeparableConv2D(3, 3), layers.BatchNormalization(center=False)], (6, 5, 2)),
    "dense_batch": lambda: ([layers.Dense(6), layers.BatchNormalization()], (5,)),
}
"""A linear layer, or one with its batch normalization, and the shape of its input."""

FIRST = [None, pl.Flat(), pl.WSquare(), pl.ZBox(low=-3.0, high=3.0)]


def compared(stages, rule, first, activation="relu", shape=(6, 6, 2), tolerance=2e-4):
    """Explain a model of linear stages (lists of layers) with an activation between them, and do it densely."""
    parts = []
    for i, stage in enumerate(stages):
        parts += [*stage, *([layers.Activation(activation)] if i < len(stages) - 1 else [])]
    net = filled(keras.Sequential([keras.Input(shape), *parts]))
    x = np.random.default_rng(1).normal(size=(4, *shape)).astype(np.float32)
    x[:, :2] = 0
    composite = pl.Composite(dense=rule, convolution=rule, first=first)
    e = pl.explain(net, x, pl.LayerRelevance(composite), target=1)
    matrices = []
    for stage in stages:
        given = stage[0].input.shape[1:]
        matrices.append(matrix(keras.Sequential([keras.Input(given), *stage]), given))
    act = lambda a: np.asarray(keras.ops.convert_to_numpy(getattr(keras.activations, activation)(a)), float)  # noqa: E731
    for i in range(4):
        expected = dense_answer(matrices, [first or rule, *[rule] * (len(stages) - 1)], x[i], 1, act)
        np.testing.assert_allclose(e.values[i], expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("first", FIRST, ids=repr)
def test_each_rule_is_the_printed_one(rule, first):
    conv = [layers.Conv2D(4, 3)], [layers.Conv2D(3, 2, strides=2, padding="same"), layers.Flatten()]
    compared([*conv, [layers.Dense(5)], [layers.Dense(3)]], rule, first)


@pytest.mark.parametrize("rule", [pl.Epsilon(), pl.ZPlus(), pl.AlphaBeta(), pl.Gamma()], ids=repr)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_linear_layer_follows_the_rules(kind, rule):
    layer, shape = KINDS[kind]()
    compared([layer, [layers.Flatten(), layers.Dense(3)]], rule, None, shape=shape)


@pytest.mark.parametrize("activation", ["gelu", "tanh", "elu", "silu", "leaky_relu"])
def test_an_activation_leaves_relevance_where_it_is(activation):
    compared([[layers.Dense(6)], [layers.Dense(5)], [layers.Dense(3)]], pl.ZPlus(), None, activation, shape=(4,))


def test_the_worked_example_of_the_rule():
    net = keras.Sequential([
        keras.Input((3,)), layers.Dense(3, "relu", use_bias=False), layers.Dense(1, use_bias=False)
    ])  # fmt: skip
    net.set_weights([np.full((3, 3), 2.0), np.full((3, 1), 3.0)])
    e = pl.explain(net, np.array([[1.0, 2.0, 3.0]]), pl.LayerRelevance(pl.Epsilon()), target=0)
    np.testing.assert_allclose(e.values, [[18, 36, 54]], rtol=1e-5)


def test_without_biases_the_sum_is_kept_through_branches():
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    a = layers.Conv2D(4, 3, padding="same", use_bias=False, activation="relu")(layers.ReLU()(x))
    x = layers.Concatenate()([layers.Add()([x, a]), layers.MaxPooling2D(3, 1, "same")(a)])
    x = layers.Dropout(0.5)(layers.AveragePooling2D(2)(x))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(5, 2, use_bias=False)(x))
    net = filled(keras.Model(inputs, layers.Dense(3, use_bias=False)(x)))
    data = np.random.default_rng(2).normal(size=(5, 8, 8, 2))
    rules = (
        pl.Epsilon(1e-9), pl.ZPlus(stabilizer=1e-9), pl.Gamma(stabilizer=1e-9), pl.AlphaBeta(stabilizer=1e-9),
        pl.Composite(dense=pl.Epsilon(1e-9), convolution=pl.Gamma(stabilizer=1e-9), first=pl.Flat(stabilizer=1e-9)),
    )  # fmt: skip
    for rule in rules:
        e = pl.explain(net, data, pl.LayerRelevance(rule), target=1)
        np.testing.assert_allclose(e.values.sum((1, 2, 3)), e.output, rtol=2e-3, err_msg=repr(rule))


def test_epsilon_alone_is_gradient_times_input_on_rectifiers(random_cnn):
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    e = pl.explain(random_cnn, x, pl.LayerRelevance(pl.Epsilon(1e-9)))
    g = pl.explain(random_cnn, x, pl.GradientInput())
    np.testing.assert_allclose(e.values, g.values, atol=1e-5 * np.abs(g.values).max())


def test_relevance_finds_its_way_through_padding_and_rescaling():
    image = np.random.default_rng(3).uniform(0, 255, size=(3, 6, 6, 2))
    conv, dense = layers.Conv2D(4, 3), layers.Dense(3)
    whole = filled(keras.Sequential([
        keras.Input((6, 6, 2)), layers.Rescaling(1 / 255), layers.ZeroPadding2D(1), conv, layers.ReLU(), layers.Flatten(), dense
    ]))  # fmt: skip
    same = layers.Conv2D(4, 3, padding="same")
    inner = keras.Sequential([keras.Input((6, 6, 2)), same, layers.ReLU(), layers.Flatten(), dense])
    same.set_weights(conv.get_weights())
    for first in (pl.Flat(), pl.WSquare(), pl.ZBox(low=-1.0)):
        method = pl.LayerRelevance(pl.Composite(convolution=pl.ZPlus(), first=first))
        e, i = pl.explain(whole, image, method, target=0), pl.explain(inner, image / 255, method, target=0)
        np.testing.assert_allclose(e.values, i.values, atol=1e-5)


def normalized_answer(x, w, gamma, beta, eps, k):
    """Relevance of output k of W (gamma (x - mean) / sd + beta) with the spread held: x (I,), w (I, J)."""
    centre = (np.eye(len(x)) - 1 / len(x)) * gamma / np.sqrt(x.var() + eps)
    y = x @ centre + beta
    r = shared(y[:, None] * w, y @ w, np.where(np.arange(w.shape[1]) == k, y @ w, 0.0))
    return shared(x[:, None] * centre, x @ centre, r)


def test_layer_normalization_holds_the_spread():
    net = filled(
        keras.Sequential([keras.Input((5,)), layers.LayerNormalization(epsilon=1e-3), layers.Dense(3, use_bias=False)])
    )
    x = np.random.default_rng(4).normal(size=(4, 5))
    e = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon()), target=2)
    gamma, beta, w = (np.asarray(v, float) for v in net.get_weights())
    for i in range(4):
        expected = normalized_answer(x[i], w, gamma, beta, 1e-3, 2)
        np.testing.assert_allclose(e.values[i], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling")  # Keras keeps it for old models
def test_keras_scales_what_it_is_given_by_the_spread_around_the_mean_where_asked_to():
    norm = layers.LayerNormalization(epsilon=1e-3, rms_scaling=True)
    net = filled(keras.Sequential([keras.Input((5,)), norm, layers.Dense(3, use_bias=False)]))
    x = np.random.default_rng(4).normal(size=(4, 5))
    e = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon(1e-9)), target=2)
    gamma, w = np.asarray(norm.gamma, float), np.asarray(net.layers[-1].kernel, float)[:, 2]
    expected = x / np.sqrt(x.var(1, keepdims=True) + 1e-3) * gamma * w
    np.testing.assert_allclose(e.values, expected, rtol=1e-4, atol=1e-5)


def test_a_normalized_dot_product_holds_both_lengths():
    given = keras.Input((5,))
    one, two = layers.Dense(4, use_bias=False), layers.Dense(4, use_bias=False)
    net = filled(keras.Model(given, layers.Dot(1, normalize=True)([one(given), two(given)])))
    x = np.random.default_rng(4).normal(size=(4, 5))
    e = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon(1e-9)), target=0)
    a, b = (x @ np.asarray(part.kernel, float) for part in (one, two))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(e.output, (a * b).sum(1) / lengths, rtol=1e-4)
    slopes = b @ np.asarray(one.kernel).T + a @ np.asarray(two.kernel).T
    np.testing.assert_allclose(e.values, x * slopes / 2 / lengths[:, None], rtol=1e-4, atol=1e-5)


def test_options_of_a_rule_come_first():
    assert pl.ZBox(-1, 2) == pl.ZBox(low=-1, high=2)
    assert pl.Gamma(0.5).gamma == 0.5
    assert (pl.AlphaBeta(3, 2).alpha, pl.AlphaBeta(3, 2).stabilizer) == (3, 1e-6)
    assert pl.Epsilon(0.1).stabilizer == 0.1
    with pytest.raises(InvalidOption, match=r"ZBox: .*low=1 and high=0"):
        pl.ZBox(1, 0)


def attention_answer(x, wq, wk, wv, wo, r):
    """AttnLRP of one head without biases, x (T, D), of relevance r (T, D) of its output; products by halves."""
    q, k, v = x @ wq, x @ wk, x @ wv
    s = q @ k.T / np.sqrt(wq.shape[1])
    a = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    c = a @ v
    back = lambda given, w, relevance: given * ((relevance / away(given @ w, 1e-6)) @ w.T)  # noqa: E731
    rc = back(c, wo, r)
    share = rc / away(c, 1e-12)
    ra, rv = a * (share @ v.T) / 2, v * (a.T @ share) / 2
    rs = s * (ra - a * ra.sum(1, keepdims=True))
    share = rs / away(s, 1e-12) / np.sqrt(wq.shape[1])
    rq, rk = q * (share @ k) / 2, k * (share.T @ q) / 2
    return back(x, wq, rq) + back(x, wk, rk) + back(x, wv, rv)


def test_attention_is_attnlrp():
    tokens, width = 4, 6
    inputs = keras.Input((tokens, width))
    attended = layers.MultiHeadAttention(1, 5, use_bias=False)(inputs, inputs)
    net = filled(keras.Model(inputs, layers.Dense(2, use_bias=False)(layers.Flatten()(attended))))
    x = np.random.default_rng(5).normal(size=(3, tokens, width))
    e = pl.explain(net, x, pl.LayerRelevance(pl.Epsilon()), target=0)
    wq, wk, wv, wo, wd = (np.asarray(w, float) for w in net.get_weights())
    wq, wk, wv, wo = wq[:, 0], wk[:, 0], wv[:, 0], wo[0]
    for i in range(3):
        q, k, v = x[i] @ wq, x[i] @ wk, x[i] @ wv
        s = q @ k.T / np.sqrt(5)
        y = (np.exp(s) / np.exp(s).sum(1, keepdims=True) @ v @ wo).ravel()
        r = shared(y[:, None] * wd, y @ wd, np.array([(y @ wd)[0], 0.0])).reshape(tokens, width)
        expected = attention_answer(x[i], wq, wk, wv, wo, r)
        np.testing.assert_allclose(e.values[i], expected, atol=1e-3 * np.abs(expected).max())


def test_operations_of_a_functional_model_are_treated_like_layers():
    inputs = keras.Input((6,))
    first, second = layers.Dense(5, use_bias=False), layers.Dense(5, use_bias=False)
    a, b = ops.relu(first(inputs)), ops.gelu(second(inputs), approximate=False)
    last = layers.Dense(2, use_bias=False)
    with_ops = filled(keras.Model(inputs, last(ops.add(ops.multiply(a, b), 2.0 * a))))
    doubled = layers.Rescaling(2.0)(layers.ReLU()(first(inputs)))
    product = layers.Multiply()([layers.ReLU()(first(inputs)), layers.Activation("gelu")(second(inputs))])
    with_layers = keras.Model(inputs, last(layers.Add()([product, doubled])))
    x = np.random.default_rng(6).normal(size=(4, 6))
    method = pl.LayerRelevance(pl.Epsilon(1e-9))
    e, other = pl.explain(with_ops, x, method, target=1), pl.explain(with_layers, x, method, target=1)
    np.testing.assert_allclose(e.output, other.output, rtol=1e-5)
    np.testing.assert_allclose(e.values, other.values, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(e.values.sum(1), e.output, rtol=1e-3)


def test_a_shared_layer_a_nested_model_and_several_inputs():
    shared_layer = layers.Dense(4, "relu", use_bias=False)
    block = keras.Sequential([keras.Input((4,)), layers.Dense(4, use_bias=False), layers.ReLU()], name="block")
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    out = layers.Dense(2, use_bias=False)(layers.Add()([block(shared_layer(a)), shared_layer(b)]))
    net = filled(keras.Model([a, b], out))
    draw = np.random.default_rng(7)
    x = {"a": draw.normal(size=(5, 3)), "b": draw.normal(size=(5, 3))}
    for rule in (pl.Epsilon(1e-9), pl.Composite(dense=pl.Gamma(stabilizer=1e-9), first=pl.WSquare(stabilizer=1e-9))):
        e = pl.explain(net, x, pl.LayerRelevance(rule), target=0)
        np.testing.assert_allclose(e.values["a"].sum(1) + e.values["b"].sum(1), e.output, rtol=2e-3, atol=1e-6)


def test_tokens_get_the_relevance_of_their_embedding():
    net = filled(keras.Sequential([
        keras.Input((5,), dtype="int32"), layers.Embedding(9, 3), layers.Dense(4, "relu", use_bias=False),
        layers.GlobalAveragePooling1D(), layers.Dense(2, use_bias=False),
    ]))  # fmt: skip
    e = pl.explain(net, np.array([[1, 2, 3, 4, 5], [8, 8, 0, 1, 2]]), pl.LayerRelevance(pl.Epsilon(1e-9)), target=1)
    assert e.values.shape == (2, 5)
    np.testing.assert_allclose(e.values.sum(1), e.output, rtol=1e-3)


@pytest.mark.parametrize("rule", [pl.Epsilon(), pl.Gamma()], ids=repr)
def test_relevance_of_a_hidden_layer(rule):
    net = filled(keras.Sequential([
        keras.Input((6, 6, 2)), layers.Conv2D(3, 3, activation="relu", name="low"), layers.Flatten(), layers.Dense(5, "relu"),
        layers.Dense(2),
    ]))  # fmt: skip
    above = keras.Sequential([keras.Input((4, 4, 3)), *net.layers[1:]])
    x = np.random.default_rng(15).normal(size=(4, 6, 6, 2)).astype("float32")
    e = pl.explain(net, x, pl.LayerRelevance(rule, layer="low"), target=1)
    inside = keras.ops.convert_to_numpy(net.layers[0](x))
    np.testing.assert_allclose(
        e.values, pl.explain(above, inside, pl.LayerRelevance(rule), target=1).values, rtol=1e-4, atol=1e-6
    )


def test_a_softmax_inside_is_its_gradient_times_its_input():
    fused = [layers.Dense(4, "softmax"), layers.Dense(2, use_bias=False)]
    apart = [layers.Dense(4), layers.Softmax(), layers.Dense(2, use_bias=False)]
    one, two = (filled(keras.Sequential([keras.Input((3,)), *stack])) for stack in (fused, apart))
    x, method = np.random.default_rng(9).normal(size=(4, 3)), pl.LayerRelevance(pl.Gamma())
    np.testing.assert_allclose(pl.explain(one, x, method).values, pl.explain(two, x, method).values, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("rules", [pl.EpsilonPlusFlat(), pl.Epsilon(), pl.Gamma(), pl.AlphaBeta()], ids=repr)
def test_half_precision_layers_are_passed_through(rules, policy):
    half = lambda: keras.DTypePolicy(policy)  # noqa: E731
    net = filled(keras.Sequential([
        keras.Input((4,)), layers.Dense(8, "relu", dtype=half()), layers.Dense(6, "gelu", dtype=half()), layers.Dense(2)
    ]))  # fmt: skip
    whole = filled(
        keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(6, "gelu"), layers.Dense(2)])
    )
    x = np.random.default_rng(10).normal(size=(5, 4))
    e, exact = (pl.explain(m, x, pl.LayerRelevance(rules), target=0) for m in (net, whole))
    np.testing.assert_allclose(e.values, exact.values, atol=0.05 * np.abs(exact.values).max())
    assert e.values.dtype == np.float32


def test_every_branch_that_reads_an_input_is_a_first_one():
    a, b = keras.Input((7, 2), name="a"), keras.Input((5, 3), name="b")
    read = lambda x: layers.BatchNormalization()(layers.Conv1D(4, 3)(layers.ZeroPadding1D(1)(x)))  # noqa: E731
    joined = layers.Concatenate()([layers.Flatten()(layers.ReLU()(read(a))), layers.Flatten()(layers.ReLU()(read(b)))])
    net = filled(keras.Model([a, b], layers.Dense(2, use_bias=False)(joined)))
    draw = np.random.default_rng(11)
    x = {"a": draw.normal(size=(3, 7, 2)), "b": draw.normal(size=(3, 5, 3))}
    rules = pl.Composite(dense=pl.Epsilon(1e-9), convolution=pl.Epsilon(1e-9), first=pl.Flat(stabilizer=1e-9))
    e = pl.explain(net, x, pl.LayerRelevance(rules), target=0)
    for name in x:  # flat: all channels of a position get the same
        np.testing.assert_allclose(e.values[name], np.repeat(e.values[name][..., :1], x[name].shape[-1], -1), atol=1e-4)
        assert np.abs(e.values[name]).max() > 0


def test_what_reads_a_mixture_of_inputs_is_no_first_layer():
    x = np.random.default_rng(12).normal(size=(4, 5))
    first, last = layers.Dense(5, "relu", use_bias=False), layers.Dense(2, use_bias=False)
    flat = pl.LayerRelevance(pl.Composite(dense=pl.Epsilon(1e-9), first=pl.Flat(stabilizer=1e-9)))
    for before in (
        lambda i: layers.Add()([i, i]),
        lambda i: i * 0.01,
        layers.BatchNormalization(),
        lambda i: i - ops.flip(i, axis=1),
    ):
        inputs = keras.Input((5,))
        net = filled(keras.Model(inputs, last(first(before(inputs)))))
        e, plain = pl.explain(net, x, flat, target=0), pl.explain(net, x, pl.LayerRelevance(pl.Epsilon(1e-9)), target=0)
        np.testing.assert_allclose(e.values, plain.values, rtol=1e-4, atol=1e-6)


def test_a_first_layer_that_is_called_again_is_no_first_layer():
    again = layers.Dense(4, use_bias=False)
    inputs = keras.Input((4,))
    net = filled(
        keras.Model(inputs, layers.Dense(2, use_bias=False)(layers.ReLU()(again(layers.ReLU()(again(inputs))))))
    )
    x = np.random.default_rng(13).normal(size=(4, 4))
    e = pl.explain(
        net, x, pl.LayerRelevance(pl.Composite(dense=pl.Epsilon(1e-9), first=pl.Flat(stabilizer=1e-9))), target=0
    )
    np.testing.assert_allclose(e.values.sum(1), e.output, rtol=1e-3, atol=1e-6)


def test_a_batch_normalization_of_another_axis_is_not_folded():
    net = filled(keras.Sequential([
        keras.Input((4, 6)), layers.Dense(4, use_bias=False), layers.BatchNormalization(axis=1, center=False), layers.Flatten(),
        layers.Dense(3, use_bias=False),
    ]))  # fmt: skip
    net.layers[1].moving_mean.assign(np.zeros(4))
    e = pl.explain(net, np.random.default_rng(14).normal(size=(3, 4, 6)), pl.LayerRelevance(pl.Epsilon(1e-9)), target=0)
    np.testing.assert_allclose(e.values.sum((1, 2)), e.output, rtol=1e-3)


def test_a_quotient_sends_relevance_to_what_is_divided():
    f = lambda x: x[:, 0] / 4.0 + x[:, 1] / (1 + ops.relu(x[:, 2])) - 2.0 / x[:, 2]  # noqa: E731
    e = pl.explain(f, np.array([[4.0, 3.0, 2.0]]), pl.LayerRelevance(pl.Epsilon(1e-9)))
    np.testing.assert_allclose(e.values, [[1, 1, -1]], rtol=1e-5)
    d = pl.explain(f, np.array([[4.0, 3.0, 2.0]]), pl.DeepLift(baseline=np.array([0.0, 1.0, 1.0])))
    np.testing.assert_allclose(d.values, [[1, 2 * (1 / 2 + 1 / 3) / 2, 2 * (1 / 3 - 1 / 2) + 1]], rtol=1e-5)
    assert d.gap[0] < 1e-6


def test_bounds_of_an_image_reach_a_layer_behind_a_flattening():
    net = filled(keras.Sequential([keras.Input((2, 3)), layers.Flatten(), layers.Dense(4, "relu"), layers.Dense(2)]))
    draw = np.random.default_rng(16)
    x, low = draw.uniform(size=(3, 2, 3)), -draw.uniform(size=(2, 3))
    box = lambda bound: pl.LayerRelevance(pl.Composite(first=pl.ZBox(low=bound, high=2.0)))  # noqa: E731
    e, flat = pl.explain(net, x, box(low), target=0), pl.explain(net, x, box(low.ravel()), target=0)
    np.testing.assert_allclose(e.values, flat.values, rtol=1e-6)
    with pytest.raises(InvalidOption, match=re.escape("a bound of shape (5,) does not fit")):
        pl.explain(net, x, box(np.zeros(5)), target=0)


def test_rules_by_name_are_a_copy():
    given = {"a": pl.Epsilon()}
    composite = pl.Composite(named=given)
    given["b"] = pl.Gamma()
    assert list(composite.named) == ["a"]


def sharpened(x):
    return ops.softmax(2 * x, axis=-1)


@pytest.mark.parametrize("method", [pl.LayerRelevance(), pl.DeepLift()], ids=repr)
def test_an_activation_that_mixes_is_found_by_what_it_does(method):
    net = keras.Sequential([keras.Input((3,)), layers.Dense(4, sharpened, name="gate"), layers.Dense(2)])
    with pytest.raises(UnsupportedLayer, match=re.escape("activation of 'gate' (sharpened)")):
        pl.explain(net, np.ones((2, 3)), method)


class Squared(layers.Dense):
    """Called a dense layer, and not linear."""

    def call(self, x):
        return keras.ops.square(super().call(x))


@pytest.mark.parametrize("method", [pl.LayerRelevance(), pl.DeepLift()], ids=repr)
def test_a_subclass_with_work_of_its_own_is_refused(method):
    net = keras.Sequential([keras.Input((3,)), Squared(4, name="odd"), layers.Dense(2)])
    with pytest.raises(UnsupportedLayer, match=re.escape("'odd' (Squared)")):
        pl.explain(net, np.ones((2, 3)), method)


class Odd(layers.Layer):
    """A layer that nothing is known about."""

    def call(self, x):
        return keras.ops.sort(x, axis=-1)


@pytest.mark.parametrize(
    ("net", "rules", "error", "told"),
    [
        ([layers.Flatten(), Odd(name="odd"), layers.Dense(2)], pl.Epsilon(), UnsupportedLayer, "'odd' (Odd)"),
        (
            [layers.Flatten(), layers.Dense(4), layers.Dense(2)],
            pl.Flat(),
            UnsupportedLayer,
            "where the input itself is read",
        ),
        ([layers.Flatten(), layers.Dense(4)], pl.Composite(named={"dens": pl.Flat()}), UnknownName, "dens"),
    ],
    ids=["unknown", "flat_inside", "name"],
)
def test_what_has_no_sound_rule_is_refused(net, rules, error, told):
    model = keras.Sequential([keras.Input((3, 2)), *[type(layer).from_config(layer.get_config()) for layer in net]])
    with pytest.raises(error, match=re.escape(told)):
        pl.explain(model, np.ones((2, 3, 2)), pl.LayerRelevance(rules), target=0)


def test_a_callable_is_taken_apart_into_its_operations():
    f = lambda x: ops.relu(2 * x[:, 0] - x[:, 1]) - ops.relu(x[:, 1:2])[:, 0]  # noqa: E731
    x = np.array([[3.0, 1.0], [1.0, 3.0]])
    e = pl.explain(f, x, pl.LayerRelevance(pl.Epsilon(1e-9)))
    np.testing.assert_allclose(e.values, pl.explain(f, x, pl.GradientInput()).values, atol=1e-5)
    with pytest.raises(UnsupportedLayer, match=r"operation 'sort\w*' \(keras\.ops, Sort\)"):
        pl.explain(lambda x: ops.sort(x, axis=1)[:, 0], x, pl.LayerRelevance())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: pl.LayerRelevance("epsilon"), "LayerRelevance.rules: expected a composite"),
        (lambda: pl.AlphaBeta(alpha=2.0, beta=2.0), "alpha - beta = 1"),
        (lambda: pl.Epsilon(-1.0), "Epsilon.stabilizer"),
        (lambda: pl.Composite(dense="flat"), "Composite.dense: expected a rule"),
        (lambda: pl.ZBox(low=1.0, high=0.0), "low=1.0 and high=0.0"),
    ],
)
def test_wrong_options_say_which(make, told):
    with pytest.raises(InvalidOption, match=re.escape(told)):
        make()


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
@pytest.mark.parametrize("rule", [pl.Epsilon(), pl.Gamma(), pl.AlphaBeta()], ids=repr)
@pytest.mark.parametrize("first", FIRST, ids=repr)
def test_a_torch_module_gets_what_its_keras_twin_gets(rule, first):
    import torch

    twin = filled(keras.Sequential([
        keras.Input((8, 8, 2)), layers.Conv2D(4, 3), layers.BatchNormalization(epsilon=1e-5), layers.ReLU(),
        layers.MaxPooling2D(), layers.Conv2D(3, 2, use_bias=False), layers.Activation("gelu"),
        layers.Permute((3, 1, 2)), layers.Flatten(), layers.Dense(3),
    ]))  # fmt: skip
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 3, 2, bias=False),
        nn.GELU("tanh"), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip
    k1, b1, gamma, beta, mean, variance, k2, w, b = (torch.tensor(a) for a in twin.get_weights())
    moved = {
        "0.weight": k1.permute(3, 2, 0, 1), "0.bias": b1, "1.weight": gamma, "1.bias": beta, "1.running_mean": mean,
        "1.running_var": variance, "1.num_batches_tracked": torch.tensor(0), "4.weight": k2.permute(3, 2, 0, 1),
        "7.weight": w.T, "7.bias": b,
    }  # fmt: skip
    module.load_state_dict(moved)
    x = np.random.default_rng(8).normal(size=(3, 8, 8, 2)).astype(np.float32)
    method = pl.LayerRelevance(pl.Composite(dense=rule, convolution=rule, first=first))
    e = pl.explain(twin, x, method, target=1)
    t = pl.explain(pl.wrap(module, output="logits"), x.transpose(0, 3, 1, 2), method, target=1)
    np.testing.assert_allclose(t.values.transpose(0, 2, 3, 1), e.values, atol=2e-3 * np.abs(e.values).max())


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")
def test_a_first_layer_that_is_not_found_is_noted():
    import torch

    class Behind(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last = torch.nn.Linear(3, 1)

        def forward(self, x):
            return self.last((x - 0.5) / 0.25)

    x = np.ones((2, 3), np.float32)
    noted = pl.explain(Behind(), x, pl.LayerRelevance(pl.Composite(first=pl.Flat())), target=0)
    assert any("no layer was found" in note for note in noted.provenance.notes)
    plain = torch.nn.Sequential(torch.nn.Linear(3, 1))
    notes = pl.explain(plain, x, pl.LayerRelevance(), target=0).provenance.notes
    assert not any("no layer was found" in note for note in notes)


def test_a_rule_that_tells_nothing_of_a_table_says_so(random_mlp):
    x = np.ones((2, 6), np.float32)
    assert any("Flat" in note for note in pl.explain(random_mlp, x, pl.LayerRelevance()).provenance.notes)
    assert not any(
        "Flat" in note for note in pl.explain(random_mlp, x, pl.LayerRelevance(pl.Epsilon())).provenance.notes
    )
