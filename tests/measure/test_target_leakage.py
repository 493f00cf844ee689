"""Columns that give the label away are named; strong but honest predictors, and values missing at random, are not."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn.metrics import r2_score, roc_auc_score

import pellucid as pl
from pellucid.core.randomness import stream
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.estimates import auroc
from pellucid.measure.target_leakage import FOLDS, TargetLeakage, _folds

NAMES = ["age", "dose", "weight", "refund", "score"]
LUCK = 3 * np.sqrt(0.05 * 0.95 / 500)


def asked(x, y, seed=0, names=NAMES, columns=None, **options):
    data = pl.Dataset(x, y, feature_names=names, columns=columns)
    return pl.measure(None, TargetLeakage(**options), train=data, seed=seed)[0]


def honest(n, g, strength=3.0):
    """Five columns that together, and only together, predict the label well."""
    x = g.normal(size=(n, 5))
    return x, (strength * x.sum(axis=1) + g.logistic(size=n) > 0).astype(int)


def test_a_column_that_gives_the_label_away_is_named():
    g = np.random.default_rng(0)
    x, y = honest(800, g)
    assert asked(x, y).verdict == "no column gives the label away"
    x[:, 3] = np.where(y == 1, g.exponential(size=800) + 0.1, 0)
    found = asked(x, y)
    assert (found.verdict, found.detail["suspicious"]) == ("a column gives the label away", ("refund",))
    assert found.value == found.detail["columns"][0]["value"] == 1.0
    assert found.detail["others"]["value"] < 0.97
    assert "refund predicts the label best, with an AUROC of 1.0" in found.detail["explanation"]
    assert "refund alone all but determines it" in found.detail["explanation"]
    text = pl.measure(None, TargetLeakage(), train=pl.Dataset(x, np.where(y == 1, "ill", "well"), feature_names=NAMES))[
        0
    ]
    assert text.value == found.value


def test_the_quality_of_a_column_by_hand():
    """A column of two values: the tree gives the share of each value in the other folds."""
    g = np.random.default_rng(1)
    x, y = honest(300, g)
    x[:, 0] = (y + (g.random(300) < 0.3)) % 2
    found = asked(x, y)
    data = pl.Dataset(x, y)
    folds = _folds(data, stream(0, "TargetLeakage", "folds"))
    score = np.empty(300)
    for fold in range(FOLDS):
        for value in (0, 1):
            known = (folds != fold) & (x[:, 0] == value)
            score[(folds == fold) & (x[:, 0] == value)] = y[known].mean()
    age = next(c for c in found.detail["columns"] if c["name"] == "age")
    assert age["value"] == pytest.approx(roc_auc_score(y, score))
    own = 1 - 0.025 / (5 + 10)
    expected = auroc(y, np.column_stack([1 - score, score]), own, g).interval
    assert tuple(age["interval"]) == pytest.approx(tuple(expected))


def test_an_easy_label_is_no_leak_and_two_copies_are_two():
    g = np.random.default_rng(2)
    y = g.integers(0, 2, 800)
    easy = y[:, None] * 4.0 + g.normal(size=(800, 5))
    easy[:, 0] = y * 6.0 + g.normal(size=800)
    found = asked(easy, y)
    assert found.verdict == "no column gives the label away"
    assert "an easy label" in found.detail["explanation"]
    x, y = honest(800, g, 1.0)
    x[:, 1], x[:, 3] = y + 0.01 * g.normal(size=800), -3.0 * y
    assert set(asked(x, y).detail["suspicious"]) == {"dose", "refund"}


def test_a_pair_of_which_neither_column_tells():
    g = np.random.default_rng(3)
    x, _ = honest(4000, g)
    x[:, 0], x[:, 1] = g.integers(0, 6, 4000), g.integers(0, 6, 4000)
    y = (x[:, 0] > x[:, 1]).astype(int)
    found = asked(x, y)
    assert found.verdict == "a column gives the label away"
    assert set(found.detail["suspicious"][0].split(" with ")) == {"age", "dose"}


def test_encoded_columns_are_one_and_a_regression_has_r2():
    g = np.random.default_rng(4)
    kind = g.integers(0, 3, 900)
    x = np.column_stack([g.normal(size=(900, 2)), np.eye(3)[kind]])
    names = ["age", "dose", "site=A", "site=B", "site=C"]
    found = asked(x, kind, names=names, columns=["age", "dose", "site", "site", "site"])
    assert found.detail["suspicious"] == ("site",)
    x, _ = honest(3000, g)
    y = x.sum(axis=1) + g.normal(size=3000)
    x[:, 4] = y**3 + 0.01 * g.normal(size=3000)
    found = asked(x, y)
    assert (found.detail["metric"], found.detail["suspicious"]) == ("r2", ("score",))
    assert found.value > 0.97
    assert r2_score(y, y) == 1 >= found.interval.high


def test_missing_values_that_tell_by_hand():
    g = np.random.default_rng(5)
    x, y = honest(1000, g, 1.0)
    x[g.random(1000) < np.where(y == 1, 0.4, 0.2), 2] = np.nan
    x[g.random(1000) < 0.3, 1] = np.nan
    found = asked(x, y)
    assert found.verdict == "missing values tell the label"
    told = {m["column"]: m for m in found.detail["missing"]}
    assert set(told) == {"weight", "dose"}
    gone = np.isnan(x[:, 2])
    table = [[np.sum(y[g_] == k) for k in (0, 1)] for g_ in (gone, ~gone)]
    assert told["weight"]["p"] == pytest.approx(chi2_contingency(table, correction=False).pvalue)
    assert told["weight"]["share"] == pytest.approx(gone.mean())
    assert "Whether weight is missing tells" in found.detail["explanation"]


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_they_should_be():
    """Honest columns, of which two are missing at random."""
    g, alarms = np.random.default_rng(6), 0
    for seed in range(500):
        x, y = honest(200, g)
        for column in (1, 2):
            x[g.random(200) < 0.2, column] = np.nan
        alarms += asked(x, y, seed).verdict != "no column gives the label away"
    assert alarms / 500 <= 0.05 + LUCK


def test_where_it_makes_no_sense():
    g = np.random.default_rng(7)
    x, y = honest(120, g)
    assert "got 120 with [120]" in asked(x, np.ones(120, int)).detail["explanation"]
    assert "at least 50 rows" in asked(x[:30], y[:30]).detail["explanation"]
    images = pl.Dataset(g.normal(size=(60, 4, 4, 1)), np.arange(60) % 2)
    (found,) = pl.measure(None, TargetLeakage(), train=images)
    assert found.verdict == "not applicable"
    with pytest.raises(InvalidInput, match="needs labels"):
        asked(x, None)
    with pytest.raises(InvalidInput, match="label at row 1 is NaN"):
        asked(x, np.where(np.arange(120) == 1, np.nan, g.normal(size=120)))
    with pytest.raises(InvalidOption, match="least: expected a number between 0 and 1"):
        TargetLeakage(least=1.0)
    grouped = pl.Dataset(x, y, groups=np.arange(120) // 4)
    folds = _folds(grouped, g)
    assert all(len(np.unique(folds[grouped.groups == k])) == 1 for k in range(30))
    assert asked(x, y, seed=1).interval == asked(x, y, seed=1).interval


def test_one_group_cannot_be_parted():
    x = np.random.default_rng(0).normal(size=(200, 3))
    train = pl.Dataset(x, (x[:, 0] > 0).astype(int), groups=np.zeros(200))
    (found,) = pl.measure(None, pl.TargetLeakage(), train=train)
    assert "fewer groups" in found.detail["explanation"]
