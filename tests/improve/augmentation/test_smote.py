import sys

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable

pytest.importorskip("imblearn")
DRAW = np.random.default_rng(0)
Y = np.repeat([0, 1, 2], [80, 30, 12])
X = np.column_stack([DRAW.normal(size=122) + Y, DRAW.normal(size=122), DRAW.integers(20, 80, 122)])
WARD = np.eye(3)[DRAW.integers(0, 3, 122)]


def test_new_rows_lie_between_a_row_and_a_near_one_of_its_class():
    x = X[:, :2]
    found = pl.Smote(3).prepare(pl.Dataset(x, Y, ids=np.arange(122)), 0)
    assert list(np.bincount(found.y)) == [80, 80, 80]
    np.testing.assert_array_equal(found.x[:122], x)
    assert len(set(found.ids)) == 240
    for point, label in zip(found.x[122:], found.y[122:], strict=True):
        own = x[label == Y]
        step = own[None] - own[:, None]  # from each row to each other one
        share = ((point - own[:, None]) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-12)
        apart = np.abs(own[:, None] + np.clip(share, 0, 1)[..., None] * step - point).max(-1)
        near = np.argsort((step**2).sum(-1), axis=1)[:, 1:4]
        assert np.take_along_axis(apart, near, axis=1).min() < 1e-6


def test_the_seed_decides():
    one, two, other = (pl.Smote(3).prepare(pl.Dataset(X[:, :2], Y), seed).x for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_categories_stay_categories_and_whole_numbers_whole():
    columns = ["a", "b", "age", *["ward"] * 3]
    data = pl.Dataset(np.concatenate([X, WARD], axis=1).astype("float32"), Y, columns=columns)
    new = pl.Smote(3).prepare(data, 0).x[122:]
    np.testing.assert_array_equal(new[:, 3:].sum(1), 1)
    assert set(np.unique(new[:, 3:])) == {0, 1}
    np.testing.assert_array_equal(new[:, 2] % 1, 0)
    assert np.mean(new[:, 0] % 1 == 0) < 0.1
    only = pl.Smote(3).prepare(pl.Dataset(WARD, Y, columns=["ward"] * 3), 0)
    np.testing.assert_array_equal(only.x.sum(1), 1)


def test_two_kinds_of_categories_beside_numbers():
    codes = DRAW.integers(0, 2, (122, 2)).astype("float32")
    found = pl.Smote(3).prepare(pl.Dataset(np.column_stack([X[:, :2], codes]), Y), 0)
    assert list(np.bincount(found.y)) == [80, 80, 80]
    assert set(np.unique(found.x[:, 2:])) == {0, 1}


def test_only_what_is_learnt_from_gets_rows():
    import keras

    def build():
        net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
        net.compile("sgd", "sparse_categorical_crossentropy")
        return net

    x = X[:, :2].astype("float32")
    held = pl.Dataset(x[::2], Y[::2])
    run = pl.improve(build, pl.Smote(2), train=(x[1::2], Y[1::2]), validation=held, fit={"epochs": 1}, progress=False)
    loss = lambda x, y: -np.mean(np.log(run.model.predict(x)[np.arange(len(y)), y]))  # noqa: E731
    np.testing.assert_allclose(run.history["val_data_loss"][-1], loss(x[::2], Y[::2]), rtol=1e-4)
    np.testing.assert_allclose(run.history["data_loss"][-1], loss(x[1::2], Y[1::2]), rtol=1e-4)
    assert run.provenance.notes == ("Smote added 59 rows to 61 training rows",)


def test_errors(monkeypatch):
    with pytest.raises(InvalidOption):
        pl.Smote(0)
    with pytest.raises(InvalidInput, match="more than 12 training rows of each class, got 12 of class 2"):
        pl.Smote(12).prepare(pl.Dataset(X, Y), 0)
    with pytest.raises(InvalidInput, match="missing values"):
        pl.Smote().prepare(pl.Dataset(np.where(X > 70, np.nan, X), Y), 0)
    with pytest.raises(NotApplicable, match="quantities"):
        pl.Smote().prepare(pl.Dataset(X, X[:, 0]), 0)
    with pytest.raises(NotApplicable, match="for tables"):
        pl.Smote().prepare(pl.Dataset(np.ones((122, 4, 4, 1)), Y), 0)
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(NotApplicable, match=r"pip install .pellucid\[imbalance\]"):
        pl.Smote().prepare(pl.Dataset(X, Y), 0)
