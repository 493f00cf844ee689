"""First layers behind what moves an input: against the same model given inputs that are moved beforehand."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import pellucid as pl
from pellucid.explain.propagation.reading import read_inputs

on_torch = pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch modules need Keras on torch")

LOW = -np.random.default_rng(1).uniform(0.5, 2, size=(6, 5, 2))
"""A least value for each number of an example."""

FIRST = [pl.Flat(), pl.WSquare(), pl.ZBox(low=LOW, high=LOW + 4)]


def rows(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=shape).astype(np.float32)


def filled(net, seed=0):
    draw = np.random.default_rng(seed)
    net.set_weights([draw.normal(0, 0.4, w.shape) for w in net.get_weights()])
    return net


def relevance(net, x, first, target=1):
    return pl.explain(net, x, pl.LayerRelevance(pl.Composite(convolution=pl.ZPlus(), first=first)), target=target)


def below(shape):
    """A network that reads inputs of a shape."""
    return [layers.Conv1D(4, 2), layers.ReLU()] if len(shape) == 2 else [layers.Dense(6, "relu")]


def moved_bounds(first, move):
    if not isinstance(first, pl.ZBox):
        return first
    return pl.ZBox(low=move(first.low[None])[0], high=move(first.high[None])[0])


MOVES = {
    "permute": (lambda x: layers.Permute((3, 1, 2))(x), lambda x: x.transpose(0, 3, 1, 2)),
    "permute_reshape": (
        lambda x: layers.Reshape((10, 6))(layers.Permute((3, 2, 1))(x)),
        lambda x: x.transpose(0, 3, 2, 1).reshape(-1, 10, 6),
    ),
    "transpose": (lambda x: ops.transpose(x, (0, 3, 1, 2)), lambda x: x.transpose(0, 3, 1, 2)),
    "operations": (
        lambda x: ops.squeeze(ops.swapaxes(ops.moveaxis(ops.expand_dims(x, 1), 1, -1)[:, 1:, ::2], 1, 2), -1),
        lambda x: x[:, 1:, ::2].swapaxes(1, 2),
    ),
    "flipped": (lambda x: ops.reshape(ops.flip(x, 1), (-1, 30, 2)), lambda x: x[:, ::-1].reshape(-1, 30, 2)),
}
"""What is done to an input (6, 5, 2), and the same to arrays."""


@pytest.mark.parametrize("first", FIRST, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("name", MOVES)
def test_a_layer_behind_what_moves_an_input_is_the_first(name, first):
    move, same = MOVES[name]
    x = rows(3, 6, 5, 2)
    given = keras.Input((6, 5, 2))
    read = move(given)
    stack = [*below(read.shape[1:]), layers.Flatten(), layers.Dense(3)]
    out = read
    for layer in stack:
        out = layer(out)
    whole = filled(keras.Model(given, out))
    plain = keras.Sequential([keras.Input(read.shape[1:]), *stack])
    e, expected = relevance(whole, x, first), relevance(plain, same(x), moved_bounds(first, same))
    np.testing.assert_allclose(same(e.values), expected.values, atol=1e-5 * np.abs(expected.values).max())
    np.testing.assert_allclose(e.values.sum(), expected.values.sum(), rtol=1e-4)  # none goes where nothing is read
    assert not e.provenance.notes or "no layer was found" not in str(e.provenance.notes)


def test_bounds_go_through_a_permutation_by_the_printed_rule():
    hidden, last = layers.Dense(4, "relu"), layers.Dense(2)
    net = filled(keras.Sequential([keras.Input((2, 3)), layers.Permute((2, 1)), layers.Flatten(), hidden, last]))
    x, low = rows(3, 2, 3), -1 - rows(2, 3, seed=2) ** 2
    high = low + 3
    e = relevance(net, x, pl.ZBox(low=low, high=high))
    (w, b), (v, c) = ([np.asarray(a, float) for a in layer.get_weights()] for layer in (hidden, last))
    for i in range(3):
        seen, least, most = (a.T.ravel() for a in (x[i].astype(float), low, high))
        h = np.maximum(seen @ w + b, 0)
        at_hidden = h * v[:, 1] / (h @ v[:, 1] + c[1]) * (h @ v[:, 1] + c[1])
        n = seen[:, None] * w - least[:, None] * np.maximum(w, 0) - most[:, None] * np.minimum(w, 0)
        expected = (n / n.sum(0)) @ at_hidden
        np.testing.assert_allclose(e.values[i], expected.reshape(3, 2).T, rtol=2e-4, atol=1e-5)


def test_copies_of_an_input_add_up():
    given = keras.Input((4,))
    one, last = layers.Dense(5, "relu"), layers.Dense(2)
    twice = filled(keras.Model(given, last(one(ops.concatenate([given, given[:, 1:]], 1)))))
    plain = keras.Model(wide := keras.Input((7,)), last(one(wide)))
    x = rows(3, 4)
    e, apart = relevance(twice, x, pl.Flat()), relevance(plain, np.concatenate([x, x[:, 1:]], 1), pl.Flat())
    expected = apart.values[:, :4].copy()
    expected[:, 1:] += apart.values[:, 4:]
    np.testing.assert_allclose(e.values, expected, atol=1e-6)


def test_several_inputs_that_are_moved_and_joined():
    a, b = keras.Input((2, 3), name="a"), keras.Input((4,), name="b")
    one, last = layers.Dense(5, "relu"), layers.Dense(2)
    joined = ops.concatenate([b, ops.reshape(ops.transpose(a, (0, 2, 1)), (-1, 6))], 1)
    net = filled(keras.Model([a, b], last(one(joined))))
    plain = keras.Model(wide := keras.Input((10,)), last(one(wide)))
    x = {"a": rows(3, 2, 3), "b": rows(3, 4, seed=1)}
    flat = np.concatenate([x["b"], x["a"].transpose(0, 2, 1).reshape(3, 6)], 1)
    for first in (pl.WSquare(), pl.ZBox(low=-2.0, high=2.0)):
        e, expected = relevance(net, x, first), relevance(plain, flat, first).values
        np.testing.assert_allclose(e.values["b"], expected[:, :4], atol=1e-6)
        np.testing.assert_allclose(e.values["a"], expected[:, 4:].reshape(3, 3, 2).transpose(0, 2, 1), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        ops.relu, ops.abs, ops.sign, lambda x: x**3, lambda x: x * ops.abs(x), lambda x: 2 * x, lambda x: -x, lambda x: x + 1,
        lambda x: ops.sort(x, axis=1), lambda x: ops.cumsum(x, axis=1), lambda x: x - ops.mean(x, 1, keepdims=True),
        lambda x: ops.max(x, 1, keepdims=True), lambda x: ops.mean(x, 1, keepdims=True), lambda x: ops.round(x),
        lambda x: ops.where(x > 0, x, ops.flip(x, 1)), lambda x: ops.average_pool(x[..., None], 2, 1)[..., 0],
    ],
    ids=range(16),
)  # fmt: skip
@pytest.mark.parametrize("size", [2, 9])
def test_what_changes_numbers_is_not_looked_through(change, size):
    given = keras.Input((size,))
    net = pl.wrap(keras.Model(given, layers.Dense(2)(change(given))))
    x = rows(2, size)
    net.prepare(x)
    calls, readings = read_inputs(net, [x[:1]])
    found = [r for c, r in zip(calls, readings, strict=True) if isinstance(c.layer, layers.Dense)]
    assert found == [None]


def test_where_every_number_is_from():
    net = keras.Sequential([keras.Input((2, 3)), layers.Permute((2, 1)), layers.ZeroPadding1D(1), layers.Dense(2)])
    net, x = pl.wrap(net), rows(1, 2, 3)
    net.prepare(x)
    reading = read_inputs(net, [x])[1][-1]
    assert reading is not None
    assert reading.places.reshape(5, 2).tolist() == [[-1, -1], [0, 3], [1, 4], [2, 5], [-1, -1]]
    moved = reading.moved(np.arange(6.0).reshape(2, 3))
    assert moved is not None
    assert moved.ravel().tolist() == [0, 0, 0, 3, 1, 4, 2, 5, 0, 0]
    assert reading.moved(np.arange(5.0)) is None


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_has_room_for_the_codes(policy):
    half = keras.DTypePolicy(policy)
    given = keras.Input((40, 30))
    net = pl.wrap(keras.Model(given, layers.Dense(2, dtype=half)(ops.transpose(given, (0, 2, 1)))))
    x = rows(1, 40, 30)
    net.prepare(x)
    reading = read_inputs(net, [x])[1][-1]
    assert reading is not None
    np.testing.assert_array_equal(reading.places.reshape(30, 40), np.arange(1200).reshape(40, 30).T)


def test_an_input_of_zeros_hides_nothing():
    given = keras.Input((3,))
    first = layers.Dense(4, "relu")
    net = filled(keras.Model(given, layers.Dense(2)(first(0.5 * given))))
    x = np.concatenate([np.zeros((1, 3)), rows(2, 3)])
    a, b = relevance(net, x, pl.Flat()), relevance(net, x[1:], pl.Flat())
    np.testing.assert_allclose(a.values[1:], b.values, atol=1e-6)
    assert any("no layer was found" in note for note in a.provenance.notes)


# -- torch --------------------------------------------------------------------------------------------------------------


def channels_last(*body, move=None):
    """A torch module that takes channels last, and moves its input itself."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(*body)

        def forward(self, x):
            return self.body(move(x) if move else x.permute(0, 3, 1, 2).contiguous())

    return Net()


@on_torch
@pytest.mark.parametrize("first", FIRST, ids=lambda rule: type(rule).__name__)
def test_a_torch_module_that_permutes_its_input_has_a_first_layer(first):
    import torch

    torch.manual_seed(0)
    nn = torch.nn
    body = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(120, 3))
    x = rows(3, 6, 5, 2)
    back = lambda a: a.transpose(0, 3, 1, 2)  # noqa: E731
    e = relevance(channels_last(*body), x, first)
    expected = relevance(body, back(x), moved_bounds(first, back))
    np.testing.assert_allclose(back(e.values), expected.values, atol=1e-6 * np.abs(expected.values).max())
    assert not any("no layer was found" in note for note in e.provenance.notes)
    assert np.abs(e.values - relevance(channels_last(*body), x, None).values).max() > 1e-2


WRITTEN = {
    "movedim": lambda x: x.movedim(-1, 1),
    "transpose": lambda x: x.transpose(1, 3).mT,
    "unsqueeze": lambda x: x.unsqueeze(1).flatten(0, 1).permute(0, 3, 1, 2),
    "einsum": lambda x: __import__("torch").einsum("bhwc->bchw", x),
    "view": lambda x: x.clone().swapaxes(3, 1).swapaxes(2, 3).view(-1, 2, 6, 5),
}


@on_torch
@pytest.mark.parametrize("name", WRITTEN)
def test_however_it_is_written(name):
    import torch

    torch.manual_seed(0)
    body = [torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 3)]
    x = rows(3, 6, 5, 2)
    nets = channels_last(*body, move=WRITTEN[name]), channels_last(*body)
    e, expected = (relevance(net, x, FIRST[2]) for net in nets)
    np.testing.assert_allclose(e.values, expected.values, atol=1e-6)
