"""The noise floor against known Bayes errors, and verdicts on models whose fit is known."""

import numpy as np
import pytest
from scipy.stats import norm

import pellucid as pl
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.fit import Fit, judged
from pellucid.measure.noise_floor import at_no_distance, cover_hart, dimension, disagreement, neighbours, voted

LUCK = 3 * np.sqrt(0.05 * 0.95 / 500)


def classes_of(answer):
    return pl.wrap(lambda x: np.eye(2)[np.asarray(answer(x)).astype(int)], output="probabilities")


def checkerboard(n, flip, g, columns=2):
    x = g.uniform(size=(n, columns))
    return x, (truth(x) ^ (g.random(n) < flip)).astype(int)


def truth(x):
    return (x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)


def memorizer(x, y):
    return lambda rows: y[((rows[:, None] - x[None]) ** 2).sum(-1).argmin(axis=1)]


def fitted(model, train, test, seed=0, **options):
    return pl.measure(model, Fit(**options), train=train, test=test, seed=seed)[0]


def test_cover_and_hart():
    """Where noise is the same everywhere, R = R* (2 - K/(K-1) R*): the bound gives R* back; by hand for two classes."""
    for classes in (2, 3, 10):
        for bayes in (0.0, 0.05, 0.2, (classes - 1) / classes):
            rate = bayes * (2 - classes / (classes - 1) * bayes)
            assert cover_hart(rate, classes) == pytest.approx(bayes)
    assert cover_hart(0.18, 2) == pytest.approx((1 - np.sqrt(1 - 2 * 0.18)) / 2)
    assert cover_hart(0.7, 2) == 0.5
    assert cover_hart(-0.1, 2) == 0.0


def test_the_share_of_neighbours_is_that_of_random_subsets():
    """S(q) counted: the nearest reference row among a random half, and the extrapolation by hand."""
    g = np.random.default_rng(0)
    s = (g.random((1, 12)) < 0.4).astype(float)
    kept = g.random((200_000, 12)) < 0.25
    some = kept.any(axis=1)
    quarter = s[0, kept[some].argmax(axis=1)].mean()
    kept = g.random((200_000, 12)) < 0.5
    half = s[0, kept[kept.any(axis=1)].argmax(axis=1)].mean()
    assert at_no_distance(s, 2.0)[0] == pytest.approx(half - (quarter - half) / (np.sqrt(2) - 1), abs=0.03)
    assert at_no_distance(np.ones((3, 25)), 4.0) == pytest.approx(np.ones(3))


def test_neighbours_votes_and_dimension_by_a_slow_search():
    g = np.random.default_rng(1)
    reference, rows, y = g.normal(size=(200, 3)), g.normal(size=(40, 3)), g.integers(0, 3, 200)
    far, which = neighbours(reference, rows)
    every = np.sqrt(((rows[:, None] - reference[None]) ** 2).sum(-1))
    assert np.array_equal(which, every.argsort(axis=1)[:, :25])
    assert far == pytest.approx(np.sort(every, axis=1)[:, :25])
    own = g.integers(0, 3, 40)
    assert voted(own, y[which], 3)[1] == pytest.approx(disagreement(own, y[which], 3)[:, 0])
    five = [np.bincount(y[w[:5]], minlength=3).argmax() for w in which]
    assert voted(own, y[which], 3)[5] == pytest.approx((five != own).astype(float))
    assert voted(own.astype(float), y[which], 0)[25] == pytest.approx((y[which].mean(axis=1) - own) ** 2)
    plane = np.hstack([g.uniform(size=(4000, 2)), np.zeros((4000, 5))])
    assert dimension(neighbours(plane[:3000], plane[3000:])[0]) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["normal", "wide normal", "checkerboard", "no noise", "ten classes", "values"])
def test_the_floor_holds_the_bayes_error(problem):
    """The model is a poor one, so that the floor is told by the neighbours alone."""
    g, held = np.random.default_rng(2), 0
    columns = {"wide normal": 10, "normal": 2}.get(problem, 2)
    poor = pl.wrap(
        lambda x: np.tile(np.eye(10 if problem == "ten classes" else 2)[0], (len(x), 1)), output="probabilities"
    )
    values = pl.wrap(lambda x: np.zeros((len(x), 1)), output="value")
    for seed in range(300):
        if "normal" in problem:
            y, bayes = g.integers(0, 2, 1600), norm.cdf(-1)
            x = g.normal(size=(1600, columns))
            x[:, 0] += 2 * y
        elif problem == "values":
            x = g.uniform(size=(1600, 2))
            y = np.sin(6 * x[:, 0]) + x[:, 1] + 0.5 * g.normal(size=1600)
            bayes = 0.25 / y[800:].var()
        elif problem == "ten classes":
            x, bayes = g.uniform(size=(1600, 2)), 0.27
            y = np.where(g.random(1600) < 0.3, g.integers(0, 10, 1600), (10 * x[:, 0]).astype(int))
        else:
            bayes = 0.0 if problem == "no noise" else 0.15
            x, y = checkerboard(1600, bayes, g)
        found = fitted(values if problem == "values" else poor, (x[:800], y[:800]), (x[800:], y[800:]), seed)
        held += bayes in found.detail["floor"]["interval"]
    assert held / 300 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("noise", [None, 0.1])
def test_verdicts_on_models_whose_fit_is_known(noise):
    g = np.random.default_rng(3)
    train, test = checkerboard(3000, 0.1, g), checkerboard(3000, 0.1, g)
    constant = fitted(classes_of(lambda x: np.zeros(len(x))), train, test, noise=noise)
    assert constant.verdict == "underfits"
    assert constant.detail["above_floor"]["value"] == pytest.approx(0.4, abs=0.04)
    memory = fitted(classes_of(memorizer(*train)), train, test, noise=noise)
    assert memory.verdict == "overfits"
    assert memory.detail["train"]["value"] == 0
    assert memory.detail["gap"]["value"] == pytest.approx(0.18, abs=0.03)  # 2 R (1 - R)
    bayes = fitted(classes_of(truth), train, test, noise=noise, tolerance=0.06)
    assert bayes.verdict == "fits"
    half = memorizer(train[0], train[1])
    mixed = classes_of(lambda x: np.where(x[:, 0] > 0.5, half(x), 0))
    assert fitted(mixed, train, test, noise=noise).verdict == "underfits and overfits"


@pytest.mark.slow
def test_verdicts_on_the_bayes_rule_are_seldom_wrong():
    g, wrong = np.random.default_rng(4), 0
    for seed in range(500):
        found = fitted(classes_of(truth), checkerboard(300, 0.2, g), checkerboard(300, 0.2, g), seed, tolerance=0.0)
        wrong += "fits" in found.verdict  # with no tolerance it cannot be told
    assert wrong / 500 <= 0.05 + LUCK


def test_the_parts_add_up():
    g = np.random.default_rng(5)
    train, test = checkerboard(400, 0.1, g), checkerboard(500, 0.1, g)
    model = classes_of(lambda x: x[:, 0] > 0.6)
    found = fitted(model, train, test, noise=0.1).detail
    errors = [np.mean((x[:, 0] > 0.6) != y) for x, y in (train, test)]
    assert (found["train"]["value"], found["test"]["value"]) == pytest.approx(errors)
    assert found["floor"] == {"value": 0.1, "interval": found["floor"]["interval"], "source": "given"}
    assert tuple(found["floor"]["interval"]) == (0.1, 0.1)
    assert found["gap"]["value"] + found["above_floor"]["value"] == pytest.approx(errors[1] - 0.1)
    assert found["above_floor"]["interval"].low == pytest.approx(found["train"]["interval"].low - 0.1)


def test_a_regression_is_in_shares_of_its_variance():
    g = np.random.default_rng(6)
    x = g.uniform(size=(4000, 2))
    y = 10 * np.sin(6 * x[:, 0]) + 3 * g.normal(size=4000)
    train, test = (x[:2000], y[:2000]), (x[2000:], y[2000:])
    share = 9 / test[1].var()
    rule = pl.wrap(lambda x: 10 * np.sin(6 * x[:, :1]), output="value")
    for noise in (None, 9.0):
        found = fitted(rule, train, test, noise=noise, tolerance=0.06)
        assert found.verdict == "fits"
        assert share in found.detail["floor"]["interval"]
        assert found.detail["test"]["value"] == pytest.approx(share, rel=0.1)
    flat = pl.wrap(lambda x: np.full((len(x), 1), y.mean()), output="value")
    assert fitted(flat, train, test).verdict == "underfits"
    memory = memorizer(*train)
    assert fitted(pl.wrap(lambda x: memory(x)[:, None], output="value"), train, test).verdict == "overfits"


def test_features_tell_an_upper_end_where_inputs_cannot(random_cnn):
    """Images: the inputs are pixels, the features what the last layer reads."""
    g = np.random.default_rng(7)
    x = g.normal(size=(400, 8, 8, 1)).astype(np.float32)
    model = pl.wrap(random_cnn)
    y = model.scores(x).argmax(axis=1)
    found = fitted(model, (x[:200], y[:200]), (x[200:], y[200:]))
    assert found.detail["floor"]["source"] == "the model"
    assert found.detail["train"]["value"] == found.detail["test"]["value"] == 0
    tokens = pl.Dataset(np.zeros((60, 4), int), np.arange(60) % 2, kind="text")
    said = classes_of(lambda x: np.zeros(len(x)))
    assert fitted(said, tokens, tokens).detail["floor"]["interval"].low == 0  # token numbers have no distances


def test_the_verdict_by_its_intervals():
    each = {
        "fits": ((-0.01, 0.01), (-0.1, 0.02)), "cannot be told": ((-0.01, 0.03), (-0.1, 0.02)),
        "underfits": ((-0.01, 0.01), (0.03, 0.1)), "overfits": ((0.03, 0.1), (-0.2, 0.2)),
        "underfits and overfits": ((0.03, 0.1), (0.03, 0.1)),
    }  # fmt: skip
    for verdict, (gap, above) in each.items():
        assert judged(Interval(*gap), Interval(*above), 0.02) == verdict


def test_where_it_makes_no_sense():
    g = np.random.default_rng(8)
    x, y = checkerboard(200, 0.1, g)
    model = classes_of(truth)
    assert (
        "at least 50 rows of each set, got 200 and 20" in fitted(model, (x, y), (x[:20], y[:20])).detail["explanation"]
    )
    flat = pl.wrap(lambda x: x[:, :1], output="value")
    assert "all test labels are equal" in fitted(flat, (x, y), (x, np.ones(200))).detail["explanation"]
    one = fitted(model, (x, np.zeros(200)), (x, y))  # one class in training
    assert one.detail["floor"]["interval"].high <= 0.5
    with pytest.raises(InvalidInput, match="needs labels"):
        fitted(model, (x, y), x)
    with pytest.raises(InvalidInput, match="no class of the model"):
        fitted(model, (x, y), (x, y + 1))
    with pytest.raises(InvalidOption, match="noise: expected a finite number of at least 0"):
        Fit(noise=-0.1)
    again = [fitted(model, (x, y), (x, y), seed=3).interval for _ in range(2)]
    assert again[0] == again[1]
    with pytest.raises(InvalidOption, match=r"noise: expected a share of wrong labels, from 0 to 1, got 9\.0"):
        fitted(model, (x, y), (x, y), noise=9.0)


def test_copies_of_a_few_rows_leave_the_floor_open():
    g = np.random.default_rng(0)
    few, labels = g.normal(size=(8, 3)), np.arange(8) % 2
    model = pl.wrap(lambda x: np.stack([x[:, 0] < 9, x[:, 0] >= 9], axis=1).astype(float), output="probabilities")
    train, test = ((few[i], labels[i]) for i in (np.arange(200) % 4, 4 + np.arange(150) % 4))
    (found,) = pl.measure(model, pl.Fit(), train=train, test=test)
    for part in (found.interval, found.detail["floor"]["interval"]):
        assert 0 <= part.low <= part.high
    assert found.value in found.interval
    assert found.detail["floor"]["value"] in found.detail["floor"]["interval"]
