import keras
import numpy as np
import pytest
from scipy import stats

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, UnknownName
from pellucid.improve.compare import paired_difference, table

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(120, 3)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
PARTS = {"train": (X[:60], Y[:60]), "test": (X[90:], Y[90:])}
HELD = (X[60:90], Y[60:90])


def build():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    net.compile("adam", "binary_crossentropy", jit_compile=keras.backend.backend() == "jax")
    return net


@pytest.fixture(scope="module")
def found():
    recipes = {"small": pl.Recipe(pl.L2(0.5)), "plain": pl.Recipe()}
    return pl.compare(build, recipes, **PARTS, validation=HELD, seeds=[3, 5], fit={"epochs": 2}, progress=False)


def test_differences_are_paired_by_seed(found):
    assert found.reference == "plain"
    assert found.metrics == ("accuracy", "log_loss", "gap_accuracy", "gap_log_loss")
    for seed_number, seed in enumerate((3, 5)):
        run = pl.improve(
            build, pl.L2(0.5), train=PARTS["train"], validation=HELD, seed=seed, fit={"epochs": 2}, progress=False
        )
        p = run.model.keras.predict(X[90:], verbose=0)[:, 0].astype(float)
        loss = -np.mean(np.where(Y[90:] == 1, np.log(p), np.log1p(-p)))
        assert found.scores["test"][0, seed_number, 1] == pytest.approx(loss, rel=1e-5)
    losses = found.scores["test"][:, :, 1]
    row = found.row("small", "log_loss")
    assert row.difference == pytest.approx((losses[0] - losses[1]).mean())
    expected = stats.ttest_rel(losses[0], losses[1])
    assert row.p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose([*row.difference_interval], [*expected.confidence_interval()], rtol=1e-9)


def test_gaps_are_how_much_worse_than_training(found):
    train, test = found.scores["train"], found.scores["test"]
    np.testing.assert_allclose(test[:, :, 2], train[:, :, 0] - test[:, :, 0])
    np.testing.assert_allclose(test[:, :, 3], test[:, :, 1] - train[:, :, 1])


def test_p_values_are_adjusted_over_the_table(found):
    rows = [row for row in found.rows if row.recipe == "small"]
    ranked = sorted(row.p for row in rows)
    for row in rows:  # Benjamini and Hochberg by hand: the least of p_k m / k from this rank on
        rank = ranked.index(row.p)
        assert row.adjusted == pytest.approx(min([1.0, *(ranked[k] * 4 / (k + 1) for k in range(rank, 4))]))
        assert row.adjusted >= row.p


def test_the_best_is_chosen_on_validation_data(found):
    means = found.scores["validation"][:, :, 1].mean(1)
    assert found.best() == ["small", "plain"][int(means.argmin())]
    with pytest.raises(UnknownName, match="accuracy"):
        found.best("acuracy")


def test_choosing_on_test_data_is_refused():
    found = pl.compare(build, {"plain": pl.Recipe()}, **PARTS, seeds=1, fit={"epochs": 1}, progress=False)
    with pytest.raises(NotApplicable, match="too good"):
        found.best()
    with pytest.raises(InvalidInput, match="validation and test are the same"):
        pl.compare(build, {"plain": pl.Recipe()}, **PARTS, validation=PARTS["test"])
    with pytest.raises(InvalidInput, match="train and test are the same"):
        pl.compare(build, {"plain": pl.Recipe()}, train=PARTS["train"], test=PARTS["train"])


def test_bad_options_are_named():
    with pytest.raises(InvalidOption, match="by name"):
        pl.compare(build, {}, **PARTS)
    with pytest.raises(InvalidOption, match="expected a Recipe"):
        pl.compare(build, {"l2": pl.L2(0.1)}, **PARTS)
    with pytest.raises(InvalidOption, match="different seeds"):
        pl.compare(build, {"plain": pl.Recipe()}, **PARTS, seeds=[1, 1])
    with pytest.raises(InvalidInput, match="judge on"):
        pl.compare(build, {"plain": pl.Recipe()}, train=PARTS["train"])


def test_it_reads_and_is_saved(found, tmp_path):
    assert "no recipe saw" in str(found)
    assert "small" in str(found)
    found.save(tmp_path / "c")
    back = type(found).load(tmp_path / "c")
    assert back == found


def test_the_interval_covers_at_its_level():
    """2,000 comparisons whose true difference is known: seeds share a luck that pairing takes away."""
    draw = np.random.default_rng(11)
    hits, false = 0, 0
    for _ in range(2000):
        luck = draw.normal(0, 3, 5)
        reference, recipe = luck + draw.normal(0, 1, 5), luck + draw.normal(0.7, 1, 5)
        _, interval, _ = paired_difference(recipe, reference)
        hits += 0.7 in interval
        false += paired_difference(recipe - 0.7, reference)[2] < 0.05
    assert 0.935 < hits / 2000 < 0.965
    assert 0.035 < false / 2000 < 0.065


def test_equal_scores_show_no_difference():
    scores = np.full((2, 3, 1), 0.8)
    row = table(["a", "b"], ["accuracy"], scores, 0)[1]
    assert (row.difference, row.p, row.verdict) == (0, 1, "no difference shown")


def test_verdicts_know_which_way_is_better():
    scores = np.stack([np.zeros((4, 2)), np.ones((4, 2)) + np.arange(4)[:, None] * 1e-3])
    verdicts = [row.verdict for row in table(["plain", "other"], ["accuracy", "log_loss"], scores, 0)[2:]]
    assert verdicts == ["better", "worse"]
