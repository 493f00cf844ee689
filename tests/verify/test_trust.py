"""The verdict: every rule of it, one by one."""

import pytest

from pellucid.core.measurement import Measurement
from pellucid.verify.trust import BETTER, CHANGES, LIKE, PARTLY, UNCHANGED, UNCLEAR, WORSE, judge


def results(*verdicts):
    return [Measurement("deletion", 0.3 if v != "not applicable" else None, verdict=v) for v in verdicts]


@pytest.mark.parametrize(
    ("verdicts", "converged", "expected", "reason"),
    [
        ([BETTER, BETTER, CHANGES], 1.0, "trusted", "beats random rankings"),
        ([BETTER, CHANGES], 0.9, "doubtful", "only 90.0\u202f% of the examples"),
        ([BETTER], 1.0, "doubtful", "not checked against random weights"),
        ([CHANGES], 1.0, "doubtful", "not compared with random rankings"),
        ([BETTER, UNCLEAR, CHANGES], 1.0, "doubtful", "is unclear"),
        ([BETTER, LIKE, CHANGES], 1.0, "doubtful", "is like random"),
        ([BETTER, PARTLY], 1.0, "doubtful", "only partly changes"),
        ([LIKE, LIKE, CHANGES], 1.0, "refuted", "random ranking does as well"),
        ([BETTER, WORSE, CHANGES], 1.0, "refuted", "worse than a random ranking"),
        ([BETTER, BETTER, UNCHANGED], 1.0, "refuted", "stays the same"),
        (["not applicable"], 1.0, "doubtful", "not compared with random rankings"),
        ([], 1.0, "doubtful", "not compared"),
    ],
)
def test_rules(verdicts, converged, expected, reason):
    verdict, why = judge(results(*verdicts), converged)
    assert verdict == expected
    assert reason in why
