"""Each check calls things by the right name on both sides of its thresholds."""

import dataclasses

import numpy as np
import pytest

from pellucid.core.resampling import Interval
from pellucid.errors import NotApplicable
from pellucid.plot.ranking import Importance
from pellucid.report.checks import CHECKS
from pellucid.report.checks.attention import attention
from pellucid.report.checks.base import Evidence, run
from pellucid.report.checks.calibration import calibration, sets
from pellucid.report.checks.data import labels, memory
from pellucid.report.checks.explanation import concentration, exactness
from pellucid.report.checks.generalization import generalization, underfit
from pellucid.report.checks.leakage import giveaway, leakage
from pellucid.report.checks.openness import openness
from pellucid.report.checks.performance import performance
from pellucid.report.checks.robustness import attacks, robustness
from pellucid.report.checks.selective import selective
from pellucid.report.checks.shift import domains, shift, slices, subgroups
from pellucid.report.checks.trust import trust


def one(check, *measurements, **more):
    findings = list(check(Evidence(measurements=measurements, **more)))
    assert findings
    return findings[0]


@pytest.mark.parametrize(
    "ends, severity, words",
    [
        ((0.85, 0.95), "good", "right on"),
        ((0.55, 0.7), "warning", "not shown to beat"),
        ((0.3, 0.5), "critical", "worse than always"),
    ],
)
def test_performance_is_judged_against_the_commonest_class(measured, ends, severity, words):
    found = one(performance, measured("performance.accuracy", sum(ends) / 2, ends), commonest=("benign", 0.6))
    assert found.severity == severity
    assert words in found.title
    assert found.reference == (0.6, "commonest class")
    assert "60.0\u202f%" in found.evidence


def test_rare_classes_that_do_worse_are_pointed_out(measured):
    balanced = {"value": 0.7, "interval": Interval(0.6, 0.8)}
    made = measured("performance.accuracy", 0.9, (0.85, 0.95), balanced_accuracy=balanced)
    codes = [f.code for f in performance(Evidence((made,), commonest=("no", 0.8)))]
    assert codes == ["PL-PER-001", "PL-PER-002"]
    near = measured("performance.accuracy", 0.9, (0.85, 0.95), balanced_accuracy={**balanced, "value": 0.88})
    assert len(list(performance(Evidence((near,), commonest=("no", 0.8))))) == 1


def test_a_regression_no_better_than_the_mean(measured):
    assert one(performance, measured("performance.r2", 0.1, (-0.1, 0.3))).severity == "warning"
    assert one(performance, measured("performance.r2", 0.6, (0.5, 0.7))).severity == "note"


@pytest.mark.parametrize(
    "verdict, low, severity",
    [
        ("generalizes", -0.01, "good"), ("overfits", 0.01, "warning"), ("overfits", 0.11, "critical"),
        ("held-out is better", -0.2, "warning"), ("no gap found", -0.05, "note"),
    ],
)  # fmt: skip
def test_the_gap(measured, verdict, low, severity):
    found = one(generalization, measured("gap.accuracy", low + 0.02, (low, low + 0.05), verdict))
    assert (found.severity, found.unit) == (severity, "points")
    assert one(generalization, measured("gap.log_loss", 5.0, (4.0, 6.0), "overfits")).severity == "warning"


@pytest.mark.parametrize(
    "verdict, ends, severity",
    [
        ("calibrated", (0.0, 0.05), "good"), ("calibrated", (0.0, 0.2), "note"), ("over-confident", (0.03, 0.08), "warning"),
        ("over-confident", (0.16, 0.3), "critical"), ("miscalibrated", (0.005, 0.015), "good"),
        ("under-confident", (0.03, 0.1), "note"),
    ],
)  # fmt: skip
def test_calibration(measured, verdict, ends, severity):
    assert one(calibration, measured("calibration_error", sum(ends) / 2, ends, verdict)).severity == severity


@pytest.mark.parametrize(
    "verdict, severity",
    [
        ("better than random", "good"),
        ("no better than random", "note"),
        ("too few errors to tell", "note"),
        ("worse than random", "critical"),
        ("no errors", "note"),
    ],
)
def test_confidence_that_warns(measured, verdict, severity):
    gain = {"value": 0.02, "interval": Interval(-0.01, 0.05)}
    found = one(selective, measured("selective_risk", 0.02, (0.01, 0.05), verdict, random=0.08, gain=gain, excess=0.06))
    assert (found.severity, found.reference) == (severity, (0.08, "random order"))


@pytest.mark.parametrize(("high", "severity"), [(0.03, "warning"), (0.05, "note")])
def test_confidence_is_warned_of_where_it_surely_gains_little(measured, high, severity):
    gain = {"value": 0.0, "interval": Interval(-0.02, high)}  # the best order would gain 0.08
    made = measured("selective_risk", 0.1, (0.08, 0.12), "no better than random", random=0.1, gain=gain, excess=0.08)
    assert one(selective, made).severity == severity


@pytest.mark.parametrize(
    "verdict, low, severity",
    [("robust", 0.0, "good"), ("fragile", 0.1, "note"), ("fragile", 0.26, "warning"), ("undecided", 0.0, "note")],
)
def test_robustness(measured, verdict, low, severity):
    found = one(robustness, measured("corruption_robustness", low, (low, low + 0.1), verdict))
    assert found.severity == severity
    assert "the best possible model loses quality too" in found.limits


def test_what_is_left_under_disturbance_is_not_what_is_lost(measured):
    made = measured("corruption_robustness.accuracy", 0.8, (0.7, 0.9), "fragile", clean=0.95, quality="accuracy")
    found = one(robustness, dataclasses.replace(made, better="higher"))
    assert (found.severity, found.unit, found.reference) == ("note", "%", (0.95, "undisturbed"))


@pytest.mark.parametrize(
    ("low", "highs", "severity"),
    [(0.1, (0.9, 0.5, 0.4), "warning"), (0.3, (0.9, 0.5, 0.4), "critical"), (0.1, (0.9, 0.7, 0.5), "note")],
)
def test_worse_than_without_an_input_is_more_than_any_model_must_lose(measured, low, highs, severity):
    parts = {"noise": {"left_high": np.array(highs)}, "blur": {"left_high": np.ones(3)}}
    made = measured(
        "corruption_robustness", low, (low, low + 0.1), "fragile", corruptions=parts, severities=np.arange(3)
    )
    found = one(robustness, made, commonest=("no", 0.6))
    assert found.severity == severity
    assert ("Under noise it surely does worse than always answering “no”." in found.evidence) == (severity != "note")
    assert one(robustness, made).severity == ("warning" if low > 0.25 else "note")  # an R2 of 0.4 beats the mean


@pytest.mark.parametrize(
    "verdict, share, severity",
    [
        ("no leak found", 0.0, "good"),
        ("leaks", 0.01, "warning"),
        ("leaks", 0.05, "critical"),
        ("leaks", 0.0, "warning"),
    ],
)
def test_leakage(measured, verdict, share, severity):
    found = one(leakage, measured("leakage", share, (0.0, share + 0.02), verdict))
    assert found.severity == severity
    assert ("Groups" in found.title) == (verdict == "leaks" and share == 0)


def explanation(done, error):
    from pellucid.explain.base import Explanation

    ones = np.ones(len(done))
    values = np.ones((len(done), 3))
    return Explanation(
        values, values, ones, ones, np.array(done), ones, values, error=None if error is None else np.array(error)
    )


def test_explanations_that_did_not_converge():
    assert one(exactness, explanation=explanation([True] * 20, [0.01] * 20)).severity == "good"
    assert one(exactness, explanation=explanation([True] * 19 + [False], [0.01] * 20)).severity == "note"
    assert one(exactness, explanation=explanation([True, False], [0.01, 0.4])).severity == "warning"
    with pytest.raises(NotApplicable, match="no estimate of its own error"):
        list(exactness(Evidence(explanation=explanation([True], None))))


@pytest.mark.parametrize("low, told", [(0.51, True), (0.5, False)])
def test_resting_on_one_input(low, told):
    shares = np.array([0.7, 0.2, 0.1])
    low_high = np.array([low, 0.1, 0.05]), shares + 0.1
    found = Importance(("a", "b", "c"), shares, *low_high, shares, *low_high, examples=50)
    findings = list(concentration(Evidence(importance=found)))
    assert [f.code for f in findings] == ["PL-EXP-002"] * told


@pytest.mark.parametrize(
    "verdict, severity",
    [("trusted", "good"), ("doubtful", "note"), ("refuted", "critical"), ("unverified", "warning")],
)
def test_trust(measured, verdict, severity):
    checks = (
        measured("deletion", 0.4, (0.3, 0.5), "x", random_curve=1),
        measured("insertion", 0.2, (0.1, 0.3), "x", random_curve=1),
    )
    found = one(trust, verification=checks, trust=(verdict, "why"), explanation=explanation([True], [0.0]))
    assert found.severity == severity
    if verdict != "unverified":
        assert found.value == 0.2  # the weakest of them stands for all


@pytest.mark.parametrize(
    ("name", "said", "severity"),
    [
        ("deletion", "unclear", "note"),
        ("deletion", "like random", "warning"),
        ("parameter_randomization", "partly changes", "warning"),
        ("attention_faithfulness", "not faithful", "note"),
    ],
)
def test_doubt_is_a_warning_where_something_speaks_against_the_explanation(measured, name, said, severity):
    better = measured("insertion", 0.4, (0.3, 0.5), "better than random", random_curve=1)
    about = {"about": "attention"} if name.startswith("attention") else {"random_curve": 1}
    checks = better, measured(name, 0.4, (0.3, 0.5), said, **about)
    found = one(trust, verification=checks, trust=("doubtful", "why"), explanation=explanation([True], [0.0]))
    assert found.severity == severity


def test_a_model_without_weights_is_no_warning(measured):
    better = measured("deletion", 0.4, (0.3, 0.5), "better than random", random_curve=1)
    none = measured("parameter_randomization", None, None, "not applicable", explanation="it has no weights")
    asked = {"verification": (better, none), "explanation": explanation([True], [0.0])}
    found = one(trust, trust=("doubtful", "it was not checked against random weights"), **asked)
    assert found.severity == "note"
    assert found.evidence.endswith("Not held against random weights: it has no weights.")


def test_what_failed_is_told():
    assert list(openness(Evidence())) == []
    assert one(openness, failures=[("Verifying", "failed: no")]).severity == "warning"
    assert one(openness, failures=[("Explaining", "another was used")]).severity == "note"


def test_checks_without_their_measurement_say_why(measured):
    findings, skipped = run(
        CHECKS, Evidence(measurements=[measured("gap", None, explanation="no training rows were given")])
    )
    assert findings == ()
    assert ("Does it do worse on new data than on what it was trained on?", "no training rows were given") in skipped
    assert ("Are test rows also among the training rows?", "leakage was not measured") in skipped


def test_too_few_rows_say_nothing_of_one_input():
    shares = np.array([0.9, 0.05, 0.05])
    found = Importance(("a", "b", "c"), shares, shares, shares, shares, shares, shares, examples=1)
    with pytest.raises(NotApplicable, match="1 explained row is too few"):
        list(concentration(Evidence(importance=found)))


def test_an_error_that_is_next_to_nothing_has_no_digits():
    found = one(exactness, explanation=explanation([True] * 3, [1e-6] * 3))
    assert found.value is None
    assert "below 0.100\u202f%" in found.evidence


@pytest.mark.parametrize(
    "verdict, numbers, severity, words",
    [
        ("faithful", (0.4, 0.6), "good", "shows what it answers by"),
        ("not faithful", (0.4, 0.1), "note", "does not show what it answers by"),
        ("not faithful", (0.02, 0.6), "note", "so it does not matter"),
        ("undecided", (0.4, 0.35), "note", "is not settled"),
    ],
)
def test_attention_is_told_with_both_numbers(attended, verdict, numbers, severity, words):
    made = attended(verdict, *numbers)
    (found,) = attention(Evidence(verification=(made,)))
    assert (found.code, found.severity, found.value) == ("PL-ATT-001", severity, numbers[1])
    assert words in f"{found.title} {found.evidence}"
    assert "In 20 rows" in found.evidence
    assert f"{numbers[0]:.2f} [" in found.evidence
    assert f"correlation of {numbers[1]:.2f} [" in found.evidence
    assert found.reference[0] == pytest.approx(1 / 3)


def test_attention_where_leaving_out_says_nothing(attended):
    (some,) = attention(Evidence(verification=(attended("faithful", 0.4, 0.6, idle=12),)))
    assert some.evidence.endswith(
        "In 12 of the 20 rows no single part moves the answer, so they say nothing about the order."
    )
    (none,) = attention(Evidence(verification=(attended("undecided", 0.4, None, idle=20),)))
    assert none.evidence.endswith(
        "In all 20 rows no single part moves the answer, so they say nothing about the order."
    )
    assert none.value is None


def test_attention_matters_more_where_the_explanations_are_made_of_it(attended):
    class Made:
        method = type("Reads", (), {"reads_attention": True})()

    (found,) = attention(Evidence(verification=(attended("not faithful", 0.4, 0.1),), explanation=Made()))
    assert found.severity == "warning"
    (good,) = attention(Evidence(verification=(attended("faithful", 0.4, 0.6),), explanation=Made()))
    assert good.severity == "good"


def test_without_attention_there_is_no_finding_about_it(measured):
    assert list(attention(Evidence(verification=(measured("deletion", 0.5),)))) == []
    none = measured("attention_faithfulness", None, None, "not applicable")
    with pytest.raises(NotApplicable, match="attention_faithfulness told"):
        list(attention(Evidence(verification=(none,))))


@pytest.mark.parametrize(
    ("verdict", "recording", "severity", "words"),
    [
        ("no shift found", [], "good", "No shift"),
        ("shift", [], "warning", "not drawn like"),
        ("shift", [{"column": "chol", "what": "0"}], "warning", "written down differently"),
    ],
)
def test_a_shift_says_whether_it_is_one_of_recording(measured, verdict, recording, severity, words):
    found = one(shift, measured("shift", 0.7, (0.6, 0.8), verdict, recording=recording))
    assert (found.severity, found.reference) == (severity, (0.5, "not to be told apart"))
    assert words in found.title


@pytest.mark.parametrize(
    ("verdict", "ends", "severity"),
    [
        ("drops", (0.05, 0.3), "warning"),
        ("drops", (0.12, 0.3), "critical"),
        ("holds", (-0.01, 0.01), "good"),
        ("no drop shown", (-0.1, 0.1), "note"),
    ],
)
def test_domains(measured, verdict, ends, severity):
    assert one(domains, measured("domain_gap.accuracy", sum(ends) / 2, ends, verdict)).severity == severity
    large = one(domains, measured("domain_gap.rmse", 3.0, (2.0, 4.0), "drops"))
    assert (large.severity, large.unit) == ("warning", "")  # without a scale of its own nothing is known to be large


@pytest.mark.parametrize(
    ("verdict", "ends", "severity"),
    [
        ("groups differ", (0.02, 0.2), "warning"),
        ("groups differ", (0.15, 0.3), "critical"),
        ("groups are alike", (0, 0.01), "good"),
        ("no difference shown", (0, 0.2), "note"),
    ],
)
def test_subgroups_are_judged_by_their_difference(measured, verdict, ends, severity):
    apart = {"value": sum(ends) / 2, "interval": Interval(*ends)}
    found = one(subgroups, measured("subgroups.accuracy", 0.6, (0.5, 0.7), verdict, disparity=apart))
    assert (found.severity, found.value, found.interval) == (severity, apart["value"], apart["interval"])


def test_wrong_labels_are_told_where_there_are_any(measured):
    sure = {"value": 0.8, "interval": Interval(0.6, 0.9)}
    found = one(labels, measured("label_errors", 0.1, (0.05, 0.15), "label errors", rows=np.arange(12), precision=sure))
    assert found.severity == "warning"
    assert "12 rows" in found.next_step
    vague = {"value": 0.2, "interval": Interval(0.1, 0.3)}
    assert not list(labels(Evidence((measured("label_errors", 0.1, (0.05, 0.15), "label errors", precision=vague),))))
    assert not list(labels(Evidence((measured("label_errors", 0.0, (0, 0.4), "cannot be told apart from hard rows"),))))


@pytest.mark.parametrize(("low", "severity"), [(0.05, "note"), (0.3, "warning")])
def test_a_memory_of_rows_counts_by_how_much_it_gives_away(measured, low, severity):
    assert one(memory, measured("memorization", low + 0.05, (low, low + 0.1), "remembers")).severity == severity
    assert not list(memory(Evidence((measured("memorization", 0.01, (-0.1, 0.1), "no memory shown"),))))


@pytest.mark.parametrize(
    ("verdict", "severity"),
    [
        ("not robust", "warning"),
        ("gradients are masked", "warning"),
        ("withstands these attacks", "good"),
        ("undecided", "note"),
    ],
)
def test_attacks(measured, verdict, severity):
    found = one(attacks, measured("adversarial_robustness", 0.4, (0.3, 0.5), verdict, clean=0.9))
    assert (found.severity, found.reference) == (severity, (0.9, "without attack"))


@pytest.mark.parametrize(
    ("verdict", "severity"),
    [
        ("covers", "good"),
        ("covers, but not every class", "note"),
        ("covers, but not every group", "warning"),
        ("under-covers", "warning"),
        ("over-covers", "note"),
    ],
)
def test_sets(measured, verdict, severity):
    assert one(sets, measured("conformal_coverage", 0.9, (0.86, 0.93), verdict)).severity == severity


@pytest.mark.parametrize(("size", "severity"), [(1.0, "good"), (1.4, "note")])
def test_sets_of_one_answer_that_cover_more_than_promised_are_good(measured, size, severity):
    found = one(sets, measured("conformal_coverage", 1.0, (0.98, 1.0), "over-covers", size={"value": size}))
    assert found.severity == severity


def test_underfitting_is_told_by_how_far_training_rows_are_from_the_least_error(measured):
    above = {"value": 0.1, "interval": Interval(0.05, 0.15)}
    found = one(underfit, measured("fit", 0.2, (0.1, 0.3), "underfits and overfits", above_floor=above))
    assert (found.value, found.severity) == (0.1, "warning")
    assert not list(underfit(Evidence((measured("fit", 0.2, (0.1, 0.3), "overfits"),))))


def test_a_column_that_gives_the_label_away(measured):
    made = lambda verdict: measured("target_leakage", 0.99, (0.98, 1.0), verdict)  # noqa: E731
    assert one(giveaway, made("a column gives the label away")).severity == "warning"
    assert one(giveaway, made("missing values tell the label")).severity == "note"
    assert not list(giveaway(Evidence((made("no column gives the label away"),))))


def test_slices_are_noted_where_they_were_confirmed(measured):
    found = one(slices, measured("slices.error", 0.2, (0.1, 0.3), "a slice is served worse"))
    assert (found.severity, found.unit) == ("note", "points")
    assert one(slices, measured("slices.squared_error", 3.0, (1, 5), "a slice is served worse")).unit == ""
    assert not list(slices(Evidence((measured("slices.error", 0.2, (-0.1, 0.3), "no slice confirmed"),))))
