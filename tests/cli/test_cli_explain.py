"""`pellucid explain`: a readable answer, the same as in Python, and saved whole."""

import json

import keras
import numpy as np
import pytest

import pellucid as pl


@pytest.fixture
def model_file(tmp_path):
    """A linear model of the built-in table's 30 columns: its attributions are known exactly."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1, activation="sigmoid")])
    path = tmp_path / "linear.keras"
    model.save(path)
    return path


def test_a_linear_model_is_explained_exactly(pellucid_command, model_file):
    arguments = ("explain", "breast-cancer", "--model", model_file, "--rows", "0,5", "--of", "benign", "--out", "why")
    told = json.loads(pellucid_command(*arguments, "--json").out)
    train, test = pl.data.load("breast-cancer", seed=0)
    weights = keras.saving.load_model(model_file).layers[-1].kernel
    weights = np.asarray(keras.ops.convert_to_numpy(weights))[:, 0]
    assert [example["row"] for example in told["examples"]] == [0, 5]
    for example in told["examples"]:
        found = {part["input"]: part["attribution"] for part in example["inputs"]}
        x = test.x[example["row"]]
        exact = dict(zip(test.feature_names, weights * (x - train.x.mean(0)), strict=True))
        assert found == pytest.approx(exact, rel=1e-3, abs=1e-3)
        assert example["converged"]
    saved = pl.load("why")
    assert saved.method.tolerance == 0.02
    np.testing.assert_allclose(saved.values.sum(1), saved.output - saved.baseline_output, rtol=1e-3, atol=1e-2)


def test_the_table_shows_the_largest_first(pellucid_command, model_file):
    arguments = ("explain", "breast-cancer", "-m", model_file, "--method", "GradientInput", "--top", "3")
    told = pellucid_command(*arguments)
    assert told.code == 0
    assert "row 0: the score of" in told.out
    assert sum("█" in line for line in told.out.splitlines()) == 3
    assert "nothing was saved" in told.out


@pytest.mark.parametrize(
    "more, told",
    [
        (("--rows", "999"), "there is no row 999"),
        (("--method", "Nonsense"), "no method named"),
        (("-o", "steps=3"), "no option named 'steps'"),
        (("--of", "maybe"), "no output named 'maybe'"),
        (("--out", "/dev/null/why"), "cannot write"),
    ],
)
def test_bad_questions_are_bad_input(pellucid_command, model_file, more, told):
    ran = pellucid_command("explain", "breast-cancer", "--model", model_file, *more)
    assert ran.code == 2
    assert told in ran.err


def test_a_model_that_does_not_fit_the_data_is_told(pellucid_command, model_file):
    ran = pellucid_command("explain", "digits", "--model", model_file)
    assert ran.code == 2
    assert "the model takes (B, 30)" in ran.err
