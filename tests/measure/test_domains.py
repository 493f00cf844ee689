"""The drop in other domains: by hand, at its level for all domains at once, and on four hospitals."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import difference, wilson
from pellucid.errors import InvalidInput, InvalidOption

MODEL = pl.wrap(lambda x: np.hstack([1 - x[:, :1], x[:, :1]]), output="probabilities")


def measured(right, site, **options):
    """`DomainGap` of a model that is right on some rows (B,), held against site A."""
    x = np.full((len(right), 1), 0.9)
    method = pl.DomainGap({"site": site}, **{"reference": "A", **options})
    return pl.measure(MODEL, method, test=(x, np.asarray(right).astype(int)))[0]


def test_by_hand():
    site = np.repeat(["A", "B", "C"], [40, 50, 60])
    found = measured(np.concatenate([np.arange(40) < 36, np.arange(50) < 30, np.arange(60) < 57]), site)
    own = 1 - 0.05 / 2
    ends = [
        difference((36 / 40, wilson(36, 40, own)), (30 / 50, wilson(30, 50, own))),
        difference((36 / 40, wilson(36, 40, own)), (57 / 60, wilson(57, 60, own))),
    ]
    assert (found.name, found.verdict, found.detail["worst"]) == ("domain_gap.accuracy", "drops", "B")
    assert found.value == pytest.approx(0.3)
    assert (found.interval.low, found.interval.high) == (max(e.low for e in ends), max(e.high for e in ends))
    drops = {d["group"]: d["drop"] for d in found.detail["domains"]}
    assert drops["C"]["value"] == pytest.approx(-0.05)
    assert (drops["C"]["interval"].low, drops["B"]["interval"].low) == (ends[1].low, ends[0].low)
    assert "60\u202f%" in found.detail["explanation"]
    assert " in B (50 rows)" in found.detail["explanation"]
    by_month = measured(
        np.concatenate([np.arange(40) < 36, np.arange(50) < 30]), np.repeat(["2", "3"], [40, 50]), reference="2"
    )
    assert " in site 3 (50 rows)" in by_month.detail["explanation"]


@pytest.mark.slow
def test_it_holds_for_all_domains_at_once():
    g, truth = np.random.default_rng(0), np.array([0.85, 0.85, 0.85, 0.8, 0.75])
    false, kept = 0, 0
    for _ in range(500):
        site = np.repeat(["A", "B", "C", "D", "E"], 100)
        false += measured(g.random(500) < 0.85, site).verdict == "drops"
        kept += 0.1 in measured(g.random(500) < np.repeat(truth, 100), site).interval
    assert false / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert kept / 500 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 500)


def test_verdicts():
    many = np.tile(np.arange(20) > 0, 1000)
    assert measured(many, np.repeat(["A", "B"], 10_000)).verdict == "holds"
    assert measured(many[:200], np.repeat(["A", "B"], 100)).verdict == "no drop shown"


def test_a_loss_that_is_larger_elsewhere_is_a_drop():
    model = pl.wrap(lambda x: x[:, :1], output="value")
    g = np.random.default_rng(2)
    x, site = g.normal(size=(200, 1)), np.repeat([2001, 2002], 100)
    y = x[:, 0] + g.normal(size=200) * np.repeat([0.1, 1.0], 100)
    (found,) = pl.measure(model, pl.DomainGap({"year": site}, reference="2001", metric="mae"), test=(x, y))
    assert (found.verdict, found.detail["worst"]) == ("drops", "2002")
    error = np.abs(x[:, 0] - y)
    assert found.value == pytest.approx(error[100:].mean() - error[:100].mean())


def test_other_hospitals(real_data):
    """Age, sex and what was measured at rest: a model of Cleveland's patients, held against three other hospitals."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    parts = {}
    for name in ("cleveland", "hungarian", "switzerland", "va"):
        table = np.genfromtxt(real_data(f"heart_disease/processed.{name}.data"), delimiter=",", missing_values="?")
        table = table[np.isfinite(table[:, [0, 1, 2, 3, 4, 7, 8, 9]]).all(1)]
        parts[name] = table[:, [0, 1, 2, 3, 4, 7, 8, 9]], (table[:, -1] > 0).astype(int)
    x, y = parts["cleveland"]
    taught = np.random.default_rng(0).permutation(len(x)) < 200
    learned = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[taught], y[taught])
    parts["cleveland"] = x[~taught], y[~taught]
    model = pl.wrap(lambda x: learned.predict_proba(np.asarray(x, float)), output="probabilities")
    hospital = np.repeat(list(parts), [len(y) for _, y in parts.values()])
    test = np.concatenate([x for x, _ in parts.values()]), np.concatenate([y for _, y in parts.values()])
    (found,) = pl.measure(model, pl.DomainGap({"hospital": hospital}, reference="cleveland"), test=test)
    assert found.verdict == "drops"
    assert found.detail["worst"] in {"switzerland", "va"}  # where cholesterol of 0 means that nobody measured it


def test_what_makes_no_domains():
    right = np.arange(60) % 2
    with pytest.raises(InvalidInput, match="no test row is of 'A'; there are B, C"):
        measured(right, np.repeat(["B", "C"], 30))
    few = measured(
        right, np.repeat(["A", "B"], [5, 55])
    )  # as with groups, too few rows are no mistake of the one who asks
    assert few.verdict == "not applicable"
    assert "site = A: 5 rows" in few.detail["explanation"]
    assert measured(right, np.repeat(["A"], 60)).verdict == "not applicable"
    assert "site = C: 5 rows" in measured(right, np.repeat(["A", "C"], [55, 5])).detail["explanation"]
    with pytest.raises(InvalidInput, match="one value for each of the 60 test rows"):
        measured(right, np.repeat(["A", "B"], 4))


@pytest.mark.parametrize(
    "options", [{"by": {"a": [1], "b": [2]}}, {"by": []}, {"by": "a", "metric": "f1"}, {"by": "a", "tolerance": -1}]
)
def test_options_outside_their_range(options):
    with pytest.raises(InvalidOption):
        pl.DomainGap(reference="x", **options)
