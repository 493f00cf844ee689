"""Selectivity of units: by hand, of planted preferences, and none where there is none."""

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.measure.selectivity import _permuted, halved, selectivity
from pellucid.measure.units import Units


def net(units=2, activation="relu"):
    hidden = keras.layers.Dense(units, activation, use_bias=False, name="hidden")
    model = keras.Sequential([keras.Input((units,)), hidden, keras.layers.Dense(3, "softmax")])
    hidden.set_weights([np.eye(units)])
    return model


def planted(g, n, means):
    """Activations from exponentials with a mean for each class and unit (K, U)."""
    labels = np.arange(n) % len(means)
    return g.exponential(np.asarray(means)[labels]), labels


def of(active, labels, g):
    return selectivity([(active[rows], labels[rows]) for rows in halved(labels, g)])


def test_two_units_by_hand():
    x = np.array([[4.0, 1.0], [1.0, 1.0], [0.0, 1.0]] * 8)  # means of the first 4, 1, 0; the second does not care
    (found,) = pl.measure(net(), pl.ClassSelectivity("hidden"), test=(x, np.arange(24) % 3))
    np.testing.assert_allclose(found.detail["units"], [(4 - 0.5) / (4 + 0.5), 0.0])
    assert found.value == pytest.approx(3.5 / 4.5 / 2)
    assert found.detail["classes"][:, 0].tolist() == [0, 0]
    assert list(found.interval) == pytest.approx([found.value] * 2)  # all rows of a class are alike
    assert found.verdict == "selective"
    assert found.detail["p_value"] == pytest.approx(1 / 501)


def test_the_class_is_chosen_on_one_half_and_measured_on_the_other():
    a = (np.array([[2.0], [1.0]]), np.array([0, 1]))
    b = (np.array([[1.0], [3.0]]), np.array([0, 1]))
    value, chosen = selectivity([a, b])
    assert chosen.ravel().tolist() == [0, 1]
    assert value[0] == pytest.approx(((1 - 3) / 4 + (1 - 2) / 3) / 2)  # each half's choice is refuted by the other


def test_halves_share_every_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 5], [9, 4, 6]))
    one, two = halved(labels, np.random.default_rng(1))
    assert sorted([*one, *two]) == list(range(19))
    assert [int(np.sum(labels[one] == k)) for k in (0, 1, 5)] == [5, 2, 3]


def test_units_without_preference_have_none_on_average():
    g = np.random.default_rng(0)
    found = [of(*planted(g, 60, np.ones((3, 5))), g)[0].mean() for _ in range(300)]
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(300))


def measured_null(seed):
    g = np.random.default_rng(seed)
    active, labels = planted(g, 60, np.ones((3, 2)))
    asked = pl.ClassSelectivity("hidden", permutations=39, resamples=20)
    return pl.measure(MODEL, asked, test=(active.astype(np.float32), labels), seed=seed)[0]


MODEL = pl.wrap(net())


@pytest.mark.slow
def test_five_hundred_sets_without_selectivity_are_called_selective_as_often_as_allowed():
    alarms = np.mean([measured_null(seed).verdict == "selective" for seed in range(500)])
    assert alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
def test_planted_selectivity_is_covered():
    means = np.array([[4.0, 1.0], [1.0, 1.0], [1.0, 3.0]])
    true = ((4 - 1) / 5 + (3 - 1) / 4) / 2
    kept = 0
    for seed in range(300):
        active, labels = planted(np.random.default_rng(seed), 300, means)
        asked = pl.ClassSelectivity("hidden", permutations=19, resamples=100)
        (found,) = pl.measure(MODEL, asked, test=(active.astype(np.float32), labels), seed=seed)
        kept += true in found.interval
    assert kept >= 300 * 0.95 - 3 * np.sqrt(300 * 0.95 * 0.05)


def test_permuting_keeps_the_rows_and_the_counts():
    g = np.random.default_rng(0)
    sides = [planted(g, 12, np.ones((3, 2))) for _ in range(2)]
    for (a, y), (b, z) in zip(sides, _permuted(sides, g), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(np.bincount(y), np.bincount(z))


def test_maps_are_averaged_over_positions():
    layers = keras.layers
    model = pl.wrap(keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(3, 2, activation="relu", name="c"),
                                      layers.Flatten(), layers.Dense(2)]), output="logits")  # fmt: skip
    x = np.random.default_rng(0).normal(size=(7, 4, 4, 2)).astype(np.float32)
    inputs = model.prepare(x)
    units = Units(model, "c", inputs)
    whole = keras.ops.convert_to_numpy(model.native.get_layer("c")(x))
    np.testing.assert_allclose(units.activations(inputs), whole.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)
    assert units.count == 3


def test_silent_units_and_rare_classes_are_left_out_and_told():
    x = np.array([[1.0, 0.0], [3.0, 0.0]] * 10 + [[1.0, 0.0]] * 2)
    (found,) = pl.measure(net(), pl.ClassSelectivity("hidden"), test=(x, np.array([0, 1] * 10 + [2] * 2)))
    assert found.value == pytest.approx(0.5)
    assert (found.detail["silent"], found.detail["rows"], found.detail["left_out"].tolist()) == (1, 20, [2])
    assert np.isnan(found.detail["units"][1])


def refused(model, data, layer="hidden"):
    (found,) = pl.measure(model, pl.ClassSelectivity(layer), test=data)
    assert found.verdict == "not applicable"
    return found.detail["explanation"]


def test_where_it_makes_no_sense():
    g, y = np.random.default_rng(0), np.arange(40) % 2
    assert "below 0" in refused(net(activation="tanh"), (g.normal(size=(40, 2)), y))
    assert "two classes" in refused(net(), (np.ones((40, 2)), y * 0))
    assert "puts out anything" in refused(net(), (-np.ones((40, 2)), y))
    values = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "relu", name="hidden"), keras.layers.Dense(1)])
    assert refused(pl.wrap(values, output="value"), (np.ones((40, 2)), y.astype(float)))
    with pytest.raises(pl.errors.UnknownName, match="hidden"):
        pl.measure(net(), pl.ClassSelectivity("hiden"), test=(np.ones((40, 2)), y))


@pytest.mark.parametrize("wrong", [{"layer": None}, {"layer": ""}, {"permutations": 3}, {"resamples": 1}, {"level": 0}])
def test_bad_options_are_told(wrong):
    with pytest.raises(pl.errors.InvalidOption, match=next(iter(wrong))):
        pl.ClassSelectivity(**{"layer": "hidden", **wrong})
