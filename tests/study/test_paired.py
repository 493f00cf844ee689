"""The table's numbers are scipy's, its verdicts are as rarely wrong as they promise, and its intervals cover."""

import numpy as np
import pytest
from scipy import stats

from pellucid.study.paired import Quantity, Row, paired_difference, table

ACCURACY, LOSS = Quantity("accuracy", "higher", True), Quantity("log_loss", "lower")


@pytest.fixture
def scores():
    draw = np.random.default_rng(4)
    return draw.normal(size=(3, 6, 4)) + np.linspace(0, 2, 3)[:, None, None] * [1, 0, -1, 0.2]


QUANTITIES = [Quantity(name, "higher") for name in "abcd"]


def test_each_row_is_a_paired_test(scores):
    rows = table(["one", "two", "three"], QUANTITIES, scores, 1)
    tested = [row for row in rows if row.recipe != "two"]
    assert len(tested) == 8
    for row in tested:
        own, m = scores[["one", "two", "three"].index(row.recipe)], "abcd".index(row.metric)
        expected = stats.ttest_rel(own[:, m], scores[1, :, m])
        assert row.p == pytest.approx(expected.pvalue, rel=1e-9)
        assert row.difference == pytest.approx((own[:, m] - scores[1, :, m]).mean())
        np.testing.assert_allclose([*row.difference_interval], [*expected.confidence_interval()], rtol=1e-9)
        assert row.value == pytest.approx(own[:, m].mean())
        assert row.seeds == 6


def test_p_values_are_adjusted_over_the_whole_table(scores):
    rows = [row for row in table(["one", "two", "three"], QUANTITIES, scores, 1) if row.p is not None]
    np.testing.assert_allclose(
        [r.adjusted for r in rows], stats.false_discovery_control([r.p for r in rows]), rtol=1e-12
    )
    ranked = sorted(r.p for r in rows)
    for row in rows:  # and by hand: the least of p_k m / k from this rank on
        rank = ranked.index(row.p)
        assert row.adjusted == pytest.approx(min([1.0, *(ranked[k] * 8 / (k + 1) for k in range(rank, 8))]))


def test_tables_without_any_difference_seldom_show_one():
    """500 null tables of 3 recipes, 5 seeds, 6 quantities: the luck of a seed is shared, as it is in training."""
    draw, any_shown = np.random.default_rng(0), 0
    quantities = [Quantity(f"q{i}", "higher") for i in range(6)]
    for _ in range(500):
        scores = draw.normal(size=(1, 5, 6)) * 3 + draw.normal(size=(3, 5, 6))
        verdicts = {row.verdict for row in table(["r", "a", "b"], quantities, scores, 0)}
        any_shown += bool(verdicts & {"better", "worse"})
    assert any_shown / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_the_interval_covers_at_its_level():
    """2,000 comparisons whose true difference is known: seeds share a luck that pairing takes away."""
    draw = np.random.default_rng(11)
    hits, false = 0, 0
    for _ in range(2000):
        luck = draw.normal(0, 3, 5)
        reference, recipe = luck + draw.normal(0, 1, 5), luck + draw.normal(0.7, 1, 5)
        _, interval, _ = paired_difference(recipe, reference)
        hits += 0.7 in interval
        false += paired_difference(recipe - 0.7, reference)[2] < 0.05
    assert 0.935 < hits / 2000 < 0.965
    assert 0.035 < false / 2000 < 0.065


def test_equal_scores_show_no_difference():
    row = table(["a", "b"], [ACCURACY], np.full((2, 3, 1), 0.8), 0)[1]
    assert (row.difference, row.p, row.verdict) == (0, 1, "no difference shown")


@pytest.mark.parametrize("seeds", [2, 3, 5, 6])
def test_seeds_that_all_differ_by_the_same_are_judged_by_their_signs(seeds):
    """Two counts of right answers that differ by one with every seed: Student's t would be sure of it after two."""
    scores = np.stack([np.full(seeds, 0.8), np.full(seeds, 0.8 + 1 / 64)])[:, :, None]
    row = table(["a", "b"], [ACCURACY], scores, 0)[1]
    assert row.p == pytest.approx(stats.binomtest(seeds, seeds).pvalue)
    assert row.verdict == ("better" if seeds > 5 else "no difference shown")
    assert row.around(percent=True) == f"in all {seeds} seeds"


def test_an_interval_in_words():
    scores = np.array([[0.8, 0.7, 0.75], [0.82, 0.73, 0.76], [0.8, 0.7, 0.75]])[:, :, None]
    rows = table(["a", "b", "same"], [ACCURACY], scores, 0)
    assert [row.around(percent=True) for row in rows[1:]] == ["−0.5\xa0to\xa04.5", "in all 3 seeds"]
    assert table(["a", "b"], [ACCURACY], scores[:2, :1], 0)[1].around(percent=True) == "−∞\xa0to\xa0∞"


def test_verdicts_know_which_way_is_better():
    rise = np.ones((4, 3)) + np.arange(4)[:, None] * 1e-3
    quantities = [ACCURACY, LOSS, Quantity("curvature")]
    for sign, expected in ((1, ["better", "worse", "higher"]), (-1, ["worse", "better", "lower"])):
        rows = table(["plain", "other"], quantities, np.stack([np.zeros((4, 3)), sign * rise]), 0)
        assert [row.verdict for row in rows[3:]] == expected


def test_missing_numbers_leave_their_seeds_out():
    draw = np.random.default_rng(3)
    scores = draw.normal(size=(2, 5, 2))
    scores[1, 2, 0] = scores[0, 4, 0] = np.nan
    scores[1, :, 1] = np.nan
    rows = table(["plain", "other"], [ACCURACY, LOSS], scores, 0)
    both = [0, 1, 3]
    assert rows[2].seeds == 3
    assert rows[2].p == pytest.approx(stats.ttest_rel(scores[1, both, 0], scores[0, both, 0]).pvalue)
    assert "3 of 5 seeds" in rows[2].note
    assert (rows[3].value, rows[3].verdict, rows[3].adjusted) == (None, "blank", None)


def test_a_recipe_that_failed_is_told_and_not_judged():
    scores = np.random.default_rng(0).normal(size=(3, 4, 1))
    scores[2, 0] = np.nan
    rows = table(["plain", "a", "b"], [ACCURACY], scores, 0, failed={"b": "1 of 4 trainings diverged"})
    assert (rows[2].verdict, rows[2].p, rows[2].note) == ("failed", None, "1 of 4 trainings diverged")
    assert rows[1].adjusted == rows[1].p, "and does not count among the tests"
    assert isinstance(rows[2], Row)


def test_one_seed_shows_nothing():
    row = table(["plain", "a"], [ACCURACY], np.array([[[0.5]], [[0.9]]]), 0)[1]
    assert (row.p, row.verdict) == (1.0, "no difference shown")
    assert np.isinf(row.difference_interval.width)


def test_labels_read_as_words():
    assert [Quantity(n).label for n in ("gap.log_loss", "subgroups.accuracy", "calibration_error")] == [
        "gap in log loss", "subgroups (accuracy)", "calibration error",
    ]  # fmt: skip


def test_a_difference_within_rounding_is_none():
    values = np.array([0.9, 0.8, 0.7])
    mean, around, p = paired_difference(values * (1 + 3e-7), values)
    assert (mean, around.low, around.high, p) == (0, 0, 0, 1)
    assert paired_difference(values * 1.001, values)[2] < 0.01


def test_differences_of_shares_stay_where_they_can_be():
    own, other = np.array([0.9, 0.2, 0.6]), np.array([0.1, 0.8, 0.5])
    quantities = [Quantity("accuracy", share=True), Quantity("gap.accuracy", share=True), Quantity("rmse")]
    scores = np.repeat(np.array([other, own])[:, :, None], 3, axis=2)
    share, gap, free = (row.difference_interval for row in table(["a", "b"], quantities, scores, 0)[3:])
    mean, whole, _ = paired_difference(own, other)
    assert whole.low < -1 < mean < 1 < whole.high < 2, "Student's interval leaves the shares"
    assert [*share] == [-1, 1]
    assert [*gap] == [max(-2, whole.low), whole.high]
    assert free == whole
    odd = table(["a", "b"], quantities[:1], 2 * scores[:, :, :1], 0)[1].difference_interval
    assert [*odd] == pytest.approx([2 * whole.low, 2 * whole.high]), "what is beyond 1 is no share"
