"""Whether the model's confidence can be taken at its word."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

SMALL, UNSETTLED, GRAVE = 0.02, 0.05, 0.15
"""Errors surely below the first do not matter, surely above the last are critical; one that may exceed the second is
not called calibrated."""

_TITLES = {
    "calibrated": "Its confidence can be taken at its word",
    "over-confident": "It is more sure than it is right",
    "under-confident": "It is more often right than it is sure",
    "miscalibrated": "Its confidence does not match how often it is right",
}
_REMEDY = "Recalibrate on rows held out for it (temperature scaling), then measure again on others."


def calibration(evidence: Evidence) -> Iterator[Finding]:
    """When it says 90 %, is it right nine times in ten?"""
    found = evidence.measured("calibration_error")
    low, high = found.interval or (found.value or 0.0, found.value or 0.0)
    severity, step = "warning", _REMEDY
    if high <= SMALL or found.verdict == "calibrated":
        severity, step = "good", "Keep an eye on it: calibration is the first thing to go when the data change."
    elif low > GRAVE:
        severity = "critical"
    elif found.verdict == "under-confident":
        severity = "note"
    title = _TITLES.get(found.verdict, "How far its confidence can be taken at its word")
    if severity == "good" and found.verdict != "calibrated":
        title = "Its confidence is off, by too little to matter"
    if found.verdict == "calibrated" and high > UNSETTLED:
        severity, title = "note", "No calibration error is shown, and a large one is not ruled out"
        step = "More test rows would narrow the interval until it settles the question."
    limits = (
        "About the confidence of the answer given, averaged over rows like the test rows; groups of rows may differ."
    )
    reference = (0.0, "calibrated")
    yield Finding(
        "PL-CAL-001", severity, title, explained(found), found.value, found.interval, reference, "points", limits, step
    )


_SETS = {
    "covers": ("good", "Sets of answers would keep their promise", "Calibrate again when the data change."),
    "covers, but not every class": (
        "note",
        "Sets of answers would fail some classes",
        "Calibrate class by class, or tell that the promise is about all rows together.",
    ),
    "covers, but not every group": (
        "warning",
        "Sets of answers would fail some groups",
        "Calibrate group by group, or gather more rows of the groups named.",
    ),
}


_NARROW = "It is right more often than sets of answers promise"


def sets(evidence: Evidence) -> Iterator[Finding]:
    """Would sets of answers keep a promise of being right, for everybody?"""
    found = evidence.measured("conformal_coverage")
    severity, title, step = _SETS.get(
        found.verdict,
        ("warning", "Sets of answers would not keep their promise", "Look for groups of rows, ties, or a shift."),
    )
    if found.verdict == "over-covers":  # the promise is kept, and more than that
        severity, title = "note", "Sets of answers would be larger than they need be"
        step = "Ties between scores are the usual cause: take a finer score, or tell the coverage that was seen."
        if found.detail.get("size", {}).get("value", 2.0) <= 1:
            severity, title, step = "good", _NARROW, "Single answers will do; ask again when the data change."
    limits = "About rows drawn as the test rows are, on average over all of them: not after a shift, nor for each row."
    yield Finding(
        "PL-SET-001", severity, title, explained(found), found.value, found.interval, None, "%", limits, step
    )  # fmt: skip
