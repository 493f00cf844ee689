from itertools import combinations, product

import numpy as np

import pellucid as pl
from pellucid.measure.attacks.ball import Ball
from pellucid.measure.attacks.space import as_inputs, space_of
from pellucid.measure.attacks.sparse import greedy, scatter
from pellucid.measure.attacks.victim import Victim
from pellucid.measure.base import Context

G = np.random.default_rng(0)
ROWS = 60
X = np.column_stack([G.normal(size=(ROWS, 3)), np.eye(3)[G.integers(3, size=ROWS)], G.integers(2, size=ROWS)]).astype(
    "float32"
)
COLUMNS = ["a", "b", "c", "colour", "colour", "colour", "flag"]
W = G.normal(size=7)
Y = np.arange(ROWS) % 2


def ball_of(data, epsilon, weights):
    from keras import ops

    weights = np.asarray(weights, "float32").reshape(-1, 1)
    flat = lambda x: ops.reshape(x, (-1, len(weights)))  # noqa: E731
    model = pl.wrap(lambda x: ops.matmul(flat(x), ops.convert_to_tensor(weights)), output="logits")
    context = Context(model, None, data, 0)
    context.labels("test")
    return Ball(Victim(context), space_of(data, None, ()), as_inputs(data.x), data.y, epsilon, "0")


def worst_by_enumeration(count):
    """Every choice of columns, and every end or category of each, of a linear model with a table."""
    ways = [[[X[:, j].min()], [X[:, j].max()]] for j in range(3)]
    ways = [*ways, np.eye(3).tolist(), [[0.0], [1.0]]]
    places = [[0], [1], [2], [3, 4, 5], [6]]
    found = []
    for x, y in zip(X.astype(float), Y):
        best = -np.inf
        for chosen in combinations(range(5), count):
            for values in product(*(ways[c] for c in chosen)):
                moved = x.copy()
                for c, value in zip(chosen, values):
                    moved[places[c]] = value
                best = max(best, (-1 if y == 1 else 1) * (moved @ W))
        found.append(best)
    return np.array(found)


def test_greedy_finds_the_best_few_columns_of_a_linear_model():
    data = pl.Dataset(X, Y, columns=COLUMNS)
    for count in (1, 2, 3):
        ball = ball_of(data, count, W)
        truth = np.maximum(worst_by_enumeration(count), ball.victim.margins(X, Y))
        np.testing.assert_allclose(greedy(ball, 1, 1, G).margins, truth, rtol=1e-4, atol=1e-5)
        drawn = scatter(ball, 30, 1, np.random.default_rng(0))
        assert (drawn.margins <= truth + 1e-4).all()
        assert (drawn.margins > ball.victim.margins(X, Y)).mean() > 0.5


def test_a_pixel_is_changed_in_all_its_channels():
    """The gain of a pixel is the sum of what its channels gain: the largest are chosen."""
    x = G.random((20, 4, 4, 3)).astype("float32")
    weights, y = G.normal(size=(4, 4, 3)), np.zeros(20, int)
    gains = np.maximum(weights * (x.max() - x), weights * (x.min() - x)).sum(-1).reshape(20, -1)
    truth = (x * weights).sum((1, 2, 3)) + np.sort(gains, axis=1)[:, -3:].sum(1)
    np.testing.assert_allclose(greedy(ball_of(pl.Dataset(x, y), 3, weights.ravel()), 1, 1, G).margins, truth, rtol=1e-4)
