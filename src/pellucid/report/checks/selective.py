"""Whether the model knows when it does not know."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.core.measurement import Measurement
from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

_SAID = {
    "better than random": (
        "good",
        "It is less sure where it is wrong",
        "Let a person answer where the model is least sure.",
    ),
    "no better than random": (
        "note",
        "It is not shown to be less sure where it is wrong",
        "Do not use a confidence threshold to send rows to a person until more rows have settled this.",
    ),
    "too few errors to tell": (
        "note",
        "It makes too few errors to tell whether its confidence warns of them",
        "Test on more rows, and on harder ones, before a confidence threshold sends rows to a person.",
    ),
    "worse than random": (
        "critical",
        "It is surer where it is wrong",
        "Do not use its confidence; look for mislabelled rows or rows unlike the training data.",
    ),
    "no errors": (
        "note",
        "It made no error that its confidence could have warned of",
        "Test on more rows, and on harder ones.",
    ),
}

IDLE = 0.5
"""Confidence hardly warns of errors where it surely gains less than this share of what the best order would."""


def selective(evidence: Evidence) -> Iterator[Finding]:
    """Does its confidence tell right answers from wrong ones?"""
    found = evidence.measured("selective_risk")
    severity, title, step = _SAID.get(found.verdict, ("note", "How its errors lie along its confidence", ""))
    if found.verdict == "no better than random" and _idle(found):
        severity, title = "warning", "Its confidence hardly warns of its errors"
        step = "Do not use a confidence threshold to send rows to a person."
    errors = found.detail.get("random")
    reference = None if errors is None else (float(errors), "random order")
    limits = "A threshold chosen on these rows keeps its error rate on new ones only within the interval."
    yield Finding(
        "PL-SEL-001", severity, title, explained(found), found.value, found.interval, reference, "%", limits, step
    )


def _idle(found: Measurement) -> bool:
    """Whether confidence surely gains little: more rows would not change that."""
    gain = found.detail["gain"]
    return gain["interval"].high < IDLE * (gain["value"] + found.detail["excess"])
