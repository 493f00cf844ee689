"""Reasons that change, apart from rows that change; and neither where nothing does."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import ks_2samp, spearmanr

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.explanation_shift import ExplanationShift, newness

NAMES = ["age", "dose", "noise"]
LUCK = 3 * np.sqrt(0.05 * 0.95 / 500)


def told(x):
    """Gradient times input of age * dose: both get the product; the third column nothing."""
    product = x[:, 0] * x[:, 1]
    return np.column_stack([product, product, np.zeros(len(x))])


def shifted(train, test, explain=told, seed=0, model=None, y=None, **options):
    one = pl.Dataset(train, None if y is None else np.zeros(len(train)), feature_names=NAMES)
    two = pl.Dataset(test, y, feature_names=NAMES)
    asked = ExplanationShift(SimpleNamespace(values=explain(train)), explain(test), **options)
    return pl.measure(model, asked, train=one, test=two, seed=seed)[0]


def correlated(n, r, g):
    x = g.normal(size=(n, 3))
    x[:, 1] = r * x[:, 0] + np.sqrt(1 - r**2) * x[:, 1]
    return x


def test_columns_that_are_used_differently_though_drawn_alike():
    """Each column is normal on both sides, but on one they go together: the product does not look the same."""
    g = np.random.default_rng(0)
    found = shifted(correlated(800, 0, g), correlated(800, 0.8, g))
    assert found.verdict == "explanations shift"
    assert set(found.detail["hidden"]) == {"age", "dose"}
    assert found.value == found.detail["auroc"]["attributions"]["value"] > 0.6
    assert "are used differently though not drawn differently" in found.detail["explanation"]


def test_the_statistics_by_hand():
    g = np.random.default_rng(1)
    train, test = correlated(300, 0, g), correlated(300, 0.5, g)
    found = shifted(train, test)
    for what, one, two in (("inputs", train, test), ("attributions", told(train), told(test))):
        columns = {c["column"]: c for c in found.detail["columns"][what]}
        expected = ks_2samp(one[:, 1], two[:, 1])
        assert (columns["dose"]["statistic"], columns["dose"]["p"]) == pytest.approx(
            (expected.statistic, expected.pvalue)
        )
    assert found.detail["columns"]["attributions"][-1]["column"] == "noise"  # never any


def test_inputs_that_shift_where_the_model_does_not_look():
    g = np.random.default_rng(2)
    found = shifted(correlated(500, 0, g), correlated(500, 0, g) + np.array([0, 0, 1]))
    assert found.verdict == "inputs shift, explanations do not"
    assert found.detail["hidden"] == ()
    assert all(alarm.startswith("inputs") for alarm in found.detail["alarms"])
    signed = shifted(
        correlated(500, 0, g), correlated(500, 0, g) + np.array([0, 0, 1]), lambda x: x * [1, 1, 0]
    )  # 0.0 and -0.0
    assert signed.verdict == "inputs shift, explanations do not"
    nothing = shifted(correlated(100, 0, g), correlated(100, 0, g), lambda x: 0 * x)
    assert (nothing.value, nothing.verdict) == (0.5, "no shift found")


def test_drift_that_goes_with_the_loss():
    """Half of the test rows are new, and the model errs on these."""
    g = np.random.default_rng(3)
    train, test = correlated(600, 0, g), correlated(600, 0, g)
    test[:300, :2] += 2.5
    model = pl.wrap(lambda x: x[:, :1] * x[:, 1:2], output="value")
    y = test[:, 0] * test[:, 1] + g.normal(size=600) * np.where(np.arange(600) < 300, 3.0, 0.3)
    found = shifted(train, test, model=model, y=y)
    both = found.detail["with_loss"]
    assert all(part["falls"] and part["rho"] > 0.3 for part in both.values())
    score = newness(told(train), told(test), g)
    lost = np.abs(test[:, 0] * test[:, 1] - y)
    assert both["attributions"]["rho"] == pytest.approx(spearmanr(score, lost).statistic, abs=0.1)
    assert "goes with its loss" in found.detail["explanation"]
    assert shifted(train, test).detail["with_loss"] is None


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_they_should_be():
    g, alarms, linked = np.random.default_rng(4), 0, 0
    model = pl.wrap(lambda x: x[:, :1] * x[:, 1:2], output="value")
    for seed in range(500):
        train, test = correlated(120, 0.3, g), correlated(120, 0.3, g)
        y = test[:, 0] * test[:, 1] + g.normal(size=120)
        found = shifted(train, test, seed=seed, model=model, y=y)
        alarms += found.verdict != "no shift found"
        linked += found.detail["with_loss"]["attributions"]["falls"]
    assert alarms / 500 <= 0.05 + LUCK
    assert linked / 500 <= 0.05 + LUCK


def test_explanations_of_a_model_and_images(random_mlp, random_cnn):
    g = np.random.default_rng(5)
    x = g.normal(size=(80, 6)).astype(np.float32)
    sides = x[:40], x[40:] + 3
    each = [pl.explain(random_mlp, side, pl.GradientInput()) for side in sides]
    (found,) = pl.measure(None, pl.ExplanationShift(*each), train=sides[0], test=sides[1])
    assert found.verdict == "explanations shift"
    images = g.normal(size=(80, 8, 8, 1))
    images[40:] *= 3
    asked = ExplanationShift(images[:40] ** 2, images[40:] ** 2)
    (found,) = pl.measure(None, asked, train=images[:40], test=images[40:])
    assert found.verdict == "explanations shift"
    assert found.detail["columns"]["attributions"][0]["column"].startswith("direction")


def test_where_it_makes_no_sense():
    g = np.random.default_rng(6)
    x = correlated(60, 0, g)
    assert "too few" in shifted(x[:10], x).detail["explanation"]
    with pytest.raises(InvalidInput, match="before: expected values of the 60 rows of train=, in their order"):
        pl.measure(None, ExplanationShift(x[:50], x), train=x, test=x)
    with pytest.raises(InvalidInput, match="after: the values of row 3 hold NaN"):
        pl.measure(None, ExplanationShift(x, np.where(np.arange(60)[:, None] == 3, np.nan, x)), train=x, test=x)
    with pytest.raises(InvalidInput, match="values of one shape, got"):
        pl.measure(None, ExplanationShift(x, x[:, :2]), train=x, test=x)
    for wrong in ({"a": x}, 3, x[:, 0]):
        with pytest.raises(InvalidOption, match="before: expected an explanation with values"):
            ExplanationShift(wrong, x)
    groups = pl.Dataset(x, groups=np.arange(60) // 2)
    assert pl.measure(None, ExplanationShift(x, x), train=groups, test=groups)[0].detail["rows"] == (30, 30)
    assert shifted(x, x[:40]).interval == shifted(x, x[:40]).interval
