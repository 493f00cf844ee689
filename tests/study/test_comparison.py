"""How a recipe is chosen is recorded, choices in hindsight are called what they are, and side effects are put in words."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, span
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidOption, NotApplicable, UnknownName
from pellucid.study.assembly import assembled
from pellucid.study.trial import Plan, Trial

RECIPES = {"plain": pl.Recipe(), "mixed": pl.Recipe(pl.L2(0.1)), "still": pl.Recipe(pl.L1(0.1))}
SIZES = {"train": 100, "validation": 50, "test": 200}


def error(value):
    return (Measurement("calibration_error", value, better="lower", share=True),)


@pytest.fixture
def made():
    """A comparison of scores made by hand: `test` and `validation` have accuracy and calibration error by recipe and seed."""

    def of(validation=None, test=None, seconds=None, failed=(), seeds=5, size=None, luck=0.002):
        draw = np.random.default_rng(1)
        data = {part: pl.Dataset(np.zeros((n, 1)), np.arange(n) % 2) for part, n in SIZES.items()}
        held = {"validation": validation, "test": test}
        parts = {part: data[part] for part in SIZES if part == "train" or held[part] is not None}
        plan = Plan(lambda: None, RECIPES, tuple(range(seeds)), parts, [pl.CalibrationError()])
        done = []
        for name, seed in plan.tasks:
            shift = draw.normal(0, 1) * luck
            quality = {
                p: {"accuracy": m[name][0] + shift, "log_loss": 1 - m[name][0] - shift} for p, m in held.items() if m
            }
            errors = {p: error(m[name][1] + shift) for p, m in held.items() if m}
            why = "diverged: the loss became nan" if name in failed and seed == 2 else ""
            seen = {"train": {"accuracy": 0.95, "log_loss": 0.05}, **quality}
            took = (seconds or {}).get(name, 1.0) * (1 + abs(shift))
            numbers = (size or {}).get(name, (7, 6))
            done.append(Trial(name, seed, {} if why else seen, {} if why else errors, took, *numbers, failed=why))
        return assembled(plan, done, 0.95)

    return of


VALIDATION = {"plain": (0.80, 0.05), "mixed": (0.82, 0.08), "still": (0.80, 0.05)}
TEST = {"plain": (0.79, 0.05), "mixed": (0.81, 0.08), "still": (0.83, 0.05)}


def test_the_choice_is_made_on_validation_and_read_once_on_test(made):
    found = made(VALIDATION, TEST)
    choice = found.selection
    assert (choice.recipe, choice.on, choice.quantity, choice.among, choice.oracle) == (
        "mixed",
        "validation",
        "log_loss",
        3,
        False,
    )
    losses = found.scores["test"][1, :, found.metrics.index("log_loss")]
    assert choice.score == pytest.approx(losses.mean())
    assert choice.score in choice.interval
    assert "the lowest mean log loss of 3 recipes over 5 seeds on 50 validation examples" in choice.statement
    assert "200 test examples, which had no part in the choice" in choice.statement
    assert choice.statement in found.statement
    assert found.best() == "mixed"
    assert found.best("calibration_error") in ("plain", "still")
    assert choice.means == pytest.approx({n: 1 - v[0] for n, v in VALIDATION.items()}, abs=0.01)


def test_a_choice_on_test_data_is_refused_unless_called_an_oracle(made):
    found = made(VALIDATION, TEST)
    with pytest.raises(NotApplicable, match=r"too good.*oracle=True"):
        found.selected(on="test")
    oracle = found.selected(on="test", oracle=True)
    assert (oracle.recipe, oracle.oracle) == ("still", True)
    assert str(oracle).startswith("ORACLE, a diagnostic and no result: still")
    assert "The choice on validation data is mixed" in str(oracle)
    with pytest.raises(InvalidOption, match="oracle"):
        found.selected(oracle=True)
    with pytest.raises(InvalidOption, match="on"):
        found.selected(on="train")


def test_without_validation_data_nothing_is_chosen(made):
    found = made(None, TEST)
    assert found.selection is None
    assert "No recipe was selected" in found.statement
    with pytest.raises(NotApplicable, match="no validation data"):
        found.best()
    assert found.selected(on="test", oracle=True).recipe == "still"


def test_a_choice_without_test_data_is_worth_little(made):
    found = made(VALIDATION, None)
    assert (found.judged, found.selection.score) == ("validation", None)
    assert "too good" in found.selection.statement
    with pytest.raises(NotApplicable, match="no test data"):
        found.selected(on="test", oracle=True)


def test_a_quantity_to_choose_by_must_have_a_better_way(made):
    with pytest.raises(UnknownName, match="accuracy"):
        made(VALIDATION, TEST).best("acuracy")


def test_side_effects_are_called_out(made):
    found = made(VALIDATION, TEST, seconds={"mixed": 1.8})
    told = dict(line.split(": ", 1) for line in found.effects)
    assert list(told) == ["mixed", "still"]
    gains, costs = told["mixed"].split("; but ")
    rise, price = (found.row("mixed", name) for name in ("accuracy", "calibration_error"))
    around = lambda row: span(Interval(*(100 * end for end in row.difference_interval)))  # noqa: E731
    assert f"accuracy +{figure(100 * rise.difference, rise.difference_interval)[:3]}" in gains
    assert f"points [{around(rise)}], log loss −0.02" in gains
    assert f"calibration error +{figure(100 * price.difference)[:3]}" in costs
    assert f"points [{around(price)}]" in costs
    assert "1.80 times the training time" in costs
    assert "but" not in told["still"]
    assert "training time" not in told["still"]


def test_nothing_shown_says_how_much_is_ruled_out(made):
    same = dict.fromkeys(RECIPES, (0.8, 0.05))
    told = made(same, same).effects[0]
    assert told.startswith("mixed: no difference shown in 5 quantities, and accuracy may differ by −0.")
    told = made(same, same, seeds=1).effects[0]
    assert told == "mixed: no difference shown in 5 quantities; with 1 seed accuracy may differ by any amount."


def test_two_seeds_do_not_rule_out_more_than_there_can_be(made):
    same = dict.fromkeys(RECIPES, (0.6, 0.05))
    found = made(same, same, seeds=2, luck=0.3)
    assert found.effects[0].endswith("; with 2 seeds accuracy may differ by any amount.")
    assert [*found.row("mixed", "accuracy").difference_interval] == [-1, 1]


def test_seeds_that_agree_are_no_proof_that_others_would(made):
    same = dict.fromkeys(RECIPES, (0.8, 0.05))
    told = made(same, same, luck=0.0).effects[0]
    assert told == "mixed: no difference shown in 5 quantities; accuracy is the same with all 5 seeds."


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((70, 60), "10.0 times the parameters"), ((7, 3), "0.500 times the parameters that are not zero"), ((7, 6), "")],
)
def test_size_is_told_once_and_zeros_where_they_are_many(made, numbers, told):
    found = made(VALIDATION, TEST, size={"mixed": numbers}).effects[0]
    assert "parameters" not in found if not told else told in found
    assert found.count("parameters") == bool(told)


def test_a_smaller_gap_beside_a_worse_quality_is_no_gain(made):
    worse = {**TEST, "mixed": (0.7, 0.05)}
    found = made(VALIDATION, worse)
    scores = {k: np.array(v) for k, v in found.scores.items()}
    assert found.row("mixed", "gap.accuracy").verdict == "worse", "training quality is the same"
    assert "nothing is shown to be better" in found.effects[0]
    from dataclasses import replace

    rows = tuple(
        replace(r, verdict="better") if r.metric.startswith("gap") and r.recipe == "mixed" else r for r in found.rows
    )
    told = replace(found, rows=rows, scores=scores).effects[0]
    assert "; but" not in told
    assert "smaller only as training quality fell" in told


def test_a_recipe_that_failed_cannot_be_chosen(made):
    found = made(VALIDATION, TEST, failed=("mixed",))
    assert found.selection.left_out == ("mixed",)
    assert found.selection.recipe != "mixed"
    assert found.row("mixed", "accuracy").verdict == "failed"
    assert "1 of 5 trainings (seed 2) diverged" in found.effects[0]
    assert found.row("still", "accuracy").verdict == "better"


def test_the_reference_may_fail_with_a_seed(made):
    found = made(VALIDATION, TEST, failed=("plain",))
    row = found.row("still", "accuracy")
    assert (row.seeds, row.note) == (4, "of 4 of 5 seeds")


def test_it_reads_and_is_saved(made, found, tmp_path):
    for i, each in enumerate((made(VALIDATION, TEST, failed=("mixed",)), made(None, TEST), found)):
        each.save(tmp_path / str(i))
        back = pl.Comparison.load(tmp_path / str(i))
        assert back == each
        assert str(back) == str(each)
        assert back.effects == each.effects
    assert "no recipe saw" in str(found)


def test_time_is_a_ratio_of_pairs(made):
    ratio, interval = made(VALIDATION, TEST, seconds={"mixed": 2.0}).time("mixed")
    assert ratio == pytest.approx(2, rel=0.01)
    assert ratio in interval
