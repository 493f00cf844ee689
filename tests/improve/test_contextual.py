import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from pellucid.core.model import Model
from pellucid.errors import UnsupportedLayer
from pellucid.improve.contextual import decomposed

DRAW = np.random.default_rng(0)


def split(net, x, part, output="auto"):
    """Beta and gamma of a Keras model, as arrays, and its scores."""
    model = Model(net, output=output)
    scores = model.scores(x)
    step = model.compiled(("parts",), lambda: lambda x, part: decomposed(model, x, part))
    beta, gamma = step(x if x.dtype.kind == "i" else x.astype("float32"), part.astype("float32"))
    return np.asarray(beta), np.asarray(gamma), scores


def drawn(net):
    """The net with weights drawn anew, none of them 0, statistics of normalization among them."""
    for w in net.weights:
        value = DRAW.normal(scale=0.5, size=w.shape)
        w.assign(1 + abs(value) if "variance" in w.path else value)
    return net


def share_out(beta, gamma, bias):
    """Beta and gamma of W x + b, entry by entry, of W beta and W gamma."""
    share = bias * np.abs(beta) / (np.abs(beta) + np.abs(gamma) + 1e-7)
    return beta + share, gamma + bias - share


def rectified(beta, gamma):
    return np.maximum(beta, 0), np.maximum(beta + gamma, 0) - np.maximum(beta, 0)


def test_two_dense_layers_as_in_the_papers():
    net = drawn(keras.Sequential([keras.Input((5,)), kl.Dense(7, "relu"), kl.Dense(3, "softmax")]))
    x, part = DRAW.normal(size=(6, 5)), (DRAW.random((6, 5)) > 0.5).astype(float)
    w, b, v, c = (a.astype(float) for a in net.get_weights())
    parts = rectified(*share_out(x * part @ w, x * (1 - part) @ w, b))
    mine = share_out(parts[0] @ v, parts[1] @ v, c)
    beta, gamma, scores = split(net, x, part)
    np.testing.assert_allclose(beta, mine[0], atol=2e-6)
    np.testing.assert_allclose(gamma, mine[1], atol=2e-6)
    np.testing.assert_allclose(beta + gamma, scores, atol=2e-6)


def convolved(x, kernel):
    """A convolution (H, W, C) by 3 x 3 kernels (3, 3, C, D) without padding, by loops."""
    out = np.zeros((x.shape[0] - 2, x.shape[1] - 2, kernel.shape[-1]))
    for i, j, d in np.ndindex(out.shape):
        out[i, j, d] = (x[i : i + 3, j : j + 3] * kernel[..., d]).sum()
    return out


def pooled(beta, gamma):
    """2 x 2 max pooling by loops, each part where their sum is largest."""
    out = [np.zeros((beta.shape[0] // 2, beta.shape[1] // 2, beta.shape[2])) for _ in range(2)]
    for i, j, d in np.ndindex(out[0].shape):
        window = np.s_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, d]
        at = np.argmax((beta + gamma)[window])
        for o, t in zip(out, (beta, gamma), strict=True):
            o[i, j, d] = t[window].ravel()[at]
    return out


def test_a_small_convolutional_network_by_loops():
    net = drawn(
        keras.Sequential(
            [
                keras.Input((8, 8, 2)),
                kl.Conv2D(4, 3, activation="relu"),
                kl.MaxPooling2D(),
                kl.BatchNormalization(epsilon=0.01),
                kl.Flatten(),
                kl.Dense(3),
            ]
        )
    )
    x, part = DRAW.normal(size=(4, 8, 8, 2)), np.zeros((4, 8, 8, 1))
    part[:, :3] = part[2:, :, 5:] = 1
    w, b, factor, offset, mean, variance, v, c = (a.astype(float) for a in net.get_weights())
    scale = factor / np.sqrt(variance + 0.01)
    beta, gamma, scores = split(net, x, part)
    for i in range(4):
        halves = [convolved(x[i] * p, w) for p in (part[i], 1 - part[i])]
        halves = pooled(*rectified(*share_out(*halves, b)))
        halves = share_out(*(h * scale for h in halves), offset - mean * scale)
        mine = share_out(*(h.ravel() @ v for h in halves), c)
        np.testing.assert_allclose(beta[i], mine[0], atol=1e-5)
        np.testing.assert_allclose(gamma[i], mine[1], atol=1e-5)
    np.testing.assert_allclose(beta + gamma, scores, atol=1e-5)


def residual():
    x = keras.Input((9, 9, 2))
    h = kl.Conv2D(4, 3, padding="same", activation="relu")(kl.Rescaling(0.5, 0.3)(x))
    inner = keras.Sequential([keras.Input((9, 9, 4)), kl.DepthwiseConv2D(3, padding="same"), kl.BatchNormalization()])
    h = kl.Add()([h, kl.Activation("gelu")(inner(h))])
    h = kl.Concatenate()([kl.MaxPooling2D(3, 2, padding="same")(h), kl.AveragePooling2D(3, 2, padding="same")(h)])
    h = kl.SeparableConv2D(5, 2, activation="sigmoid")(kl.ZeroPadding2D(1)(kl.Dropout(0.5)(h)))
    ends = [kl.GlobalMaxPooling2D()(h), kl.GlobalAveragePooling2D()(h), kl.Flatten()(kl.Permute((3, 1, 2))(h))]
    return keras.Model(x, kl.Activation("softmax")(kl.Dense(3)(kl.Concatenate()(ends)))), (9, 9, 2)


def in_operations():
    x = keras.Input((6, 3))
    h = ops.relu(ops.reshape(x, (-1, 18)) * 2.0)
    h = kl.PReLU()(kl.Dense(4)(h)) - ops.tanh(kl.Dense(4, use_bias=False)(h)) / 3.0
    return keras.Model(x, kl.Dense(1, "sigmoid")(h)), (6, 3)


def of_series():
    x = keras.Input((12, 3))
    h = kl.MaxPooling1D(3, 2)(kl.Conv1D(4, 3, padding="causal", activation="elu")(kl.UpSampling1D(2)(x)))
    h = kl.EinsumDense("btc,cd->btd", (None, 4), bias_axes="d", activation="tanh")(h)
    return keras.Model(x, kl.Dense(2)(kl.GlobalMaxPooling1D(keepdims=True)(h)[:, 0])), (12, 3)


@pytest.mark.parametrize("make", [residual, in_operations, of_series])
def test_parts_add_up_to_the_logits(make):
    net, shape = make()
    drawn(net)
    x, part = DRAW.normal(size=(5, *shape)), (DRAW.random((5, *shape)) > 0.5).astype(float)
    part[0], part[1] = 0, 1
    beta, gamma, scores = split(net, x, part)
    np.testing.assert_allclose(beta + gamma, scores, atol=1e-5)
    assert np.abs(beta[0]).max() == 0
    np.testing.assert_allclose(gamma[0], scores[0], atol=1e-5)
    assert (np.abs(beta[2:]) > 1e-3).all()


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_of_equal_places_the_first_is_taken(padding):
    net = keras.Sequential([keras.Input((4, 1)), kl.MaxPooling1D(2, padding=padding), kl.Flatten()])
    x, part = np.array([[[1.0], [1.0], [0.0], [2.0]]]), np.array([[[1.0], [0.0], [1.0], [0.0]]])
    beta, gamma, _ = split(net, x, part, output="value")
    assert beta.tolist() == [[1, 0]]
    assert gamma.tolist() == [[0, 2]]


def test_tokens_are_parted_by_position():
    net = drawn(
        keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                kl.Embedding(9, 4, mask_zero=True),
                kl.Dense(5, "tanh"),
                kl.GlobalAveragePooling1D(),
                kl.Dense(2),
            ]
        )
    )
    x = np.array([[3, 1, 4, 1, 5, 0], [2, 6, 5, 3, 5, 8]], "int32")
    part = np.array([[1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], float)
    table, w, b, v, c = (a.astype(float) for a in net.get_weights())
    z = [table[x] * p[..., None] @ w for p in (part, 1 - part)]
    first, second = share_out(*z, b)
    first, second = np.tanh(first), np.tanh(first + second) - np.tanh(first)
    kept = (x > 0)[..., None] / (x > 0).sum(1)[:, None, None]
    mine = share_out((first * kept).sum(1) @ v, (second * kept).sum(1) @ v, c)
    beta, gamma, scores = split(net, x, part)
    np.testing.assert_allclose(beta, mine[0], atol=5e-6)
    np.testing.assert_allclose(gamma, mine[1], atol=5e-6)
    np.testing.assert_allclose(beta + gamma, scores, atol=5e-6)


class Own(keras.layers.Layer):
    def call(self, x):
        return x * x


NO_RULE = {
    "layer_normalization": lambda x: kl.LayerNormalization()(x),
    "multi_head_attention": lambda x: kl.MultiHeadAttention(1, 2)(x, x),
    "activation softmax": lambda x: kl.Dense(3, "softmax")(x),
    "of two tensors": lambda x: x * kl.Dense(3)(x),
    "of a constant": lambda x: x + 1.0,
    "keras.ops, Exp": lambda x: ops.exp(x),
    "'own'": lambda x: Own(name="own")(x),
    "probabilities": lambda x: ops.softmax(kl.Flatten()(x)),
}


@pytest.mark.parametrize("told", NO_RULE)
def test_what_has_no_rule_is_named(told):
    x = keras.Input((4, 3))
    h = NO_RULE[told](x)
    net = keras.Model(x, h if told == "probabilities" else kl.Dense(2)(kl.Flatten()(h)))
    with pytest.raises(UnsupportedLayer, match=f'{told}.*kind="rrr"'):
        split(net, DRAW.normal(size=(2, 4, 3)), np.ones((2, 4, 3)))


def test_a_model_with_a_call_of_its_own_is_refused():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = kl.Dense(2)

        def call(self, x):
            return self.last(x * x)

    with pytest.raises(UnsupportedLayer, match="Net"):
        split(Net(), DRAW.normal(size=(2, 3)), np.ones((2, 3)))
