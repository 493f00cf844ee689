"""Thresholds against the formula and against trying all of them."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.improve.threshold import cheapest

MODEL = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
CLASSES = pl.wrap(lambda x: x, output="probabilities")


def drawn(g, rows):
    p = g.uniform(size=(rows, 1)).astype("float32")
    return p, (g.random(rows) < p[:, 0]).astype(int)


@pytest.mark.parametrize(("alarm", "miss"), [(1, 1), (1, 9), (5, 2)])
def test_by_probabilities_it_is_the_formula(alarm, miss, generator):
    p, y = drawn(generator, 500)
    found = pl.Threshold(alarm, miss).fit(MODEL, (p, y))
    assert found.threshold == pytest.approx(alarm / (alarm + miss))
    decided = found.decide(p)
    assert np.array_equal(decided, p[:, 0] >= found.threshold)
    assert found.cost == pytest.approx(
        alarm * np.mean((decided == 1) & (y == 0)) + miss * np.mean((decided == 0) & (y == 1))
    )
    assert found.cost in found.interval


def test_on_validation_it_is_the_best_of_all(generator):
    for attempt in range(40):
        costs = np.array([[0.0, 1.0], [4.0, 0.0]]) if attempt < 20 else np.array([[0.0, 9.0], [1.0, 0.0]])
        p, y = generator.integers(1, 12, size=40) / 12, generator.integers(2, size=40)
        if attempt % 2:
            p[p > 0.7] = 1.0  # a sigmoid of single precision is 1 from 17 on
        every = [np.mean(costs[y, (p >= t).astype(int)]) for t in (*np.linspace(0, 1, 121), 1.5)]
        t = cheapest(p, y, costs)
        assert np.mean(costs[y, (p >= t).astype(int)]) == pytest.approx(min(every))


def test_on_validation_it_finds_the_formula_where_that_is_true(generator):
    p, y = drawn(generator, 20_000)
    assert pl.Threshold(1, 4, by="validation").fit(MODEL, (p, y)).threshold == pytest.approx(0.2, abs=0.05)


def test_a_chosen_threshold_does_not_look_too_good(generator):
    """With labels that nothing tells, the best on the same rows seems to gain; found on others, it does not."""
    seen, honest = [], []
    for _ in range(200):
        p, y = generator.uniform(size=(40, 1)), generator.integers(2, size=40)
        if len(np.unique(y)) < 2:
            continue
        found = pl.Threshold(by="validation").fit(MODEL, (p, y))
        seen.append(np.mean(found.decide(p) != y))
        honest.append(found.cost)
    assert np.mean(seen) < 0.45
    assert np.mean(honest) > 0.49


def test_the_interval_holds_what_a_decision_costs(generator):
    """By probabilities; the cost of endless rows is the integral of min(p, 4 (1 - p)) with roles by t = 0.2."""
    t = 0.2
    true = 4 * t**2 / 2 + (1 - t) - (1 - t**2) / 2  # misses below t, false alarms above
    kept = []
    for _ in range(200):
        p, y = drawn(generator, 200)
        kept.append(true in pl.Threshold(1, 4).fit(MODEL, (p, y)).interval)
    assert 0.9 <= np.mean(kept) <= 0.99


def test_more_classes_go_by_expected_cost(generator):
    p = generator.dirichlet(np.ones(3), size=100).astype("float32")
    y = np.array([generator.choice(3, p=row / row.sum()) for row in p.astype(float)])
    costs = [[0, 1, 8], [2, 0, 3], [1, 1, 0]]
    found = pl.Threshold(costs=costs).fit(CLASSES, (p, y))
    slow = [min(range(3), key=lambda j: sum(row[k] * costs[k][j] for k in range(3))) for row in p.astype(float)]
    assert np.array_equal(found.decide(p), slow)
    assert found.threshold is None
    assert found.cost < found.usual
    assert "least expected cost" in str(found)


def test_bad_input_is_told(generator):
    p, y = drawn(generator, 100)
    for options, told in (
        ({"miss": 0}, "miss"),
        ({"costs": [[0, 1]]}, "square"),
        ({"costs": [[0, 1], [-1, 0]]}, "a mistake must cost more"),
        ({"by": "luck"}, "by"),
    ):
        with pytest.raises(InvalidOption, match=told):
            pl.Threshold(**options)
    with pytest.raises(InvalidInput, match="at least 20 rows"):
        pl.Threshold().fit(MODEL, (p[:10], y[:10]))
    with pytest.raises(InvalidInput, match="not trained on"):
        pl.Threshold().fit(MODEL, None)
    with pytest.raises(NotApplicable, match="has 2 classes"):
        pl.Threshold(costs=1 - np.eye(3)).fit(MODEL, (p, y))
    with pytest.raises(NotApplicable, match="for two classes"):
        three = generator.dirichlet(np.ones(3), size=100)
        pl.Threshold(costs=1 - np.eye(3), by="validation").fit(CLASSES, (three, np.arange(100) % 3))
    with pytest.raises(NotApplicable, match="gives values"):
        pl.Threshold().fit(pl.wrap(lambda x: x, output="value"), (p, y))
