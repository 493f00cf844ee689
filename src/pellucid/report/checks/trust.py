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
        "Some of what was checked speaks against the explanations",
        "Try another method or baseline, and verify it.",
    ),
    "unsettled": (
        "note",
        "Whether the explanations are right is not settled",
        "Verify them on more rows; a model without weights cannot be held against random ones.",
    ),
    "refuted": (
        "critical",
        "The explanations are no better than chance",
        "Do not show them; explain with another method.",
    ),
}
_AGAINST = ("worse than random", "like random", "partly changes", "does not change", "not faithful")
"""What a check says that speaks against an explanation, and not only of too few rows or of no way to check."""

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
    settled = verdict != "doubtful" or any(_against(m, evidence) for m in evidence.verification)
    severity, title, step = _SAID[verdict if settled else "unsettled"]
    weakest = min(_compared(evidence), key=lambda m: m.value or 0.0, default=None)
    value, interval = (None, None) if weakest is None else (weakest.value, weakest.interval)
    sentence = (
        f"{reason[0].upper()}{reason[1:]}." if weakest is None else f"{explained(weakest)} {_rest(evidence)}".strip()
    )
    yield Finding("PL-TRU-001", severity, title, sentence, value, interval, (0.0, "random"), "", _LIMITS, step)


def _against(found: Measurement, evidence: Evidence) -> bool:
    """Whether a check speaks against the explanation; one of attention only does if the explanation is made of it."""
    about = found.detail.get("about") != "attention" or getattr(evidence.explanation.method, "reads_attention", False)
    return found.value is not None and found.verdict in _AGAINST and about


def _compared(evidence: Evidence) -> list[Measurement]:
    """The checks that compare with random rankings, whose value is an advantage."""
    return [m for m in evidence.verification if m.value is not None and "random_curve" in m.detail]


def _rest(evidence: Evidence) -> str:
    """What the checks against random weights say, or why there is none."""
    made = [explained(m) for m in evidence.verification if m.value is not None and "similarities" in m.detail]
    none = [explained(m) for m in evidence.verification if m.value is None and m.name == "parameter_randomization"]
    return " ".join(made or [f"Not held against random weights: {why}." for why in none])
