"""Whether the model holds when its input is disturbed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pellucid.core.measurement import Measurement
from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

GRAVE = 0.25
"""A loss surely above this, averaged over all disturbances, is more than a note."""

TWICE = 2
"""So many strengths of one disturbance at which the model surely does worse than without any input; one may be by chance."""

_SAID = {
    "robust": ("good", "It holds when its input is disturbed", "Watch for disturbances of other kinds."),
    "fragile": (
        "note",
        "It loses quality when its input is disturbed",
        "Compare with what the disturbance leaves to be known; check at the door that inputs are as clean as in training.",
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
    lost = found.better != "higher"  # else the value is what is left
    misled = _misled(found, evidence.commonest)
    sentence = explained(found)
    if found.verdict == "fragile":
        grave = lost and found.interval is not None and found.interval.low > GRAVE
        severity = ("note", "warning", "critical")[grave + bool(misled)]
        if misled:
            title = "Disturbed inputs mislead it"
            step = "Train with such disturbances, or keep such inputs away from it."
            without = (
                "always giving the mean"
                if evidence.commonest is None
                else f"always answering “{evidence.commonest[0]}”"
            )
            sentence = f"{sentence} Under {misled} it surely does worse than {without}."
    limits = (
        "Made disturbances stand in for real ones: noise, missing values, blur and the like, in five steps. They destroy "
        "information, so the best possible model loses quality too."
    )
    share = found.detail.get("quality", "accuracy") == "accuracy"
    unit = "points" if share else ""
    yield Finding(
        "PL-ROB-001",
        severity,
        title,
        sentence,
        found.value,
        found.interval,
        (0.0, "no loss") if lost else (float(found.detail["clean"]), "undisturbed"),
        unit if lost or not share else "%",
        limits,
        step,
    )


def _misled(found: Measurement, commonest: tuple[str, float] | None) -> str:
    """The disturbance under which the model surely does worse than an answer that ignores the input; empty where there is none.

    No model needs to: one that knew how little is left would give that answer.
    """
    without = 0.0 if commonest is None else commonest[1]
    below = {
        name: int(np.sum(part["left_high"] < without)) for name, part in found.detail.get("corruptions", {}).items()
    }
    worst = max(below, key=lambda name: below[name], default="")
    return worst if worst and below[worst] >= min(TWICE, len(found.detail["severities"])) else ""


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
