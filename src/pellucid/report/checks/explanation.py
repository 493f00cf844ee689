"""Whether the explanations are exact, and whether the model rests on one input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pellucid.core.numbers import agreeing, count, figure, span
from pellucid.errors import NotApplicable
from pellucid.report.checks.base import Evidence
from pellucid.report.finding import Finding

MOST = 0.5
"""An input that surely holds more than this share of all attribution is pointed out."""

FEWEST = 10
"""Rows below which nothing is said about the share of one input: every row is a case of its own."""

TRACE = 0.001
"""An error below this share of a map is not worth its digits."""

_SURE = (
    "The error is estimated from the method's own points; it is about computing the attribution, not about whether "
    "the attribution is faithful."
)


def exactness(evidence: Evidence) -> Iterator[Finding]:
    """Are the explanations computed exactly enough?"""
    found = evidence.explanation
    if found is None:
        raise NotApplicable("no explanation was made")
    if found.error is None:
        raise NotApplicable(f"{type(found.method).__name__} gives no estimate of its own error")
    done, worst = int(np.sum(found.converged)), float(np.max(found.error))
    told = f"{count(done)} of {count(len(found))} explanations reached their tolerance; "
    told += "the largest estimated error of a map is "
    told += f"{figure(worst, percent=True)}." if worst >= TRACE else f"below {figure(TRACE, percent=True)}."
    severity, title, step = "good", "The explanations are computed exactly enough", "Nothing to do."
    if done < len(found):
        severity = "warning" if done < 0.9 * len(found) else "note"
        title = "Some explanations did not reach their tolerance"
        step = "Raise max_evaluations of the method, and do not rest on single bars of the examples concerned."
    yield Finding("PL-EXP-001", severity, title, told, worst if worst >= TRACE else None, None, None, "%", _SURE, step)


def concentration(evidence: Evidence) -> Iterator[Finding]:
    """Does it rest on a single input?"""
    found = evidence.importance
    if found is None or found.values.ndim != 1 or len(found.names) < 3:
        raise NotApplicable("the question is about tables of three columns and more")
    if found.examples < FEWEST:
        raise NotApplicable(f"{agreeing(found.examples, 'explained row')} too few to say; it takes {FEWEST}")
    first = int(found.order()[0])
    interval = found.share_interval(first)
    if interval.low <= MOST:
        return
    share, name = float(found.shares[first]), found.names[first]
    held = f"{figure(share, interval, percent=True)} of all attribution (interval {span(interval, percent=True)})"
    told = f"“{name}” holds {held} over {found.examples} test rows."
    yield Finding(
        "PL-EXP-002", "warning", f"The model rests on one input: “{name}”", told, share, interval, (MOST, "half"), "%",
        "One strong input can be right; it can also be a leak of the answer or a mark of where the row came from.",
        f"Ask whether “{name}” is known at the time of use, and measure the model without it.",
    )  # fmt: skip
