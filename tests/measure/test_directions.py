"""Cumulative ablation: nets whose accuracy is known after every step, and areas by hand."""

import itertools

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import Interval
from pellucid.measure.directions import area, axes_of, judged
from pellucid.measure.units import Units


def net(weights):
    """A net of one input, copied to units that are weighed and added up."""
    count = len(weights)
    hidden = keras.layers.Dense(count, use_bias=False, name="hidden")
    model = keras.Sequential([keras.Input((1,)), hidden, keras.layers.Dense(1, "sigmoid", use_bias=False)])
    model.set_weights([np.ones((1, count)), np.reshape(weights, (count, 1))])
    return model


def rows(n=200, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 1)).astype(np.float32)
    x -= x.mean()
    return x, (x[:, 0] > 0).astype(int)


def measured(weights, **options):
    return pl.measure(net(weights), pl.DirectionReliance("hidden", **options), test=rows())[0]


def test_two_units_of_which_one_answers_by_hand():
    found = measured([5.0, 0.0], orders=12)
    wrong = 1 - float(np.mean(rows()[1]))  # with the unit at its mean, 0 up to rounding, one class is answered
    curves = found.detail["units"]["test"]["curves"]
    assert found.detail["shares"].tolist() == [0.0, 0.5, 1.0]
    assert np.all(curves[:, 0] == 1.0)
    assert np.all(np.isclose(curves[:, 1], 1.0) | np.isclose(curves[:, 1], curves[:, 2]))
    assert set(np.round(curves[:, 2], 6)) <= {round(wrong, 6), round(1 - wrong, 6)}
    held = np.isclose(curves[:, 1], 1.0)  # orders that take the other unit first
    assert 0 < held.sum() < 12
    assert found.value == pytest.approx(np.mean(np.where(held, 0.75, 0.25)))


def test_curves_are_those_of_a_net_with_units_taken_out_by_hand():
    model, (x, _) = pl.wrap(net([3.0, -1.0, 0.5])), rows()
    inputs = model.prepare(x)
    units = Units(model, "hidden", inputs)
    middle = np.array([0.2, -0.4, 0.1])
    for gone in itertools.product([0, 1], repeat=3):
        kept = 1 - np.array(gone)
        h = np.where(kept, np.repeat(x, 3, axis=1), middle)
        found = units.scores_within(inputs, np.diag(kept), middle)
        np.testing.assert_allclose(found[:, 0], h @ [3.0, -1.0, 0.5], rtol=1e-4, atol=1e-5)


def test_directions_are_projected_out():
    model, (x, _) = pl.wrap(net([3.0, -1.0, 0.5])), rows()
    inputs, q = model.prepare(x), axes_of("directions", 3, np.random.default_rng(0))
    np.testing.assert_allclose(q @ q.T, np.eye(3), atol=1e-12)
    middle, h = np.array([0.2, -0.4, 0.1]), np.repeat(x.astype(float), 3, axis=1)
    expected = h - np.outer((h - middle) @ q[0], q[0])
    found = Units(model, "hidden", inputs).scores_within(inputs, np.eye(3) - np.outer(q[0], q[0]), middle)
    np.testing.assert_allclose(found[:, 0], expected @ [3.0, -1.0, 0.5], rtol=1e-3, atol=1e-5)


def test_channels_of_a_map_are_gone_everywhere():
    layers = keras.layers
    made = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(3, 2, name="c"), layers.GlobalAveragePooling2D(),
                             layers.Dense(2)])  # fmt: skip
    model, x = pl.wrap(made, output="logits"), np.random.default_rng(0).normal(size=(5, 4, 4, 1)).astype(np.float32)
    inputs = model.prepare(x)
    units = Units(model, "c", inputs)
    middle = np.array([1.0, 2.0, 3.0])
    h = units.activations(inputs).copy()
    h[:, 1] = 2.0
    kernel, bias = made.layers[-1].get_weights()
    found = units.scores_within(inputs, np.diag([1.0, 0.0, 1.0]), middle)
    np.testing.assert_allclose(found, h @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_the_area_by_hand():
    one = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])  # all, half and none right, at shares 0, 1/2 and 1
    two = np.array([[1.0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    value, interval = area(np.array([one, two, two]), np.array([0, 0.5, 1.0]), 0.95)
    assert value == pytest.approx((0.5 + 0.75 + 0.75) / 3)
    assert value in interval


def test_the_area_is_covered_over_orders_and_rows():
    g, shares, kept = np.random.default_rng(0), np.linspace(0, 1, 6), 0
    for _ in range(500):  # each order loses each row at a share drawn around the order's own
        places = np.clip(g.normal(0.5, 0.1, size=(6, 1)) + g.normal(0, 0.1, size=(6, 150)), 0.01, 0.99)
        hits = (places[:, None] > shares[None, :, None]).astype(float)
        kept += 0.5 in area(hits, shares, 0.95)[1]
    assert kept >= 500 * 0.95 - 3 * np.sqrt(500 * 0.95 * 0.05)


def test_many_copies_are_spread_out_and_one_unit_among_many_carries_all():
    spread = measured([1.0] * 20)
    assert (spread.verdict, spread.value > 0.9) == ("spread out", True)
    assert spread.detail["directions"]["test"]["value"] > 0.5
    assert judged(Interval(0.1, 0.4), 0.5) == "relies on few directions"
    assert judged(Interval(0.4, 0.6), 0.5) == "cannot be told"
    opposed = measured([30.0, -29.0] + [0.0] * 8, orders=20, limit=0.9)  # either of two gone turns the answers over
    assert opposed.value < spread.value


def test_training_rows_have_a_curve_too_and_the_seed_decides():
    asked = pl.DirectionReliance("hidden", orders=4, most=50)
    one, two = (pl.measure(net([1.0, 2.0, 3.0]), asked, train=rows(80, 1), test=rows(), seed=3)[0] for _ in range(2))
    assert one.detail["units"]["train"]["curves"].shape == (4, 4)
    assert one.value == two.value
    np.testing.assert_array_equal(
        one.detail["directions"]["test"]["curves"], two.detail["directions"]["test"]["curves"]
    )


@pytest.mark.slow
def test_a_net_that_memorised_labels_relies_on_fewer_directions():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x[:600] / 16).astype(np.float32)
    found = []
    for labels, epochs in ((y[:600], 15), (np.random.default_rng(0).permutation(y[:600]), 150)):
        keras.utils.set_random_seed(0)
        hidden = keras.layers.Dense(128, "relu", name="hidden")
        model = keras.Sequential([keras.Input((64,)), hidden, keras.layers.Dense(10, "softmax")])
        model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
        model.fit(x, labels, epochs=epochs, verbose=0)
        found += pl.measure(model, pl.DirectionReliance("hidden", orders=5), test=(x, labels))
    true, permuted = found
    assert permuted.interval.high < true.interval.low


def refused(model, data):
    (found,) = pl.measure(model, pl.DirectionReliance("hidden"), test=data)
    assert found.verdict == "not applicable"
    return found.detail["explanation"]


def test_where_it_makes_no_sense():
    x, y = rows()
    assert "not surely answered worse" in refused(net([0.0, 0.0]), (x, y))
    assert "not surely answered worse" in refused(net([1.0, 1.0]), (x, y * 0))
    assert refused(pl.wrap(net([1.0]), output="value"), (x, y.astype(float)))
    with pytest.raises(pl.errors.UnknownName, match="hidden"):
        pl.measure(net([1.0]), pl.DirectionReliance("hiden"), test=(x, y))


@pytest.mark.parametrize("wrong", [{"layer": None}, {"orders": 2}, {"most": 1}, {"limit": 1}, {"level": 0}])
def test_bad_options_are_told(wrong):
    with pytest.raises(pl.errors.InvalidOption, match=next(iter(wrong))):
        pl.DirectionReliance(**{"layer": "hidden", **wrong})
