"""How many parts of an input an explanation needs to account for the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import figure, span
from pellucid.core.randomness import stream
from pellucid.core.resampling import student
from pellucid.errors import NotApplicable
from pellucid.verify.base import Case, Check
from pellucid.verify.faithfulness import Curves, descending


@dataclass(frozen=True, eq=False)
class EffectiveComplexity(Check):
    """How many parts, the most important first, bring the score back? Few are easily read; many are no account.

        k_i = least k with  |s(first k parts shown) - s(x)| <= tolerance * |s(x) - s(none shown)|  for it and all larger ones
        value = mean over examples of k_i / G,   G the number of parts

    An explanation that ranks badly needs many parts too: read it beside `Deletion`.

    Args:
        tolerance: What may be missing of the score's whole change, between 0 and 1.
        steps: Points of the curve, at most one a part: the value is known to one step.
        baseline: What stands for a part that is not shown; None for the explanation's own baseline, or 0.
        patch: Size of the parts of images and sequences, as in `PermutationShapley`.

    Raises:
        InvalidOption: A tolerance outside (0, 1), or fewer than two steps.
        NotApplicable: An input of one part, or scores that nothing changes.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).normal(size=(30, 10)) + 3
        >>> e = pl.explain(lambda x: x[:, 0] * 5 + x[:, 1] * 3, x, pl.Occlusion())
        >>> found, = pl.verify(lambda x: x[:, 0] * 5 + x[:, 1] * 3, e, pl.EffectiveComplexity())
        >>> round(found.value, 6)  # two of ten columns
        0.2

    References:
        Nguyen and Martínez 2020, arXiv:2007.07584.

    Limits:
        Parts that are not shown are replaced, and such inputs may be unlike anything seen in training. A model that looks at one
        part alone is simple and may be wrong.
    """

    better: ClassVar[str] = "lower"

    tolerance: float = 0.1
    steps: int = 20
    baseline: Any = None
    patch: Any = None

    def __post_init__(self) -> None:
        options.fraction(self, "tolerance")
        options.whole(self, "steps", least=2)

    def check(self, case: Case) -> Measurement:
        """See `Check.check`."""
        players, fill = case.players(self.patch), case.fill(self.baseline)
        if players.count < 2:
            raise NotApplicable("the input is a single part: there is nothing to count")
        curves = Curves(case, players, fill, min(self.steps, players.count), delete=False)
        order = descending(np.abs(players.gather(case.maps)), stream(case.question.seed, "ties"))
        scores = curves.scores(order)
        whole = np.abs(scores[:, -1] - scores[:, 0])
        moved = whole > 1e-9 * (1 + np.abs(scores[:, -1]))
        if not moved.any():
            raise NotApplicable("showing everything does not change the score: no part is needed")
        near = np.abs(scores - scores[:, -1:]) <= self.tolerance * whole[:, None]
        steady = np.flip(np.logical_and.accumulate(np.flip(near, 1), axis=1), 1)  # within it here and ever after
        needed = curves.fractions[steady.argmax(axis=1)][moved]
        value, interval = float(needed.mean()), student(needed)
        explanation = (
            f"Of {players.count} parts the most important {figure(value, interval, percent=True)} (interval "
            f"{span(interval, percent=True)}) bring the score back to within {100 * self.tolerance:.3g} % of its change."
        )
        detail = {
            "needed": needed, "parts": players.count, "fractions": curves.fractions, "curve": scores.mean(0),
            "evaluations": scores.size, "explanation": explanation, "unmoved": int((~moved).sum()),
        }  # fmt: skip
        return Measurement("effective_complexity", value, interval, "counted", detail, share=True)
