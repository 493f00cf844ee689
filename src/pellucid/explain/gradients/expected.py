"""Gradients on the way from many baselines, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.baselines import Background
from pellucid.core.model import Model
from pellucid.core.randomness import stream
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.gradients.engine import Draws, at_draws, start_scores
from pellucid.explain.sampling import Drawn, sampled
from pellucid.shapes import Array, Floats, Tensor


@dataclass(frozen=True, eq=False)
class ExpectedGradients(Method):
    """The path of integrated gradients from many baselines at once: what counts against a typical example?

    Also known as GradientSHAP. `values = E [(x - b) * gradient(b + a (x - b))]` over rows b of a background and a ~ U(0, 1),
    drawn until the standard error is small enough. The values add up to `score(x) - E score(b)`; `gap` says by how much
    it is missed. Draw d is the same for every example. The rows are gone through in random order, again and again, so
    that each is drawn as often.

    Args:
        background: Baselines (M, ...), a dict of them by input name, or a `Dataset`; a sample of the training data.
        tolerance: Relative L2 error of the whole map at which an example is done.
        max_evaluations: Draws an example may cost, each a gradient.
        layer: A hidden layer whose outputs take the place of the inputs.

    Raises:
        InvalidOption: A tolerance that is not above 0.
        InvalidInput: A background that does not fit the model.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> rows = np.array([[0.0, 0.0], [2.0, 2.0]])
        >>> e = pl.explain(lambda x: x[:, 0] ** 2, np.array([[3.0, 1.0]]), pl.ExpectedGradients(rows, max_evaluations=5000))
        >>> bool(np.abs(e.values - [[7.0, 0.0]]).max() < 1)
        True

    References:
        Erion, Janizek, Sturmfels, Lundberg and Lee 2021, "Improving performance of deep learning models with axiomatic
        attribution priors and expected gradients", doi:10.1038/s42256-021-00343-w; Lundberg and Lee 2017, "A unified
        approach to interpreting model predictions", arXiv:1705.07874.

    Limits:
        The answer depends on the background. Standard errors are those of independent draws, and so a little too large where
        the background is small. `IntegratedGradients` with a `Background` takes each row's whole path instead.
    """

    background: Any
    tolerance: float = 0.1
    max_evaluations: int = 2048
    layer: str | None = None

    def __post_init__(self) -> None:
        options.positive(self, "tolerance")
        options.whole(self, "max_evaluations", least=4)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q, rows = question.opened(self.layer), Background(self.background).prepared(question.model)
        q.require_gradient(type(self).__name__)

        def draw(active: Array, draws: range) -> Drawn:
            which = _rows_of(q.seed, draws, len(rows[0]))
            places = np.array([stream(q.seed, "place", d).random() for d in draws], np.float32)
            asked = q if len(active) == len(q) else q.take(active)
            found = at_draws(asked, "expected", BETWEEN, (), (places, *(r[which] for r in rows)))
            return *found, np.full(len(active), len(draws))

        moments, spent = sampled(q, draw, self.tolerance, self.max_evaluations)
        start = _mean_start(q, rows)
        return moments.attribution(
            spent, self.tolerance, baseline_output=start, complete=True, layer=self.layer, hidden=self.layer is not None
        )


def _between(
    model: Model, ends: Sequence[Tensor], more: Sequence[Tensor], shared: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Points between the rows of the background and the examples, and the ways from these to those."""
    from keras import ops

    places, *rows = shared
    starts = [ops.expand_dims(s, 1) for s in model.embed(rows)]
    ways = [e - s for e, s in zip(ends, starts, strict=True)]
    return [
        s + ops.reshape(places, (-1, *[1] * (len(w.shape) - 1))) * w for s, w in zip(starts, ways, strict=True)
    ], ways


BETWEEN = Draws(_between)


def _rows_of(seed: int, draws: range, count: int) -> Array:
    """The row of each draw: every row once, in random order, then every row again in another."""
    orders = {d // count: stream(seed, "background", d // count).permutation(count) for d in draws}
    return np.array([orders[d // count][d % count] for d in draws])


def _mean_start(question: Question, rows: tuple[Array, ...]) -> Floats:
    """The mean score (B,) of the background, in the place of each example."""
    q, count = question, len(question)
    if q.model.anatomy.at_inputs:  # it is the same in every place
        scores = q.model.outputs_of(rows)
        if q.target.function is not None:
            return np.full(count, q.target.of(scores).mean())
        return q.target.selector @ scores.mean(0)
    beside = (
        [np.broadcast_to(r[i], a.shape) for r, a in zip(rows, q.inputs, strict=True)] for i in range(len(rows[0]))
    )
    return np.mean([start_scores(q, starts) for starts in beside], axis=0)
