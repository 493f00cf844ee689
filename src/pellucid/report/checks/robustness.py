"""Whether the model holds when its input is disturbed."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

GRAVE = 0.25
"""A loss surely above this, averaged over all disturbances, is critical."""

_SAID = {
    "robust": ("good", "It holds when its input is disturbed", "Watch for disturbances of other kinds."),
    "fragile": (
        "warning",
        "It loses quality when its input is disturbed",
        "Train with such disturbances, or check at the door that inputs are as clean as the training data.",
    ),
    "undecided": (
        "note",
        "Whether it holds under disturbance is not settled",
        "More test rows would narrow the interval until it settles the question.",
    ),
}


def robustness(evidence: Evidence) -> Iterator[Finding]:
    """Does it hold when the input is disturbed?"""
    found = evidence.measured("corruption_robustness")
    severity, title, step = _SAID.get(found.verdict, _SAID["undecided"])
    if found.verdict == "fragile" and found.interval is not None and found.interval.low > GRAVE:
        severity = "critical"
    limits = "Made disturbances stand in for real ones: noise, missing values, blur and the like, in five steps."
    share = found.detail.get("quality", "accuracy") == "accuracy"
    unit = "points" if share else ""
    yield Finding(
        "PL-ROB-001",
        severity,
        title,
        explained(found),
        found.value,
        found.interval,
        (0.0, "no loss"),
        unit,
        limits,
        step,
    )


_ATTACKED = {
    "not robust": (
        "warning",
        "Small changes chosen to mislead it do",
        "Do not rely on it where somebody gains by its errors.",
    ),
    "gradients are masked": (
        "warning",
        "Its gradients are masked, so attacks prove little",
        "Attack it without gradients, and longer, before anything is claimed.",
    ),
    "withstands these attacks": ("good", "It withstands the attacks tried", "Other attacks may do more; ask again."),
}


def attacks(evidence: Evidence) -> Iterator[Finding]:
    """Does it hold against somebody who looks for its weak points?"""
    found = evidence.measured("adversarial_robustness")
    severity, title, step = _ATTACKED.get(
        found.verdict, ("note", "Whether it withstands attacks is not settled", "Attack more rows.")
    )
    limits = "An upper bound: what these attacks do not find may still be there."
    yield Finding(
        "PL-ADV-001", severity, title, explained(found), found.value, found.interval,
        (float(found.detail["clean"]), "without attack"), "%", limits, step,
    )  # fmt: skip
