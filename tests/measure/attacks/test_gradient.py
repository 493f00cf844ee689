"""The worst case of a linear model is known: its margin plus epsilon times the dual norm of the difference of its weights."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.measure.attacks.ball import Ball
from pellucid.measure.attacks.gradient import apgd, checkpoints, fgsm, pgd
from pellucid.measure.attacks.space import as_inputs, space_of
from pellucid.measure.attacks.victim import Victim
from pellucid.measure.base import Context

G = np.random.default_rng(0)
WIDTH = 12
ATTACKS = {"fgsm": fgsm, "pgd": pgd, "apgd-ce": apgd("ce"), "apgd-dlr": apgd("dlr")}
DUAL = {"inf": 1, "2": 2}


def linear(weights, bias=0.0, output="logits"):
    from keras import ops

    weights = np.asarray(weights, "float32")
    return pl.wrap(lambda x: ops.matmul(x, ops.convert_to_tensor(weights)) + bias, output=output)


def ball_of(model, x, y, epsilon, norm, kind="audio", limits=(-100, 100), frozen=(), **names):
    data = pl.Dataset(x, y, kind=kind, **names)
    context = Context(model, None, data, 0)
    context.labels("test")
    return Ball(Victim(context), space_of(data, limits, frozen), as_inputs(x), np.asarray(y), epsilon, norm)


def run(attack, ball, steps=20, restarts=1):
    return attack(ball, steps, restarts, np.random.default_rng(0))


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("name", list(ATTACKS))
@pytest.mark.parametrize("outputs", [1, 2])
def test_two_classes_are_moved_to_the_closed_form(name, norm, outputs):
    x, y = G.normal(size=(60, WIDTH)).astype("float32"), np.arange(60) % 2
    w = G.normal(size=(WIDTH, outputs))
    slope = w[:, 0] if outputs == 1 else w[:, 1] - w[:, 0]
    ball = ball_of(linear(w), x, y, 0.3, norm)
    clean = np.where(y == 1, -1, 1) * (x.astype(float) @ slope)
    truth = clean + 0.3 * np.linalg.norm(slope, DUAL[norm])
    np.testing.assert_allclose(ball.victim.margins(x, y), clean, atol=1e-5)
    found = run(ATTACKS[name], ball).margins
    stood = clean <= 0  # what is wrong already need not be moved on by a restart
    np.testing.assert_allclose(found[stood], truth[stood], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_the_ends_of_the_range_are_met_exactly(name):
    """Between ends each number of a linear model goes as far as it may: a sum of maxima."""
    x, y = G.uniform(0, 1, (80, WIDTH)).astype("float32"), np.arange(80) % 2
    w = G.normal(size=(WIDTH, 1))
    ball = ball_of(linear(w), x, y, 0.3, "inf", limits=(0, 1))
    sign = np.where(y == 1, -1, 1)[:, None] * w[:, 0]
    room = np.where(sign > 0, np.minimum(0.3, 1 - x), np.maximum(-0.3, -x))
    truth = (sign * (x + room)).sum(1)
    np.testing.assert_allclose(run(ATTACKS[name], ball).margins, truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_columns_of_a_table_move_in_their_own_units(norm):
    x, y = (G.normal(size=(200, WIDTH)) * np.geomspace(0.01, 100, WIDTH)).astype("float32"), np.arange(200) % 2
    w = G.normal(size=(WIDTH, 1)) / np.geomspace(0.01, 100, WIDTH)[:, None]
    ball = ball_of(linear(w), x, y, 0.2, norm, "tabular", limits=(-1e6, 1e6))
    truth = np.where(y == 1, -1, 1) * (x.astype(float) @ w[:, 0])
    truth += 0.2 * np.linalg.norm(w[:, 0] * x.std(0, dtype=float), DUAL[norm])
    np.testing.assert_allclose(run(pgd, ball).margins, truth, rtol=1e-4, atol=1e-4)


def test_whole_numbers_move_by_whole_numbers():
    x, y = G.integers(0, 50, (300, 5)), np.arange(300) % 2
    w = G.normal(size=(5, 1))
    ball = ball_of(linear(w), x, y, 0.3, "inf", "tabular", limits=(-1000, 1000))
    reach = np.floor(0.3 * x.std(0))
    truth = np.where(y == 1, -1, 1) * (x @ w[:, 0]) + np.abs(w[:, 0]) @ reach
    for name in ("fgsm", "pgd", "apgd-ce"):
        worst = run(ATTACKS[name], ball)
        np.testing.assert_array_equal(worst.points % 1, 0)
        np.testing.assert_allclose(worst.margins, truth, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_of_several_classes_the_nearest_bounds_all_attacks_and_is_reached(norm):
    x, w = G.normal(size=(300, WIDTH)).astype("float32"), G.normal(size=(WIDTH, 5))
    y = (x @ w).argmax(1)
    scores = x.astype(float) @ w
    others = scores - scores[np.arange(300), y][:, None]
    others += 0.2 * np.stack([np.linalg.norm(w - w[:, [k]], DUAL[norm], axis=0) for k in y])
    others[np.arange(300), y] = -np.inf
    truth = others.max(1)
    for name, attack in ATTACKS.items():
        found = run(attack, ball_of(linear(w), x, y, 0.2, norm), steps=40, restarts=2).margins
        assert (found <= truth + 1e-4).all(), name
        reached = np.mean((found > 0) == (truth > 0))
        assert reached > (0.9 if name == "fgsm" else 0.97), (name, reached)


def test_probabilities_are_attacked_through_their_logarithms():
    from keras import ops

    x, y = G.normal(size=(50, WIDTH)).astype("float32"), np.arange(50) % 2
    w = G.normal(size=(WIDTH, 2)).astype("float32")
    soft = pl.wrap(lambda x: ops.softmax(ops.matmul(x, ops.convert_to_tensor(w))), output="probabilities")
    one, two = (run(pgd, ball_of(m, x, y, 0.3, "2")).margins for m in (linear(w), soft))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


def test_slopes_do_not_vanish_where_the_model_is_sure():
    """With logits hundreds apart the cross-entropy is 0 and its gradient too, but not the direction that is followed."""
    w = 100 * G.normal(size=(WIDTH, 2))
    x = G.normal(size=(40, WIDTH)).astype("float32")
    y = (x @ w).argmax(1)
    slopes, _, margins = ball_of(linear(w), x, y, 0.1, "2").victim.slopes(x, y, "ce")
    assert np.median(margins) < -100
    np.testing.assert_allclose(slopes, np.stack([w[:, 1 - k] - w[:, k] for k in y]), rtol=1e-5)


def test_losses_by_hand():
    """z, the margin, and DLR as a few lines of NumPy; slopes by finite differences."""
    w = G.normal(size=(4, 4))
    x, y = G.normal(size=(9, 4)), np.arange(9) % 4
    victim = ball_of(linear(w), x, y, 0.1, "2").victim

    def losses(x, name):
        found = []
        for scores, k in zip(x @ w, y):
            other, top = np.delete(scores, k), np.sort(scores)[::-1]
            gap = other.max() - scores[k]
            found.append(
                {"ce": np.log(np.exp(other).sum()) - scores[k], "margin": gap, "dlr": gap / (top[0] - top[2])}[name]
            )
        return np.array(found)

    for name in ("ce", "margin", "dlr"):
        slopes, values, margins = victim.slopes(x.astype("float32"), y, name)
        np.testing.assert_allclose(values, losses(x, name), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(margins, losses(x, "margin"), rtol=1e-4, atol=1e-5)
        for j in range(4):
            step = 1e-6 * np.eye(4)[j]
            numeric = (losses(x + step, name) - losses(x - step, name)) / 2e-6
            np.testing.assert_allclose(slopes[:, j], numeric, rtol=1e-3, atol=1e-4)


def test_checkpoints_are_those_of_the_paper():
    """p0 = 0, p1 = 0.22, p(j + 1) = p(j) + max(p(j) - p(j - 1) - 0.03, 0.06): 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99."""
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert all(1 <= c <= 5 for c in checkpoints(5))


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_a_bent_model_of_two_numbers_has_no_worse_place_on_a_fine_grid(norm):
    """Every place of the ball is looked at, 121 x 121 of them; what an attack finds is as bad, and it finds all that fall."""
    import keras

    keras.utils.set_random_seed(3)
    wide = keras.initializers.RandomNormal(stddev=1.5)
    layers = [keras.layers.Dense(16, "relu", kernel_initializer=wide, bias_initializer=wide) for _ in range(2)]
    model = pl.wrap(keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(3)]))
    x = np.random.default_rng(1).normal(size=(80, 2)).astype("float32")
    y = model.scores(x).argmax(1)
    ball = ball_of(model, x, y, 0.4, norm)
    at = np.stack(np.meshgrid(*[np.linspace(-0.4, 0.4, 121)] * 2), axis=-1).reshape(-1, 2)
    at = at[np.linalg.norm(at, axis=1, ord=np.inf if norm == "inf" else 2) <= 0.4]
    places = (x[:, None] + at).reshape(-1, 2).astype("float32")
    truth = ball.victim.margins(places, y.repeat(len(at))).reshape(len(x), -1).max(1)
    found = np.max([run(ATTACKS[name], ball, 40, 5).margins for name in ("pgd", "apgd-ce", "apgd-dlr")], axis=0)
    assert 0.2 < (truth > 0).mean() < 0.8
    assert ((found > 0) == (truth > 0)).mean() >= 0.98
    standing = truth < 0
    np.testing.assert_allclose(found[standing], truth[standing], atol=0.1 * np.abs(truth).max())
