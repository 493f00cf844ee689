"""`pellucid compare`: recipes read without running anything, a page, and a training that is not made twice."""

import json

import pytest

import pellucid as pl
from pellucid.cli import recipes
from pellucid.errors import InvalidOption, UnknownName


def test_recipes_are_read_from_the_registry():
    found = recipes.read(
        ["l2=L2(0.01)", "both = L2(strength=0.02) + dropout(0.3)+EarlyStopping(patience=3)", "bare=L1"]
    )
    assert list(found) == ["plain", "l2", "both", "bare"]
    assert found["plain"] == pl.Recipe()
    assert found["l2"] == pl.Recipe(pl.L2(0.01))
    assert found["both"] == pl.Recipe(pl.Dropout(0.3), pl.L2(0.02), pl.EarlyStopping(patience=3))
    assert found["bare"] == pl.Recipe(pl.L1())
    assert list(recipes.read(["mine=plain", "l2=L2(0.1)"])) == ["mine", "l2"], "one that is plain is the reference"


@pytest.mark.parametrize(
    "text, problem, told",
    [
        ("L2(0.01)", InvalidOption, "expected NAME=REMEDY"), ("l2=", None, ""), ("x=L2(0.01", InvalidOption, "joined by"),
        ("x=L3(0.01)", UnknownName, "did you mean 'L2'"), ("x=Gap()", UnknownName, "no remedy named 'Gap'"),
        ("x=L2(__import__('os').getpid())", InvalidOption, "expected numbers or text"),
        ("x=L2(-1)", InvalidOption, "L2.strength"),
        ("x=__import__('os').system('true')", InvalidOption, "expected NAME=REMEDY"), ("x=L2(1, 2, 3, 4)", InvalidOption, "L2: "),
        ("x=L2(0.1)*2", InvalidOption, "expected NAME=REMEDY"), ("x=L2(0.1)+L2(0.2)", InvalidOption, "same thing"),
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_refused(text, problem, told):
    if problem is None:
        assert recipes.read([text]) == {"l2": pl.Recipe()}
        return
    with pytest.raises(problem, match=told):
        recipes.read([text])


def test_a_name_is_used_once():
    with pytest.raises(InvalidOption, match="two are called 'a'"):
        recipes.read(["a=L2(0.1)", "a=L2(0.2)"])


def test_a_comparison_of_a_file(pellucid_command, table, tmp_path):
    arguments = ("compare", table, "--target", "outcome", "-r", "strong=L2(0.5)", "--seeds", 2, "--epochs", 2, "--out", "mine",
                 "--workers", 1)  # fmt: skip
    ran = pellucid_command(*arguments)
    assert ran.code == 0, ran.err
    assert "strong" in ran.out
    assert "was selected" in ran.out
    saved = pl.Comparison.load("mine")
    assert list(saved.recipes) == ["plain", "strong"]
    assert {path.name for path in (tmp_path / "mine").iterdir()} >= {
        "index.html",
        "comparison.md",
        "ledger.svg",
        "trainings",
    }
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine" / "trainings").glob("*/record.json")}
    assert len(kept) == 4
    told = json.loads(pellucid_command(*arguments, "--json").out)
    assert told["rows"][0]["value"] == saved.rows[0].value
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "the second time nothing is trained"
    ran = pellucid_command(*arguments[:-4], "--out", "mine", "--workers", 1, "--epochs", 3)
    assert (ran.code, "another fit" in ran.err) == (2, True)


def test_a_wrong_recipe_is_bad_input(pellucid_command, table):
    ran = pellucid_command("compare", table, "-r", "x=Nonsense(3)")
    assert (ran.code, "no remedy named" in ran.err) == (2, True)
