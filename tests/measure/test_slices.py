"""Slices nobody named: planted ones are found and confirmed, and where there is none hardly ever one is."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import clopper_pearson, difference, student
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.slice_search import Table, table_of
from pellucid.measure.slices import SliceDiscovery, _half, drop, least_error

MODEL = pl.wrap(lambda x: np.hstack([1 - x[:, :1], x[:, :1]]), output="probabilities")
VALUES = pl.wrap(lambda x: x[:, :1], output="value")
LUCK = 3 * np.sqrt(0.05 * 0.95 / 500)


def rows(chance, n, generator, columns=4):
    """Uniform columns, and labels that `MODEL` gets wrong with a chance of each row."""
    x = generator.uniform(size=(n, columns))
    wrong = generator.random(n) < chance(x)
    return x, ((x[:, 0] >= 0.5) ^ wrong).astype(int)


def corner(x):
    return np.where((x[:, 1] > 0.7) & (x[:, 2] <= 0.4), 0.6, 0.1)


def found_in(data, seed=0, model=MODEL, **options):
    return pl.measure(model, SliceDiscovery(**options), test=data, seed=seed)[0]


def test_a_planted_corner_is_found_in_words():
    x, y = rows(corner, 3000, np.random.default_rng(0))
    found = found_in(pl.Dataset(x, y, feature_names=["score", "age", "dose", "noise"]))
    assert (found.name, found.verdict) == ("slices.error", "a slice is served worse")
    worst = found.detail["slices"][0]
    assert worst["description"].startswith("age > 0.")
    assert "dose <= 0." in worst["description"]
    assert 0.5 in found.interval
    assert found.value == worst["drop"]
    truth = np.flatnonzero((x[:, 1] > 0.7) & (x[:, 2] <= 0.4))
    assert len(np.intersect1d(truth, worst["rows"])) / len(np.union1d(truth, worst["rows"])) > 0.7


def test_what_is_written_down_by_hand():
    x, y = rows(corner, 1000, np.random.default_rng(1))
    found = found_in((x, y), candidates=4)
    wrong = (MODEL.scores(x).argmax(axis=1) != y).astype(float)
    first = _half(pl.Dataset(x, y), np.random.default_rng(0))
    assert len(first) == 1000
    assert first.sum() == 500
    ends = []
    for s in found.detail["slices"]:
        inside = s["inside"] * s["size"]
        assert inside == pytest.approx(round(inside))
        assert s["size"] < len(s["rows"])
        rest = 500 - s["size"]
        each = [
            clopper_pearson(round(v * n), n, 1 - 0.05 / 8) for v, n in ((s["inside"], s["size"]), (s["outside"], rest))
        ]
        expected = difference((s["inside"], each[0]), (s["outside"], each[1]))
        assert (s["interval"].low, s["interval"].high) == pytest.approx((expected.low, expected.high))
        assert s["confirmed"] == (expected.low > 0) == (s["adjusted_p"] < 0.05)
        ends.append(expected)
        assert wrong[s["rows"]].sum() >= inside
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (max(e.low for e in ends), max(e.high for e in ends))
    )


def test_the_p_is_the_level_at_which_the_interval_ends_at_0():
    g = np.random.default_rng(0)
    inside, outside = (g.random(50) < 0.5).astype(float), (g.random(200) < 0.2).astype(float)
    p = least_error(inside, outside)
    assert drop(inside, outside, 1 - p * 1.01).low > 0 > drop(inside, outside, 1 - p * 0.99).low - 1e-3
    assert drop(inside, outside, 1 - p).low == pytest.approx(0, abs=1e-4)
    assert least_error(outside, inside) == 1.0
    losses = g.exponential(size=80), g.exponential(size=300)
    expected = difference(*((s.mean(), student(s, 0.99)) for s in losses))
    assert tuple(drop(*losses, 0.99)) == tuple(expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["error", "squared_error"])
def test_false_alarms_are_as_rare_as_they_should_be(kind):
    """Errors that no column explains, and squared errors, which are skewed, of the same kind everywhere."""
    g, alarms = np.random.default_rng(2), 0
    for seed in range(500):
        data = rows(lambda x: np.full(len(x), 0.15), 400, g)
        if kind == "squared_error":
            data = data[0], data[0][:, 0] + g.standard_t(5, 400)
        found = found_in(data, seed, MODEL if kind == "error" else VALUES)
        alarms += found.verdict == "a slice is served worse"
    assert alarms / 500 <= 0.05 + LUCK


@pytest.mark.slow
def test_false_alarms_by_clusters(random_mlp):
    model, g, alarms = pl.wrap(random_mlp), np.random.default_rng(3), 0
    for seed in range(500):
        x = g.normal(size=(300, 6)).astype(np.float32)
        said = model.scores(x).argmax(axis=1)
        data = pl.Dataset(x, np.where(g.random(300) < 0.2, (said + 1) % 3, said))
        found = found_in(data, seed, model)
        assert seed or {s["by"] for s in found.detail["slices"]} == {"tree", "cluster"}
        alarms += found.verdict == "a slice is served worse"
    assert alarms / 500 <= 0.05 + LUCK


@pytest.mark.slow
def test_all_intervals_hold_at_once_and_the_corner_is_confirmed():
    """The true drop of a slice is the mean chance of an error in it minus that elsewhere, of the rows asked."""
    g, held, power = np.random.default_rng(4), 0, 0
    for seed in range(300):
        x, y = rows(corner, 800, g)
        found = found_in((x, y), seed)
        chance, fine = corner(x), []
        for s in found.detail["slices"]:
            member = np.isin(np.arange(800), s["rows"])
            fine.append(chance[member].mean() - chance[~member].mean() in s["interval"])
        held += all(fine)
        power += found.verdict == "a slice is served worse"
    assert held / 300 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    assert power / 300 >= 0.95


@pytest.mark.parametrize("clusters", ["kmeans", "mixture"])
def test_a_cluster_of_images_that_is_mislabelled(clusters, random_cnn):
    model, g = pl.wrap(random_cnn), np.random.default_rng(5)
    kind = g.integers(0, 6, 900)
    x = (g.normal(size=(6, 8, 8, 1)) * 2)[kind] + 0.2 * g.normal(size=(900, 8, 8, 1))
    said = model.scores(x).argmax(axis=1)
    wrong = g.random(900) < np.where(kind == 4, 0.7, 0.05)
    data = pl.Dataset(x, np.where(wrong, (said + 1) % 3, said), class_names=["cat", "dog", "owl"])
    found = found_in(data, model=model, clusters=clusters)
    worst = found.detail["slices"][0]
    assert (found.verdict, worst["by"]) == ("a slice is served worse", "cluster")
    assert np.mean(kind[worst["rows"]] == 4) > 0.95
    assert (
        f"({worst['description'].split('(')[1]}, {len(worst['rows'])} rows, the error rate is"
        in found.detail["explanation"]
    )
    assert worst["description"].split("of class ")[1].rstrip(")") in ("cat", "dog", "owl")


def test_a_regression_and_its_squared_error():
    g = np.random.default_rng(6)
    x = g.uniform(size=(2000, 3))
    y = x[:, 0] + g.normal(size=2000) * np.where(x[:, 2] > 0.75, 2.0, 0.5)
    found = found_in((x, y), model=VALUES)
    assert (found.name, found.verdict) == ("slices.squared_error", "a slice is served worse")
    assert "column 2 > 0.7" in found.detail["slices"][0]["description"]
    assert 4 - 0.25 in found.interval
    assert found_in((x, y), model=VALUES, loss="absolute_error").verdict == "a slice is served worse"


def test_conditions_in_the_words_of_the_table():
    x = np.column_stack([[1.0, 2.251, 2.254, 3.0], np.eye(4)[:, 0], np.eye(4)[:, 1], [0, 5, 0, 5]])
    data = pl.Dataset(
        x, feature_names=["age", "kind=a", "kind=b", "sex"], columns=["age", "kind", "kind", "sex"], kind="tabular"
    )
    table = table_of(data)
    assert table.condition(0, 2.2524, True) == "age > 2.252"  # three digits would move 2.251 to the other side
    assert table.condition(0, 1.6254321, False) == "age <= 1.63"
    assert [table.condition(1, 0.5, above) for above in (True, False)] == ["kind is a", "kind is not a"]
    assert [table.condition(3, 2.5, above) for above in (True, False)] == ["sex is 5", "sex is 0"]
    two = table_of(pl.Dataset({"b": np.zeros((3, 2)), "a": np.ones(3)}))
    assert two.names == ["a column 0", "b column 0", "b column 1"]
    assert table_of(pl.Dataset(np.zeros((3, 8, 8, 1)))) is None
    assert isinstance(two, Table)


def test_groups_are_not_torn():
    groups = np.repeat(np.arange(30), np.arange(1, 31))
    half = _half(pl.Dataset(np.zeros((465, 1)), groups=groups), np.random.default_rng(0))
    assert all(len(np.unique(half[groups == k])) == 1 for k in range(30))
    assert 200 <= half.sum() <= 265


def test_a_category_that_fails_and_the_same_numbers_again():
    g = np.random.default_rng(7)
    kind, score = g.integers(0, 3, 900), g.uniform(size=900)
    y = (score >= 0.5) ^ (g.random(900) < np.where(kind == 2, 0.5, 0.05))
    names = ["score", "site=A", "site=B", "site=C"]
    data = pl.Dataset(
        np.column_stack([score, np.eye(3)[kind]]), y.astype(int), feature_names=names, columns=["score", *["site"] * 3]
    )
    found = found_in(data)
    assert "site is C" in [s["description"] for s in found.detail["slices"] if s["confirmed"]]
    again = found_in(data)
    assert again.interval == found.interval
    assert again.detail["explanation"] == found.detail["explanation"]


def test_where_it_makes_no_sense():
    g = np.random.default_rng(8)
    x, y = rows(corner, 300, g)
    assert "too few (at least 80)" in found_in((x[:60], y[:60])).detail["explanation"]
    right = (x[:, 0] >= 0.5).astype(int)
    assert "is 0, so none is served worse" in found_in((x, right)).detail["explanation"]
    assert "squared_error is of a regression" in found_in((x, y), loss="squared_error").detail["explanation"]
    flat = pl.wrap(lambda x: np.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], axis=1), output="probabilities")
    images = g.uniform(size=(300, 4, 4, 1))
    assert "has neither here" in found_in((images, y), model=flat).detail["explanation"]
    one_group = pl.Dataset(x, y, groups=np.zeros(300))
    assert found_in(one_group).verdict == "not applicable"
    with pytest.raises(InvalidInput, match="needs labels"):
        found_in(x)
    with pytest.raises(InvalidOption, match="one of None, 'error'"):
        SliceDiscovery(loss="accuracy")
    with pytest.raises(InvalidOption, match="clusters: expected one of"):
        SliceDiscovery(clusters="dbscan")
