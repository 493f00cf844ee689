"""Whether the test data are as unseen as they should be."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

GRAVE = 0.05
"""From this share of test rows found again on, every number of the audit is in doubt."""


def leakage(evidence: Evidence) -> Iterator[Finding]:
    """Are test rows also among the training rows?"""
    found = evidence.measured("leakage")
    share = float(found.value or 0.0)
    severity, title = "good", "No test row was found among the training rows"
    step = "Keep rows of one person, place or track on one side."
    if found.verdict == "leaks":
        severity = "critical" if share >= GRAVE else "warning"
        title = (
            "Test rows are also among the training rows" if share else "Groups of rows lie on both sides of the split"
        )
        step = "Take these rows out of one side, or split by group, and audit again: every number above is too good."
    limits = "Sees equal and nearly equal inputs; not the same person or scene under another appearance, unless groups say so."
    yield Finding(
        "PL-LEA-001", severity, title, explained(found), found.value, found.interval, (0.0, "none"), "%", limits, step
    )


def giveaway(evidence: Evidence) -> Iterator[Finding]:
    """Does a column give the label away?"""
    found = evidence.measured("target_leakage")
    if found.verdict == "no column gives the label away":
        return
    given = found.verdict == "a column gives the label away"
    title = "A column gives the label away" if given else "What is missing tells the label"
    yield Finding(
        "PL-LEA-002", "warning" if given else "note", title, explained(found), found.value, found.interval,
        limits="A good predictor is no proof of a leak; whether it is known when the model is asked, the data cannot tell.",
        next_step="Ask whether the column is filled in before the label is known; if not, leave it out and train again.",
    )  # fmt: skip
