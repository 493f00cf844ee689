"""Whether what the model meets is like what it learned from, and whether it serves all of it alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pellucid.core.measurement import Measurement
from pellucid.core.resampling import Interval
from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

GRAVE = 0.10
"""A loss of quality surely above this, on a scale from 0 to 1, is critical."""

_DOMAINS = {
    "drops": (
        "warning",
        "It loses quality in another domain",
        "Train with rows of that domain, or do not use it there.",
    ),
    "holds": ("good", "It holds in every domain looked at", "Ask again of every new place or time."),
    "no drop shown": (
        "note",
        "Whether it holds in other domains is not settled",
        "More rows of each domain would narrow the interval until it settles the question.",
    ),
}
_GROUPS = {
    "groups differ": (
        "warning",
        "It serves some groups worse than others",
        "Look at the errors of the worst group; more of its rows in training may help.",
    ),
    "groups are alike": ("good", "It serves the groups looked at alike", "Ask again of groups that were not named."),
    "no difference shown": (
        "note",
        "Whether it serves groups alike is not settled",
        "More rows of the small groups would narrow the interval until it settles the question.",
    ),
}


def shift(evidence: Evidence) -> Iterator[Finding]:
    """Are the test rows drawn like the training rows?"""
    found = evidence.measured("shift")
    severity, title = "good", "No shift between training and test rows was found"
    step = "Ask again of the rows it is used on."
    if found.verdict == "shift":
        severity, title = "warning", "Test rows are not drawn like training rows"
        step = (
            "Find out what differs and whether it costs quality (pl.DomainGap); train on rows like those it is used on."
        )
        if found.detail.get("recording"):
            title = "Test rows are written down differently from training rows"
            step = "Write these columns down alike, with missing values marked as missing, and train again."
    limits = "A shift that is found need not hurt, and one that hurts need not be found; how labels depend on inputs is not seen."
    yield Finding(
        "PL-SHI-001", severity, title, explained(found), found.value, found.interval, (0.5, "not to be told apart"), "",
        limits, step,
    )  # fmt: skip


def domains(evidence: Evidence) -> Iterator[Finding]:
    """Does it hold in other places or times?"""
    found = evidence.measured("domain_gap")
    limits = "A drop may lie in harder rows or other ways of recording, not only in the model."
    yield _loss("PL-DOM-001", found, (found.value, found.interval), _DOMAINS, limits)


def subgroups(evidence: Evidence) -> Iterator[Finding]:
    """Does it serve some groups worse than others?"""
    found = evidence.measured("subgroups")
    apart = found.detail["disparity"]
    limits = "Groups that nobody named are not looked at; equal quality is one notion of fairness of several."
    yield _loss("PL-SUB-001", found, (apart["value"], apart["interval"]), _GROUPS, limits)


def slices(evidence: Evidence) -> Iterator[Finding]:
    """Are rows that nobody named served worse?"""
    found = evidence.measured("slices")
    if found.verdict != "a slice is served worse":
        return
    share = found.name.endswith("error") and not found.name.endswith(("squared_error", "absolute_error"))
    yield Finding(
        "PL-SLI-001", "note", "Some rows that nobody named are served worse", explained(found), found.value, found.interval,
        (0.0, "none"), "points" if share else "", "Some rows are harder for any model; this says which they are, not why.",
        "Look at these rows: more of them in training, or a column that is missing, may help.",
    )  # fmt: skip


def _loss(
    code: str, found: Measurement, number: tuple[float | None, Interval | None], said: Mapping[str, Any], limits: str
) -> Finding:
    """A finding about a loss of quality, critical where it is surely large."""
    severity, title, step = said[found.verdict]
    share = found.name.endswith(("accuracy", "auroc", "auprc"))
    if severity == "warning" and share and number[1] is not None and number[1].low > GRAVE:
        severity = "critical"
    unit = "points" if share else ""
    return Finding(code, severity, title, explained(found), *number, (0.0, "none"), unit, limits, step)
