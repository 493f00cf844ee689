"""TODO."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding


def leakage(evidence: Evidence) -> Iterator[Finding]:
    """leakage?"""
    found = evidence.measured("leakage")
    yield Finding("PL-LEA-001", "note", "lea", explained(found), found.value, found.interval, None, True)
