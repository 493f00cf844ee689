"""Wrong labels: planted ones are counted and named, hard rows and sure models are not taken for them."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import Interval
from pellucid.measure.confident import confident, confident_joint, noise, precision, sharpened, sharpness, transition
from pellucid.measure.labels import judged, named

CLOSE, APART, MANY = (2, 1.0), (3, 3.0), (10, 6.0)  # classes, and how far their centres are from the middle


def world(g, rows, kind):
    """The true posterior (B, K) of normal classes around a circle, and the true classes (B,)."""
    classes, radius = kind
    angle = 2 * np.pi * np.arange(classes) / classes
    centres = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    truth = g.integers(classes, size=rows)
    x = centres[truth] + g.normal(size=(rows, 2))
    logits = -0.5 * np.sum((x[:, None] - centres) ** 2, axis=2)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), truth


def mislabelled(g, truth, classes, share, pair):
    """Labels of which so many are wrong: the next class, or any other."""
    wrong = g.random(len(truth)) < share
    step = np.ones(wrong.sum(), int) if pair else g.integers(1, classes, size=wrong.sum())
    y = truth.copy()
    y[wrong] = (truth[wrong] + step) % classes
    return y


def repeated(seed, repeats, kind, *, rows=800, share=0.0, pair=True, power=1.0, calibrated=False):
    """Noise, true share of errors among named rows, of repeated draws; the model's p is the posterior to a power."""
    g = np.random.default_rng(seed)
    for _ in range(repeats):
        p, truth = world(g, rows, kind)
        y = mislabelled(g, truth, kind[0], share, pair)
        found = noise(sharpened(p, power), y, 0.95, g, calibrated)
        rows_named = (found.suggested >= 0) & (found.suggested != y)
        yield found, float(np.mean(y[rows_named] != truth[rows_named])) if rows_named.any() else None


def covers(interval, value):
    return interval.low - 1e-9 <= value <= interval.high + 1e-9


def test_confident_learning_by_hand():
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6], [0.95, 0.05]])
    y = np.array([0, 0, 1, 1, 1, 1])
    # thresholds: class 0 (0.9 + 0.7) / 2 = 0.8, class 1 (0.4 + 0.8 + 0.6 + 0.05) / 4 = 0.4625
    suggested = confident(p, y)
    assert suggested.tolist() == [0, -1, -1, 1, 1, 0]
    joint = confident_joint(suggested, y, 2)
    assert joint.tolist() == [[1, 0], [1, 2]]
    # M = [[0.925, 0.075], [0.3, 0.7]], N = [[0.5, 0.5], [0, 1]]
    assert transition(p, suggested, joint) == pytest.approx(
        np.linalg.inv([[0.925, 0.075], [0.3, 0.7]]) @ [[0.5, 0.5], [0, 1]]
    )
    rows, margin = named(p, y, suggested)
    assert (rows.tolist(), margin.tolist()) == ([5], pytest.approx([0.05 - 0.95]))


def test_without_doubt_the_matrix_is_that_of_confident_learning():
    y, truth = np.array([0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1])
    p = np.eye(2)[truth]
    suggested = confident(p, y)
    joint = confident_joint(suggested, y, 2)
    assert transition(p, suggested, joint) == pytest.approx(np.array([[2 / 3, 1 / 3], [0, 1]]))
    assert transition(p, np.zeros(5, int), confident_joint(np.zeros(5, int), y, 2)) is None


def test_the_power_is_found_whatever_wrong_labels_there_are():
    g = np.random.default_rng(0)
    p, truth = world(g, 20000, MANY)
    y = mislabelled(g, truth, 10, 0.1, False)
    found = sharpness(sharpened(p, 2.0), y, np.full(len(y), 0.1))
    assert found.power == pytest.approx(0.5, abs=4 * found.error)
    assert found.error < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("kind, power", [(CLOSE, 1.0), (APART, 3.0), (MANY, 1.0)])
def test_five_hundred_sets_without_wrong_labels(kind, power):
    """Of calibrated models, and of one far too sure."""
    found = [n for n, _ in repeated(1, 500, kind, rows=400, power=power)]
    assert sum(judged(n, 0.02) == "label errors" for n in found) <= 25
    assert sum(n.interval.low > 0 for n in found) <= 34  # 5 % and two standard errors
    assert np.mean([n.share for n in found]) == pytest.approx(0, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CLOSE, APART, MANY])
@pytest.mark.parametrize(
    "share, pair, power, calibrated",
    [
        (0.05, True, 1.0, True),
        (0.2, False, 1.0, True),
        (0.05, True, 2.0, False),
        (0.1, False, 1.0, False),
        (0.2, True, 1.0, False),
    ],
)
def test_planted_errors_are_counted(kind, share, pair, power, calibrated):
    found = list(repeated(2, 100, kind, share=share, pair=pair, power=power, calibrated=calibrated))
    assert np.mean([covers(n.interval, share) for n, _ in found]) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 100)
    assert np.mean([covers(n.precision_interval, p) for n, p in found]) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 100)


@pytest.mark.slow
def test_errors_that_were_learned_are_doubt():
    """A model trained without end on labels of which 10 % are wrong: it is calibrated to them."""
    g, verdicts = np.random.default_rng(3), []
    for _ in range(100):
        p, truth = world(g, 800, APART)
        y = mislabelled(g, truth, 3, 0.1, False)
        verdicts.append(judged(noise(0.85 * p + 0.05, y, 0.95, g), 0.02))
    assert verdicts.count("label errors") <= 5
    assert verdicts.count("no label errors shown") == 0


def test_expected_precision_by_hand():
    assert precision(0, 0.0, 0.0, 0.95) == (None, None)
    value, interval = precision(40, 10.0, 0.0, 0.95)
    assert (value, interval.low, interval.high) == (0.75, 1 - 17 / 40, 1 - 4 / 40)  # 4 and 17 of Poisson(10)
    assert precision(40, 10.0, 3.0, 0.95)[1].width > interval.width
    assert precision(5, 10.0, 0.0, 0.95)[0] == 0.0


def hard(x):
    return np.hstack([-6 * x[:, :1], 6 * x[:, :1]])


def test_measured():
    g = np.random.default_rng(4)
    x = g.normal(size=(1500, 1))
    y = (x[:, 0] + 0.1 * g.logistic(size=1500) > 0).astype(int)
    wrong = np.arange(0, 1500, 12)
    y[wrong] = 1 - y[wrong]
    data = pl.Dataset(x, y)
    (found,) = pl.measure(pl.wrap(hard, output="logits"), pl.LabelErrors(), test=data)
    assert found.verdict == "label errors"
    assert 1 / 12 in found.interval
    assert found.detail["joint"].sum() == pytest.approx(1)
    assert np.trace(found.detail["joint"]) == pytest.approx(1 - found.value, abs=1e-9)
    assert np.all(np.diff(found.detail["margin"]) >= 0)
    assert np.array_equal(found.detail["given"], y[found.detail["rows"]])
    assert np.mean(np.isin(found.detail["rows"], wrong)) in found.detail["precision"]["interval"]
    assert np.isin(wrong, found.detail["rows"]).mean() > 0.5
    p = pl.wrap(hard, output="logits").probabilities(x)
    (given,) = pl.measure(pl.wrap(hard, output="logits"), pl.LabelErrors("train", probabilities=p), train=data)
    assert given.value == pytest.approx(found.value)


def test_hard_rows_are_not_told_of():
    g = np.random.default_rng(5)
    x = g.normal(size=(1500, 1))
    y = (x[:, 0] + g.logistic(size=1500) > 0).astype(int)  # p = 1 / (1 + exp(-x)): right, and full of doubt
    model = pl.wrap(lambda x: np.hstack([-x / 2, x / 2]), output="logits")
    (found,) = pl.measure(model, pl.LabelErrors(), test=(x, y))
    assert found.verdict == "cannot be told apart from hard rows"
    assert found.detail["doubt"] > 0.2
    assert found.detail["uncorrected"] > 0.15  # what confident learning says


def test_sure_and_right_labels():
    x = np.random.default_rng(6).choice([-3.0, 3.0], size=(1500, 1))
    (found,) = pl.measure(pl.wrap(hard, output="logits"), pl.LabelErrors(), test=(x, (x[:, 0] > 0).astype(int)))
    assert (found.value, found.verdict) == (pytest.approx(0, abs=1e-3), "no label errors shown")
    assert 0 < found.interval.high < 0.01
    assert found.detail["precision"]["value"] is None


def test_a_class_that_no_row_surely_is_of():
    model = pl.wrap(lambda x: np.tile([0.5, 0.3, 0.2], (len(x), 1)), output="probabilities")
    (found,) = pl.measure(model, pl.LabelErrors(), test=(np.zeros((30, 1)), np.arange(30) % 3))
    assert (found.value, found.verdict) == (None, "cannot be told apart from hard rows")


def test_classes_without_labels_are_left_out():
    model = pl.wrap(lambda x: np.hstack([hard(x), np.full((len(x), 1), -2.0)]), output="logits")
    x = np.random.default_rng(7).normal(size=(300, 1))
    (found,) = pl.measure(model, pl.LabelErrors(), test=(x, (x[:, 0] > 0).astype(int)))
    assert found.detail["classes"].tolist() == [0, 1]
    assert found.detail["joint"].shape == (2, 2)


def test_verdicts_need_both():
    found = next(repeated(8, 1, APART, share=0.2))[0]
    from dataclasses import replace

    assert judged(found, 0.02) == "label errors"
    assert judged(replace(found, precision_interval=Interval(0.0, 1.0)), 0.02) == "cannot be told apart from hard rows"
    assert judged(replace(found, interval=Interval(0.0, 0.01), p=np.eye(3)), 0.02) == "no label errors shown"


def test_bad_input():
    model, x = pl.wrap(hard, output="logits"), np.linspace(-1, 1, 20)[:, None]
    y = (x[:, 0] > 0).astype(int)
    with pytest.raises(pl.errors.InvalidInput, match="has seen the labels of its training rows"):
        pl.measure(model, pl.LabelErrors("train"), train=(x, y))
    with pytest.raises(pl.errors.InvalidInput, match=r"expected shape \(20, 2\)"):
        pl.measure(model, pl.LabelErrors(probabilities=np.ones((19, 2)) / 2), test=(x, y))
    with pytest.raises(pl.errors.InvalidInput, match="sum to 1"):
        pl.measure(model, pl.LabelErrors(probabilities=np.ones((20, 2))), test=(x, y))
    with pytest.raises(pl.errors.InvalidInput, match="no class of the model"):
        pl.measure(model, pl.LabelErrors(), test=(x, y + 1))
    with pytest.raises(pl.errors.InvalidInput, match="needs labels"):
        pl.measure(model, pl.LabelErrors(), test=x)
    (found,) = pl.measure(model, pl.LabelErrors(), test=(x, 0 * y))
    assert found.verdict == "not applicable"
    (found,) = pl.measure(pl.wrap(lambda x: x, output="value"), pl.LabelErrors(), test=(x, x[:, 0]))
    assert found.verdict == "not applicable"
    for options in ({"split": "validation"}, {"tolerance": -1}, {"level": 1}, {"calibrated": "no"}):
        with pytest.raises(pl.errors.InvalidOption, match=next(iter(options))):
            pl.LabelErrors(**options)


def test_a_model_without_doubt_is_not_asked():
    g = np.random.default_rng(0)
    model = pl.wrap(lambda x: np.eye(2)[x.astype(int)[:, 0]], output="probabilities")
    (found,) = pl.measure(model, pl.LabelErrors(), test=(g.integers(0, 2, (300, 1)), g.integers(0, 2, 300)))
    assert (found.value, found.verdict) == (None, "not applicable")
