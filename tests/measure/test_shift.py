"""Shift: what is found, what is not, against scipy and a direct kernel sum, and how often nothing is taken for something."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.shift import compared, mmd, told_apart


def found(train, test, **options):
    return pl.measure(None, pl.ShiftDetection(**options), train=train, test=test)[0]


def test_numbers_are_compared_by_kolmogorov_and_smirnov():
    g = np.random.default_rng(0)
    one, two = g.normal(size=80), g.normal(size=60) + 0.3
    truth = ks_2samp(one, two)
    assert compared(one, two) == {"test": "Kolmogorov-Smirnov", "statistic": truth.statistic, "p": truth.pvalue}


@pytest.mark.parametrize("named", [False, True])
def test_categories_are_compared_by_chi_square(named):
    g = np.random.default_rng(1)
    one, two = g.choice(3, 90, p=[0.5, 0.3, 0.2]), g.choice(3, 70, p=[0.3, 0.3, 0.4])
    table = np.stack([np.bincount(side, minlength=3) for side in (one, two)])
    truth = chi2_contingency(table, correction=False)
    names = np.array(["a", "b", "c"])
    told = compared(names[one], names[two]) if named else compared(one, two)
    assert (told["statistic"], told["p"]) == pytest.approx((truth.statistic, truth.pvalue))


def test_minus_zero_is_zero():
    one, two = np.repeat([0.0, 1.0], 50), np.repeat([-0.0, 1.0], 50)
    assert compared(one, two)["p"] == 1


def test_rare_categories_are_one():
    one = np.repeat(np.arange(12).astype(str), [50, 40, *[1] * 10])
    two = np.repeat(np.arange(12).astype(str), [45, 47, *[1] * 10])
    truth = chi2_contingency([[50, 40, 10], [45, 47, 10]], correction=False)
    assert compared(one, two)["p"] == pytest.approx(truth.pvalue)


def test_missing_more_often_is_a_shift():
    g = np.random.default_rng(2)
    one, two = g.normal(size=200), g.normal(size=200)
    two[g.random(200) < 0.3] = np.nan
    told = compared(one, two)
    assert told["test"] == "chi-square of what is missing"
    assert told["p"] < 1e-6
    assert compared(np.full(30, np.nan), np.full(30, np.nan))["p"] == 1.0


def test_the_kernel_statistic_is_the_direct_sum():
    g = np.random.default_rng(3)
    one, two = g.normal(size=(14, 3)), g.normal(size=(9, 3)) + 0.5
    both = np.concatenate([one, two])
    distance = ((both[:, None] - both[None]) ** 2).sum(-1)
    typical = np.median(distance[np.triu_indices(23, 1)])
    k = np.exp(-distance / typical)
    off = lambda block: (block.sum() - np.trace(block)) / (len(block) * (len(block) - 1))  # noqa: E731
    truth = off(k[:14, :14]) + off(k[14:, 14:]) - 2 * k[:14, 14:].mean()
    value, p = mmd(one, two, 200, np.random.default_rng(0))
    assert value == pytest.approx(truth, abs=1e-12)
    assert 1 / 201 <= p <= 1


def test_a_classifier_tells_apart_what_no_column_shows():
    """Two columns that go together on one side and against each other on the other: alike one by one."""
    g = np.random.default_rng(4)
    a, b = g.normal(size=(2, 600, 1))
    noise = 0.3 * g.normal(size=(2, 600, 1))
    told = found(np.hstack([a, a + noise[0]]), np.hstack([b, -b + noise[1]]))
    assert told.verdict == "shift"
    assert min(c["adjusted_p"] for c in told.detail["columns"]) > 0.05 / 3
    assert {"kernel", "classifier"} <= set(told.detail["alarms"])
    assert told.interval.low > 0.8


@pytest.mark.slow
def test_nothing_is_taken_for_something_as_seldom_as_it_says():
    g, alarms = np.random.default_rng(5), []
    for seed in range(500):
        x = np.column_stack([g.normal(size=(160, 3)), g.integers(0, 3, 160), g.exponential(size=160)])
        told = pl.measure(
            None, pl.ShiftDetection(permutations=199), train=x[:80], test=x[80:], seed=seed
        )[0]  # fmt: skip
        alarms.append(told.verdict == "shift")
    assert np.mean(alarms) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
@pytest.mark.parametrize("test", ["columns", "kernel", "classifier"])
def test_each_test_keeps_its_own_level(test):
    g, chances = np.random.default_rng(6), []
    for _ in range(500):
        one, two = g.normal(size=(2, 60, 2))
        if test == "columns":
            chances.append(compared(one[:, 0], two[:, 0])["p"])
        elif test == "kernel":
            chances.append(mmd(one, two, 99, g)[1])
        else:
            chances.append(told_apart(one, two, 0.95, g)[1])
    assert np.mean(np.array(chances) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_labels_alone_may_shift():
    g = np.random.default_rng(7)
    x = g.normal(size=(800, 2))
    y = np.concatenate([g.random(400) < 0.5, g.random(400) < 0.8]).astype(int)
    told = found((x[:400], y[:400]), (x[400:], y[400:]))
    assert told.verdict == "shift"
    assert told.detail["columns"][0]["column"] == "label"
    assert "label" in told.detail["explanation"]


def test_one_row_of_each_group_is_looked_at():
    """Copies of the same few rows would make every difference sure."""
    g = np.random.default_rng(8)
    few = g.normal(size=(40, 2))
    train = pl.Dataset(np.repeat(few[:20], 50, axis=0), groups=np.repeat(np.arange(20), 50))
    test = pl.Dataset(np.repeat(few[20:], 50, axis=0), groups=np.repeat(np.arange(20, 40), 50))
    told = found(train, test)
    assert told.detail["rows"] == (20, 20)
    assert told.verdict == "no shift found"


def test_images_and_texts_along_directions():
    g = np.random.default_rng(9)
    images = g.normal(size=(300, 8, 8, 1)).astype("float32")
    bright = images[150:] + np.linspace(0, 2, 8)[:, None, None]
    told = found(images[:150], bright)
    assert (told.verdict, " of 32 directions surely differ" in told.detail["explanation"]) == ("shift", True)
    assert found(images[:150], images[150:]).verdict == "no shift found"
    words = g.integers(1, 30, (300, 12))
    other = np.where(g.random((150, 12)) < 0.4, 3, words[150:])
    kind = {"kind": "text"}
    assert found(pl.Dataset(words[:150], **kind), pl.Dataset(other, **kind)).verdict == "shift"
    assert found(pl.Dataset(words[:150], **kind), pl.Dataset(words[150:], **kind)).verdict == "no shift found"


def test_several_inputs_and_text_columns():
    g = np.random.default_rng(10)
    make = lambda n, p: {"a": g.normal(size=(n, 2)), "b": g.choice(["x", "y"], (n, 1), p=[p, 1 - p])}  # noqa: E731
    told = found(pl.Dataset(make(200, 0.5)), pl.Dataset(make(200, 0.9)))
    assert (told.verdict, told.detail["columns"][0]["column"]) == ("shift", "b column 0")


def test_sides_that_cannot_be_compared():
    with pytest.raises(InvalidInput, match="differ in shape"):
        found(np.ones((30, 2)), np.ones((30, 3)))
    assert found(np.ones((30, 2)), np.ones((4, 2))).verdict == "not applicable"
    same = found(np.ones((30, 2)), np.ones((30, 2)))
    assert (same.verdict, same.value) == ("no shift found", 0.5)


def test_how_a_column_was_written_down():
    g = np.random.default_rng(11)
    train, test = g.normal(size=(2, 200, 3)) + 5
    train[:4, 0], test[:150, 0] = np.nan, np.nan
    test[:60, 1] = 0
    told = found(train, test)
    assert list(told.detail["recording"]) == [
        {"column": "column 0", "what": "missing", "train": 0.02, "test": 0.75},
        {"column": "column 1", "what": "0", "train": 0.0, "test": 0.3},
    ]
    assert "column 1 is 0 in 0\u202f% and 30\u202f%" in told.detail["explanation"]
    assert not found(train[:, 2:], g.normal(size=(200, 1)) + 9).detail["recording"]


def hospital(real_data, name):
    columns = [
        "age",
        "sex",
        "cp",
        "trestbps",
        "chol",
        "fbs",
        "restecg",
        "thalach",
        "exang",
        "oldpeak",
        "slope",
        "ca",
        "thal",
    ]
    table = np.genfromtxt(real_data(f"heart_disease/processed.{name}.data"), delimiter=",", missing_values="?")
    return pl.Dataset(table[:, :-1], (table[:, -1] > 0).astype(int), feature_names=columns)


@pytest.mark.parametrize(
    ("other", "unknown"), [("hungarian", ("ca", "missing")), ("switzerland", ("chol", "0")), ("va", ("chol", "0"))]
)
def test_hospitals_differ_and_partly_in_what_they_wrote_down(real_data, other, unknown):
    told = found(hospital(real_data, "cleveland"), hospital(real_data, other))
    assert told.verdict == "shift"
    assert unknown in {(r["column"], r["what"]) for r in told.detail["recording"]}


def test_halves_of_one_hospital_do_not(real_data):
    patients = hospital(real_data, "cleveland")
    order = np.random.default_rng(0).permutation(len(patients))
    told = found(patients.take(order[:150]), patients.take(order[150:]))
    assert told.verdict == "no shift found"
    assert not told.detail["recording"]


@pytest.mark.parametrize("options", [{"permutations": 5}, {"most": 2}, {"level": 0}])
def test_options_outside_their_range(options):
    with pytest.raises(InvalidOption):
        pl.ShiftDetection(**options)


def test_columns_that_mark_what_is_missing_tell_it_of_the_column_they_belong_to():
    g = np.random.default_rng(3)
    here, there = ((g.random((200, 2)) < share).astype(float) for share in ([0.02, 0.3], [0.9, 0.3]))
    names = ["ca is missing", "thal=(missing)"]
    told = found(pl.Dataset(here, feature_names=names), pl.Dataset(there, feature_names=names))
    (one,) = told.detail["recording"]
    assert (one["column"], one["what"]) == ("ca", "missing")
    assert (one["train"], one["test"]) == (here[:, 0].mean(), there[:, 0].mean())


def test_groups_on_both_sides_are_no_fair_draw():
    x = np.random.default_rng(0).normal(size=(80, 2))
    told = found(pl.Dataset(x, groups=np.arange(80) // 2), pl.Dataset(x, groups=np.arange(80) // 2 + 39))
    assert told.verdict == "not applicable"
    assert "1 group of rows" in told.detail["explanation"]
