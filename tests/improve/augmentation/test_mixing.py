"""Mixed examples: shares, labels, weights and losses, against NumPy by the same draws."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.stats import beta, kstest

import pellucid as pl
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.base import Batch
from pellucid.improve.step import Step
from pellucid.training import fresh

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(32, 5)).astype("float32")
Y = DRAW.integers(0, 3, 32)
IMAGES = DRAW.random((32, 10, 8, 2)).astype("float32")


class Remembering:
    """The draws of a mixing, with what was drawn."""

    def __init__(self, draws):
        self.draws, self.seen = draws, []

    def __getitem__(self, name):
        return self.draws[name]

    def uniform(self, *shape, **options):
        self.seen.append(to_array(found := self.draws.uniform(*shape, **options)))
        return found


def mixed(augmentation, data, y, weight=None):
    draws = Remembering(augmentation.attach(None, data, 0))
    inputs = keras.tree.map_structure(ops.convert_to_tensor, data.x)
    given = Batch(inputs, ops.convert_to_tensor(y), None if weight is None else ops.convert_to_tensor(weight))
    batch = augmentation.change(given, None, draws)
    order, uniform = draws.seen[0].argsort(), draws.seen[1]
    return batch, order, beta.ppf(uniform, augmentation.alpha, augmentation.alpha)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_of_the_beta_distribution(alpha):
    one = pl.MixUp(alpha)
    shares = to_array(one.share(one.attach(None, pl.Dataset(X), 0), 4000))
    assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 0.01
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


@pytest.mark.parametrize("each", ["batch", "example"])
def test_inputs_and_labels_are_mixed_in_the_same_share(each):
    one_hot = np.eye(3, dtype="float32")[Y]
    batch, order, share = mixed(pl.MixUp(0.4, each), pl.Dataset(X), one_hot)
    assert share.shape == ((32,) if each == "example" else (1,))
    share = np.broadcast_to(share, 32)[:, None]
    np.testing.assert_allclose(to_array(batch.x), share * X + (1 - share) * X[order], atol=2e-4)
    np.testing.assert_allclose(to_array(batch.y), share * one_hot + (1 - share) * one_hot[order], atol=2e-4)
    assert sorted(order) == list(range(32))


def test_every_input_of_a_dict_is_mixed_alike_and_quantities_too():
    x = {"a": X, "b": IMAGES, "c": (IMAGES * 255).astype("uint8")}
    batch, order, share = mixed(pl.MixUp(1.0), pl.Dataset(x), X[:, 0])
    for name in ("a", "b"):
        np.testing.assert_allclose(
            to_array(batch.x[name]), share[0] * x[name] + (1 - share[0]) * x[name][order], atol=1e-3
        )
    found = to_array(batch.x["c"])
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, share[0] * x["c"] + (1 - share[0]) * x["c"][order], atol=0.6)
    np.testing.assert_allclose(to_array(batch.y), share[0] * X[:, 0] + (1 - share[0]) * X[order, 0], atol=1e-3)


def linear(loss, units, activation=None):
    def build():
        net = keras.Sequential([keras.Input((5,)), layers.Dense(units, activation=activation)])
        net.compile(keras.optimizers.SGD(0.1), loss)
        return net

    return build


def log_loss(p, y):
    return -np.log(p[np.arange(len(y)), y])


@pytest.mark.parametrize("kind", ["sparse", "one-hot", "binary", "mse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_a_linear_model_is_that_of_both_labels_in_their_shares(kind, weighted):
    loss, units, activation, y = {
        "sparse": ("sparse_categorical_crossentropy", 3, "softmax", Y),
        "one-hot": ("categorical_crossentropy", 3, "softmax", Y),
        "binary": ("binary_crossentropy", 1, "sigmoid", (Y > 0).astype(int)),
        "mse": ("mse", 1, None, X[:, 1]),
    }[kind]
    weight = DRAW.uniform(0, 2, 32).astype("float32") if weighted else None
    if weighted:
        weight[:3] = 0
    net, data, one = fresh(linear(loss, units, activation), 0), pl.Dataset(X, y), pl.MixUp(0.5, "example")
    step = Step(net, [one], data, weight=weight)
    draws = step.held["mixing"] = Remembering(step.held["mixing"])
    total = float(to_array(step.work({n: ops.convert_to_tensor(a) for n, a in step.given().items()})[0]))
    order, share = draws.seen[0].argsort(), to_array(one.share(_Again(draws, draws.seen[1]), 32)).astype(float)
    kernel, bias = (w.astype(float) for w in net.get_weights())
    out = (share[:, None] * X + (1 - share[:, None]) * X[order]) @ kernel + bias
    if units == 3:
        p = np.exp(out) / np.exp(out).sum(1, keepdims=True)
        first, second = log_loss(p, y), log_loss(p, y[order])
    elif kind == "binary":
        p = 1 / (1 + np.exp(-out))
        p = np.concatenate([1 - p, p], axis=1)
        first, second = log_loss(p, y), log_loss(p, y[order])
    else:  # a square is not linear in the label: it is that of the mixed one
        label = share * y + (1 - share) * y[order]
        if weighted:
            label = (share * weight * y + (1 - share) * weight[order] * y[order]) / np.maximum(
                share * weight + (1 - share) * weight[order], 1e-12
            )
        first = second = (out[:, 0] - label) ** 2
    w = np.ones(32) if weight is None else weight
    np.testing.assert_allclose(total, np.mean(share * w * first + (1 - share) * w[order] * second), rtol=1e-4)


class _Again:
    def __init__(self, draws, uniform):
        self.draws, self.numbers = draws, uniform

    def __getitem__(self, name):
        return self.draws[name]

    def uniform(self, *shape):
        return ops.convert_to_tensor(self.numbers)


def test_a_cut_mixes_labels_by_the_pixels_that_were_exchanged():
    one_hot = np.eye(3, dtype="float32")[Y]
    batch, order, _ = mixed(pl.CutMix(), pl.Dataset(IMAGES, kind="image"), one_hot)
    found = to_array(batch.x)
    taken = np.all(found == IMAGES[order], axis=-1) & (order != np.arange(32))[:, None, None]
    np.testing.assert_array_equal(found, np.where(taken[..., None], IMAGES[order], IMAGES))
    share = np.where(order == np.arange(32), 1, 1 - taken.mean((1, 2)))[:, None]
    np.testing.assert_allclose(to_array(batch.y), share * one_hot + (1 - share) * one_hot[order], atol=1e-5)
    rows, columns = taken.any(2), taken.any(1)
    np.testing.assert_array_equal(taken, rows[:, :, None] & columns[:, None, :])


def test_rectangles_are_where_and_as_large_as_the_paper_says():
    one = pl.CutMix(1.0)
    inside = to_array(one.rectangles(4000, (32, 32), one.attach(None, pl.Dataset(np.ones((2, 32, 32, 1))), 0)))[..., 0]
    draw = np.random.default_rng(1)
    side, middle = np.sqrt(1 - draw.random(400_000)), draw.random((2, 400_000))
    expected = np.prod([np.minimum(m + side / 2, 1) - np.maximum(m - side / 2, 0) for m in middle], axis=0)
    area = inside.mean((1, 2))
    assert abs(area.mean() - expected.mean()) < 4 * expected.std() / np.sqrt(4000)
    assert abs(area.std() - expected.std()) < 0.02
    near = inside.mean(0)  # as often left as right, above as below
    np.testing.assert_allclose(near, near[::-1, ::-1], atol=0.05)


def test_what_cannot_be_mixed_is_refused():
    tokens = pl.Dataset(np.ones((8, 4), "int32"), np.arange(8) % 2, kind="text")
    with pytest.raises(NotApplicable, match=r"token numbers \(int32\).*embedding"):
        pl.MixUp().attach(None, tokens, 0)
    with pytest.raises(NotApplicable, match="b holds whole numbers"):
        pl.MixUp().attach(None, pl.Dataset({"a": X, "b": Y}), 0)
    with pytest.raises(NotApplicable, match="CutMix is for image"):
        pl.CutMix().attach(None, pl.Dataset(X), 0)
    for wrong in (lambda: pl.MixUp(0), lambda: pl.CutMix(-1.0), lambda: pl.MixUp(0.2, "row")):
        with pytest.raises(InvalidOption):
            wrong()
    with pytest.raises(InvalidOption, match="same thing"):
        pl.Recipe(pl.MixUp(), pl.CutMix())
    with pytest.raises(InvalidOption, match="two groups"):
        pl.Recipe(pl.MixUp(), pl.GroupDro([0, 1]))
    with pytest.raises(InvalidOption, match="not been asked about mixed"):
        pl.Recipe(pl.CutMix(), pl.Distill(np.ones((2, 2)) / 2))

    def odd(y_true, y_pred):
        return ops.mean(y_pred, axis=-1) + 0 * ops.cast(ops.reshape(y_true, (-1,)), "float32")

    with pytest.raises(NotApplicable, match="takes class numbers"):
        Step(fresh(linear(odd, 3), 0), [pl.MixUp()], pl.Dataset(X, Y))
