import numpy as np
import pytest

import pellucid as pl
from pellucid.core.resampling import Interval
from pellucid.measure import estimates as E
from pellucid.measure.gap import gap_of, judged, matched

NONE = (np.array([], int), np.array([], int))


def said(hits):
    """Probabilities and labels of answers of which these are right."""
    return np.zeros(len(hits), int), np.stack([hits, 1 - hits], axis=1) * 0.8 + 0.1


@pytest.mark.parametrize(
    "sizes, rates", [((2000, 300), (0.97, 0.93)), ((426, 143), (0.99, 0.965)), ((60, 25), (0.9, 0.8))]
)
def test_accuracy_gap_covers_in_a_thousand_cases(sizes, rates):
    g, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        sides = [E.accuracy(*said((g.random(n) < p).astype(float)), 0.95, g) for n, p in zip(sizes, rates)]
        covered += rates[0] - rates[1] in gap_of(*sides, True, NONE)[1]
    assert 930 <= covered <= 970


@pytest.mark.slow
def test_log_loss_gap_covers_in_a_thousand_cases():
    """A fixed predictor of confidence 0.9, right more often in training than after: losses take two values each."""
    g, covered = np.random.default_rng(1), 0

    def side(n, rate):
        confidence = g.choice([0.6, 0.8, 0.95], size=n)
        right = g.random(n) < rate
        first = np.where(right, confidence, 1 - confidence)
        return E.log_loss(np.zeros(n, int), np.stack([first, 1 - first], axis=1), 0.95, g)

    levels = np.array([0.6, 0.8, 0.95])
    loss = lambda rate: -(rate * np.log(levels) + (1 - rate) * np.log(1 - levels)).mean()  # noqa: E731
    for _ in range(1000):
        covered += loss(0.8) - loss(0.9) in gap_of(side(300, 0.9), side(150, 0.8), False, NONE)[1]
    assert 930 <= covered <= 970


def test_paired_gap_covers_and_is_shorter():
    g, covered, widths = np.random.default_rng(2), 0, []
    rows = (np.arange(200), np.arange(200))
    for _ in range(1000):
        first = g.random(200) < 0.9
        second = first & (g.random(200) < 0.95)
        sides = [E.accuracy(*said(h.astype(float)), 0.95, g) for h in (first, second)]
        paired, alone = (gap_of(*sides, True, pairs)[1] for pairs in (rows, NONE))
        covered += 0.9 - 0.855 in paired
        widths.append(paired.width / alone.width)
    assert 930 <= covered <= 975
    assert np.mean(widths) < 0.8


@pytest.mark.parametrize(
    "low, high, verdict",
    [(-0.01, 0.015, "generalizes"), (0.001, 0.01, "generalizes"), (0.01, 0.05, "overfits"), (-0.05, -0.01, "held-out is better"),
     (-0.01, 0.05, "no gap found")],
)  # fmt: skip
def test_verdicts(low, high, verdict):
    assert judged(Interval(low, high), 0.02) == verdict


def test_rows_are_matched_by_id_only_where_ids_are_unique():
    here, there = matched(np.array([5, 3, 9]), np.array([9, 1, 5]))
    assert sorted(zip(here, there)) == [(0, 2), (2, 0)]
    assert len(matched(np.array([1, 1]), np.array([1, 2]))[0]) == 0
    assert len(matched(None, np.array([1]))[0]) == 0


def test_sign_is_positive_for_worse_on_new_data():
    x = np.linspace(0, 1, 400)[:, None]
    y = (x[:, 0] > 0.5).astype(int)
    wrong = y.copy()
    wrong[::4] = 1 - wrong[::4]
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    for metric in ("accuracy", "log_loss", "brier", "auroc"):
        (found,) = pl.measure(model, pl.Gap(metric), train=(x, y), test=(x, wrong))
        assert found.name == f"gap.{metric}"
        assert found.value > 0
        assert found.verdict == "overfits"
    values = pl.wrap(lambda x: x, output="value")
    noise = np.random.default_rng(0).normal(size=400)
    (found,) = pl.measure(values, pl.Gap(), train=(x, x[:, 0] + 0.01 * noise), test=(x, x[:, 0] + 0.3 * noise))
    assert found.name == "gap.r2"
    assert found.verdict == "overfits"
    (found,) = pl.measure(values, pl.Gap("accuracy"), train=(x, x[:, 0]), test=(x, x[:, 0]))
    assert found.verdict == "not applicable"
    assert "regression" in found.detail["explanation"]


def test_options_are_checked():
    with pytest.raises(pl.errors.InvalidOption, match="accuracy"):
        pl.Gap("acuracy")
    with pytest.raises(pl.errors.InvalidOption, match="tolerance"):
        pl.Gap(tolerance=-1)
    with pytest.raises(pl.errors.InvalidInput, match="train="):
        pl.measure(lambda x: x, pl.Gap(), test=(np.eye(2), [0, 1]))


def test_thirty_published_models_keep_their_order_on_images_collected_anew(real_data):
    """Recht et al. 2018, arXiv:1806.00451: every model is worse on CIFAR-10.1, and the better ones stay the better ones."""
    from scipy.stats import kendalltau

    folder = real_data("cifar10_1_predictions")
    found = np.load(folder / "predictions.npz")
    model = pl.wrap(lambda answers: np.eye(10)[answers.astype(int)[:, 0]], output="probabilities")
    gaps = []
    for old, new in zip(found["original"], found["v4"], strict=True):
        splits = ((old[:, None], found["original_labels"]), (new[:, None], found["v4_labels"]))
        gaps += pl.measure(model, pl.Gap(), train=splits[0], test=splits[1])
    assert all(g.verdict == "overfits" and g.interval.low > 0 for g in gaps)
    each = [[g.detail[split]["value"] for g in gaps] for split in ("train", "test")]
    assert kendalltau(*each).statistic == pytest.approx(0.888, abs=5e-4)
