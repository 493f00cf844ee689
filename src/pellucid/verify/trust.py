"""What checks add up to: trusted, doubtful or refuted."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, ranged

BETTER, WORSE, LIKE, UNCLEAR = "better than random", "worse than random", "like random", "unclear"
CHANGES, PARTLY, UNCHANGED = "changes with the weights", "partly changes", "does not change"
FAITHFUL, UNFAITHFUL, UNDECIDED = "faithful", "not faithful", "undecided"


def judge(results: Sequence[Measurement], converged: float, *, reads_attention: bool = False) -> tuple[str, str]:
    """The verdict on an explanation, and the reason for it.

    Checks of the model's attention say nothing of an explanation by other means and are left out. Where the explanation
    is made of attention it cannot be trusted while attention is no faithful account; that it is one proves no explanation.

    Args:
        results: Results of checks.
        converged: Share of the examples whose explanation reached its tolerance.
        reads_attention: Whether the explanation is made of attention.
    """
    given = [r for r in results if r.value is not None]
    done = [r for r in given if r.detail.get("about") != "attention"]
    ranked = [r for r in done if r.verdict in (BETTER, WORSE, LIKE, UNCLEAR)]
    randomized = [r for r in done if r.verdict in (CHANGES, PARTLY, UNCHANGED)]
    numbers = "; ".join(_told(r) for r in done)
    for r in randomized:
        if r.verdict == UNCHANGED:
            return "refuted", f"the explanation stays the same when the model's weights are replaced ({_told(r)})"
    if any(r.verdict == WORSE for r in ranked):
        return "refuted", f"it does worse than a random ranking ({numbers})"
    if ranked and all(r.verdict == LIKE for r in ranked):
        return "refuted", f"a random ranking does as well ({numbers})"
    doubts = []
    if not ranked:
        doubts.append("it was not compared with random rankings")
    doubts += [f"{r.name.replace('_', ' ')} is {r.verdict}" for r in ranked if r.verdict != BETTER]
    if not randomized:
        doubts.append("it was not checked against random weights")
    doubts += [f"it only {r.verdict} when weights are replaced" for r in randomized if r.verdict == PARTLY]
    if converged < 0.95:
        doubts.append(f"only {figure(converged, percent=True)} of the examples reached their tolerance")
    if reads_attention and any(r.verdict == UNFAITHFUL for r in given):
        doubts.append("it is made of attention, which is no faithful account in this model")
    if doubts:
        return "doubtful", f"{', and '.join(doubts)}" + (f" ({numbers})" if numbers else "")
    return "trusted", f"it beats random rankings and changes with the model's weights ({numbers})"


def _told(r: Measurement) -> str:
    return f"{r.name.replace('_', ' ')} {ranged(r.value, r.interval)}"
