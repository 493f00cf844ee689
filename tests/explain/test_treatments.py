"""Layers and operations of Keras that only prepare, move, or multiply: in propagation, against the same without them."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.errors import UnsupportedLayer

METHODS = {
    "relevance": lambda: pl.LayerRelevance(pl.Epsilon(1e-9)),
    "composite": lambda: pl.LayerRelevance(),
    "rescale": lambda: pl.DeepLift(),
}
BOTH = {name: METHODS[name] for name in ("relevance", "rescale")}
OPTIONS = {
    "RandomBrightness": (0.3,), "RandomContrast": (0.3,), "RandomCrop": (6, 6), "RandomFlip": (), "RandomRotation": (0.2,),
    "RandomTranslation": (0.2, 0.2), "RandomZoom": (0.2,),
}  # fmt: skip


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def filled(net, seed=0):
    draw = np.random.default_rng(seed)
    net.set_weights([draw.normal(0, 0.4, w.shape) for w in net.get_weights()])
    return net


def alike(first, second, x, method):
    a, b = (pl.explain(net, x, method, target=1, progress=False) for net in (first, second))
    np.testing.assert_allclose(a.output, b.output, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a.values, b.values, atol=1e-5 * np.abs(b.values).max())
    if a.gap is not None:
        assert a.gap.max() < 1e-4


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_layers_that_augment_do_nothing_once_trained(method):
    stack = [layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
    augmenting = [getattr(layers, name)(*options) for name, options in OPTIONS.items()]
    whole = keras.Sequential([keras.Input((6, 6, 3)), *augmenting, *stack])
    plain = filled(keras.Sequential([keras.Input((6, 6, 3)), *stack]))
    alike(whole, plain, rows(2, 6, 6, 3), method())


@pytest.mark.parametrize("kind", ["Average", "Max"])
@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_adaptive_pooling_is_pooling(kind, method):
    conv, last = layers.Conv2D(3, 3, activation="relu"), layers.Dense(2)
    make = lambda pool: keras.Sequential([keras.Input((6, 6, 1)), conv, pool, layers.Flatten(), last])  # noqa: E731
    plain = filled(make(getattr(layers, f"{kind}Pooling2D")(2)))
    alike(make(getattr(layers, f"Adaptive{kind}Pooling2D")(2)), plain, rows(2, 6, 6, 1), method())


PRODUCTS = {
    "einsum": (lambda a, b: ops.einsum("bi,bi->bi", a, b), lambda a, b: a * b),
    "einsum_of_one": (lambda a, b: ops.einsum("bi->bi", a) + b, lambda a, b: a + b),
    "tensordot": (lambda a, b: ops.tensordot(a, np.eye(4, dtype="float32"), 1) * b, lambda a, b: a * b),
    "moved": (
        lambda a, b: ops.flip(ops.concatenate(ops.hsplit(ops.fliplr(ops.hstack([a, b])), 2)[::-1], 1), 1),
        lambda a, b: ops.concatenate([b, a], 1),
    ),
    "sums": (lambda a, b: ops.cumsum(a, axis=1) + b, lambda a, b: ops.matmul(a, np.triu(np.ones((4, 4), "float32"))) + b),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("method", BOTH.values(), ids=BOTH)
def test_operations_that_say_the_same(name, method):
    given, one, two, last = keras.Input((3,)), layers.Dense(4, "relu"), layers.Dense(4, "tanh"), layers.Dense(2)
    nets = [keras.Model(given, last(how(one(given), two(given)))) for how in PRODUCTS[name]]
    alike(nets[0], filled(nets[1]), rows(4, 3), method())


def test_a_product_of_three_is_refused():
    given, parts = keras.Input((3,)), [layers.Dense(4) for _ in range(3)]
    net = keras.Model(given, ops.einsum("bi,bi,bi->bi", *[part(given) for part in parts]))
    for method in BOTH.values():
        with pytest.raises(UnsupportedLayer, match="more than two tensors"):
            pl.explain(net, rows(2, 3), method(), target=1)


@pytest.mark.parametrize("name", ["Maximum", "Minimum"])
def test_differences_of_the_larger_of_several(name):
    """Half the sum and half the distance: by hand, of two; what three hold adds up."""
    given, parts = keras.Input((3,)), [layers.Dense(2, use_bias=False) for _ in range(3)]
    net = filled(keras.Model(given, getattr(layers, name)()([part(given) for part in parts[:2]])))
    x, start = rows(4, 3), np.array([0.5, -0.5, 1.0])
    e = pl.explain(net, x, pl.DeepLift(baseline=start), target=1)
    w, v = (np.asarray(part.kernel, float)[:, 1] for part in parts[:2])
    slope = (np.abs(x @ (w - v)) - np.abs(start @ (w - v))) / ((x - start) @ (w - v))
    sign = 1 if name == "Maximum" else -1
    expected = (x - start) * ((w + v) / 2 + sign * slope[:, None] * (w - v) / 2)
    np.testing.assert_allclose(e.values, expected, atol=1e-4)
    three = filled(keras.Model(given, getattr(layers, name)()([part(given) for part in parts])))
    gap = pl.explain(three, x, pl.DeepLift(baseline=start), target=1).gap
    assert gap is not None
    assert gap.max() < 1e-5


def test_differences_of_a_dot_product():
    given, one, two = keras.Input((3,)), layers.Dense(4, use_bias=False), layers.Dense(4, use_bias=False)
    net = filled(keras.Model(given, layers.Dot(1)([one(given), two(given)])))
    x, start = rows(4, 3), np.array([0.5, -0.5, 1.0])
    e = pl.explain(net, x, pl.DeepLift(baseline=start), target=0)
    w, v = (np.asarray(part.kernel, float) for part in (one, two))
    mean = (x + start) / 2
    np.testing.assert_allclose(e.values, (x - start) * ((mean @ v) @ w.T + (mean @ w) @ v.T), atol=1e-4)
    normal = keras.Model(given, layers.Dot(1, normalize=True)([one(given), two(given)]))
    with pytest.raises(UnsupportedLayer, match="lengths of its inputs"):
        pl.explain(normal, x, pl.DeepLift(), target=0)
