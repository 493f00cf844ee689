"""TODO."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding


def robustness(evidence: Evidence) -> Iterator[Finding]:
    """robustness?"""
    found = evidence.measured("robustness")
    yield Finding("PL-ROB-001", "note", "rob", explained(found), found.value, found.interval, None, True)
