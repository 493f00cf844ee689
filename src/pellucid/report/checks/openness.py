"""What an audit was asked and could not answer."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence
from pellucid.report.finding import Finding


def openness(evidence: Evidence) -> Iterator[Finding]:
    """Was everything looked at?"""
    if not evidence.failures:
        return
    told = "; ".join(f"{doing[0].lower()}{doing[1:]}: {reason.rstrip('.')}" for doing, reason in evidence.failures)
    told = told[0].upper() + told[1:]
    broken = any(reason.startswith("failed") for _, reason in evidence.failures)
    title = "Something could not be looked at" if broken else "Something was looked at in another way"
    yield Finding(
        "PL-AUD-001", "warning" if broken else "note", title, f"{told}.", limits="What was not looked at may hold anything.",
        next_step="Mend the cause and audit again.",
    )  # fmt: skip
