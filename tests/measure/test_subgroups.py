"""Quality by group: the numbers by hand, and intervals that hold for all groups at once however they were picked."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import difference, wilson
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.subgroups import Subgroups

MODEL = pl.wrap(lambda x: np.hstack([1 - x[:, :1], x[:, :1]]), output="probabilities")


def measured(right, by, **options):
    """`Subgroups` of a model that is right on some rows (B,)."""
    x = np.full((len(right), 1), 0.9)
    return pl.measure(MODEL, Subgroups(by, **options), test=(x, np.asarray(right).astype(int)))[0]


def test_by_hand():
    site = np.repeat(["A", "B", "C"], [40, 50, 60])
    right = np.concatenate([np.arange(40) < 36, np.arange(50) < 30, np.arange(60) < 54])
    found = measured(right, {"site": site})
    own = 1 - 0.05 / 3
    ends = [wilson(36, 40, own), wilson(30, 50, own), wilson(54, 60, own)]
    assert (found.name, found.value, found.verdict) == ("subgroups.accuracy", 0.6, "groups differ")
    assert (found.interval.low, found.interval.high) == (min(e.low for e in ends), min(e.high for e in ends))
    for group, end, n in zip(found.detail["groups"], ends, (40, 50, 60), strict=True):
        assert (group["interval"].low, group["rows"]) == (end.low, n)
    pair = difference((54 / 60, wilson(54, 60, own)), (0.6, wilson(30, 50, own)))
    first = difference((36 / 40, wilson(36, 40, own)), (0.6, wilson(30, 50, own)))
    disparity = found.detail["disparity"]
    assert disparity["value"] == pytest.approx(0.3)
    assert disparity["worst"] == "site = B"
    assert disparity["interval"].low == pytest.approx(max(pair.low, first.low))
    assert disparity["interval"].high == pytest.approx(max(pair.high, first.high))
    assert "site = B (50 rows) has the worst accuracy" in found.detail["explanation"]


def test_pairs_are_of_one_attribute():
    """Men and the young overlap: only groups that exclude each other are set against each other."""
    g = np.random.default_rng(0)
    sex, age = g.choice(["F", "M"], 400), g.choice(["old", "young"], 400)
    right = (age == "old") | (g.random(400) < 0.5)
    found = measured(right, {"sex": sex, "age": age})
    assert {found.detail["disparity"][side] for side in ("best", "worst")} == {"age = old", "age = young"}
    assert [d["attribute"] for d in found.detail["groups"]] == ["sex", "sex", "age", "age"]


@pytest.mark.slow
@pytest.mark.parametrize("groups", [2, 8])
def test_groups_that_do_not_differ_are_seldom_said_to(groups):
    g, wrong = np.random.default_rng(groups), 0
    for _ in range(500):
        by = {"a": np.repeat(np.arange(groups), 60)}
        wrong += measured(g.random(60 * groups) < 0.8, by).verdict == "groups differ"
    assert wrong / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
def test_intervals_hold_for_the_worst_and_for_the_largest_difference():
    g = np.random.default_rng(3)
    truth = np.array([0.9, 0.85, 0.85, 0.8, 0.7])
    by, kept, apart = {"a": np.repeat(np.arange(5), 80)}, 0, 0
    for _ in range(500):
        found = measured(g.random(400) < np.repeat(truth, 80), by)
        kept += 0.7 in found.interval
        apart += 0.2 in found.detail["disparity"]["interval"]
    assert min(kept, apart) / 500 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 500)


def test_alike_means_within_the_tolerance():
    right = np.tile(np.arange(20) > 0, 1000)
    by = {"a": np.repeat(["x", "y"], 10_000)}
    assert measured(right, by).verdict == "groups are alike"
    assert measured(right[:200], {"a": np.repeat(["x", "y"], 100)}).verdict == "no difference shown"
    assert measured(right, by, tolerance=0.001).verdict == "no difference shown"


def test_columns_by_name_also_encoded_ones():
    g = np.random.default_rng(1)
    kind = g.integers(0, 3, 300)
    x = np.column_stack([np.full(300, 0.9), g.integers(0, 2, 300), np.eye(3)[kind]])
    data = pl.Dataset(
        x, (kind != 2).astype(int), feature_names=["score", "sex", "kind=a", "kind=b", "kind=c"],
        columns=["score", "sex", "kind", "kind", "kind"],
    )  # fmt: skip
    (found,) = pl.measure(MODEL, Subgroups(["sex", "kind"]), test=data)
    assert (found.detail["worst"], found.value) == ("kind = c", 0.0)
    assert {d["group"] for d in found.detail["groups"] if d["attribute"] == "sex"} == {"0", "1"}


def test_a_loss_is_worst_where_it_is_largest():
    model = pl.wrap(lambda x: x[:, :1], output="value")
    g = np.random.default_rng(2)
    x, by = g.normal(size=(200, 1)), {"site": np.repeat(["A", "B"], 100)}
    y = x[:, 0] + g.normal(size=200) * np.repeat([0.1, 1.0], 100)
    (found,) = pl.measure(model, Subgroups(by, metric="mae"), test=(x, y))
    assert (found.name, found.detail["worst"], found.verdict) == ("subgroups.mae", "site = B", "groups differ")
    assert found.value == pytest.approx(np.abs(x[100:, 0] - y[100:]).mean())
    assert (found.detail["disparity"]["best"], found.detail["disparity"]["worst"]) == ("site = A", "site = B")
    assert found.value in found.interval


def test_small_groups_missing_values_and_groups_of_one_class():
    by = {"a": np.array([1.0] * 30 + [np.nan] * 30 + [2.0] * 3)}
    found = measured(np.arange(63) % 3 > 0, by)
    assert [d["group"] for d in found.detail["groups"]] == ["1", "missing"]
    assert found.detail["left_out"] == {"a = 2": "3 rows"}
    x = np.linspace(0, 1, 90)[:, None]
    y = np.where(np.arange(90) < 60, np.arange(90) % 2, 1)
    (found,) = pl.measure(MODEL, Subgroups({"a": np.arange(90) // 30}, metric="auroc"), test=(x, y))
    assert "all 30 labels are of class 1" in found.detail["left_out"]["a = 2"]


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ({"a": np.arange(5)}, r"one value for each of the 60 test rows, got shape \(5,\)"),
        ({"a": np.arange(60) / 7}, "has 60 different values, too many for groups"),
        ("age", r"no column 'age' \(its named columns: none\)"),
    ],
)
def test_values_that_make_no_groups(by, told):
    with pytest.raises(InvalidInput, match=told):
        measured(np.arange(60) % 2, by)


def test_one_group_is_nothing_to_compare():
    found = measured(np.arange(60) % 2, {"a": np.zeros(60)})
    assert found.verdict == "not applicable"
    found = measured(np.arange(60) % 2, {"a": np.arange(60) // 3})
    assert found.verdict == "not applicable"
    assert "a = 0: 3 rows" in found.detail["explanation"]


@pytest.mark.parametrize(
    "options",
    [{"by": 3}, {"by": []}, {"by": {}}, {"by": "a", "metric": "f1"}, {"by": "a", "least": 1}, {"by": "a", "level": 2}],
)
def test_options_outside_their_range(options):
    with pytest.raises(InvalidOption):
        Subgroups(**options)


def test_a_category_encoded_as_several_columns_is_called_by_its_name():
    x = np.column_stack([np.linspace(0, 1, 90), np.eye(3)[np.arange(90) % 3]])
    names = ["score", "race=A", "race=(other)", "race=(missing)"]
    data = pl.Dataset(x, np.arange(90) % 2, feature_names=names, columns=["score", "race", "race", "race"])
    model = pl.wrap(lambda x: np.hstack([1 - x[:, :1], x[:, :1]]), output="probabilities")
    (found,) = pl.measure(model, pl.Subgroups("race"), test=data)
    assert {g["group"] for g in found.detail["groups"]} == {"A", "(other)", "(missing)"}
