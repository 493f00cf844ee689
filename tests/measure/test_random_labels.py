"""Random labels: the areas by hand, the verdicts, and a network that memorises beside one that cannot."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import Interval
from pellucid.measure.random_labels import area, judged, measured


def net(width, rate):
    def build():
        import keras

        hidden = [keras.layers.Dense(width, "relu")] if width else []
        model = keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(2, "softmax")])
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        return model

    return build


def rows(n, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 8)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype(int)


def test_the_area_is_the_mean_height_above_chance():
    assert area(np.array([[0.5, 0.75, 1.0], [1.0, 1.0, 1.0]]), 0.5).tolist() == [0.5, 1.0]


def test_the_ratio_is_paired_by_seed():
    true, permuted = np.array([[0.9, 0.9], [0.7, 0.7], [0.8, 0.8]]), np.array([[0.7, 0.7], [0.6, 0.6], [0.65, 0.65]])
    found = measured(true, permuted, 0.5, pl.RandomLabels(net(0, 0.1)))
    assert found.detail["ratios"].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert (found.value, found.verdict) == (pytest.approx(0.5), "not settled")
    assert found.detail["final"]["value"] == pytest.approx(0.65)
    nothing = measured(np.full((3, 2), 0.51), permuted, 0.5, pl.RandomLabels(net(0, 0.1)))
    assert (nothing.value, nothing.verdict) == (None, "true labels are not learned")


@pytest.mark.parametrize(
    "low, high, verdict",
    [(0.1, 0.4, "learns truth first"), (0.6, 0.9, "fits noise readily"), (0.4, 0.6, "not settled")],
)
def test_verdicts(low, high, verdict):
    assert judged(Interval(low, high), 0.5) == verdict


@pytest.mark.slow
def test_a_wide_network_fits_noise_and_a_linear_one_does_not():
    # Of two seeds, any interval would be wide.
    wide = pl.RandomLabels(net(512, 0.02), fit={"epochs": 20, "batch_size": 10}, seeds=4)
    (found,) = pl.measure(None, wide, train=rows(60))
    assert found.verdict == "fits noise readily"
    assert found.detail["final"]["value"] > 0.95
    narrow = pl.RandomLabels(net(0, 0.05), fit={"epochs": 5}, seeds=2)
    (found,) = pl.measure(None, narrow, train=rows(600))
    assert found.verdict == "learns truth first"
    assert found.detail["final"]["value"] < 0.65  # eight weights cannot hold 600 labels
    assert found.detail["true"].shape == (2, 5)
    assert found.detail["true"][:, -1].min() > 0.95


def test_the_same_seed_gives_the_same_curves_and_the_true_ones_are_those_of_keras():
    seen = pl.RandomLabels(net(0, 0.05), fit={"epochs": 2}, seeds=[3, 5])
    first, again = (pl.measure(None, seen, train=rows(100))[0] for _ in range(2))
    assert np.array_equal(first.detail["permuted"], again.detail["permuted"])
    from pellucid.training import fit, fresh

    model = fresh(net(0, 0.05), 5)
    fit(model, pl.Dataset(*rows(100)), settings={"epochs": 2}, seed=5, progress=False)
    right = model.predict(rows(100)[0], verbose=0).argmax(1) == rows(100)[1]
    assert first.detail["true"][1, -1] == pytest.approx(right.mean())


def test_bad_input():
    (found,) = pl.measure(None, pl.RandomLabels(net(0, 0.1)), train=(rows(20)[0], np.zeros(20, int)))
    assert (found.value, found.verdict) == (None, "not applicable")
    (found,) = pl.measure(None, pl.RandomLabels(net(0, 0.1)), train=rows(20)[0])
    assert found.verdict == "not applicable"
    with pytest.raises(pl.errors.InvalidOption, match="build"):
        pl.RandomLabels(net(0, 0.1)())
    with pytest.raises(pl.errors.InvalidOption, match="fit"):
        pl.RandomLabels(net(0, 0.1), fit=3)
    for seeds in (1, [4], [1, 1], "12", True):
        with pytest.raises(pl.errors.InvalidOption, match="seeds"):
            pl.RandomLabels(net(0, 0.1), seeds=seeds)


def test_values_have_no_labels_to_permute():
    def build():
        import keras

        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    x = rows(30)[0]
    (found,) = pl.measure(None, pl.RandomLabels(build, fit={"epochs": 1}), train=(x, x[:, 0]))
    assert found.verdict == "not applicable"
