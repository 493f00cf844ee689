import numpy as np
import pytest

import pellucid as pl
from pellucid.data.corruptions import TABLE, reference
from pellucid.errors import NotApplicable

ROWS = 4000
G = np.random.default_rng(0)
COLOURS = G.choice(3, p=[0.7, 0.25, 0.05], size=ROWS)
GONE = G.random(ROWS) < 0.2
INCOME = np.where(GONE, 40.0, G.normal(40, 10, ROWS))
TABULAR = np.column_stack([
    G.normal(5, 3, ROWS), G.integers(18, 90, ROWS), np.eye(3)[COLOURS], np.ones(ROWS), INCOME, GONE,
])  # fmt: skip
COLUMNS = ["a", "age", "colour", "colour", "colour", "constant", "income", "income"]
DATA = pl.Dataset(TABULAR, columns=COLUMNS)
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
NUMBERS = [0, 1, 6]


def put(name, severity, data=DATA):
    return TABLE[name](data.x, severity, np.random.default_rng(severity), reference(data))


@pytest.mark.parametrize("severity, spread", list(enumerate((0.1, 0.2, 0.3, 0.5, 1.0), 1)))
def test_noise_is_in_units_of_the_training_deviation(severity, spread):
    found = put("noise", severity)
    assert (found - TABULAR)[:, 0].std() == pytest.approx(spread * TABULAR[:, 0].std(), rel=0.05)
    assert (found - TABULAR)[:, 1].std() == pytest.approx(np.hypot(spread * TABULAR[:, 1].std(), 12**-0.5), rel=0.05)
    assert np.mod(found[:, 1], 1).max() == 0
    np.testing.assert_array_equal(found[:, 5], 1)


def test_what_is_missing_gets_no_noise_and_stays_marked():
    found = put("noise", 5)
    np.testing.assert_array_equal(found[GONE], np.where(np.isin(range(8), [6, 7]), TABULAR[GONE], found[GONE]))
    np.testing.assert_array_equal(found[:, 7], GONE)
    assert (found[~GONE, 6] != INCOME[~GONE]).all()


@pytest.mark.parametrize("name", list(TABLE))
@pytest.mark.parametrize("severity", [1, 5])
def test_categories_stay_categories_and_whole_numbers_whole(name, severity):
    found = put(name, severity)
    assert set(found[:, 2:5].ravel()) == {0.0, 1.0}
    sums = found[:, 2:5].sum(1)
    assert set(sums) == ({0.0, 1.0} if name == "unknown" else {1.0})
    assert np.mod(found[:, 1], 1).max() == 0
    assert set(found[:, 7]) <= {0.0, 1.0}
    touched = {"unit": NUMBERS, "swap": NUMBERS, "rare": [2, 3, 4, 7], "unknown": [2, 3, 4]}.get(name, range(8))
    assert set(np.flatnonzero((found != TABULAR).any(0))) <= set(touched)


@pytest.mark.parametrize("severity, share", list(enumerate(SHARES, 1)))
def test_missing_values_become_what_training_puts_in(severity, share):
    found = put("missing", severity)
    lost = found[:, 0] != TABULAR[:, 0]
    assert lost.mean() == pytest.approx(share, abs=0.03)
    np.testing.assert_allclose(found[lost, 0], np.median(TABULAR[:, 0]))
    marked = (found[:, 7] == 1) & ~GONE
    assert marked.sum() / (~GONE).sum() == pytest.approx(share, abs=0.03)
    np.testing.assert_allclose(found[marked, 6], np.median(INCOME[~GONE]))
    assert (found[:, 2] > TABULAR[:, 2]).sum() / (COLOURS != 0).sum() == pytest.approx(share, abs=0.05)


def test_a_missing_category_of_its_own_is_what_becomes_of_a_lost_one():
    names = ["a", "age", "colour=red", "colour=blue", "colour=(missing)", "constant", "income", "income is missing"]
    found = put("missing", 5, pl.Dataset(TABULAR, columns=COLUMNS, feature_names=names))
    lost = (found[:, 2:5] != TABULAR[:, 2:5]).any(1)
    np.testing.assert_array_equal(found[lost, 2:5], np.tile([0, 0, 1], (lost.sum(), 1)))
    assert lost.sum() / (COLOURS != 2).sum() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("severity, share", list(enumerate(SHARES, 1)))
def test_one_column_of_a_row_has_a_wrong_unit(severity, share):
    found = put("unit", severity)
    changed = found != TABULAR
    assert changed[:, NUMBERS].sum(1).max() == 1
    assert changed[:, 0].mean() == pytest.approx(share / 3, abs=0.02)
    factors = found[changed[:, 0], 0] / TABULAR[changed[:, 0], 0]
    nearest = np.array([0.01, 10, 100, 1000])[np.abs(np.log(factors[:, None] / [0.01, 10, 100, 1000])).argmin(1)]
    np.testing.assert_allclose(factors, nearest)
    assert np.unique(nearest, return_counts=True)[1] / len(nearest) == pytest.approx([0.25] * 4, abs=0.12)
    np.testing.assert_array_equal(changed[GONE, 6], False)


@pytest.mark.parametrize("severity, share", list(enumerate(SHARES, 1)))
def test_two_columns_have_each_others_values(severity, share):
    data = pl.Dataset(np.random.default_rng(3).normal(size=(ROWS, 3)))
    found = put("swap", severity, data)
    swapped = (found != data.x).any(1)
    assert swapped.mean() == pytest.approx(share, abs=0.03)
    assert ((found != data.x).sum(1)[swapped] == 2).all()
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(data.x, axis=1))
    pairs = np.unique((found != data.x)[swapped], axis=0, return_counts=True)[1] / swapped.sum()
    assert pairs == pytest.approx([1 / 3] * 3, abs=0.12)


@pytest.mark.parametrize("severity, share", list(enumerate((0.02, 0.05, 0.1, 0.2, 0.4), 1)))
def test_rare_and_unknown_categories(severity, share):
    rare, unknown = put("rare", severity), put("unknown", severity)
    assert ((rare[:, 4] == 1) & (COLOURS != 2)).sum() / (COLOURS != 2).sum() == pytest.approx(share, abs=0.03)
    assert (unknown[:, 2:5].sum(1) == 0).mean() == pytest.approx(share, abs=0.03)
    names = ["a", "age", "colour=red", "colour=blue", "colour=(other)", "constant", "income", "income is missing"]
    other = put("unknown", severity, pl.Dataset(TABULAR, columns=COLUMNS, feature_names=names))
    np.testing.assert_array_equal(other[:, 4], np.where(unknown[:, 2:5].sum(1) == 0, 1, TABULAR[:, 4]))


def test_what_is_missing_is_not_swapped():
    np.testing.assert_array_equal(put("swap", 5)[GONE, 6], INCOME[GONE])


def test_what_makes_no_sense_says_so():
    numbers, marks = pl.Dataset(TABULAR[:, :1]), pl.Dataset(np.eye(3)[COLOURS], columns=["c"] * 3)
    for name, data, words in (
        ("swap", numbers, "takes 2, there are 1"), ("unit", marks, "there are 0"),
        ("rare", numbers, "no categorical"), ("unknown", numbers, "no categorical"),
    ):  # fmt: skip
        with pytest.raises(NotApplicable, match=words):
            put(name, 1, data)


def test_an_encoded_file_is_understood(tmp_path):
    """The columns that the encoder makes of a file: a number with a mark, a category with one of its own."""
    g, path = np.random.default_rng(0), tmp_path / "t.csv"
    cells = [f"{'' if i % 4 == 0 else g.normal():.4}" if i % 4 else "" for i in range(200)]
    kinds = [["red", "blue", "", "green"][i % 4] for i in g.integers(4, size=200)]
    lines = [f"{c},{k},{i % 2}" for i, (c, k) in enumerate(zip(cells, kinds))]
    path.write_text("size,colour,y\n" + "\n".join(lines))
    data = pl.data.load(str(path), target="y").train
    size, colour = reference(data).columns
    assert (len(size.where), len(size.values), size.categorical) == (2, 1, False)
    assert size.usual[1] == 1
    names = [data.feature_names[i] for i in colour.where]
    assert names[int(colour.usual.argmax())] == "colour=(missing)"
    assert colour.one_hot
