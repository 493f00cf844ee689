"""What a check is given, and how checks are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.measurement import Measurement
from pellucid.errors import NotApplicable
from pellucid.plot.ranking import Importance
from pellucid.report.finding import Finding, by_severity

NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Evidence:
    """Everything an audit has gathered.

    Attributes:
        measurements: What was measured.
        verification: What was checked about the explanation.
        trust: What the verification amounts to, and why.
        explanation: The explanation of a sample of test rows, or None.
        importance: Which inputs count over that sample, or None.
        commonest: Name of the commonest class of the test rows and its share, or None for a regression.
        failures: What could not be done: what it was, and why.
    """

    measurements: Sequence[Measurement] = ()
    verification: Sequence[Measurement] = ()
    trust: tuple[str, str] = ("unverified", "")
    explanation: Any = None
    importance: Importance | None = None
    commonest: tuple[str, float] | None = None
    failures: Sequence[tuple[str, str]] = ()

    def measured(self, family: str) -> Measurement:
        """The measurement called `family` or `family.something`.

        Raises:
            NotApplicable: It was not made, or has no value; the reason is the message.
        """
        return named(family, self.measurements)


def named(family: str, measurements: Iterable[Measurement]) -> Measurement:
    """The first measurement of a family that has a value; see `Evidence.measured`."""
    for found in measurements:
        if found.name.split(".")[0] == family:
            if found.value is None:
                raise NotApplicable(explained(found) or f"{family} has no value")
            return found
    raise NotApplicable(f"{family.replace('_', ' ')} was not measured")


def explained(found: Measurement) -> str:
    """The sentence a measurement says about itself."""
    return str(found.detail.get("explanation", ""))


Check = Callable[[Evidence], Iterable[Finding]]
"""Turns evidence into findings, or raises `NotApplicable` with the reason."""


def run(checks: Iterable[Check], evidence: Evidence) -> tuple[tuple[Finding, ...], tuple[tuple[str, str], ...]]:
    """The findings of all checks, gravest first, and (question, reason) for each check that does not apply."""
    findings: list[Finding] = []
    skipped: list[tuple[str, str]] = []
    for check in checks:
        try:
            findings += check(evidence)
        except NotApplicable as reason:
            question = (check.__doc__ or check.__name__).strip().splitlines()[0]
            skipped.append((question, str(reason)))
    return by_severity(findings), tuple(skipped)
