import random

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid import training
from pellucid.core.dataset import Dataset
from pellucid.core.loss_labels import labels
from pellucid.errors import InvalidInput, NotApplicable

DRAW = np.random.default_rng(0)
FAST = {"jit_compile": keras.backend.backend() == "jax"}


def build():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    net.compile("adam", "mse", **FAST)
    return net


def test_a_seed_makes_a_model():
    one, two, other = (training.fresh(build, s) for s in (4, 4, 5))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])
    assert [layer.name for layer in one.layers] == [layer.name for layer in two.layers]


def test_training_is_repeated_and_leaves_the_world_alone():
    data = Dataset(DRAW.normal(size=(50, 3)).astype("float32"), DRAW.normal(size=50))
    before = random.getstate(), np.random.get_state()[1].tolist()
    logs = []
    for _ in range(2):
        model = training.fresh(build, 1)
        logs.append(training.fit(model, data, settings={"epochs": 2}, seed=1, progress=False)["loss"])
        random.random(), np.random.random()
        random.setstate(before[0])
    np.testing.assert_array_equal(*logs)


def test_labels_fit_the_loss():
    def categorical():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="softmax")])
        net.compile("adam", "categorical_crossentropy", **FAST)
        return net

    data = Dataset(np.zeros((3, 3)), [0, 2, 1])
    np.testing.assert_array_equal(labels(training.fresh(categorical), data), np.eye(4)[[0, 2, 1]])
    with pytest.raises(InvalidInput, match="NaN"):
        labels(training.fresh(build), Dataset(np.zeros((2, 3)), [0.5, np.nan]))


def accuracy(data, seed):
    model = training.train_default(data.train, seed=seed, progress=False)
    return np.mean(pl.wrap(model).probabilities(data.test).argmax(1) == data.test.y)


def test_the_default_model_learns_breast_cancer():
    assert accuracy(pl.data.load("breast-cancer", seed=0), 0) >= 0.95


@pytest.mark.slow
def test_the_default_model_learns_digits():
    assert accuracy(pl.data.load("digits", seed=0), 0) >= 0.97


def test_the_default_model_standardizes_by_training_data():
    x = DRAW.normal(3, 5, size=(200, 2)).astype("float32")
    plan = training.default_model(Dataset(x, np.arange(200) % 3))
    seen = keras.ops.convert_to_numpy(plan().get_layer("standardize")(x))
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(0), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "kind", "width"),
    [
        (DRAW.normal(size=(40, 5)), np.arange(40) % 2, "tabular", 1),
        (DRAW.normal(size=(40, 5)), DRAW.normal(size=40), "tabular", 1),
        (DRAW.normal(size=(40, 32, 32, 3)), np.arange(40) % 4, "image", 4),
        (DRAW.normal(size=(40, 20, 2)), np.arange(40) % 3, "sequence", 3),
        (DRAW.integers(0, 9, size=(40, 12)), np.arange(40) % 3, "text", 3),
    ],
)
def test_every_kind_of_data_has_a_model(x, y, kind, width):
    plan = training.default_model(Dataset(x, y, kind=kind))
    model = plan()
    assert model.output_shape == (None, width)
    assert np.isfinite(model.predict(np.asarray(x), verbose=0)).all()


def test_a_quantity_is_learned_in_its_own_units():
    x = DRAW.normal(size=(400, 2)).astype("float32")
    y = 5000 + 300 * x[:, 0]
    model = training.train_default(Dataset(x[:300], y[:300]), progress=False)
    error = model.predict(x[300:], verbose=0)[:, 0] - y[300:]
    assert np.sqrt(np.mean(error**2)) < 60  # a fifth of the spread


def test_no_model_for_what_it_does_not_know():
    with pytest.raises(NotApplicable, match="several inputs"):
        training.default_model(Dataset({"a": np.zeros((2, 1)), "b": np.zeros((2, 1))}, [0, 1]))
    with pytest.raises(NotApplicable, match="labels"):
        training.default_model(Dataset(np.zeros((2, 1))))
