"""Sets and intervals: by hand, and their coverage over many calibrations."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.record import load
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable

VALUES = pl.wrap(lambda x: x[:, :1], output="value")
CLASSES = pl.wrap(lambda x: x, output="probabilities")


def drawn(g, rows, classes=4):
    """Probabilities that are too sure, and labels."""
    z = g.normal(0, 1.5, (rows, classes))
    y = (z + g.gumbel(size=z.shape)).argmax(axis=1)
    p = np.exp(2 * z)
    return (p / p.sum(axis=1, keepdims=True)).astype("float32"), y


def test_intervals_are_as_wide_as_the_ranked_residual(generator):
    x = generator.normal(size=(50, 2)).astype("float32")
    y = x[:, 0] + generator.normal(size=50)
    found = pl.ConformalSets(0.8).fit(VALUES, (x, y))
    half = np.sort(np.abs(y - x[:, 0]))[int(np.ceil(51 * 0.8)) - 1]
    low, high = found.intervals(x[:5]).T
    np.testing.assert_allclose(low, x[:5, 0] - half, atol=1e-5)
    np.testing.assert_allclose(high, x[:5, 0] + half, atol=1e-5)
    assert "by 50 rows" in str(found)


def test_sets_hold_every_class_that_is_likely_enough(generator):
    p, y = drawn(generator, 60)
    found = pl.ConformalSets(0.9).fit(CLASSES, (p, y))
    q = np.sort(1 - p[np.arange(60), y].astype(float))[int(np.ceil(61 * 0.9)) - 1]
    assert np.array_equal(found.sets(p), 1 - p.astype(float) <= q + 1e-7)


@pytest.mark.parametrize("score", ["lac", "aps", "absolute residual"])
def test_the_promise_is_kept_on_average(score, generator):
    """Over 100 calibrations the mean coverage is in [c, c + 1 / (n + 1)], up to what 100 draws leave open."""
    c, n, covered = 0.9, 99, []
    for _ in range(100):
        p, y = drawn(generator, n + 300)
        if score == "absolute residual":
            y = p[:, 0] + generator.normal(size=len(p))
            low, high = pl.ConformalSets(c).fit(VALUES, (p[:n], y[:n])).intervals(p[n:]).T
            covered.append(np.mean((low <= y[n:]) & (y[n:] <= high)))
        else:
            found = pl.ConformalSets(c, score).fit(CLASSES, (p[:n], y[:n]))
            covered.append(found.sets(p[n:])[np.arange(300), y[n:]].mean())
    wide = 3 * np.std(covered) / 10
    assert c - wide <= np.mean(covered) <= c + 1 / (n + 1) + wide
    inside = np.mean([v in found.long_run for v in covered]) if score != "absolute residual" else 0.95
    assert inside > 0.8  # of 300 rows each, so a little wider than that of endless rows


def test_a_random_part_is_drawn_anew_for_other_rows(generator):
    """By "aps" the mean coverage over calibrations is k / (n + 1), were the draws not the same every time."""
    c, n, covered = 0.8, 40, []
    for _ in range(300):
        p, y = drawn(generator, n + 200)
        found = pl.ConformalSets(c, "aps").fit(CLASSES, (p[:n], y[:n]))
        covered.append(found.sets(p[n:])[np.arange(200), y[n:]].mean())
    assert abs(np.mean(covered) - 33 / 41) < 3 * np.std(covered) / np.sqrt(300)


def test_it_stands_beside_the_model_of_a_run(tmp_path, generator):
    import keras

    def build():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="softmax")])
        net.compile("adam", "sparse_categorical_crossentropy", jit_compile=keras.backend.backend() == "jax")
        return net

    p, y = drawn(generator, 300)
    recipe = pl.Recipe(pl.ConformalSets(0.8), pl.Threshold(costs=1 - np.eye(4)))
    run = pl.improve(
        build, recipe, train=(p[:100], y[:100]), validation=(p[100:], y[100:]), fit={"epochs": 1}, progress=False
    )
    sets = run.after["conformal"].sets(p[:20])
    assert set(run.after) == {"conformal", "threshold"}
    assert np.array_equal(sets, pl.ConformalSets(0.8).fit(run.model, (p[100:], y[100:])).sets(p[:20]))
    again = load(run.save(tmp_path / "run"))
    assert np.array_equal(again.after["conformal"].sets(p[:20]), sets)
    assert np.array_equal(again.after["threshold"].decide(p[:20]), run.model.probabilities(p[:20]).argmax(axis=1))
    alone = load(run.after["conformal"].save(tmp_path / "alone"))
    assert np.array_equal(alone.sets(p[:20]), sets)


def test_bad_input_is_told(generator):
    p, y = drawn(generator, 50)
    with pytest.raises(InvalidOption, match="coverage"):
        pl.ConformalSets(1.0)
    with pytest.raises(InvalidInput, match="at least 100 rows"):
        pl.ConformalSets(0.99).fit(CLASSES, (p, y))
    with pytest.raises(NotApplicable, match="is for regression"):
        pl.ConformalSets(score="absolute residual").fit(CLASSES, (p, y))
    with pytest.raises(NotApplicable, match="use sets"):
        pl.ConformalSets().fit(CLASSES, (p, y)).intervals(p)
    with pytest.raises(NotApplicable, match="use intervals"):
        pl.ConformalSets().fit(VALUES, (p, p[:, 0])).sets(p)
    with pytest.raises(InvalidInput, match="not trained on"):
        pl.ConformalSets().fit(CLASSES, None)
