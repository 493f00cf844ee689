"""Scores against other derivations of them, separation against closed forms and simulation."""

import keras
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.covariance import EmpiricalCovariance

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.measure.novelty import Known, energy, mahalanobis, nearest, softmax, vim
from pellucid.measure.out_of_distribution import exchanged, separated


@pytest.fixture
def known():
    g = np.random.default_rng(0)
    labels = np.arange(300) % 3
    features = g.normal(size=(300, 8)) * np.arange(1, 9) + 3 * np.eye(3, 8)[labels]
    kernel, bias = g.normal(size=(8, 3)), g.normal(size=3)
    return Known(features, features @ kernel + bias, labels, kernel, bias)


@pytest.fixture
def rows():
    return np.random.default_rng(1).normal(size=(40, 8)) * 4


def test_mahalanobis_is_that_of_scikit_learn(known, rows):
    means = np.stack([known.features[known.labels == k].mean(0) for k in range(3)])
    fitted = EmpiricalCovariance(assume_centered=True).fit(known.features - means[known.labels])
    truth = -np.min([fitted.mahalanobis(rows - m) for m in means], axis=0)
    np.testing.assert_allclose(mahalanobis(known, None, rows), truth, rtol=1e-8)


def test_directions_without_variance_are_left_out(known, rows):
    wide = Known(np.column_stack([known.features, np.zeros(300)]), known.logits, known.labels, known.kernel, known.bias)
    found = mahalanobis(wide, None, np.column_stack([rows, np.ones(40)]))
    np.testing.assert_allclose(found, mahalanobis(known, None, rows), rtol=1e-8)


def test_nearest_is_the_kth_smallest_distance_of_all(known, rows):
    unit = lambda h: h / np.linalg.norm(h, axis=1, keepdims=True)  # noqa: E731
    distances = np.linalg.norm(unit(rows)[:, None] - unit(known.features)[None], axis=2)
    np.testing.assert_allclose(nearest(known, None, rows), -np.sort(distances, axis=1)[:, 14], rtol=1e-8)


def test_vim_is_what_its_paper_says(known, rows):
    w, b = (
        known.kernel.T,
        known.bias,
    )  # as published: W (K, D), origin -pinv(W) b, residual space of the smallest eigenvalues
    origin = -np.matmul(np.linalg.pinv(w), b)
    fitted = EmpiricalCovariance(assume_centered=True).fit(known.features - origin)
    values, vectors = np.linalg.eig(fitted.covariance_)
    unused = vectors[:, np.argsort(values * -1)[4:]]
    alpha = known.logits.max(axis=-1).mean() / np.linalg.norm((known.features - origin) @ unused, axis=-1).mean()
    logits = rows @ known.kernel + b
    truth = np.log(np.exp(logits).sum(1)) - np.linalg.norm((rows - origin) @ unused, axis=-1) * alpha
    np.testing.assert_allclose(vim(known, logits, rows), truth, rtol=1e-6)
    np.testing.assert_allclose(energy(None, logits, None), np.log(np.exp(logits).sum(1)))
    np.testing.assert_allclose(
        softmax(None, logits, None), (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).max(1)
    )


def test_separation_of_two_normals_is_the_closed_form():
    g = np.random.default_rng(2)
    found = separated(g.normal(2, 1, 20_000), g.normal(0, 1, 20_000), 0.95, g)
    assert norm.cdf(2 / np.sqrt(2)) in found["auroc"]["interval"]
    passes = norm.sf(2 + norm.ppf(0.05))
    assert passes in found["passed"]["interval"]
    assert found["passed"]["value"] == pytest.approx(passes, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("count", [30, 300])
@pytest.mark.parametrize("apart", [0.0, 1.5])
def test_the_intervals_cover_the_truth(count, apart):
    g, area, passed = np.random.default_rng(3), 0, 0
    truth = norm.cdf(apart / np.sqrt(2)), norm.sf(apart + norm.ppf(0.05))
    for _ in range(500):
        found = separated(g.normal(apart, 1, count), g.normal(0, 1, count), 0.9, g)
        area += truth[0] in found["auroc"]["interval"]
        passed += truth[1] in found["passed"]["interval"]
    assert min(area, passed) >= 500 * 0.9 - 3 * np.sqrt(500 * 0.09)


def net(columns=6, classes=3):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((columns,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(classes, "softmax")]
    )


def data(n, seed, columns=6):
    x = np.random.default_rng(seed).normal(size=(n, columns)).astype(np.float32)
    return x, np.arange(n) % 3


def test_far_rows_are_told_apart_and_the_explanation_says_by_what():
    far = np.random.default_rng(9).normal(0, 8, size=(150, 6))
    (found,) = pl.measure(net(), pl.OutOfDistribution(outliers=far), train=data(400, 0), test=data(200, 1))
    assert found.verdict == "told apart"
    assert found.detail["outliers"] == "given"
    assert set(found.detail["scores"]) == {"softmax", "energy", "mahalanobis", "nearest", "vim"}
    assert found.detail["scores"]["mahalanobis"]["auroc"]["value"] > 0.9
    assert found.value == max(s["auroc"]["value"] for s in found.detail["scores"].values())
    assert f"best by the score {found.detail['best']}" in found.detail["explanation"]


@pytest.mark.slow
def test_rows_of_the_same_kind_are_hardly_ever_told_apart():
    model, alarms = pl.wrap(lambda x: x[:, :3], output="logits"), 0
    for seed in range(500):
        asked = pl.OutOfDistribution(outliers=data(60, 10_000 + seed)[0], scores=("softmax", "energy"))
        (found,) = pl.measure(model, asked, test=data(60, 20_000 + seed))
        alarms += found.verdict == "told apart"
    assert alarms <= 500 * 0.05 + 3 * np.sqrt(500 * 0.05 * 0.95)


def test_made_outliers_keep_each_column_and_lose_what_belongs_together():
    g = np.random.default_rng(0)
    one = g.normal(size=200)
    colour = np.eye(3)[np.arange(200) % 3]
    x = np.column_stack([one, -one, colour])
    made = exchanged(pl.Dataset(x, columns=["a", "b", "colour", "colour", "colour"]), g)
    np.testing.assert_array_equal(np.sort(made[:, :2], axis=0), np.sort(x[:, :2], axis=0))
    assert abs(np.corrcoef(made[:, 0], made[:, 1])[0, 1]) < 0.25
    np.testing.assert_array_equal(made[:, 2:].sum(1), np.ones(200))
    assert made.dtype == x.dtype
    images = g.normal(size=(20, 3, 3, 1)).astype(np.float32)
    assert exchanged(pl.Dataset({"a": images, "b": x[:20]}), g)["a"].shape == images.shape


def test_what_cannot_be_had_is_left_out_with_a_reason():
    callable_ = pl.wrap(lambda x: np.exp(x[:, :3]) / np.exp(x[:, :3]).sum(1, keepdims=True), output="probabilities")
    (found,) = pl.measure(callable_, pl.OutOfDistribution(), train=data(100, 0), test=data(80, 1))
    assert set(found.detail["scores"]) == {"softmax", "energy"}
    assert "dense layer" in found.detail["left_out"]["vim"]
    (found,) = pl.measure(net(), pl.OutOfDistribution(), test=data(80, 1))
    assert "need train=" in found.detail["left_out"]["nearest"]
    (found,) = pl.measure(net(), pl.OutOfDistribution(scores="vim"), test=data(80, 1))
    assert found.verdict == "not applicable"
    (found,) = pl.measure(net(), pl.OutOfDistribution(), train=data(80, 1), test=data(5, 1))
    assert "too few" in found.detail["explanation"]
    regression = pl.wrap(lambda x: x[:, :1], output="value")
    (found,) = pl.measure(regression, pl.OutOfDistribution(), test=(data(80, 1)[0], np.zeros(80)))
    assert found.verdict == "not applicable"


def test_one_output_is_scored_as_two():
    two = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, "sigmoid")])
    x, y = data(100, 0)
    (found,) = pl.measure(two, pl.OutOfDistribution(scores=("softmax", "energy")), test=(x, y % 2))
    areas = [found.detail["scores"][name]["auroc"]["value"] for name in ("softmax", "energy")]
    assert areas[0] == pytest.approx(areas[1], abs=1e-3)


def test_bad_input_is_told():
    with pytest.raises(InvalidOption, match="'vim'"):
        pl.OutOfDistribution(scores=("entropy",))
    with pytest.raises(InvalidOption):
        pl.OutOfDistribution(scores=())
    with pytest.raises(InvalidInput, match=r"OutOfDistribution\.outliers"):
        pl.measure(net(), pl.OutOfDistribution(outliers=np.zeros((20, 4))), train=data(80, 1), test=data(80, 1))
