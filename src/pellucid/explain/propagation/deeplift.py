"""DeepLIFT: differences from a baseline, shared out from layer to layer, back to the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pellucid.core import layers, options
from pellucid.core.baselines import resolve_baseline
from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.gradients.engine import by_input
from pellucid.explain.propagation.multipliers import Differences, Treatment
from pellucid.explain.propagation.plan import differences_plan, layered
from pellucid.shapes import Array, Tensor

RULES = ("rescale", "reveal_cancel")


@dataclass(frozen=True, eq=False)
class DeepLift(Method):
    """How much of the difference in score from a baseline each input's own difference accounts for.

    The model is run on the input and on the baseline. Going back, a linear layer shares out differences by its weights;
    an activation y = f(a) passes them on by the multiplier `(y - y0) / (a - a0)` (rescale). Values are
    `(x - b) * multiplier`, and add up to `score(x) - score(b)`. One pass, where `IntegratedGradients` takes many.

    "reveal_cancel" looks at what raises a and what lowers it apart: the positive part P and the negative part N of a - a0
    get `[f(a0 + P) - f(a0) + f(a0 + P + N) - f(a0 + N)] / 2 P` and the mirror image, the average over which comes first.

    Args:
        rule: "rescale" or "reveal_cancel".
        baseline: What "nothing" looks like: a number, one example (...), one for each example (B, ...), or a dict of
            these by input name. For integer tokens, token numbers.
        layer: A hidden layer whose outputs h take the place of the inputs x; None for the inputs.

    Raises:
        InvalidOption: A rule that does not exist.
        UnknownName: There is no layer of that name.
        UnsupportedLayer: A layer that mixes its inputs in a way for which no multiplier is defined; the message names it,
            and the methods that do work.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> f = lambda x: 2 * keras.ops.relu(x[:, 0]) + 2 * keras.ops.relu(x[:, 1] - 1.5)
        >>> pl.explain(f, np.array([[1.0, 2.0]]), pl.DeepLift()).values.round(4).tolist()
        [[2.0, 1.0]]

    References:
        Shrikumar, Greenside and Kundaje 2017, "Learning important features through propagating activation differences",
        arXiv:1704.02685. Products of two inputs are shared out by their Shapley value: Lundberg and Lee 2017,
        arXiv:1705.07874.

    Limits:
        Two networks that compute the same function can get different values. The answer depends on the baseline, which is
        masked where its example is. Functions written in the `forward` of a torch module are treated like layers, as long
        as their first axis is that of the examples: look at `gap`, which says what is missing from the sum.
        "reveal_cancel" holds for activations right after a linear layer (with its batch normalization); others
        get "rescale".
    """

    rule: str = "rescale"
    baseline: Any = 0.0
    layer: str | None = None

    def __post_init__(self) -> None:
        options.one_of(self, "rule", RULES)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q = layered(question, type(self).__name__, self.layer)
        return compared(q, resolve_baseline(self.baseline, q.model, q.inputs), self.rule, self.layer)


def compared(question: Question, baseline: tuple[Array, ...], rule: str, layer: str | None) -> Attribution:
    """The answer to a question of a model with layers, with one baseline an example."""
    q, count = question, len(question)
    key = ("deeplift", rule, q.target.function)
    step = q.model.compiled(key, lambda: _step(q.model, q.target, rule, [a[:1] for a in q.inputs]))
    *values, start = q.model.in_chunks(key, step, (*q.inputs, *baseline, q.target.selector), 2)
    return Attribution(
        tuple(values), evaluations=np.full(count, 2), converged=np.ones(count, bool), baseline=baseline,
        baseline_output=start, complete=True, layer=layer, hidden=layer is not None,
    )  # fmt: skip


def _step(model: Model, target: Resolved, rule: str, example: Any) -> Callable[..., Any]:
    from keras import ops

    size = len(model.names or "x")
    plan = differences_plan(model, example)

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, starts = arrays[:size], arrays[size : 2 * size]
        selector = ops.concatenate([arrays[-1], arrays[-1]], axis=0)
        # Copies, without the padding mask that an embedding hangs on what it puts out.
        at, begin = ([t * 1 for t in model.embed(given)] for given in (inputs, starts))
        both = [ops.concatenate([a, a], axis=0) for a in inputs]  # tokens say what is padding, of a baseline too

        def total(*tensors: Tensor) -> tuple[Tensor, Tensor]:
            now = Differences(reveals=rule == "reveal_cancel")
            entries = [now.joined(x, b) for x, b in zip(tensors, begin, strict=True)]
            with layers.all_replaced((layer, partial(_treated, layer, how, now)) for layer, how in plan):
                scores = target.score(model.forward_from(entries, both), selector)
            mine, start = now.halves(scores)
            return ops.sum(mine), start

        start, grads = model.backend.gradient(total, at)
        maps = [(x - b) * g for x, b, g in zip(at, begin, grads, strict=True)]
        return (*by_input(model, maps, "product"), start)

    return step


def _treated(layer: Any, treatment: Treatment, now: Differences, original: layers.Call) -> layers.Call:
    return treatment(layer, original, now)
