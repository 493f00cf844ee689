"""Gates: limits are read strictly and held against the right end of the interval."""

import pytest

from pellucid.cli.gate import Limit, Number, judge, numbers, read_gate, summary
from pellucid.core.measurement import Measurement
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidOption, UnknownName, UnreadableFile

ACCURACY = {"performance.accuracy": Number(0.92, Interval(0.87, 0.95))}


def gate(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return read_gate(path)


def test_a_gate_is_read(tmp_path):
    found = gate(tmp_path, "gap.accuracy: {max: 0.05}\nperformance.accuracy: {min: 1, bound: low}\n")
    assert found == {"gap.accuracy": Limit(max=0.05), "performance.accuracy": Limit(min=1.0, bound="low")}


@pytest.mark.parametrize(
    "text, error, told",
    [
        ("gap.accuracy: {maks: 0.05}", UnknownName, "did you mean 'max'"),
        ("gap.accuracy: {max: high}", InvalidOption, "gap.accuracy.max"),
        ("gap.accuracy: {max: .nan}", InvalidOption, "expected numbers, min at most max"),
        ("gap.accuracy: {min: 1, max: 0}", InvalidOption, "expected numbers, min at most max"),
        ("gap.accuracy: {max: true}", InvalidOption, "gap.accuracy.max"),
        ("gap.accuracy: {max: 0.05, bound: middle}", InvalidOption, "gap.accuracy.bound"),
        ("gap.accuracy: {bound: low}", InvalidOption, "give min, max or both"),
        ("gap.accuracy: 0.05", InvalidOption, "expected {min"),
        ("", InvalidOption, "expected limits by name"),
        ("- 1", InvalidOption, "expected limits by name"),
        ("gap.accuracy: {max: 0.05\nb: [", UnreadableFile, "line 2"),
    ],
)
def test_a_wrong_gate_says_where_and_what(tmp_path, text, error, told):
    with pytest.raises(error) as problem:
        gate(tmp_path, text)
    assert told in str(problem.value)
    assert "gate.yaml" in str(problem.value)


def test_a_gate_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_gate(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "limit, passed, compared",
    [
        (Limit(min=0.9), True, 0.92),
        (Limit(min=0.9, bound="low"), False, 0.87),
        (Limit(min=0.93, bound="high"), True, 0.95),
        (Limit(max=0.93), True, 0.92),
        (Limit(max=0.93, bound="high"), False, 0.95),
        (Limit(min=0.92, max=0.92), True, 0.92),
        (Limit(min=0.95, max=0.99), False, 0.92),
    ],
)
def test_the_right_end_is_compared(limit, passed, compared):
    (outcome,) = judge({"performance.accuracy": limit}, ACCURACY)
    assert (outcome.passed, outcome.compared) == (passed, compared)


def test_what_could_not_be_measured_does_not_pass():
    unknown = {"gap.accuracy": Number(None, None), "leakage.rows": Number(0.0, None)}
    found = judge({"gap.accuracy": Limit(max=1), "leakage.rows": Limit(max=1, bound="high")}, unknown)
    assert [(o.passed, o.reason) for o in found] == [(False, "could not be measured"), (False, "has no interval")]


def test_an_unknown_number_offers_the_nearest():
    with pytest.raises(UnknownName, match=r"did you mean 'performance\.accuracy'"):
        judge({"performance.acuracy": Limit(min=0.9)}, ACCURACY)


def test_parts_of_a_measurement_can_be_limited():
    parts = {"explanation": "words", "auroc": {"value": 0.99, "interval": Interval(0.98, 1.0)}, "curve": {"x": [1]}}
    measured = [Measurement("performance.accuracy", 0.92, Interval(0.87, 0.95), detail=parts)]
    found = numbers(measured)
    assert set(found) == {"performance.accuracy", "performance.auroc"}
    assert found["performance.auroc"].value == 0.99
    assert found["performance.auroc"].interval == Interval(0.98, 1.0)


def test_outcomes_in_plain_keys():
    assert summary(judge({"performance.accuracy": Limit(min=0.95)}, ACCURACY)) == [
        {
            "name": "performance.accuracy",
            "min": 0.95,
            "bound": "value",
            "compared": 0.92,
            "passed": False,
            "reason": "too low",
        }
    ]
