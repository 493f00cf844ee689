"""Whether the model knows when it does not know."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

_SAID = {
    "better than random": (
        "good",
        "It is less sure where it is wrong",
        "Let a person answer where the model is least sure.",
    ),
    "no better than random": (
        "warning",
        "It is not shown to be less sure where it is wrong",
        "Do not use a confidence threshold to send rows to a person until this is settled.",
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


def selective(evidence: Evidence) -> Iterator[Finding]:
    """Does its confidence tell right answers from wrong ones?"""
    found = evidence.measured("selective_risk")
    severity, title, step = _SAID.get(found.verdict, ("note", "How its errors lie along its confidence", ""))
    errors = found.detail.get("random")
    reference = None if errors is None else (float(errors), "random order")
    limits = "A threshold chosen on these rows keeps its error rate on new ones only within the interval."
    yield Finding(
        "PL-SEL-001", severity, title, explained(found), found.value, found.interval, reference, "%", limits, step
    )
