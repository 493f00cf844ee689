"""Memory of training rows: known advantages are found, none is made up, and thresholds do not judge what they were chosen by."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm
from sklearn.metrics import roc_auc_score

import pellucid as pl
from pellucid.measure.memorization import (
    FALSE_POSITIVES,
    advantage,
    best_threshold,
    found_surely,
    gain,
    matched,
    ranking,
)

SIZES = [(60, 40), (500, 200)]


def normals(g, sizes, shift):
    """Losses of training rows, smaller by `shift`, and of test rows: the best advantage is 2 Phi(shift / 2) - 1."""
    return g.normal(size=sizes[0]) - shift, g.normal(size=sizes[1])


def test_the_best_threshold_is_where_the_distributions_are_farthest_apart():
    seen, new = normals(np.random.default_rng(0), (300, 200), 0.7)
    t = best_threshold(seen, new)
    largest = ks_2samp(seen, new, alternative="greater")
    assert gain(seen, new, t, 0.95)[0] == pytest.approx(largest.statistic)
    assert t == pytest.approx(largest.statistic_location)
    assert best_threshold(new + 9, new) == -np.inf  # losses that are larger in training tell nothing by this attack


@pytest.mark.parametrize("sizes", SIZES)
def test_without_memory_none_is_told_of_in_five_hundred_sets(sizes):
    g = np.random.default_rng(1)
    found = [advantage(*normals(g, sizes, 0.0), g, 0.95) for _ in range(500)]
    assert sum(i.low > 0 for _, i, _ in found) <= 12  # half of 5 %
    assert np.mean([v for v, _, _ in found]) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shift", [0.3, 1.0, 2.5])
def test_the_advantage_between_two_normals_is_covered(sizes, shift):
    g, true = np.random.default_rng(2), 2 * norm.cdf(shift / 2) - 1
    found = [advantage(*normals(g, sizes, shift), g, 0.95) for _ in range(300)]
    assert np.mean([i.low <= true <= i.high for _, i, _ in found]) >= 0.95
    assert np.mean([v for v, _, _ in found]) == pytest.approx(true, abs=0.04)


@pytest.mark.parametrize("sizes", [*SIZES, (400, 20)])
def test_hits_at_one_false_alarm_in_a_hundred_are_covered(sizes):
    g = np.random.default_rng(3)
    for shift in (0.0, 1.0, 3.0):
        true = norm.cdf(norm.ppf(FALSE_POSITIVES) + shift)
        assert np.mean([true in found_surely(*normals(g, sizes, shift), 0.95)[1] for _ in range(200)]) >= 0.95
    seen, new = normals(g, (5000, 5000), 1.0)
    assert found_surely(seen, new, 0.95)[0] == pytest.approx(norm.cdf(norm.ppf(0.01) + 1), abs=0.03)


def test_the_ranking_is_the_area_under_the_curve():
    seen, new = normals(np.random.default_rng(4), (80, 50), 0.5)
    found = ranking(seen, new, 0.95, np.random.default_rng(0))
    assert found["value"] == pytest.approx(roc_auc_score([1] * 80 + [0] * 50, -np.r_[seen, new]))
    assert found["value"] in found["interval"]


def looked_up(rows, count=2):
    """A model that knows the labels of the first rows by heart and nothing of others; and all rows, with labels at random."""
    g = np.random.default_rng(5)
    x, y = g.uniform(size=(2 * rows, 1)).astype("float32"), g.integers(count, size=2 * rows)
    known = dict(zip(x[:rows, 0].tolist(), y[:rows].tolist()))

    def answer(x):
        p = np.full((len(x), count), 1 / count)
        for i, v in enumerate(x[:, 0].tolist()):
            if v in known:
                p[i] = 0.02 / (count - 1)
                p[i, known[v]] = 0.98
        return p

    return pl.wrap(answer, output="probabilities"), (x[:rows], y[:rows]), (x[rows:], y[rows:])


def test_a_table_of_answers_remembers():
    model, train, test = looked_up(200)
    (found,) = pl.measure(model, pl.Memorization(), train=train, test=test)
    assert (found.verdict, found.value) == ("remembers", 1.0)
    assert found.detail["auroc"]["value"] == 1.0
    assert found.detail["train_loss"] == pytest.approx(-np.log(0.98))
    assert found.detail["tpr_at_fpr"]["value"] == 1.0
    assert "over guessing" in found.detail["explanation"]
    assert pl.measure(model, pl.Memorization(), train=train, test=test)[0].value == found.value
    (found,) = pl.measure(model, pl.Memorization(), train=test, test=(test[0] + 1, test[1]))
    assert found.verdict == "no memory shown"


def test_a_regression_is_judged_by_its_errors():
    g = np.random.default_rng(6)
    x, noise = g.normal(size=(400, 1)).astype("float32"), g.normal(size=400)
    known = dict(zip(x[:200, 0].tolist(), noise[:200].tolist()))
    model = pl.wrap(lambda x: np.array([[v + 0.9 * known.get(v, 0.0)] for v in x[:, 0].tolist()]), output="value")
    y = x[:, 0] + noise
    (found,) = pl.measure(model, pl.Memorization(), train=(x[:200], y[:200]), test=(x[200:], y[200:]))
    assert found.verdict == "remembers"
    # |noise| against |noise| / 10: the best threshold's advantage, by numbers
    t = np.linspace(0, 3, 3001)
    best = np.max(2 * norm.cdf(10 * t) - 2 * norm.cdf(t))
    assert best in found.interval
    assert found.detail["test_loss"] == pytest.approx(np.abs(noise[200:]).mean())


def test_rows_are_matched_by_their_labels():
    g = np.random.default_rng(0)
    one, two = np.repeat([0, 1, 2], [60, 30, 10]), np.repeat([0, 1, 3], [10, 30, 10])
    first, second = matched(one, two, g)
    assert np.bincount(one[first]).tolist() == [20, 30]  # shares of 0.2 and 0.3, the smaller of both sides
    assert np.bincount(two[second]).tolist() == [10, 15]
    assert len(np.unique(first)) == len(first)
    assert not len(matched(one, two + 9, g)[0])


@pytest.mark.parametrize("task", ["classes", "values"])
def test_a_shift_of_labels_is_not_taken_for_memory(task):
    """The model remembers nothing; labels that are hard for it are common among test rows, and rare among training rows."""
    told = 0
    for seed in range(20):
        g = np.random.default_rng(seed)
        hard = [g.random(n) < share for n, share in ((400, 0.2), (300, 0.7))]
        x = [g.normal(size=(len(h), 1)).astype("float32") for h in hard]
        if task == "classes":
            model = pl.wrap(lambda x: np.tile([[0.8, 0.2]], (len(x), 1)), output="probabilities")
            sides = [(a, h.astype(int)) for a, h in zip(x, hard, strict=True)]
        else:
            model = pl.wrap(lambda x: 0 * x[:, :1], output="value")
            sides = [(a, h * 3 + g.normal(size=len(h))) for a, h in zip(x, hard, strict=True)]
        (found,) = pl.measure(model, pl.Memorization(), train=sides[0], test=sides[1])
        assert found.detail["label_shift"]["p"] < 0.05
        assert "Labels are distributed differently" in found.detail["explanation"]
        told += found.verdict == "remembers"
    assert told <= 3


def test_memory_is_found_under_a_shift_of_labels():
    model, train, test = looked_up(300)
    kept = np.flatnonzero((test[1] == 1) | (np.arange(300) % 4 == 0))
    (found,) = pl.measure(model, pl.Memorization(), train=train, test=(test[0][kept], test[1][kept]))
    assert (found.verdict, found.value) == ("remembers", 1.0)
    (none,) = pl.measure(model, pl.Memorization(), train=(train[0], 0 * train[1]), test=(test[0], 0 * test[1] + 1))
    assert none.verdict == "not applicable"


def test_bad_input():
    model, train, test = looked_up(20)
    (found,) = pl.measure(model, pl.Memorization(), train=(train[0][:3], train[1][:3]), test=test)
    assert found.verdict == "not applicable"
    assert "at least 4 rows, got 3 and 20" in found.detail["explanation"]
    with pytest.raises(pl.errors.InvalidInput, match="train="):
        pl.measure(model, pl.Memorization(), test=test)
    with pytest.raises(pl.errors.InvalidInput, match="no class of the model"):
        pl.measure(model, pl.Memorization(), train=train, test=(test[0], test[1] + 1))
    with pytest.raises(pl.errors.InvalidInput, match="needs labels"):
        pl.measure(model, pl.Memorization(), train=train, test=test[0])
    (found,) = pl.measure(model, pl.Memorization(), train=(train[0], 0 * train[1]), test=(test[0], 0 * test[1]))
    assert found.verdict != "not applicable"  # one class has losses too
    with pytest.raises(pl.errors.InvalidOption, match="level"):
        pl.Memorization(level=1.0)
