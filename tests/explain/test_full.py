"""Full gradients: every bias where it acts, by hand, and sums that are the score whatever the layers are."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.explain.gradients.full import evenly


def drawn(net, seed=0):
    draw = np.random.default_rng(seed)
    net.set_weights(
        [draw.uniform(0.5, 2, w.shape) if "var" in w.path else draw.normal(0, 0.5, w.shape) for w in net.weights]
    )
    return net


def test_biases_of_a_dense_network_by_hand(generator):
    """Given biases, and those of tanh: tanh(a) - tanh'(a) a; all spread evenly over the columns."""
    net = drawn(keras.Sequential([keras.Input((4,)), layers.Dense(6, activation="tanh"), layers.Dense(2)]))
    a, b, c, d = (w.astype(float) for w in net.get_weights())
    x = generator.normal(size=(5, 4))
    e = pl.explain(net, x, pl.FullGradient(), target=1)
    inner = x @ a + b
    slope = 1 - np.tanh(inner) ** 2
    bias = (np.tanh(inner) - slope * (inner - b)) @ c[:, 1] + d[1]
    np.testing.assert_allclose(e.values, x * ((slope * c[:, 1]) @ a.T) + bias[:, None] / 4, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(e.values.sum(1), e.output, rtol=1e-5, atol=1e-5)


def test_biases_of_a_convolution_are_where_it_looks(generator):
    net = drawn(keras.Sequential([
        keras.Input((6, 6, 2)), layers.Conv2D(3, 2, 2, activation="relu"), layers.Flatten(), layers.Dense(1, use_bias=False),
    ]))  # fmt: skip
    kernel, bias, last = (w.astype(float) for w in net.get_weights())
    x = generator.normal(size=(2, 6, 6, 2))
    e = pl.explain(net, x, pl.FullGradient())
    patches = x.reshape(2, 3, 2, 3, 2, 2).transpose(0, 1, 3, 2, 4, 5)
    inner = np.einsum("bhwijc,ijck->bhwk", patches, kernel) + bias
    back = (inner > 0) * last.reshape(3, 3, 3)
    own = np.einsum("bhwk,ijck->bhiwjc", back, kernel).reshape(x.shape) * x
    cells = (back * bias).sum(-1)
    np.testing.assert_allclose(
        e.values, own + np.repeat(np.repeat(cells, 2, 1), 2, 2)[..., None] / 8, rtol=1e-4, atol=1e-5
    )

    def scaled(m):
        size = abs(m) - abs(m).min((1, 2, 3), keepdims=True)
        return size / (size.max((1, 2, 3), keepdims=True) + 1e-6)

    weights = np.zeros((6, 3))
    for i, t in enumerate(np.clip((np.arange(6) + 0.5) / 2 - 0.5, 0, 2)):
        weights[i, int(min(t, 1))], weights[i, int(min(t, 1)) + 1] = 1 - (t - int(min(t, 1))), t - int(min(t, 1))
    picture = scaled(own).sum(-1) + np.einsum("hi,wj,bij->bhw", weights, weights, scaled(back * bias).sum(-1))
    drawing = pl.explain(net, x, pl.FullGradient("picture"))
    np.testing.assert_allclose(drawing.values[..., 0], picture, rtol=1e-3, atol=1e-4)
    assert drawing.gap is None
    assert not pl.FullGradient("picture").contributes


def residual(act):
    image = keras.Input((8, 8, 2))
    h = layers.Conv2D(4, 3, activation=act, padding="same")(image)
    h = layers.MaxPooling2D()(layers.BatchNormalization()(h))
    h = layers.Add()([h, layers.Activation(act)(layers.SeparableConv2D(4, 3, padding="same")(h))])
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(h)))


def recurrent():
    steps = keras.Input((6, 5))
    h = layers.LayerNormalization()(layers.LSTM(4, return_sequences=True)(steps))
    return keras.Model(steps, layers.Dense(2)(layers.GRU(3)(layers.MultiHeadAttention(2, 3)(h, h))))


def sentence():
    tokens = keras.Input((6,), dtype="int32")
    h = layers.Conv1D(3, 3, activation="gelu")(layers.Embedding(9, 4)(tokens))
    return keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(h)))


def twice():
    column = keras.Input((3,))
    shared = layers.Dense(3, activation="sigmoid")
    return keras.Model(column, layers.Dense(2)(shared(shared(column) * 2 + 1)))


KINDS = {
    "relu": (lambda: residual("relu"), (8, 8, 2)), "tanh": (lambda: residual("tanh"), (8, 8, 2)),
    "recurrent": (recurrent, (6, 5)), "tokens": (sentence, (6,)), "shared": (twice, (3,)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_is_the_score(kind, generator):
    build, shape = KINDS[kind]
    x = generator.integers(0, 9, (3, *shape)) if kind == "tokens" else generator.normal(size=(3, *shape))
    e = pl.explain(drawn(build()), x, pl.FullGradient(), target=1)
    assert e.values.shape == x.shape
    np.testing.assert_allclose(e.values.reshape(3, -1).sum(1), e.output, rtol=1e-4, atol=1e-5)
    assert e.gap.max() < 1e-5


def test_several_inputs_and_formulas(generator):
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    net = drawn(
        keras.Model([a, b], layers.Dense(2)(layers.Dense(4, activation="tanh")(layers.Concatenate()([a, b * b]))))
    )
    x = {"a": generator.normal(size=(2, 3)), "b": generator.normal(size=(2, 2))}
    e = pl.explain(net, x, pl.FullGradient(), target=0)
    np.testing.assert_allclose(e.values["a"].sum(1) + e.values["b"].sum(1), e.output, rtol=1e-4, atol=1e-5)
    f = lambda x: ops.tanh(x[:, 0]) * x[:, 1] + 3  # noqa: E731
    x = generator.normal(size=(2, 2))
    t, s = np.tanh(x[:, 0]), 1 - np.tanh(x[:, 0]) ** 2
    rest = t * x[:, 1] + 3 - s * x[:, 0] * x[:, 1] - t * x[:, 1]
    own = np.stack([s * x[:, 0] * x[:, 1], t * x[:, 1]], 1)
    np.testing.assert_allclose(
        pl.explain(f, x, pl.FullGradient()).values, own + rest[:, None] / 2, rtol=1e-4, atol=1e-5
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(4), layers.Dense(1)

    def call(self, x):
        return self.last(ops.tanh(self.first(x)))


def test_what_a_models_own_call_computes_is_counted(generator):
    net, x = Subclassed(), generator.normal(size=(2, 3))
    net(x)
    e = pl.explain(drawn(net), x, pl.FullGradient())
    assert e.gap.max() < 1e-5
    assert not e.provenance.notes


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="plain torch modules run on torch")
def test_what_is_computed_between_layers_is_missed_and_said(generator):
    import torch

    class Between(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.last(torch.tanh(self.first(x)))

    e = pl.explain(Between(), 3 * generator.normal(size=(2, 3)), pl.FullGradient())
    assert e.gap.max() > 1e-3
    assert any("computes outside its layers are missing" in note for note in e.provenance.notes)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="plain torch modules run on torch")
def test_torch_modules_with_channels_first(generator):
    from torch import nn

    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3))
    x = generator.normal(size=(2, 2, 8, 8)).astype(np.float32)
    e = pl.explain(net, x, pl.FullGradient(), target=1)
    np.testing.assert_allclose(e.values.sum((1, 2, 3)), e.output, rtol=1e-4, atol=1e-5)
    assert pl.explain(net, x, pl.FullGradient("picture"), target=1).values.shape == (2, 1, 8, 8)


def test_cells_are_spread_over_what_they_cover():
    np.testing.assert_allclose(evenly(2, 3), [[2 / 3, 0], [1 / 3, 1 / 3], [0, 2 / 3]], rtol=1e-6)
    for count, size in ((3, 7), (5, 5), (6, 4)):
        np.testing.assert_allclose(evenly(count, size).sum(0), 1, rtol=1e-6)


def test_options_that_make_no_sense(random_mlp):
    with pytest.raises(InvalidOption, match=r"FullGradient\.form: expected"):
        pl.FullGradient("sketch")
    with pytest.raises(NotApplicable, match="needs inputs on a grid"):
        pl.explain(random_mlp, np.zeros((2, 6)), pl.FullGradient("picture"))
