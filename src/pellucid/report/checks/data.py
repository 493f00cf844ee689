"""Whether the labels can be believed, and what the model keeps of single rows."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.core.numbers import counted
from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

SURE = 0.5
"""Rows are worth looking at where surely so many of those named are wrong."""

GRAVE = 0.2
"""An attacker's advantage surely above this limits where the model can be handed out."""


def labels(evidence: Evidence) -> Iterator[Finding]:
    """Are some labels wrong?"""
    found = evidence.measured("label_errors")
    if found.verdict != "label errors" or found.detail["precision"]["interval"].low < SURE:
        return
    named = counted(len(found.detail["rows"]), "row")
    yield Finding(
        "PL-LAB-001", "warning", "Some labels of the test rows are probably wrong", explained(found), found.value, found.interval,
        (0.0, "none"), "%", "A wrong label and a rare case look the same; errors that the training labels had too are not seen.",
        f"Look at the {named} named in the record, the first ones first, and measure again with the right labels.",
    )  # fmt: skip


def memory(evidence: Evidence) -> Iterator[Finding]:
    """Can it be told which rows it was trained on?"""
    found = evidence.measured("memorization")
    if found.verdict != "remembers" or found.interval is None:
        return
    grave = found.interval.low > GRAVE
    yield Finding(
        "PL-MEM-001", "warning" if grave else "note", "Its losses tell which rows it was trained on", explained(found),
        found.value, found.interval, (0.0, "guessing"), "points",
        "Test rows that are harder, or drawn elsewhere, look so without any memory.",
        "Before the model is handed out where training rows are private, train with a stronger penalty or for less long.",
    )  # fmt: skip
