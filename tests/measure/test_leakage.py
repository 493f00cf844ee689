import numpy as np
import pytest

import pellucid as pl
from pellucid.core.copies import digests
from pellucid.errors import InvalidInput


def measured(train, test, measure=None):
    return pl.measure(None, measure or pl.Leakage(), train=train, test=test)[0]


def test_planted_twins_are_found_and_no_others():
    g = np.random.default_rng(0)
    train, test = g.normal(size=(800, 20)), g.normal(size=(300, 20))
    test[10:15] = train[100:105]
    test[20:27] = train[200:207] + 1e-3 * g.normal(size=(7, 20))
    found = measured(train, test)
    assert (found.detail["exact"], found.detail["near"]) == (5, 7)
    expected = [[10 + i, 100 + i] for i in range(5)] + [[20 + i, 200 + i] for i in range(7)]
    assert found.detail["pairs"].tolist() == expected
    assert found.value == pytest.approx(12 / 300)
    assert found.verdict == "leaks"


def test_wide_rows_are_searched_by_projection():
    g = np.random.default_rng(1)
    train, test = g.random((300, 12, 12, 1)), g.random((100, 12, 12, 1))
    test[3] = np.clip(train[77] + 0.002, 0, 1)
    assert measured(train, test).detail["pairs"].tolist() == [[3, 77]]


@pytest.mark.parametrize("width", [1, 2, 3, 10])
def test_chance_neighbours_stay_rare(width):
    g = np.random.default_rng(2)
    assert measured(g.random((2000, width)), g.random((2000, width))).value <= 0.006


def test_equal_numbers_are_equal_whatever_their_type():
    rows = np.array([[0.1, -0.0], [2.0, 3.0]])
    one, two = digests(rows.astype(np.float32), np.array([[0.1, 0.0], [2.0, 3.0]]))
    assert one == two
    assert digests(rows[1:].astype(int), rows[1:])[0] == digests(rows[1:].astype(int), rows[1:])[1]


def test_labels_groups_and_accuracy():
    x = np.random.default_rng(3).normal(size=(100, 4))
    y = (x[:, 0] > 0).astype(int)
    train = pl.Dataset(x[:60], y[:60], groups=np.arange(60) // 3)
    test = pl.Dataset(x[50:], np.r_[1 - y[50:52], y[52:]], groups=np.arange(50, 100) // 3 + 3)
    model = pl.wrap(lambda x: np.hstack([-x[:, :1], x[:, :1]]))
    (found,) = pl.measure(model, pl.Leakage(), train=train, test=test)
    assert (found.detail["exact"], found.detail["conflicts"]) == (10, 2)
    assert found.detail["shared_groups"].tolist() == [19]
    assert found.detail["accuracy"]["twins"]["value"] == pytest.approx(0.8)
    assert found.detail["accuracy"]["others"]["value"] == 1


def test_bad_input():
    with pytest.raises(InvalidInput, match="differ in shape"):
        measured(np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(InvalidInput, match="test: row 1 holds NaN"):
        measured(np.ones((3, 2)), np.array([[0, 0], [np.nan, 1]]))
    constant = measured(np.ones((30, 2)), np.ones((3, 2)) * 2)
    assert constant.verdict == "no leak found"
