"""Whether what the model learned holds on new data."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

GRAVE = 0.10
"""A gap surely above this, on a scale from 0 to 1, is critical."""

_SAID = {
    "generalizes": ("good", "It does as well on new data as on its training data", "Keep the test rows unseen."),
    "overfits": (
        "warning",
        "It does worse on new data than on its training data",
        "Regularize (pl.L2, pl.Dropout, pl.EarlyStopping) and compare with pl.compare, or gather more training rows.",
    ),
    "held-out is better": (
        "warning",
        "It does better on new data than on its training data",
        "Check how the rows were split and whether the test rows are easier; augmented training data also does this.",
    ),
    "no gap found": (
        "note",
        "No gap to new data is shown, and none is ruled out",
        "More test rows would narrow the interval until it settles the question.",
    ),
}


def generalization(evidence: Evidence) -> Iterator[Finding]:
    """Does it do worse on new data than on what it was trained on?"""
    found = evidence.measured("gap")
    severity, title, step = _SAID.get(found.verdict, ("note", "The gap to new data", ""))
    share = found.name.endswith(("accuracy", "auroc", "auprc"))
    if found.verdict == "overfits" and share and found.interval is not None and found.interval.low > GRAVE:
        severity = "critical"
    limits = "About this trained model and rows drawn like these; training again would give another gap."
    yield Finding(
        "PL-GEN-001",
        severity,
        title,
        explained(found),
        found.value,
        found.interval,
        (0.0, "no gap"),
        "points" if share else "",
        limits,
        step,
    )


def underfit(evidence: Evidence) -> Iterator[Finding]:
    """Does it miss even what the training rows show?"""
    found = evidence.measured("fit")
    if not found.verdict.startswith("underfits"):
        return
    above = found.detail["above_floor"]
    yield Finding(
        "PL-GEN-002", "warning", "It misses even what the training rows show", explained(found), above["value"],
        above["interval"], (0.0, "the least possible"), "points",
        "The least possible error is estimated from neighbouring rows, or was given.",
        "Train longer, with a larger model or a weaker penalty, and compare with pl.compare.",
    )  # fmt: skip
