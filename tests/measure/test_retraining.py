"""Training again: intervals of spread and churn are kept by simulation, and the models are trained once."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm

import pellucid as pl
from pellucid.core.resampling import Interval
from pellucid.measure.churn import changes, churn, expected_churn
from pellucid.measure.retraining import judged, next_interval, seeds_needed, spread_interval


@pytest.mark.parametrize("seeds", [2, 5, 20])
def test_the_spread_of_normal_values_is_covered(seeds):
    drawn = np.random.default_rng(0).normal(3.0, 0.7, size=(2000, seeds))
    assert np.mean([0.7 in spread_interval(v, 0.9) for v in drawn]) == pytest.approx(0.9, abs=0.02)
    further = np.random.default_rng(1).normal(3.0, 0.7, size=2000)
    kept = np.mean([x in next_interval(v, 0.9) for v, x in zip(drawn, further, strict=True)])
    assert kept == pytest.approx(0.9, abs=0.02)


def test_equal_values_may_still_differ_below_their_grain():
    found = spread_interval(np.full(5, 0.9), 0.95, grain=0.01)
    assert found.low == 0
    assert found.high == pytest.approx(0.01 / np.sqrt(12) * np.sqrt(4 / 0.48442), rel=1e-4)  # chi-square of 4 at 2.5 %


def test_so_many_seeds_are_just_enough():
    count = seeds_needed(0.008, 0.01, 0.95)
    spread = lambda n: spread_interval(0.008 * np.r_[1, -1, np.zeros(n - 2)] * np.sqrt((n - 1) / 2), 0.95)  # noqa: E731
    assert spread(count).high < 0.01 <= spread(count - 1).high
    assert seeds_needed(0.0, 0.01, 0.95) == 2
    assert seeds_needed(0.01, 0.01, 0.95) == 0


def test_churn_by_hand():
    answers = np.array([[0, 1, 1, 2], [0, 1, 0, 2], [0, 0, 0, 2]])
    assert changes(answers).tolist() == pytest.approx([0, 2 / 3, 2 / 3, 0])
    value, interval = churn(answers, 0.95)
    assert value == pytest.approx(np.mean([np.mean(a != b) for a, b in combinations(answers, 2)]))
    assert 0 <= interval.low <= value <= interval.high <= 1
    none, interval = churn(np.zeros((3, 100), int), 0.95)
    assert (none, interval.low) == (0, 0)
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 100))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_independent_errors_churn_as_expected(classes):
    g, right = np.random.default_rng(2), np.array([0.9, 0.7, 0.6])
    wrong = g.integers(1, classes, size=(3, 200_000))
    answers = np.where(g.random((3, 200_000)) < right[:, None], 0, wrong)
    assert changes(answers).mean() == pytest.approx(expected_churn(right, classes), abs=0.005)


@pytest.mark.parametrize("models", [3, 5, 10])
@pytest.mark.parametrize("shift, noise", [(0.0, 0.3), (0.2, 0.1), (0.5, 0.0)])
def test_churn_is_covered_over_models_and_rows(models, shift, noise):
    """Rows at z answer whether z + a shift of the model + noise of both is above 0: all three normal."""
    g, covered = np.random.default_rng(3), 0
    grid = norm.ppf((np.arange(4000) + 0.5) / 4000)
    p = norm.cdf(grid / np.hypot(shift, noise))  # two models differ on a row with chance 2 p (1 - p)
    true = float(np.mean(2 * p * (1 - p)))
    for _ in range(400):
        rows = g.normal(size=300)
        score = rows + shift * g.normal(size=(models, 1)) + noise * g.normal(size=(models, 300))
        interval = churn((score > 0).astype(int), 0.95)[1]
        covered += interval.low <= true <= interval.high
    assert covered / 400 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize(
    "low, high, verdict",
    [(0.02, 0.05, "seeds matter"), (0.001, 0.009, "seeds hardly matter"), (0.005, 0.02, "cannot be told")],
)
def test_verdicts(low, high, verdict):
    assert judged(Interval(low, high), 0.01) == verdict


CALLS = []


def build():
    import keras

    CALLS.append(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    return model


def rows(n, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype("float32")
    return x, (x[:, 0] > 0).astype(int)


def test_one_training_serves_both_and_is_that_of_keras():
    CALLS.clear()
    asked = [
        pl.SeedVariance(build, {"epochs": 1}, seeds=[4, 2, 9]),
        pl.PredictionChurn(build, {"epochs": 1}, seeds=[4, 2, 9]),
    ]
    spread, moved = pl.measure(None, asked, train=rows(60), test=rows(200, 1))
    assert len(CALLS) == 3
    from pellucid.training import fit, fresh

    answers = []
    for seed in (4, 2, 9):
        net = fresh(build, seed)
        fit(net, pl.Dataset(*rows(60)), settings={"epochs": 1}, seed=seed, progress=False)
        answers.append(net.predict(rows(200, 1)[0], verbose=0).argmax(1))
    right = np.mean(np.array(answers) == rows(200, 1)[1], axis=1)
    assert spread.detail["values"] == pytest.approx(right)
    assert moved.detail["accuracy"] == pytest.approx(right)
    assert spread.value == pytest.approx(right.std(ddof=1))
    assert moved.detail["pairs"][0, 2] == pytest.approx(np.mean(answers[0] != answers[2]))
    assert moved.value == pytest.approx(moved.detail["pairs"][np.triu_indices(3, 1)].mean())
    first = moved.detail["rows"][0]
    assert moved.detail["changes"][0] == max(changes(np.array(answers)))
    assert len({a[first] for a in answers}) == 2
    assert (spread.name, moved.name) == ("seed_variance.accuracy", "prediction_churn")
    assert spread.provenance.evaluations == 600


def test_bad_input():
    with pytest.raises(pl.errors.InvalidOption, match="build"):
        pl.SeedVariance("net")
    with pytest.raises(pl.errors.InvalidOption, match=r"SeedVariance\.seeds: expected a number of at least 2"):
        pl.SeedVariance(build, seeds=1)
    with pytest.raises(pl.errors.InvalidOption, match=r"PredictionChurn\.seeds: expected a number of at least 3"):
        pl.PredictionChurn(build, seeds=2)
    with pytest.raises(pl.errors.InvalidOption, match="metric"):
        pl.SeedVariance(build, metric="acuracy")
    with pytest.raises(pl.errors.InvalidOption, match="tolerance"):
        pl.PredictionChurn(build, tolerance=0)
    with pytest.raises(pl.errors.InvalidInput, match="test="):
        pl.measure(None, pl.SeedVariance(build, {"epochs": 1}, seeds=2), train=rows(20))
    (found,) = pl.measure(
        None, pl.SeedVariance(build, {"epochs": 1}, seeds=2, metric="r2"), train=rows(20), test=rows(20)
    )
    assert found.verdict == "not applicable"


def test_values_have_a_spread_but_no_churn():
    def values():
        import keras

        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    x = rows(40)[0]
    asked = [pl.SeedVariance(values, {"epochs": 1}, seeds=3), pl.PredictionChurn(values, {"epochs": 1}, seeds=3)]
    spread, moved = pl.measure(None, asked, train=(x, x[:, 0]), test=(x, x[:, 0]))
    assert spread.name == "seed_variance.r2"
    assert moved.verdict == "not applicable"
