"""DeepLIFT against the paper's own examples, and against multipliers worked out densely in float64."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import InvalidOption, NotDifferentiable, UnsupportedLayer

RULES = ["rescale", "reveal_cancel"]
ACT = {"relu": lambda a: np.maximum(a, 0), "tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a))}


@pytest.mark.parametrize("rule", RULES)
def test_the_worked_example(rule):
    f = lambda x: 2 * ops.relu(x[:, 0]) + 2 * ops.relu(x[:, 1] - 1.5)  # noqa: E731
    e = pl.explain(f, np.array([[1.0, 2.0]]), pl.DeepLift(rule))
    np.testing.assert_allclose(e.values, [[2, 1]], atol=1e-6)
    assert e.gap[0] < 1e-6


@pytest.mark.parametrize(("rule", "expected"), [("rescale", [0, 1]), ("reveal_cancel", [0.5, 0.5])])
def test_the_smaller_of_two_as_in_the_paper(rule, expected):
    x = keras.Input((2,))
    net = keras.Model(x, layers.Subtract()([x[:, :1], layers.Dense(1, "relu", use_bias=False, name="gap")(x)]))
    net.get_layer("gap").set_weights([np.array([[1.0], [-1.0]])])
    e = pl.explain(net, np.array([[3.0, 1.0]]), pl.DeepLift(rule), target=0)
    np.testing.assert_allclose(e.values, [expected], atol=1e-6)


def ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=np.abs(b) > 1e-12)


def dense_answer(weights, act, rule, x, start, k):
    """Contributions of one example: weights are (W, b) pairs, with `act` between them."""
    seen, a, a0 = [], x, start
    for i, (w, b) in enumerate(weights):
        z, z0 = a @ w + b, a0 @ w + b
        seen.append((a, a0, z, z0))
        a, a0 = (act(z), act(z0)) if i < len(weights) - 1 else (z, z0)
    m = weights[-1][0][:, k]
    for (w, _), (a, a0, z, z0) in reversed(list(zip(weights[:-1], seen[:-1], strict=True))):
        share = (a - a0)[:, None] * w
        if rule == "rescale":
            m = w @ (m * ratio(act(z) - act(z0), z - z0))
            continue
        up, down = np.maximum(share, 0).sum(0), np.minimum(share, 0).sum(0)
        by_up = ratio(act(z0 + up) - act(z0) + act(z0 + up + down) - act(z0 + down), 2 * up)
        by_down = ratio(act(z0 + down) - act(z0) + act(z0 + up + down) - act(z0 + up), 2 * down)
        rises = (np.sign(share) + 1) / 2  # the paper's half and half where an input does not differ
        m = (w * (rises * by_up + (1 - rises) * by_down)) @ m
    return (x - start) * m


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("act", list(ACT))
@pytest.mark.parametrize("apart", [False, True], ids=["fused", "own_layer"])
def test_multipliers_are_the_printed_ones(rule, act, apart):
    draw, sizes = np.random.default_rng(0), [5, 7, 6, 3]
    stack = [keras.Input((5,))]
    for i, size in enumerate(sizes[1:]):
        last = i == len(sizes) - 2
        stack += [
            layers.Dense(size, None if apart or last else act),
            *([layers.Activation(act)] if apart and not last else []),
        ]
    net = keras.Sequential(stack)
    net.set_weights([draw.normal(size=w.shape) for w in net.get_weights()])
    x, start = draw.normal(size=(6, 5)), draw.normal(size=5)
    e = pl.explain(net, x, pl.DeepLift(rule, baseline=start), target=1)
    held = [w.astype(float) for w in net.get_weights()]
    weights = list(zip(held[::2], held[1::2], strict=True))
    for i in range(6):
        expected = dense_answer(weights, ACT[act], rule, x[i], start, 1)
        np.testing.assert_allclose(e.values[i], expected, atol=1e-4 * np.abs(expected).max())


def every_kind():
    x = inputs = keras.Input((10, 10, 2))
    x = layers.Conv2D(6, 3, activation="relu")(layers.ZeroPadding2D()(x))
    x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
    y = layers.Activation("gelu")(layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same", use_bias=False)(x)))
    x = layers.Concatenate()([layers.Add()([x, y]), layers.Multiply()([x, y])])
    x = layers.SeparableConv2D(5, 3, activation="elu")(layers.DepthwiseConv2D(2)(layers.Dropout(0.3)(x)))
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    x = ops.maximum(x, 0.1 * x) + ops.minimum(x, 0.5) * ops.sigmoid(x)
    net = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    draw = np.random.default_rng(1)
    for layer in net.layers:
        layer.set_weights([np.abs(w) + 0.5 if isinstance(layer, layers.BatchNormalization) else draw.normal(0, 0.4, w.shape)
                           for w in layer.get_weights()])  # fmt: skip
    return net


@pytest.mark.parametrize("rule", RULES)
def test_values_add_up_through_every_kind_of_layer(rule):
    draw = np.random.default_rng(2)
    x, start = draw.normal(size=(5, 10, 10, 2)), draw.normal(size=(5, 10, 10, 2))
    e = pl.explain(every_kind(), x, pl.DeepLift(rule, baseline=start), target=pl.Margin(0, 2))
    assert (e.gap < 1e-4 * np.abs(e.output - e.baseline_output).max()).all()


@pytest.mark.parametrize(
    ("x", "start", "expected"), [([3, 1], [0, 2], [1, 0]), ([0, 1], [2, 0], [-1, 0]), ([4, 1], [3, 2], [1, 0])]
)
def test_a_maximum_rises_where_it_is_and_falls_where_it_was(x, start, expected):
    net = keras.Sequential([keras.Input((2, 1)), layers.MaxPooling1D(2), layers.Flatten()])
    shaped = lambda a: np.array(a, float).reshape(1, 2, 1)  # noqa: E731
    e = pl.explain(pl.wrap(net, "value"), shaped(x), pl.DeepLift(baseline=shaped(start)), target=0)
    np.testing.assert_allclose(e.values.ravel(), expected, atol=1e-6)


def test_a_product_is_shared_out_as_shapley_would():
    f = lambda x: x[:, 0] * x[:, 1]  # noqa: E731
    x, start = np.array([[3.0, 4.0]]), np.array([1.0, -2.0])
    e = pl.explain(f, x, pl.DeepLift(baseline=start))
    s = pl.explain(f, x, pl.PermutationShapley(baseline=start))
    np.testing.assert_allclose(e.values, s.values, rtol=1e-5)


def test_tokens_are_compared_with_the_tokens_of_the_baseline():
    net = keras.Sequential([
        keras.Input((4,), dtype="int32"), layers.Embedding(7, 3), layers.Dense(4, "tanh"), layers.GlobalAveragePooling1D(),
        layers.Dense(2),
    ])  # fmt: skip
    e = pl.explain(net, np.array([[1, 2, 3, 0]]), pl.DeepLift(baseline=0), target=1)
    assert e.values.shape == (1, 4)
    assert e.values[0, 3] == 0
    assert e.gap[0] < 1e-5


@pytest.mark.parametrize("rule", RULES)
def test_differences_at_a_hidden_layer_add_up(rule):
    net = every_kind()
    name = net.layers[2].name
    draw = np.random.default_rng(4)
    x, start = draw.normal(size=(5, 10, 10, 2)), draw.normal(size=(5, 10, 10, 2))
    e = pl.explain(net, x, pl.DeepLift(rule, baseline=start, layer=name), target=1)
    assert e.values.shape[1:] == tuple(net.layers[2].output.shape[1:])
    assert (e.gap < 1e-4 * np.abs(e.output - e.baseline_output).max()).all()


def test_what_cannot_be_shared_out_is_refused():
    odd = keras.Sequential([keras.Input((4,)), layers.UnitNormalization(name="calm"), layers.Dense(2)])
    with pytest.raises(
        UnsupportedLayer, match=re.escape("'calm' (UnitNormalization); what works on this model: Gradient")
    ):
        pl.explain(odd, np.ones((2, 4)), pl.DeepLift())
    inside = keras.Sequential([keras.Input((4,)), layers.Dense(3, "sparsemax", name="gate"), layers.Dense(2)])
    with pytest.raises(UnsupportedLayer, match=re.escape("activation of 'gate' (sparsemax)")):
        pl.explain(inside, np.ones((2, 4)), pl.DeepLift())
    with pytest.raises(UnsupportedLayer, match=r"operation 'cumprod\w*' \(keras\.ops, Cumprod\)"):
        pl.explain(lambda x: ops.cumprod(x, axis=1)[:, -1], np.ones((2, 4)), pl.DeepLift())
    with pytest.raises(NotDifferentiable, match="gives NumPy arrays"):
        pl.explain(lambda x: np.asarray(x)[:, 0], np.ones((2, 4)), pl.DeepLift())
    with pytest.raises(
        InvalidOption, match=r"DeepLift\.rule: expected one of 'rescale', 'reveal_cancel', got 'linear'"
    ):
        pl.DeepLift("linear")


def test_an_operation_with_a_constant_is_linear():
    table = np.arange(8.0).reshape(4, 2).astype("float32")
    draw = np.random.default_rng(3)
    x, start = draw.normal(size=(3, 4)), draw.normal(size=4)
    f = lambda x: ops.maximum(ops.matmul(x, ops.convert_to_tensor(table)), ops.convert_to_tensor([[1.0, 2.0]]))[:, 1]  # noqa: E731
    e = pl.explain(f, x, pl.DeepLift(baseline=start))
    assert e.gap.max() < 1e-5
    linear = lambda x: ops.matmul(x, ops.convert_to_tensor(table))[:, 1]  # noqa: E731
    np.testing.assert_allclose(
        pl.explain(linear, x, pl.DeepLift(baseline=start)).values, (x - start) * table[:, 1], atol=1e-5
    )
    np.testing.assert_allclose(
        pl.explain(linear, x, pl.LayerRelevance(pl.Epsilon(1e-9))).values, x * table[:, 1], atol=1e-5
    )


class Rectified(keras.Model):
    """A model with a call of its own, and a rectifier in it."""

    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(7, name="first"), layers.Dense(3)

    def call(self, x, training=None):
        h = ops.relu(self.first(x))
        return self.last(h * h + 0.5 * ops.flip(h, axis=1))


@pytest.mark.parametrize(
    "method", [pl.DeepLift(baseline=0.7), pl.DeepLift("reveal_cancel", 0.7), pl.DeepShap(np.ones((2, 6)))]
)
def test_operations_in_a_models_own_call_are_treated(method):
    keras.utils.set_random_seed(0)
    net, x = Rectified(), np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    e = pl.explain(net, x, method, target=1)
    assert e.gap.max() < 1e-5
    assert pl.explain(net, x, pl.DeepLift(layer="first"), target=1).gap.max() < 1e-5
