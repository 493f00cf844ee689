"""No attack leaves its ball or the range, on 1,000 rows; and everything that may not move stays."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, UnknownName
from pellucid.measure.attacks.ball import Ball
from pellucid.measure.attacks.siege import ATTACKS, SPARSE
from pellucid.measure.attacks.space import as_inputs, space_of
from pellucid.measure.attacks.victim import Victim
from pellucid.measure.base import Context

G = np.random.default_rng(0)
ROWS = 1000
COLOURS = np.eye(4)[G.integers(4, size=ROWS)]
GONE = (G.random(ROWS) < 0.3).astype(float)
TABLE = np.column_stack([
    G.normal(size=ROWS), G.integers(0, 90, ROWS), COLOURS, 1e3 * G.gamma(2, 1, ROWS), GONE, G.normal(size=ROWS), np.ones(ROWS),
]).astype("float32")  # fmt: skip
NAMES = ["a", "age", "colour=r", "colour=g", "colour=b", "colour=k", "income", "income is missing", "b", "constant"]
COLUMNS = ["a", "age", *["colour"] * 4, "income", "income", "b", "constant"]
LABELS = G.integers(3, size=ROWS)


def net(shape):
    import keras

    keras.utils.set_random_seed(0)
    inside = [keras.layers.Dense(16, "tanh"), keras.layers.Dense(3)]
    return pl.wrap(
        keras.Sequential([keras.Input(shape), keras.layers.Rescaling(0.05), keras.layers.Flatten(), *inside])
    )


def ball_of(data, norm, epsilon, limits=None, frozen=()):
    context = Context(net(data.x.shape[1:]), None, data, 0)
    context.labels("test")
    return Ball(Victim(context), space_of(data, limits, frozen), as_inputs(data.x), data.y, epsilon, norm)


IMAGES = pl.Dataset(G.random((ROWS, 6, 6, 2)).astype("float32"), LABELS)
DATA = {
    "images": IMAGES, "bytes": pl.Dataset((255 * IMAGES.x).astype(np.uint8), LABELS),
    "table": pl.Dataset(TABLE, LABELS, columns=COLUMNS, feature_names=NAMES),
    "sequence": pl.Dataset(G.normal(size=(ROWS, 10, 3)).astype("float32"), LABELS),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(DATA))
@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("name", list(ATTACKS))
def test_no_attack_leaves_the_ball_or_the_range(name, norm, kind):
    data, epsilon = DATA[kind], {"bytes": 9.5}.get(kind, 0.15)
    ball = ball_of(data, norm, epsilon)
    worst = ATTACKS[name](ball, 5, 2, np.random.default_rng(0))
    axes = tuple(range(1, data.x.ndim))
    scale = np.where(ball.space.scale > 0, ball.space.scale, 1)
    moves = (worst.points.astype(float) - ball.x) / scale
    length = np.abs(moves).max(axis=axes) if norm == "inf" else np.sqrt((moves**2).sum(axis=axes))
    rounding = 1e-6 * np.abs(ball.x / scale).max()
    assert (length <= epsilon + rounding).all()
    assert (length > epsilon / 2).mean() > 0.3  # and it does go there
    assert (worst.points >= data.x.min(axis=0 if kind == "table" else None)).all()
    assert (worst.points <= data.x.max(axis=0 if kind == "table" else None)).all()
    assert kind != "bytes" or np.all(worst.points % 1 == 0)
    if kind == "table":
        changed = worst.points != TABLE
        assert set(np.flatnonzero(changed.any(0))) <= {0, 1, 6, 8}
        assert not changed[GONE == 1, 6].any()
        np.testing.assert_array_equal(worst.points[:, 1] % 1, 0)
    np.testing.assert_allclose(worst.margins, ball.victim.margins(worst.points, data.y), atol=1e-5)


@pytest.mark.parametrize("kind", list(DATA))
@pytest.mark.parametrize("name", list(SPARSE))
def test_few_parts_change_each_to_an_end_or_another_category(name, kind):
    data = DATA[kind]
    ball = ball_of(data, "0", 2)
    points = SPARSE[name](ball, 5, 1, np.random.default_rng(0)).points
    changed = (points != ball.x.astype("float32")).reshape(ROWS, -1)
    parts = [len(set(ball.space.parts.ravel()[row])) for row in changed]
    assert max(parts) == 2
    if kind != "table":
        assert np.isin(points[points != ball.x.astype("float32")], [data.x.min(), data.x.max()]).all()
        return
    np.testing.assert_array_equal(points[:, 2:6].sum(1), 1)
    assert changed[:, 2:6].any()
    for j in (0, 1, 6, 8):
        assert set(points[changed[:, j], j]) <= {TABLE[:, j].min(), TABLE[:, j].max()}
    assert not changed[GONE == 1, 6].any()
    assert not changed[:, [7, 9]].any()  # a mark alone is no part that moves, and a constant has nowhere to go


def test_what_is_frozen_stays():
    ball = ball_of(DATA["table"], "inf", 0.5, frozen=["a", "income", 8])
    assert not (ATTACKS["pgd"](ball, 5, 2, np.random.default_rng(0)).points != TABLE)[:, [0, 6, 7, 8]].any()
    ball = ball_of(DATA["table"], "0", 6, frozen=["colour", "a"])
    assert not (SPARSE["greedy"](ball, 5, 1, np.random.default_rng(0)).points != TABLE)[:, [0, 2, 3, 4, 5]].any()
    mask = np.zeros((6, 6, 2), bool)
    mask[:3] = True
    points = ATTACKS["apgd-ce"](ball_of(IMAGES, "2", 0.5, frozen=mask), 5, 1, np.random.default_rng(0)).points
    np.testing.assert_array_equal(points[:, :3], IMAGES.x[:, :3])
    assert (points[:, 3:] != IMAGES.x[:, 3:]).any()


def test_rows_beyond_the_range_may_stay_and_come_nearer_only():
    x = np.vstack([IMAGES.x, 2 + 0 * IMAGES.x[:1]])
    data = pl.Dataset(x, np.append(LABELS, 0))
    ball = ball_of(data, "inf", 0.3, limits=(0, 1))
    points = ATTACKS["pgd"](ball, 5, 1, np.random.default_rng(0)).points
    assert points[-1].max() <= 2
    assert (points[-1] >= 1.7 - 1e-6).all()


@pytest.mark.parametrize(
    "limits, frozen, error, words",
    [
        ((0, 1, 2), (), InvalidOption, "limits"), ((1, 0), (), InvalidOption, "low at most high"),
        (None, ["agee"], UnknownName, "age"), (None, [77], InvalidOption, "10 columns"),
        (None, np.ones(3, bool), InvalidOption, "shape"),
    ],
)  # fmt: skip
def test_bad_spaces(limits, frozen, error, words):
    with pytest.raises(error, match=words):
        space_of(DATA["table"], limits, frozen)
    with pytest.raises(InvalidOption, match="truth values"):
        space_of(IMAGES, None, ["a"])
