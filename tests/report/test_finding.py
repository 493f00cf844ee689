"""Findings are checked when they are made, and keep their order and their codes."""

import pytest

from pellucid.core.resampling import Interval
from pellucid.errors import InvalidOption
from pellucid.report.finding import CODES, Finding, by_severity, reference


def test_codes_stay_what_they_are():
    assert list(CODES) == [
        "PL-PER-001", "PL-PER-002", "PL-GEN-001", "PL-GEN-002", "PL-CAL-001", "PL-SET-001", "PL-SEL-001", "PL-ROB-001",
        "PL-ADV-001", "PL-LEA-001", "PL-LEA-002", "PL-LAB-001", "PL-MEM-001", "PL-SHI-001", "PL-DOM-001", "PL-SUB-001",
        "PL-SLI-001", "PL-EXP-001", "PL-EXP-002", "PL-TRU-001", "PL-ATT-001", "PL-AUD-001",
    ]  # fmt: skip


def test_figures_carry_their_unit():
    found = Finding("PL-GEN-001", "note", "t", "e", 0.035, Interval(0.002, 0.087), unit="points")
    assert (found.figure, found.span) == ("3.5\u00a0points", "0.2\u00a0to\u00a08.7\u00a0points")
    assert Finding("PL-TRU-001", "note", "t", "e", 0.43, Interval(0.39, 0.48)).figure == "0.43"


def test_what_is_not_a_finding_is_refused():
    with pytest.raises(InvalidOption, match="severity"):
        Finding("PL-GEN-001", "bad", "t", "e")
    with pytest.raises(InvalidOption, match="PL-XXX-001"):
        Finding("PL-XXX-001", "note", "t", "e")
    with pytest.raises(InvalidOption, match="unit"):
        Finding("PL-GEN-001", "note", "t", "e", unit="percent")


def test_the_gravest_come_first():
    made = [Finding(code, severity, "t", "e") for code, severity in
            [("PL-TRU-001", "good"), ("PL-PER-001", "good"), ("PL-CAL-001", "critical"), ("PL-GEN-001", "note")]]  # fmt: skip
    assert [f.code for f in by_severity(made)] == ["PL-CAL-001", "PL-GEN-001", "PL-PER-001", "PL-TRU-001"]


def test_the_reference_page_lists_every_code():
    page = reference()
    assert all(f"## {code}\n\n{kind.question}" in page for code, kind in CODES.items())
