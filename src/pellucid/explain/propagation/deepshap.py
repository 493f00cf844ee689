"""DeepSHAP: DeepLIFT from each row of a background, averaged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from pellucid.core import options
from pellucid.core.baselines import Background
from pellucid.explain.background import averaged
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.propagation.deeplift import RULES, compared
from pellucid.explain.propagation.plan import layered


@dataclass(frozen=True, eq=False)
class DeepShap(Method):
    """How much each input moves the score away from that of a typical example: DeepLIFT, averaged over many baselines.

    `values = mean over rows b of DeepLift(rule, baseline=b)`. They add up to `score(x)` less the mean score of the rows.
    Layer by layer they approximate Shapley values, with inputs that are left out replaced by those of another example.

    Args:
        background: Baselines (M, ...), a dict of them by input name, or a `Dataset`: a sample of the training data.
        rule: "rescale" or "reveal_cancel", as in `DeepLift`.
        layer: A hidden layer whose outputs take the place of the inputs; None for the inputs.

    Raises:
        InvalidOption: A rule that does not exist.
        InvalidInput: A background that does not fit the model.
        UnsupportedLayer: A layer for which no multiplier is defined.
        UnknownName: There is no layer of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> f = lambda x: keras.ops.relu(x[:, 0] - 1) + x[:, 1]
        >>> e = pl.explain(f, np.array([[3.0, 1.0]]), pl.DeepShap(np.array([[0.0, 0.0], [2.0, 4.0]])))
        >>> e.values.round(4).tolist(), e.baseline_output.round(4).tolist()
        ([[1.5, -1.0]], [2.5])

    References:
        Lundberg and Lee 2017, "A unified approach to interpreting model predictions", arXiv:1705.07874; Shrikumar, Greenside
        and Kundaje 2017, "Learning important features through propagating activation differences", arXiv:1704.02685.

    Limits:
        The answer depends on the background; `standard_error` says how much another sample of as many rows would change
        it. Shapley values of the network are met where it is linear between one layer and the next, and only nearly
        elsewhere. Costs as much as its rows one by one. What limits `DeepLift` limits this as well.
    """

    background: Any
    rule: str = "rescale"
    layer: str | None = None

    def __post_init__(self) -> None:
        options.one_of(self, "rule", RULES)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q = layered(question, type(self).__name__, self.layer)
        rows = Background(self.background).prepared(question.model)
        return averaged(q, rows, partial(compared, rule=self.rule, layer=self.layer))
