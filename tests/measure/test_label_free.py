"""Accuracy without labels: right under label shift, silent where its assumptions are broken."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput
from pellucid.measure.unlabelled import _cells, _fitted, difference, reweighted, thresholded

MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.5]])


def scores(x):
    """Bayes's rule for three normals of equal shares: calibrated where these are."""
    return -0.5 * ((x[:, None, :] - MEANS) ** 2).sum(axis=2)


MODEL = pl.wrap(scores, output="logits")


def drawn(g, count, shares=(1 / 3, 1 / 3, 1 / 3), means=MEANS, spread=1.0):
    y = g.choice(3, size=count, p=shares)
    return means[y] + spread * g.normal(size=(count, 2)), y


def right(x, y):
    return float(np.mean(scores(x).argmax(1) == y))


def measured(seed, new, n=400, **options):
    known = drawn(np.random.default_rng(10_000 + seed), n)
    return pl.measure(MODEL, pl.LabelFreeAccuracy(new, **options), test=known, seed=seed)[0]


@pytest.mark.slow
def test_under_label_shift_the_interval_holds_the_truth_and_the_assumption_stands():
    kept, stands, shares = 0, 0, (0.7, 0.25, 0.05)
    big = drawn(np.random.default_rng(99), 400_000, shares)
    for seed in range(150):
        found = measured(seed, drawn(np.random.default_rng(seed), 500, shares)[0])
        guess = found.detail["estimates"]["reweighted"]
        kept += right(*big) in guess["interval"]
        stands += guess["stands"]
    assert kept >= 150 * 0.95 - 3 * np.sqrt(150 * 0.05 * 0.95)
    assert stands >= 150 * 0.95 - 3 * np.sqrt(150 * 0.05 * 0.95)


@pytest.mark.slow
def test_without_a_shift_every_estimate_holds_the_truth():
    big, kept = drawn(np.random.default_rng(99), 400_000), dict.fromkeys(("reweighted", "thresholded", "difference"), 0)
    for seed in range(150):
        found = measured(seed, drawn(np.random.default_rng(seed), 500)[0])
        for name in kept:
            kept[name] += right(*big) in found.detail["estimates"][name]["interval"]
    assert min(kept.values()) >= 150 * 0.95 - 3 * np.sqrt(150 * 0.05 * 0.95), kept


def test_where_classes_look_different_it_abstains_or_says_the_truth_by_other_means():
    silent = 0
    for seed in range(40):
        moved = MEANS + np.array([[0.0, 0.0], [-1.0, 1.0], [1.0, -0.5]])  # the classes have come together
        x, _ = drawn(np.random.default_rng(seed), 800, means=moved)
        found = measured(seed, x)
        assert not found.detail["estimates"]["reweighted"]["stands"] or right(x, _) in found.interval
        silent += not found.detail["estimates"]["reweighted"]["stands"]
    assert silent >= 36


def test_a_concept_that_changed_is_invisible_but_a_few_labels_refute_it():
    g = np.random.default_rng(0)
    x, y = drawn(g, 800)
    turned = (y + (g.random(800) < 0.5)) % 3  # the rows are the same, half of the labels are others
    assert measured(0, x).verdict == "estimated"
    some = np.where(np.arange(800) < 60, turned, -1)
    found = measured(0, pl.Dataset(x, some))
    assert (found.verdict, found.value) == ("abstains", None)
    assert found.detail["labelled"]["rows"] == 60
    assert "with labels" in found.detail["explanation"]
    assert measured(0, pl.Dataset(x, np.where(np.arange(800) < 60, y, -1))).verdict == "estimated"


def test_rows_unlike_all_known_ones_refute_what_confidence_says():
    import keras

    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax", name="out")])
    net.set_weights([MEANS.T, -0.5 * (MEANS**2).sum(1)])
    g = np.random.default_rng(0)
    far, _ = drawn(g, 300, means=MEANS * 4)
    asked = pl.LabelFreeAccuracy(far)
    (found,) = pl.measure(net, asked, train=drawn(g, 500), test=drawn(g, 400))
    assert found.detail["strange"]["value"] > 0.3
    assert (found.verdict, found.value) == ("abstains", None)
    assert "unlike the known ones" in found.detail["explanation"]
    (found,) = pl.measure(net, pl.LabelFreeAccuracy(drawn(g, 300)[0]), train=drawn(g, 500), test=drawn(g, 400))
    assert found.detail["strange"]["value"] < 0.12
    assert found.verdict == "estimated"


def test_by_hand():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]])
    y = np.array([0, 1, 1, 1])  # one of four is wrong: the second
    q = np.array([[0.95, 0.05], [0.52, 0.48], [0.2, 0.8], [0.5, 0.5]])
    g = np.random.default_rng(0)
    assert thresholded(p, y, q, 0.95, g).value == 0.5  # above 0.6, the second smallest confidence: 0.95 and 0.8
    expected = 0.75 - np.mean([0.9, 0.6, 0.7, 0.55]) + np.mean([0.95, 0.52, 0.8, 0.5])
    assert difference(p, y, q, 0.95, g).value == pytest.approx(expected)


def test_shares_are_those_of_the_largest_likelihood():
    from scipy.optimize import minimize

    g = np.random.default_rng(1)
    x, y = drawn(g, 600)
    new, _ = drawn(g, 900, (0.5, 0.1, 0.4))
    soft = lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)  # noqa: E731
    p, q = soft(scores(x)), soft(scores(new))
    cells = _cells(p, q)
    by_class = np.stack([np.bincount(cells[0][y == j], minlength=cells[2]) for j in range(3)])
    seen = np.bincount(cells[1], minlength=cells[2])
    chance = (by_class + 0.5 / 12) / (by_class + 0.5 / 12).sum(axis=1, keepdims=True)
    loss = lambda z: -np.sum(seen * np.log(soft(z[None])[0] @ chance))  # noqa: E731
    best = soft(minimize(loss, np.zeros(3), tol=1e-12).x[None])[0]
    np.testing.assert_allclose(_fitted(by_class[None], seen[None])[0][0], best, atol=1e-3)
    recall = np.array([np.mean(p[y == j].argmax(1) == j) for j in range(3)])
    assert reweighted(p, y, q, 0.95, g).value == pytest.approx(best @ recall, abs=1e-3)


def test_another_model_that_errs_apart_tells_by_disagreement():
    g = np.random.default_rng(2)
    x, y = drawn(g, 1500)
    new, hidden = drawn(g, 1500)
    same = pl.wrap(lambda x: scores(x) + 1e-9, output="logits")
    asked = pl.LabelFreeAccuracy(new, other=same)  # a copy agrees always: that is not its accuracy
    (found,) = pl.measure(MODEL, asked, test=(x, y))
    guess = found.detail["estimates"]["disagreement"]
    assert guess["value"] == 1.0
    assert not guess["stands"]
    assert "agree on 100" in guess["why"]
    sampled = pl.wrap(  # an answer drawn from what this model believes is right as often as it agrees with it
        lambda x: (
            np.log(np.random.default_rng(len(x)).dirichlet(np.ones(3) * 1e-9, len(x)) * 0 + 1e-9) + _drawn_answer(x)
        ),
        output="logits",
    )
    (found,) = pl.measure(MODEL, pl.LabelFreeAccuracy(new, other=sampled), test=(x, y))
    guess = found.detail["estimates"]["disagreement"]
    assert guess["stands"]
    assert right(new, hidden) == pytest.approx(guess["value"], abs=0.04)


def _drawn_answer(x):
    z = scores(x)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return 20.0 * np.eye(3)[(np.random.default_rng(7).random(len(x))[:, None] > p.cumsum(1)).sum(1).clip(0, 2)]


def test_bad_input_is_told():
    g = np.random.default_rng(0)
    x, y = drawn(g, 100)
    with pytest.raises(InvalidInput, match=r"LabelFreeAccuracy\.rows"):
        pl.measure(MODEL, pl.LabelFreeAccuracy(np.full((40, 2), np.nan)), test=(x, y))
    (found,) = pl.measure(MODEL, pl.LabelFreeAccuracy(x[:10]), test=(x, y))
    assert "too few" in found.detail["explanation"]
    with pytest.raises(InvalidInput, match="no class of the model"):
        pl.measure(MODEL, pl.LabelFreeAccuracy(pl.Dataset(x, np.full(100, 7))), test=(x, y))
    two = pl.wrap(lambda x: x, output="logits")
    with pytest.raises(InvalidInput, match=r"LabelFreeAccuracy\.other"):
        pl.measure(MODEL, pl.LabelFreeAccuracy(x, other=two), test=(x, y))
    regression = pl.wrap(lambda x: x[:, :1], output="value")
    (found,) = pl.measure(regression, pl.LabelFreeAccuracy(x), test=(x, y * 1.0))
    assert found.verdict == "not applicable"


def test_a_perfect_model_is_not_known_to_stay_so():
    y = np.arange(60) % 2
    model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
    (found,) = pl.measure(model, pl.LabelFreeAccuracy(y[:, None] * 1.0), test=(y[:, None] * 1.0, y))
    assert found.verdict == "estimated"
    assert 0.9 < found.interval.low < 0.99
    assert found.detail["estimates"]["difference"]["interval"].width > 0
