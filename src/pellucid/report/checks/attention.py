"""Whether what a model attends to is what it answers by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, ranged
from pellucid.errors import NotApplicable
from pellucid.report.checks.base import Evidence, explained
from pellucid.report.finding import Finding
from pellucid.verify.attention.agreement import AGREES

FAMILY = "attention_faithfulness"

_SAID = {
    "faithful": (
        "good",
        "Its attention shows what it answers by",
        "Attention may be shown beside an answer; the explanations say how much each part counts, and in which direction.",
    ),
    "undecided": (
        "note",
        "Whether its attention shows what it answers by is not settled",
        "Do not show attention as the reason for an answer; more test rows may settle it.",
    ),
    "not faithful": (
        "note",
        "Its attention does not show what it answers by",
        "Do not show attention as the reason for an answer; show the explanations, as far as they are trusted.",
    ),
}
_LIMITS = (
    "About one attention of the model, the last, and rows like these. That it is faithful says where the model gets its "
    "answer, not what it makes of what is there. Leaving parts out makes inputs the model was not trained on."
)


def checked(verification: Sequence[Measurement]) -> Measurement | None:
    """What the check of attention has found, if it was made."""
    return next((m for m in verification if m.name == FAMILY), None)


def attention(evidence: Evidence) -> Iterator[Finding]:
    """Does its attention show what it answers by?"""
    found = checked(evidence.verification)
    if found is None:
        return  # there is no attention in the model, or it could not be checked, which is told elsewhere
    if found.verdict not in _SAID:
        raise NotApplicable(explained(found))
    severity, title, step = _SAID[found.verdict]
    method = getattr(evidence.explanation, "method", None)
    if found.verdict == "not faithful" and getattr(method, "reads_attention", False):
        severity = "warning"  # then the explanations rest on it
    told, agreement = f"{matters(found)} {right(found)}", found.detail["agreement"]
    value, ends = (
        (None, None) if agreement is None else (agreement.detail["settled"], agreement.detail["settled_interval"])
    )
    yield Finding("PL-ATT-001", severity, title, told, value, ends, (AGREES, "agrees"), "", _LIMITS, step)


def matters(found: Measurement) -> str:
    """Whether the answer depends on the weights, in a sentence."""
    made = found.detail["permutation"]
    judged = {"moves the output": "so it matters", "does not move the output": "so it does not matter"}
    return (
        f"In {counted(made.detail['examples'], 'row')}, shuffling the weights over the parts of the input moves the answer by "
        f"{ranged(made.value, made.interval)}; less than {figure(made.detail['limit'])} counts as nothing"
        f"{', ' if made.verdict in judged else ''}{judged.get(made.verdict, '')}."
    )


def right(found: Measurement) -> str:
    """Whether the weights rank parts as leaving them out does, in a sentence or two."""
    made = found.detail["agreement"]
    if made is None:
        return "Whether parts with more attention matter more could not be asked."
    d, told = made.detail, ""
    if d["settled"] is not None:
        told = (
            "The order of its weights and the order in which leaving parts out moves the answer have a rank correlation of "
            f"{ranged(d['settled'], d['settled_interval'])}; above {figure(d['limit'])} they agree."
        )
    if not d["idle"]:
        return told
    rows = f"all {d['examples']}" if d["idle"] == d["examples"] else f"{d['idle']} of the {d['examples']}"
    noun = "row" if d["examples"] == 1 else "rows"
    return f"{told} In {rows} {noun} no single part moves the answer, so they say nothing about the order.".strip()
