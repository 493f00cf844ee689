"""How good the model is on data it has not seen."""

from __future__ import annotations

from collections.abc import Iterator

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, span
from pellucid.core.resampling import Interval
from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding

SHARES = ("accuracy", "balanced_accuracy")
UNEVEN = 0.05
"""From this difference between accuracy and balanced accuracy on, rare classes are said to do worse."""

_LIMITS = "Holds for rows drawn like the test rows; data from another place or time may give other numbers."


def performance(evidence: Evidence) -> Iterator[Finding]:
    """How good is it on data it has not seen?"""
    found = evidence.measured("performance")
    metric = found.name.split(".")[-1]
    value, interval = float(found.value or 0.0), found.interval
    if metric != "accuracy" or evidence.commonest is None:
        yield _regression(found, metric)
        return
    name, share = evidence.commonest
    severity, title, step = _against_commonest(value, interval, name, share)
    sentence = f"{explained(found)} Always answering “{name}” would be right on {figure(share, percent=True)}."
    reference = share, "commonest class"
    yield Finding("PL-PER-001", severity, title, sentence, value, interval, reference, "%", _LIMITS, step)
    yield from _rare_classes(found)


def _against_commonest(value: float, interval: Interval | None, name: str, share: float) -> tuple[str, str, str]:
    low, high = interval or (value, value)
    if high < share:
        step = "Do not use it: check labels, class order and preprocessing before anything else."
        return "critical", f"It does worse than always answering “{name}”", step
    if low <= share:
        step = "Gather more test rows, or a better model, before relying on any single answer."
        return "warning", f"It is not shown to beat always answering “{name}”", step
    right = figure(value, interval, percent=True)
    return "good", f"It is right on {right} of unseen rows", "Say with every use which rows this number is about."


def _regression(found: Measurement, metric: str) -> Finding:
    value, low = float(found.value or 0.0), (found.interval.low if found.interval else float(found.value or 0.0))
    bad = metric == "r2" and low <= 0
    title = (
        "It is not shown to beat the mean of all labels"
        if bad
        else f"Its {metric.upper()} on unseen rows is {figure(value, found.interval)}"
    )
    reference = (0.0, "mean of the labels") if metric == "r2" else None
    step = (
        "Look at the rows it gets most wrong before using it."
        if bad
        else "Compare the error with what the decision can bear."
    )
    return Finding(
        "PL-PER-001",
        "warning" if bad else "note",
        title,
        explained(found),
        value,
        found.interval,
        reference,
        "",
        _LIMITS,
        step,
    )


def _rare_classes(found: Measurement) -> Iterator[Finding]:
    part = found.detail.get("balanced_accuracy") or {}
    value, interval = part.get("value"), part.get("interval")
    if value is None or found.value is None or found.value - value < UNEVEN:
        return
    sentence = (
        f"Averaged over the classes, {figure(value, interval, percent=True)} are found "
        f"({span(interval, percent=True)}), against {figure(found.value, found.interval, percent=True)} of all rows."
    )
    yield Finding(
        "PL-PER-002", "warning", "Rarer classes do worse", sentence, value, interval, (found.value, "all rows"), "%",
        "A class of few rows has a wide interval; look at it alone before judging.",
        "Read the confusion of the rare classes; weight or gather more of them, or move the decision threshold.",
    )  # fmt: skip
