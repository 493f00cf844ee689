"""Learning curves: planted power laws are looked ahead of, parts are fair and nested, and a small model is trained."""

import numpy as np
import pytest
from scipy.optimize import minimize

import pellucid as pl
from pellucid.core.resampling import Interval
from pellucid.measure.learning_curve import first, judged, nested, sizes_of
from pellucid.measure.power_law import PowerLaw, covariance, extrapolated

SIZES = np.array([125, 250, 500, 1000, 2000])
LAWS = [
    PowerLaw(*law) for law in ((2.0, 0.5, 0.05), (1.0, 0.25, 0.0), (3.0, 0.7, 0.1), (0.0, 0.5, 0.2), (1.0, 0.15, 0.02))
]


def planted(g, law, sizes=SIZES, repeats=5, shared=0.0, noise=0.1):
    """Errors (S, R): a tenth of each is noise, of which a part is shared by the sizes of a repeat."""
    both = np.sqrt(shared) * g.normal(size=(1, repeats)) + np.sqrt(1 - shared) * g.normal(size=(len(sizes), repeats))
    return law(sizes)[:, None] * (1 + noise * both)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("sizes, repeats", [(SIZES, 5), (np.geomspace(60, 4000, 8).round(), 10)])
def test_planted_laws_are_covered_at_twice_the_rows(law, shared, sizes, repeats):
    g, kept = np.random.default_rng(0), []
    later = float(law(2 * sizes[-1]))
    gain = float(law(sizes[-1])) - later
    for _ in range(400):
        found = extrapolated(sizes, planted(g, law, sizes, repeats, shared))
        at = lambda i, v: i.low - 1e-9 <= v <= i.high + 1e-9  # noqa: E731
        kept.append((at(found.gain, gain), at(found.error, later), at(found.floor, law.floor), found.misfit >= 0.01))
    gains, errors, floors, fits = np.mean(kept, axis=0)
    assert gains >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)
    assert errors >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)
    assert floors >= 0.9  # a long way off: short by a few points where the variance is no power of the size
    assert fits >= 0.97


def test_parts_of_one_pool_hide_what_other_rows_would_give():
    """Each row pulls the error up or down, and the repeats of all rows differ by their seed alone."""
    g, law, kept = np.random.default_rng(6), LAWS[0], []
    later = float(law(4000))
    for _ in range(300):
        pull, errors = g.normal(size=2000), np.empty((5, 5))
        for r in range(5):
            order = g.permutation(2000)
            errors[:, r] = [law(n) + 0.3 * pull[order[:n]].mean() + 0.002 * g.normal() for n in SIZES]
        found = extrapolated(SIZES, errors, 2000)
        kept.append(found.error.low <= later <= found.error.high)
    assert np.mean(kept) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)


def test_exact_errors_give_the_law_back():
    law = PowerLaw(2.0, 0.5, 0.05)
    errors = law(SIZES)[:, None] + 1e-5 * np.array([-1.0, 0.0, 1.0])
    found = extrapolated(SIZES, errors)
    assert float(found.law(4000)) == pytest.approx(float(law(4000)), abs=1e-3)
    assert found.law.rate == pytest.approx(0.5, abs=0.05)


def test_the_fit_is_the_least_squares_of_an_optimizer():
    errors = planted(np.random.default_rng(1), LAWS[0])
    weight, means = np.linalg.inv(covariance(SIZES, errors)), errors.mean(axis=1)

    def squares(law):
        left = means - law(SIZES)
        return float(left @ weight @ left)

    starts = [(np.log(a), b, c) for a in (0.5, 3) for b in (0.2, 1) for c in (0.0, 0.05)]
    best = min(
        minimize(lambda v: squares(PowerLaw(np.exp(v[0]), np.clip(v[1], 0.05, 2), max(v[2], 0))), s, method="Nelder-Mead",
                 options={"maxiter": 4000}).fun
        for s in starts
    )  # fmt: skip
    assert squares(extrapolated(SIZES, errors).law) == pytest.approx(best, abs=0.05)


def test_errors_that_rise_again_are_no_power_law():
    errors = np.array([0.4, 0.2, 0.1, 0.3, 0.5])[:, None] + 0.005 * np.random.default_rng(2).normal(size=(5, 5))
    assert extrapolated(SIZES, errors).misfit < 0.01


@pytest.mark.parametrize(
    "low, high, misfit, verdict",
    [(0.02, 0.05, 0.5, "more data would help"), (0.0, 0.008, 0.5, "flat: more data of this kind buys little"),
     (0.0, 0.05, 0.5, "cannot be told"), (0.02, 0.05, 0.001, "cannot be told")],
)  # fmt: skip
def test_verdicts(low, high, misfit, verdict):
    assert judged(Interval(low, high), misfit, 0.01) == verdict


def test_parts_keep_classes_in_proportion():
    y = np.repeat([0, 1, 2], [500, 300, 200])
    order = nested(pl.Dataset(np.zeros((1000, 1)), y), np.random.default_rng(3))
    assert sorted(order) == list(range(1000))
    for size in (10, 62, 500):
        counts = np.bincount(y[order[:size]], minlength=3)
        assert np.abs(counts - size * np.array([0.5, 0.3, 0.2])).max() <= 1


def test_parts_keep_groups_whole():
    groups = np.random.default_rng(4).integers(20, size=200)
    order = nested(pl.Dataset(np.zeros((200, 1)), np.arange(200) % 2, groups=groups), np.random.default_rng(5))
    before: set = set()
    for size in (1, 50, 100, 200):
        rows = first(order, size, groups)
        inside = set(groups[rows])
        assert len(rows) == np.isin(groups, list(inside)).sum()
        assert before <= inside
        assert abs(len(rows) - size) <= 20
        before = inside


def test_sizes():
    assert sizes_of(None, 160).tolist() == [10, 20, 40, 80, 160]
    assert sizes_of([0.1, 0.2, 0.5, 1], 100).tolist() == [10, 20, 50, 100]
    assert sizes_of([64, 8, 16, 32], 64).tolist() == [8, 16, 32, 64]
    for wrong in ([0.5, 1.0], [2, 4, 8, 200], [0.0, 0.1, 0.5, 1.0], [-3, 4, 5, 6], ["a", 1, 2, 3]):
        with pytest.raises(pl.errors.InvalidOption, match="sizes"):
            sizes_of(wrong, 100)


def build():
    import keras

    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
    return model


def rows(n, seed):
    g = np.random.default_rng(seed)
    x = g.normal(size=(n, 20)).astype("float32")
    return x, (x[:, :10].sum(axis=1) > 0).astype(int)


@pytest.mark.slow
def test_a_linear_model_learns_from_more_rows():
    curve = pl.LearningCurve(build, {"epochs": 15, "batch_size": 8}, sizes=[12, 24, 48, 96], repeats=3)
    (found,) = pl.measure(None, curve, train=rows(96, 0), test=rows(2000, 1))
    means = found.detail["errors"].mean(axis=1)
    assert np.all(np.diff(means) < 0)
    assert found.verdict in ("more data would help", "cannot be told")
    assert 0 <= found.interval.low <= found.value <= found.interval.high
    from pellucid.training import fit, fresh

    x, y = rows(2000, 1)
    larger = []
    for seed in (2, 3):
        net = fresh(build, seed)
        fit(net, pl.Dataset(*rows(192, seed)), settings={"epochs": 15, "batch_size": 8}, seed=seed, progress=False)
        larger.append(np.mean(net.predict(x, verbose=0).argmax(1) != y))
    doubled = found.detail["doubled"]["interval"]
    assert doubled.low <= np.mean(larger) <= doubled.high
    assert np.all(found.detail["train_errors"].mean(axis=1) <= means)


def test_bad_input():
    with pytest.raises(pl.errors.InvalidOption, match="repeats"):
        pl.LearningCurve(build, repeats=1)
    with pytest.raises(pl.errors.InvalidOption, match="build"):
        pl.LearningCurve(build())
    with pytest.raises(pl.errors.InvalidOption, match="at most the 20 training rows"):
        pl.measure(None, pl.LearningCurve(build, sizes=[2, 4, 8, 400]), train=rows(20, 0), test=rows(20, 1))
    with pytest.raises(pl.errors.InvalidInput, match="test="):
        pl.measure(None, pl.LearningCurve(build, {"epochs": 1}), train=rows(64, 0))
    with pytest.raises(pl.errors.InvalidInput, match="labels"):
        pl.measure(None, pl.LearningCurve(build, {"epochs": 1}), train=rows(64, 0)[0], test=rows(20, 1))


def test_no_more_can_be_gained_than_there_is():
    from pellucid.measure.learning_curve import measured
    from pellucid.measure.power_law import extrapolated

    sizes, g = np.array([4, 8, 16, 32, 64]), np.random.default_rng(0)
    errors = 0.5 * sizes[:, None] ** -1.0 + np.abs(g.normal(scale=0.02, size=(5, 2)))
    errors[-1] = 0.002, 0.0021
    found = measured(sizes, errors, errors, extrapolated(sizes, errors, 64), pl.LearningCurve(build, repeats=2))
    assert found.interval.high <= 0.0035
    assert found.value in found.interval
    assert found.detail["floor"]["interval"].high <= 0.0035


def test_few_rows_are_no_mistake_of_the_one_who_asks():
    (found,) = pl.measure(None, pl.LearningCurve(build, {"epochs": 1}), train=rows(8, 0), test=rows(20, 1))
    assert found.verdict == "not applicable"
    assert "8 rows are too few" in found.detail["explanation"]
