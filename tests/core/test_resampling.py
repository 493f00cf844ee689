import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from pellucid.core import resampling
from pellucid.core.resampling import (
    Interval,
    alike,
    average,
    bootstrap_counts,
    bootstrap_t,
    clopper_pearson,
    counts,
    difference,
    studentized,
    unseen,
    wilson,
)


def newcombe_coverage(n1, n2, p1, p2):
    """Coverage of Newcombe's hybrid score interval by exact enumeration, written on its own."""
    z = norm.ppf(0.975)

    def score(k, n):
        centre, half = (k + z * z / 2) / (n + z * z), z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
        return k / n, centre - half, centre + half

    (a, l1, u1), (b, l2, u2) = score(np.arange(n1 + 1)[:, None], n1), score(np.arange(n2 + 1)[None], n2)
    low, high = a - b - np.hypot(a - l1, u2 - b), a - b + np.hypot(u1 - a, b - l2)
    covered = (low <= p1 - p2) & (p1 - p2 <= high)
    return binom.pmf(np.arange(n1 + 1), n1, p1) @ covered @ binom.pmf(np.arange(n2 + 1), n2, p2), (low, high)


@pytest.mark.parametrize(
    "case",
    [(2000, 300, 0.97, 0.93), (426, 143, 0.99, 0.965), (100, 20, 0.95, 0.85), (50, 10, 0.9, 0.7), (10, 10, 0.9, 0.7)],
)
def test_difference_of_wilson_is_newcombe_and_covers(case):
    n1, n2, p1, p2 = case
    coverage, (low, high) = newcombe_coverage(*case)
    assert 0.93 <= coverage <= 0.97
    for i, j in [(round(n1 * p1), round(n2 * p2)), (n1, 0), (n1, n2)]:
        found = difference((i / n1, wilson(i, n1)), (j / n2, wilson(j, n2)))
        assert tuple(found) == pytest.approx((low[i, j], high[i, j]), abs=1e-12)


def test_difference_with_correlation_shrinks_to_nothing():
    one = (0.5, Interval(0.4, 0.6))
    assert difference(one, one, 1.0).width == pytest.approx(0)
    assert difference(one, one, 0.5).width < difference(one, one).width


def test_average_of_equal_symmetric_intervals_shrinks_by_the_root():
    found = average([0.2, 0.4, 0.6, 0.8], [Interval(v - 0.1, v + 0.1) for v in (0.2, 0.4, 0.6, 0.8)])
    assert tuple(found) == pytest.approx((0.45, 0.55))


def test_counts_are_resamples():
    drawn = np.concatenate(list(counts(10, np.random.default_rng(0), 4000)))
    assert drawn.shape == (4000, 10)
    assert (drawn.sum(1) == 10).all()
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.06)
    np.testing.assert_allclose(drawn[:, 0].var(), 1 - 1 / 10, atol=0.06)


def test_studentized_covers_a_skewed_mean():
    generator = np.random.default_rng(1)
    hits = [1.0 in studentized(generator.exponential(size=40), generator, resamples=400) for _ in range(1000)]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_bootstrap_t_agrees_with_the_normal_where_nothing_is_skewed(monkeypatch):
    values = np.random.default_rng(2).normal(size=3000)
    short = studentized(values, np.random.default_rng(0))
    assert short.low == pytest.approx(values.mean() - 1.96 * values.std() / 3000**0.5, abs=0.004)
    monkeypatch.setattr(resampling, "MANY", 10)

    def statistic(c):
        return c @ values / len(values), np.full(len(c), 0.1)

    found = bootstrap_t(statistic, len(values), np.random.default_rng(0))
    assert tuple(found) == pytest.approx((values.mean() - 0.196, values.mean() + 0.196), abs=1e-3)


def test_bootstrap_counts_agrees_with_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).exponential(size=60)
    influence = values - values.mean()
    found = bootstrap_counts(
        lambda c: c @ values / 60, values.mean(), influence, np.random.default_rng(0), resamples=20000
    )
    peer = bootstrap((values,), np.mean, n_resamples=20000, rng=np.random.default_rng(1)).confidence_interval
    assert tuple(found) == pytest.approx((peer.low, peer.high), abs=0.02)


@pytest.mark.parametrize(("rows", "share"), [(10, 0.02), (10, 0.2), (200, 0.01)])
def test_what_was_not_seen_is_within_the_interval_of_a_mean(rows, share):
    g, kept, told = np.random.default_rng(0), 0, 0
    for _ in range(2000):
        values = np.where(g.random(rows) < share, 5.0, 1.0)
        if alike(values) and values[0] == 1:
            told += 1
            kept += 1 + 4 * share in unseen(1.0, rows, 0.0, 5.0)
    assert kept >= told - 0.05 * 2000
    assert unseen(1.0, rows, 1.0, 1.0).width == 0


def test_resamples_that_are_all_alike_say_nothing():
    found = bootstrap_counts(lambda c: np.full(len(c), 2.0), 2.0, np.zeros(9), np.random.default_rng(0))
    assert tuple(found) == (-np.inf, np.inf)


def test_one_value_says_nothing_about_spread():
    assert tuple(studentized(np.array([3.0]), np.random.default_rng(0))) == (-np.inf, np.inf)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 30), (7, 30), (30, 30), (499, 70_000)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.9999])
def test_the_exact_interval_is_that_of_scipy(successes, trials, level):
    found = binomtest(successes, trials).proportion_ci(level, "exact")
    assert tuple(clopper_pearson(successes, trials, level)) == pytest.approx(
        (found.low, found.high), rel=1e-6, abs=1e-12
    )
