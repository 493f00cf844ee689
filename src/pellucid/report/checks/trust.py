"""Whether the explanations can be believed."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.core.measurement import Measurement
from pellucid.errors import NotApplicable
from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

_SAID = {
    "trusted": ("good", "The explanations hold up against the model", "Read them as what this model responds to."),
    "doubtful": (
        "warning",
        "Whether the explanations are right is not settled",
        "Try another method or baseline, and verify it.",
    ),
    "refuted": (
        "critical",
        "The explanations are no better than chance",
        "Do not show them; explain with another method.",
    ),
}
_LIMITS = "Faithful to the model is not true of the world. Hiding parts makes inputs the model was not trained on."


def trust(evidence: Evidence) -> Iterator[Finding]:
    """Are the explanations faithful to the model?"""
    if evidence.explanation is None:
        raise NotApplicable("no explanation was made")
    verdict, reason = evidence.trust
    if verdict not in _SAID:
        yield Finding(
            "PL-TRU-001", "warning", "The explanations have not been verified", "No check of the explanations could be made.",
            limits="An unverified explanation may be right or wrong.",
            next_step="See under what was left out why, and verify it.",
        )  # fmt: skip
        return
    severity, title, step = _SAID[verdict]
    weakest = min(_compared(evidence), key=lambda m: m.value or 0.0, default=None)
    value, interval = (None, None) if weakest is None else (weakest.value, weakest.interval)
    sentence = (
        f"{reason[0].upper()}{reason[1:]}." if weakest is None else f"{explained(weakest)} {_rest(evidence)}".strip()
    )
    yield Finding("PL-TRU-001", severity, title, sentence, value, interval, (0.0, "random"), "", _LIMITS, step)


def _compared(evidence: Evidence) -> list[Measurement]:
    """The checks that compare with random rankings, whose value is an advantage."""
    return [m for m in evidence.verification if m.value is not None and "random_curve" in m.detail]


def _rest(evidence: Evidence) -> str:
    """What the checks against random weights say."""
    return " ".join(explained(m) for m in evidence.verification if m.value is not None and "similarities" in m.detail)
