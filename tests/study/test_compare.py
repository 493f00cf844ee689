"""Recipes are trained and measured as one would by hand; bad input is named before anything is trained."""

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, r2_score

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption, TrainingDiverged, UnwritableOutput


def column(found, part, name):
    return found.scores[part][:, :, found.metrics.index(name)]


def test_scores_are_those_of_training_by_hand(found, build, recipes, data):
    x, y = data["test"]
    for r, recipe in enumerate(recipes.values()):
        for s, seed in enumerate((3, 5)):
            run = pl.improve(build, recipe, train=data["train"], validation=data["validation"], seed=seed,
                             fit={"epochs": 2}, progress=False)  # fmt: skip
            p = run.model.keras.predict(x, verbose=0)[:, 0].astype(float)
            assert column(found, "test", "log_loss")[r, s] == pytest.approx(log_loss(y, p), rel=1e-5)
            assert column(found, "test", "accuracy")[r, s] == pytest.approx(np.mean((p > 0.5) == y))
            ece, left = pl.measure(
                run.model, [pl.CalibrationError(), pl.CorruptionRobustness(severities=(3,), rows=500, of="left")],
                train=data["train"], test=data["test"], seed=seed,
            )  # fmt: skip
            assert column(found, "test", "calibration_error")[r, s] == pytest.approx(ece.value, rel=1e-4, abs=1e-7)
            assert column(found, "test", "corruption_robustness.accuracy")[r, s] == pytest.approx(left.value)


def test_differences_are_paired_by_seed_against_plain_training(found):
    assert found.reference == "plain"
    losses = column(found, "test", "log_loss")
    row, expected = found.row("small", "log_loss"), stats.ttest_rel(losses[0], losses[1])
    assert row.difference == pytest.approx((losses[0] - losses[1]).mean())
    assert row.p == pytest.approx(expected.pvalue)


def test_gaps_are_how_much_worse_than_training(found):
    for name, sign in (("accuracy", 1), ("log_loss", -1)):
        gap = sign * (column(found, "train", name) - column(found, "test", name))
        np.testing.assert_allclose(column(found, "test", f"gap.{name}"), gap)


def test_the_usual_columns_say_which_way_is_better(found):
    ways = {q.name: (q.better, q.share) for q in found.quantities}
    assert ways == {
        "accuracy": ("higher", True), "log_loss": ("lower", False), "gap.accuracy": ("lower", True),
        "gap.log_loss": ("lower", False), "calibration_error": ("lower", True),
        "corruption_robustness.accuracy": ("higher", True), "faithfulness.deletion": ("higher", False),
    }  # fmt: skip
    assert not found.blanks
    assert found.cost["parameters"].tolist() == found.cost["nonzero"].tolist() == [[4, 4], [4, 4]]
    assert (found.cost["seconds"] > 0).all()


def test_groups_make_a_column_of_the_worst(quick, data):
    site = np.repeat(["A", "B"], [60, 90])
    parts = {
        name: pl.Dataset(*pair, groups=site[-len(pair[1]) :] if name == "test" else None) for name, pair in data.items()
    }
    sites = np.where(np.arange(60) < 25, "A", "B")
    parts["test"] = pl.Dataset(*data["test"], groups=sites)
    found = quick(**parts, measures=[pl.Subgroups({"site": sites})], seeds=1)
    assert found.metrics[-1] == "subgroups.accuracy"
    assert found.row("plain", "subgroups.accuracy").value <= found.row("plain", "accuracy").value
    assert np.isnan(column(found, "validation", "subgroups.accuracy")).all(), "the groups are those of the test rows"


@pytest.fixture(scope="module")
def mixed(quick):
    """One recipe, and measures of every sort."""
    asked = [
        pl.RegressionCalibration(),
        pl.Subgroups("no such column"),
        pl.CalibrationError(),
        pl.CalibrationError(bins=5),
    ]
    return quick(recipes={"plain": pl.Recipe()}, measures=[*asked, pl.Insertion(steps=3, rankings=2)], seeds=1)


def test_a_measure_that_makes_no_sense_is_a_blank_with_its_reason(mixed):
    assert [mixed.row("plain", name).verdict for name in ("regression_calibration", "subgroups")] == ["blank"] * 2
    assert "no column" in mixed.blanks["plain: subgroups"]
    assert 0 <= mixed.row("plain", "calibration_error").value <= 1
    assert "–" in mixed.markdown()


def test_two_measures_of_one_name_are_numbered(mixed):
    assert mixed.metrics[-3:-1] == ("calibration_error", "calibration_error 2")


def test_a_check_becomes_the_faithfulness_it_finds(mixed):
    assert mixed.metrics[-1] == "faithfulness.insertion"
    assert mixed.quantities[-1].better == "higher"


def test_a_regression_is_judged_by_its_own_metrics(quick, data):
    def build():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        net.compile("sgd", "mse", jit_compile=keras.backend.backend() == "jax")
        return net

    real = {name: (x, x @ np.float32([1.0, -2.0, 0.5]) + np.float32(0.1)) for name, (x, _) in data.items()}
    found = quick(build=build, **real, seeds=1, measures=None)
    assert found.metrics[:4] == ("r2", "rmse", "gap.r2", "gap.rmse")
    assert "calibration_error" not in found.metrics
    x, y = real["test"]
    run = pl.improve(build, found.recipes["plain"], train=real["train"], validation=real["validation"], seed=0,
                     fit={"epochs": 2}, progress=False)  # fmt: skip
    predicted = run.model.keras.predict(x, verbose=0)[:, 0]
    assert column(found, "test", "r2")[1, 0] == pytest.approx(r2_score(y, predicted), rel=1e-4)


def test_where_every_training_fails_it_is_told_why(quick):
    def build():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        net.compile(keras.optimizers.SGD(1e6), "mse")
        return net

    with pytest.raises(TrainingDiverged, match=r"every training failed.* small with seed 0: diverged"):
        quick(build=build, fit={"epochs": 3})


def test_a_recipe_that_diverges_is_a_row_that_failed(quick, recipes):
    def build():
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        net.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=keras.backend.backend() == "jax")
        return net

    found = quick(build=build, recipes={"plain": pl.Recipe(), "wild": pl.Recipe(pl.L2(1e6))}, fit={"epochs": 3})
    assert found.row("wild", "rmse" if "rmse" in found.metrics else "log_loss").verdict == "failed"
    assert "2 of 2 trainings (seed 0, 1) diverged" in found.failures["wild"]
    assert found.selection.recipe == "plain"
    assert found.selection.left_out == ("wild",)
    assert "failed, so it is not judged" in found.effects[0]


def test_bad_options_are_named(quick, data, tmp_path):
    for other, told in (
        ({"recipes": {}}, "by name"), ({"recipes": {"l2": pl.L2}}, r"expected a Recipe or a remedy .*write pl.L2\(\)"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"seeds": 0}, "at least 1"), ({"seeds": 2.5}, "seeds"), ({"measures": [pl.CalibrationError]}, "with its brackets"),
        ({"measures": "calibration_error"}, "measures"), ({"level": 95}, "level"), ({"workers": 0}, "workers"),
    ):  # fmt: skip
        with pytest.raises(InvalidOption, match=told):
            quick(**other)
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableOutput, match="cannot write"):
        quick(folder=tmp_path / "file")


def test_a_bare_remedy_is_a_recipe_of_it(quick):
    found = quick(recipes={"plain": pl.Recipe(), "l2": pl.L2(0.5)}, seeds=1)
    same = quick(recipes={"plain": pl.Recipe(), "l2": pl.Recipe(pl.L2(0.5))}, seeds=1)
    assert found.recipes == same.recipes
    np.testing.assert_array_equal(found.scores["test"], same.scores["test"])


def test_data_that_cannot_judge_are_refused(quick, data):
    with pytest.raises(InvalidInput, match="judge on"):
        quick(validation=None, test=None)
    with pytest.raises(InvalidInput, match="test: 30 of its 30 examples are copies of validation"):
        quick(test=data["validation"])
    with pytest.raises(InvalidInput, match="test: 60 of its 60 examples are copies of train"):
        quick(test=data["train"])
    with pytest.raises(InvalidInput, match="test: the example 7"):
        ids = {"train": np.arange(60), "test": np.arange(7, 67)}
        quick(**{name: pl.Dataset(*data[name], ids=ids[name]) for name in ids})
    with pytest.raises(InvalidInput, match="no labels"):
        quick(test=data["test"][0])


def test_a_remedy_that_has_no_place_says_which_recipe(quick):
    from pellucid.errors import PellucidError

    with pytest.raises(PellucidError, match="recipe 'odd', seed 0"):
        quick(recipes={"plain": pl.Recipe(), "odd": pl.Recipe(pl.AttentionEntropy(0.1))})


def test_stopping_keeps_what_every_recipe_has_finished(quick, monkeypatch, tmp_path):
    from pellucid.study import workers

    real, left = workers.trial, []

    def stopping(plan, name, seed):
        if not left.pop():
            raise KeyboardInterrupt
        return real(plan, name, seed)

    monkeypatch.setattr(workers, "trial", stopping)
    left[:] = [False, True, True, True]
    found = quick()
    assert (found.interrupted, found.seeds, found.scores["test"].shape) == (True, (0,), (2, 1, 4))
    assert "3 of 4 trainings were finished" in found.notes[0]
    left[:] = [False, True]
    told = r"1 of 4 trainings were finished and are kept: the same call with folder="
    with pytest.raises(KeyboardInterrupt, match=told):
        quick(folder=tmp_path / "runs")
    monkeypatch.setattr(workers, "trial", real)
    whole = quick(folder=tmp_path / "runs")
    assert (whole.interrupted, whole.seeds) == (False, (0, 1))
    np.testing.assert_array_equal(whole.scores["test"][:, :1], found.scores["test"])


def test_a_training_that_was_interrupted_ends_the_comparison(quick, monkeypatch):
    from dataclasses import replace

    from pellucid.study import trial

    real = trial.improve
    monkeypatch.setattr(trial, "improve", lambda *a, **k: replace(real(*a, **k), interrupted=True))
    with pytest.raises(KeyboardInterrupt, match="0 of 4"):
        quick()
