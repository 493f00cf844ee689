"""Scores and their parts: sums that are exact, parts of a known truth, and intervals by repetition."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

import pellucid as pl
from pellucid.errors import InvalidOption
from pellucid.measure.decomposition import decomposed
from pellucid.measure.estimates import brier
from pellucid.measure.estimates import log_loss as loss_of
from pellucid.measure.scores import entropy_of_shares, share_of_worst, skill, spread_of_shares

MODEL = pl.wrap(lambda x: x, output="probabilities")


def drawn(g, rows, off=0.0, classes=3):
    """Probabilities, and labels drawn from them, or from flatter ones."""
    p = np.exp(1.5 * g.normal(size=(rows, classes)) + np.arange(classes) / 2)
    p /= p.sum(axis=1, keepdims=True)
    true = p ** (1 - off)
    true /= true.sum(axis=1, keepdims=True)
    return p, (g.random((rows, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1), true


def truth(g, off=0.0):
    """Reliability, resolution and uncertainty of endless rows, in a thousand bins."""
    p, _, true = drawn(g, 400_000, off)
    parts = np.zeros(3)
    for k in range(3):
        place = np.searchsorted(np.quantile(p[:, k], np.arange(1, 1000) / 1000), p[:, k])
        weight = np.bincount(place) / len(p)
        said, came = (np.bincount(place, a[:, k]) / np.bincount(place) for a in (p, true))
        mean = true[:, k].mean()
        parts += weight @ (said - came) ** 2, weight @ (came - mean) ** 2, mean * (1 - mean)
    return parts


def by_hand(p, z, bins):
    """Reliability with its noise removed, in a loop over bins."""
    total = 0.0
    for k in range(p.shape[1]):
        inner = np.unique(np.quantile(p[:, k], np.arange(1, bins) / bins, method="higher"))
        place = np.searchsorted(inner, p[:, k], side="right")
        for b in np.unique(place):
            said, came = p[place == b, k], z[place == b, k]
            total += len(said) / len(p) * ((said.mean() - came.mean()) ** 2 - came.var(ddof=1) / len(said))
    return total


def test_parts_by_hand_add_up():
    g = np.random.default_rng(0)
    p, y, _ = drawn(g, 301)
    (found,) = pl.measure(MODEL, pl.Brier(), test=(p, y))
    parts = {name: found.detail[name]["value"] for name in ("reliability", "resolution", "uncertainty")}
    score = np.mean(np.sum((p - np.eye(3)[y]) ** 2, axis=1))
    assert found.value == pytest.approx(score)
    assert parts["reliability"] - parts["resolution"] + parts["uncertainty"] == pytest.approx(found.value, abs=1e-12)
    assert parts["reliability"] == pytest.approx(by_hand(p, np.eye(3)[y], 15))
    assert parts["uncertainty"] == pytest.approx(np.eye(3)[y].var(axis=0, ddof=1).sum())
    assert found.detail["skill"]["value"] == pytest.approx(1 - score / np.eye(3)[y].var(axis=0).sum())


def test_less_biased_than_isotonic_regression():
    """The reason for bins: the reliability of a calibrated model is 0."""
    g, binned, isotonic = np.random.default_rng(1), [], []
    for _ in range(100):
        p, y, _ = drawn(g, 500, classes=2)
        z = (y == 1).astype(float)
        binned.append(by_hand(p[:, 1:], z[:, None], 15))
        refit = IsotonicRegression().fit_transform(p[:, 1], z)
        isotonic.append(np.mean((p[:, 1] - z) ** 2) - np.mean((refit - z) ** 2))
    assert abs(np.mean(binned)) < 0.1 * np.mean(isotonic)


@pytest.mark.slow
@pytest.mark.parametrize("off", [0.0, 0.4])
def test_parts_and_their_intervals_find_the_truth(off):
    g = np.random.default_rng(2)
    true, values, inside = truth(g, off), [], []
    for _ in range(500):
        p, y, _ = drawn(g, 1000, off)
        found = decomposed(p, np.eye(3)[y], 15, g, 0.95)
        values.append(found.values)
        inside.append([t in i for t, i in zip(true, found.intervals, strict=True)])
    assert np.abs(np.mean(values, axis=0) - true).max() < 0.002
    assert np.mean(inside, axis=0).min() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 500)


def test_log_loss_by_hand():
    g = np.random.default_rng(3)
    p, y, _ = drawn(g, 400)
    (found,) = pl.measure(MODEL, pl.LogLoss(), test=(p, y))
    losses = -np.log(p[np.arange(400), y])
    base = np.bincount(y) / 400
    assert found.value == pytest.approx(log_loss(y, p))
    assert found.detail["skill"]["value"] == pytest.approx(1 - losses.mean() / -(base @ np.log(base)))
    assert found.detail["worst"]["value"] == pytest.approx(np.sort(losses)[-4:].sum() / losses.sum())
    assert found.detail["worst_rows"] == tuple(np.argsort(-losses)[:4])
    assert (found.verdict, found.detail["infinite_rows"]) == ("better than the base rates", ())


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimate, reference", [(brier, spread_of_shares), (loss_of, entropy_of_shares)], ids=["brier", "log_loss"]
)
def test_intervals_of_skill_and_of_the_worst_hold(estimate, reference):
    g, gained, worst = np.random.default_rng(4), 0, 0
    p, y, _ = drawn(g, 400_000)
    all_rows = estimate(y, p, 0.95, g)
    losses = all_rows.influence + all_rows.value
    base = np.bincount(y) / len(y)
    true = 1 - losses.mean() / reference(base[None])[0]
    top = np.sort(losses)[-len(losses) // 100 :].sum() / losses.sum()
    for _ in range(500):
        p, y, _ = drawn(g, 4000)
        found = estimate(y, p, 0.95, g)
        gained += true in skill(found, y, reference, g, 0.95)["interval"]
        worst += top in share_of_worst(found.influence + found.value, g, 0.95)["interval"]
    error = 3 * np.sqrt(0.05 * 0.95 / 500)
    assert abs(gained / 500 - 0.95) <= error
    assert worst / 500 >= 0.95 - error


@pytest.mark.slow
def test_base_rates_are_seldom_beaten_by_themselves():
    g, wrong = np.random.default_rng(5), 0
    for _ in range(500):
        y = g.integers(0, 2, 200)
        p = np.tile([[0.5, 0.5]], (200, 1))
        wrong += pl.measure(MODEL, pl.Brier(), test=(p, y))[0].verdict == "better than the base rates"
    assert wrong / 500 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 500)


def test_infinite_rows_are_named():
    p = np.tile([[0.7, 0.3]], (50, 1))
    p[[3, 8]] = [[0.0, 1.0], [1.0, 0.0]]
    y = np.zeros(50, int)
    y[8] = 1
    (found,) = pl.measure(MODEL, pl.LogLoss(), test=(p, y))
    assert (found.verdict, found.detail["infinite_rows"]) == ("infinite", (3, 8))
    assert "2 rows had a probability of 0" in found.detail["explanation"]
    assert np.isfinite(found.value)


def test_worse_than_the_base_rates():
    g = np.random.default_rng(6)
    p, y, _ = drawn(g, 400)
    for measure in (pl.Brier(), pl.LogLoss()):
        assert pl.measure(MODEL, measure, test=(p[:, ::-1], y))[0].verdict == "worse than the base rates"


@pytest.mark.parametrize("measure", [pl.Brier(), pl.LogLoss()])
def test_one_class_and_values(measure):
    p = drawn(np.random.default_rng(0), 30)[0]
    (found,) = pl.measure(MODEL, measure, test=(p, np.ones(30, int)))
    assert found.verdict == "not applicable"
    assert "all 30 labels are of class 1" in found.detail["explanation"]
    values = pl.wrap(lambda x: x[:, :1], output="value")
    assert pl.measure(values, measure, test=(p, p[:, 1]))[0].verdict == "not applicable"


def test_few_rows_and_a_class_without_any():
    p = drawn(np.random.default_rng(0), 6)[0]
    (found,) = pl.measure(MODEL, pl.Brier(), test=(p, np.array([0, 1, 0, 1, 0, 1])))
    assert np.isfinite([found.value, *found.interval, *found.detail["reliability"]["interval"]]).all()


@pytest.mark.parametrize("options", [{"bins": 0}, {"level": 1}])
def test_options_outside_their_range(options):
    with pytest.raises(InvalidOption):
        pl.Brier(**options)


@pytest.mark.parametrize("measure", [pl.Brier(), pl.LogLoss()])
def test_two_rows_prove_no_skill_and_two_hundred_do(measure):
    for rows, verdict in ((2, "no better than the base rates"), (200, "better than the base rates")):
        y = np.arange(rows) % 2
        (found,) = pl.measure(MODEL, measure, test=(np.where(y[:, None] == [0, 1], 0.9, 0.1), y))
        assert found.verdict == verdict
        parts = [d["interval"] for d in found.detail.values() if isinstance(d, dict) and "interval" in d]
        assert all(interval.width > 0 for interval in (found.interval, *parts))


def test_one_row_makes_up_its_share():
    y = np.arange(12) % 2
    (found,) = pl.measure(MODEL, pl.LogLoss(), test=(np.where(y[:, None] == [0, 1], 0.9, 0.1), y))
    assert "the worst 1 row makes up" in found.detail["explanation"]
