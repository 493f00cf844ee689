"""Whether training ended where the loss is least."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding


def curvature(evidence: Evidence) -> Iterator[Finding]:
    """Did training end in a minimum of the loss?"""
    found = evidence.measured("curvature")
    if found.verdict != "negative curvature":
        return
    yield Finding(
        "PL-CUR-001", "note", "Training ended where the loss still curves down", explained(found), found.value, found.interval,
        limits="Stopping early on purpose also ends so; it says nothing of how well the model does.",
        next_step="If training was not stopped on purpose, train on, or with another step size, and see whether it does better.",
    )  # fmt: skip
