"""Layer-wise relevance propagation: the score shared out from layer to layer, back to the input."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.errors import InvalidOption
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.gradients.engine import by_input
from pellucid.explain.propagation.composites import Composite, EpsilonPlusFlat
from pellucid.explain.propagation.plan import Plan, layered, make_plan
from pellucid.explain.propagation.reading import sent_back
from pellucid.explain.propagation.rules import Rule
from pellucid.explain.propagation.treatments import Pass, Treatment
from pellucid.shapes import Tensor


@dataclass(frozen=True, eq=False)
class LayerRelevance(Method):
    """The score shared out backwards, layer by layer, until each input has its part (LRP).

    A layer's outputs hold relevance R_j, at the last layer the score itself. Each R_j is shared out over the layer's
    inputs in proportions n_ij that a rule chooses: `R_i = sum_j n_ij / (sum_i n_ij) R_j`. Where no layer has a bias and
    no rule stabilizes, the sum is kept: the values add up to the score.

    Args:
        rules: A composite such as `EpsilonPlusFlat()`, or one rule for all layers.
        layer: A hidden layer whose outputs take the place of the inputs; None for the inputs.

    Raises:
        InvalidOption: Neither a composite nor a rule.
        UnsupportedLayer: A layer without a sound rule; the message names it, and the methods that do work.
        UnknownName: There is no layer of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "relu", False), keras.layers.Dense(1, None, False)])
        >>> net.set_weights([np.full((3, 3), 2.0), np.full((3, 1), 3.0)])
        >>> e = pl.explain(net, np.array([[1.0, 2.0, 3.0]]), pl.LayerRelevance(pl.Epsilon()), target=0)
        >>> e.values.round(3).tolist()
        [[18.0, 36.0, 54.0]]

    References:
        Bach, Binder, Montavon, Klauschen, Müller and Samek 2015, "On pixel-wise explanations for non-linear classifier
        decisions by layer-wise relevance propagation", doi:10.1371/journal.pone.0130140. Rules: Montavon, Lapuschkin,
        Binder, Samek and Müller 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition",
        doi:10.1016/j.patcog.2016.11.008; Montavon, Binder, Lapuschkin, Samek and Müller 2019, "Layer-wise relevance
        propagation: an overview", doi:10.1007/978-3-030-28954-6_10; Andéol et al. 2021, arXiv:2106.04923; Lapuschkin et
        al. 2019, doi:10.1038/s41467-019-08987-4. Attention: Achtibat et al. 2024, "AttnLRP", arXiv:2402.05602;
        normalization: Ali et al. 2022, "XAI for transformers", arXiv:2202.07304. Recurrent cells, whose signals take all the
        relevance and whose gates none: Arras, Montavon, Müller and Samek 2017, arXiv:1706.07206; Arras et al. 2019,
        "Explaining and interpreting LSTMs", doi:10.1007/978-3-030-28954-6_11.

    Limits:
        The answer depends on the rules, for which there is experience but no proof. Rules that count only positive weights
        barely depend on the layers above them (Sixt, Granz and Landgraf 2020, arXiv:1912.09818): check with
        `ParameterRandomization`. Relevance that biases account for is lost. Functions written in the `forward` of a
        torch module are treated like layers; what a Keras layer of your own computes in its `call` is refused. The rule of
        first layers is for those that read inputs as they are, or moved, copied, padded, or prepared by a `Rescaling` or
        `Normalization` layer; behind arithmetic that is written out none is known to be the first. Covered by patents
        in some jurisdictions.
    """

    rules: Any = field(default_factory=EpsilonPlusFlat)
    layer: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.rules, Rule | Composite):
            raise InvalidOption(
                f"LayerRelevance.rules: expected a composite such as pl.EpsilonPlusFlat() or a rule such as pl.Epsilon(), "
                f"got {self.rules!r}"
            )

    @property
    def composite(self) -> Composite:
        """The rules as a composite."""
        return self.rules if isinstance(self.rules, Composite) else Composite(dense=self.rules, convolution=self.rules)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q = layered(question, type(self).__name__, self.layer)
        key = ("relevance", self.composite, *(a.shape[1:] for a in q.inputs))
        plan = q.model.kept(key, lambda: make_plan(q.model, self.composite, [a[:1] for a in q.inputs]))
        values = q.in_one_pass(key, lambda target: relevance_step(q.model, target, plan))
        count = len(q)
        return Attribution(
            values, evaluations=np.ones(count, int), converged=np.ones(count, bool), layer=self.layer,
            hidden=self.layer is not None, notes=plan.notes,
        )  # fmt: skip


def relevance_step(model: Model, target: Resolved, plan: Plan) -> Callable[..., Any]:
    """From inputs and a selector to relevance, one map an input, by a plan; last, the scores."""
    from keras import ops

    size = len(model.names or "x")

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, selector = arrays[:size], arrays[size]
        at = model.embed(inputs)
        shifts = [ops.zeros((ops.shape(selector)[0], *reading.shape)) for reading, _ in plan.direct]

        def total(*tensors: Tensor) -> tuple[Tensor, Any]:
            now = Pass(plan.direct, tensors[len(at) :])
            with treated(plan, now):
                scores = model.forward_from(tensors[: len(at)], inputs)
            return ops.sum(target.score(scores, selector)), scores

        scores, grads = model.backend.gradient(total, [*at, *shifts])
        maps = [a * g for a, g in zip(at, grads, strict=False)]
        if plan.direct:
            direct = sent_back([reading for reading, _ in plan.direct], grads[len(at) :])
            maps = [m + d for m, d in zip(maps, direct, strict=True)]
        return *by_input(model, maps, "product"), scores

    return step


def treated(plan: Plan, now: Pass) -> AbstractContextManager[None]:
    """Treat every layer of a plan until the block ends."""

    def change(layer: Any, treatment: Treatment, rule: Rule) -> Callable[[layers.Call], layers.Call]:
        return lambda original: treatment(layer, original, rule, now)

    return layers.all_replaced((layer, change(layer, treatment, rule)) for layer, treatment, rule in plan.steps)
