"""Values against scikit-learn, influences against the derivative by weights, intervals by simulation."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm
from sklearn import metrics

from pellucid.errors import NotApplicable
from pellucid.measure import estimates as E

GENERATOR = np.random.default_rng(0)


def sample(classes, count=200, seed=0):
    g = np.random.default_rng(seed)
    y = np.arange(count) % classes
    p = softmax(np.round(g.normal(size=(count, classes)) + 1.2 * np.eye(classes)[y], 1), axis=1)  # with ties
    return y, p


def sklearn_value(name, y, p, weights=None):
    k = p.shape[1]
    hot = np.eye(k)[y]
    guess = p.argmax(1)
    each = [1] if k == 2 else range(k)
    return {
        "accuracy": lambda: metrics.accuracy_score(y, guess, sample_weight=weights),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(y, guess, sample_weight=weights),
        "auroc": lambda: np.mean([metrics.roc_auc_score(y == j, p[:, j], sample_weight=weights) for j in each]),
        "auprc": lambda: np.mean(
            [metrics.average_precision_score(y == j, p[:, j], sample_weight=weights) for j in each]
        ),
        "log_loss": lambda: metrics.log_loss(y, p, labels=range(k), sample_weight=weights),
        "brier": lambda: np.average(((p - hot) ** 2).sum(1), weights=weights),
    }[name]()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", list(E.of_task("classification")))
def test_values_and_influences(name, classes):
    y, p = sample(classes)
    found = E.METRICS[name].compute(y, p, 0.95, GENERATOR)
    assert found.value == pytest.approx(sklearn_value(name, y, p), abs=1e-12)
    assert found.value in found.interval
    assert found.influence.sum() == pytest.approx(0, abs=1e-8)
    for i in (0, 3, 77):
        weights = np.ones(len(y))
        weights[i] += 1e-5
        slope = (sklearn_value(name, y, p, weights) - sklearn_value(name, y, p)) / 1e-5 * len(y)
        assert found.influence[i] == pytest.approx(slope, abs=2e-3)


@pytest.mark.parametrize("name", ["r2", "mae", "rmse"])
def test_regression_values_and_influences(name):
    g = np.random.default_rng(1)
    y = g.normal(size=150)
    p = y + g.normal(size=150)
    peer = {"r2": metrics.r2_score, "mae": metrics.mean_absolute_error, "rmse": metrics.root_mean_squared_error}[name]
    found = E.METRICS[name].compute(y, p, 0.95, GENERATOR)
    assert found.value == pytest.approx(peer(y, p), abs=1e-12)
    weights = np.ones(150)
    weights[5] += 1e-5
    slope = (peer(y, p, sample_weight=weights) - peer(y, p)) / 1e-5 * 150
    assert found.influence[5] == pytest.approx(slope, abs=2e-3)


def test_placements_give_delong_variance():
    """The textbook form with every pair written out."""
    y, p = sample(2, 60)
    s, t = p[y == 1, 1][:, None], p[y == 0, 1][None]
    pairs = (s > t) + 0.5 * (s == t)
    var = pairs.mean(1).var(ddof=1) / len(s) + pairs.mean(0).var(ddof=1) / t.size
    area, influence = E._placements(y == 1, p[:, 1])
    assert area == pytest.approx(pairs.mean())
    assert np.sum(influence**2) / 60**2 == pytest.approx(var, rel=0.04)  # n against n - 1


def test_perfect_separation_leaves_room():
    y = np.array([0] * 10 + [1] * 10)
    p = np.eye(2)[y] * 0.8 + 0.1
    found = E.auroc(y, p, 0.95, GENERATOR)
    assert found.value == 1
    assert found.interval.high == 1
    assert 0.75 < found.interval.low < 0.99
    assert E.auprc(y, p, 0.95, GENERATOR).interval.low < 0.95


@pytest.mark.parametrize("function", [E.auroc, E.auprc])
def test_one_class_is_not_ranked(function):
    with pytest.raises(NotApplicable, match="all 3 labels are of class 1"):
        function(np.ones(3, int), np.full((3, 2), 0.5), 0.95, GENERATOR)


def draw_two_classes(g, n, separation, prior):
    y = (g.random(n) < prior).astype(int)
    score = g.normal(size=n) + separation * y
    p = 1 / (1 + np.exp(-2 * (separation * (score - separation / 2) + np.log(prior / (1 - prior)))))
    return y, np.stack([1 - p, p], axis=1)


def coverage(function, draw, truth, repeats):
    return np.mean([truth in function(*draw(), 0.95, GENERATOR).interval for _ in range(repeats)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auroc", "auprc", "log_loss", "brier", "balanced_accuracy"])
def test_intervals_cover(name):
    g = np.random.default_rng(5)
    y, p = draw_two_classes(g, 1_000_000, 1.5, 0.3)
    truth = norm.cdf(1.5 / 2**0.5) if name == "auroc" else sklearn_value(name, y, p)
    found = coverage(E.METRICS[name].compute, lambda: draw_two_classes(g, 200, 1.5, 0.3), truth, 1000)
    assert 0.925 <= found <= 0.975


def test_intervals_of_regression_cover():
    g = np.random.default_rng(6)

    def draw():
        y = g.normal(size=60)
        return y, 0.8 * y + g.normal(size=60) * 0.5

    assert 0.925 <= coverage(E.r2, draw, 1 - 0.29, 500) <= 0.975
    assert 0.925 <= coverage(E.rmse, draw, 0.29**0.5, 500) <= 0.975


@pytest.mark.parametrize("lost, won", [(0.002, 0.0), (0.005, 0.0), (0.01, 0.005), (0.1, 0.05)])
def test_paired_differences_cover_where_few_rows_change(lost, won):
    g, covered = np.random.default_rng(8), 0
    for _ in range(400):
        drawn = g.random(450)
        values = (drawn < lost).astype(float) - (drawn > 1 - won)
        found = E.mean_interval(values, 0.95, g)
        assert -1 <= found.low <= values.mean() <= found.high <= 1
        assert 0 < found.width < 0.2
        covered += lost - won in found
    assert covered >= 0.94 * 400


@pytest.mark.parametrize("values", [np.zeros(50), np.ones(50), -np.ones(50), np.eye(50)[0], np.eye(50)[0] / 3])
def test_paired_differences_have_room_and_stay_in_range(values):
    found = E.mean_interval(values, 0.95, GENERATOR)
    assert -1 <= found.low <= values.mean() <= found.high <= 1
    assert 0 < found.width < 0.2


@pytest.mark.parametrize("rows", [2, 5, 40])
def test_losses_that_are_all_alike_are_not_known_for_sure(rows):
    y = np.arange(rows) % 2
    p = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    rare = 1 - 0.025 ** (1 / rows)
    for found, worst in ((E.log_loss(y, p, 0.95, GENERATOR), -np.log(0.1)), (E.brier(y, p, 0.95, GENERATOR), 2 * 0.81)):
        assert found.interval.high == pytest.approx(found.value + rare * (worst - found.value))
        assert found.interval.low < found.value
    values = y + 1.0
    for metric in (E.mae, E.rmse):
        assert metric(values, values + 0.5, 0.95, GENERATOR).interval.width > 0
    assert E.r2(values, values, 0.95, GENERATOR).interval.low == pytest.approx(1 - rare / values.var())


def test_an_r2_without_a_lower_end_is_minus_infinity():
    found = E.r2(np.array([0.0, 1.0]), np.array([1.0, 2.0]), 0.95, GENERATOR)
    assert found.interval.low == -np.inf
