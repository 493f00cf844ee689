"""The classifier under attack: its margins, and the slopes of a loss by its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pellucid.core.model import Model
from pellucid.measure.base import Context
from pellucid.shapes import Array, Floats, Tensor

LEAST = 1e-30
"""The probability below which no logarithm is taken."""

FAR = 1e9
"""What takes the own class out of a comparison of scores."""


class Victim:
    """A classifier of a context, whose every look is counted."""

    def __init__(self, context: Context) -> None:
        self._context, self.model, self.classes = context, context.model, context.model.classes

    def margins(self, x: Array, y: Array) -> Floats:
        """By how much the score of the best other class is above that of the label (B,): above 0 where the answer is wrong."""
        return self.margins_of(self._context.run(x, "attacked inputs"), y)

    def margins_of(self, scores: Floats, y: Array) -> Floats:
        """Margins (B,) of the model's scores (B, K)."""
        scores = scores.astype(float)
        if self.model.output == "probabilities":
            scores = np.log(np.maximum(scores, LEAST))
        if scores.shape[1] == 1:
            scores = np.hstack([0 * scores, scores])
        own = np.eye(self.classes, dtype=bool)[y]
        found = np.where(own, -np.inf, scores).max(axis=1) - scores[own]
        tied = (found == 0) & (scores.argmax(axis=1) != y)  # of equal scores the first is the answer
        return np.where(tied, np.nextafter(0, 1), found)

    def slopes(self, x: Array, y: Array, loss: str) -> tuple[Floats, Floats, Floats]:
        """Gradients (B, ...) of a loss of `LOSSES` by the inputs, with 0 for what is no number; its values and margins (B,)."""
        loss = "margin" if loss == "dlr" and self.classes < 3 else loss
        key = ("attack", loss)
        step = self.model.compiled(key, lambda: _step(self.model, LOSSES[loss]))
        hot = np.eye(self.classes, dtype=np.float32)[y]
        found, values, scores = self.model.in_chunks(key, step, (*self.model.prepare(x), hot))
        self._context.evaluations += len(x)
        clean = np.nan_to_num(np.asarray(found, float), nan=0, posinf=0, neginf=0)
        return clean, np.asarray(values, float), self.margins_of(scores, y)


def _step(model: Model, loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Any]:
    def step(x: Tensor, hot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, (slopes,), scores = model.sloped(lambda scores: loss(_class_scores(model, scores), hot), [x])
        return slopes, loss(_class_scores(model, scores), hot), scores

    return step


def _class_scores(model: Model, scores: Tensor) -> Tensor:
    """A score a class (B, K): logits, or the logarithms of probabilities."""
    from keras import ops

    if model.output == "probabilities":
        return ops.log(ops.maximum(scores, LEAST))
    return ops.concatenate([0 * scores, scores], axis=1) if model.binary else scores


def cross_entropy(scores: Tensor, hot: Tensor) -> Tensor:
    """z = ln(sum of exp(scores) of the other classes) - score of the label, of which the cross-entropy is ln(1 + e^z).

    Both rise together, so that an attack, which only follows the direction, goes the same way; but the slope of z does not
    vanish in rounding where the model is sure.
    """
    from keras import ops

    return ops.logsumexp(scores - FAR * hot, axis=1) - ops.sum(scores * hot, axis=1)


def margin(scores: Tensor, hot: Tensor) -> Tensor:
    """The score of the best other class minus that of the label."""
    from keras import ops

    return ops.max(scores - FAR * hot, axis=1) - ops.sum(scores * hot, axis=1)


def logits_ratio(scores: Tensor, hot: Tensor) -> Tensor:
    """The margin, over the distance of the highest score from the third: the DLR loss, for three classes or more."""
    from keras import ops

    top = ops.top_k(scores, 3, sorted=True)[0]
    return margin(scores, hot) / (top[:, 0] - top[:, 2] + 1e-12)


LOSSES = {"ce": cross_entropy, "margin": margin, "dlr": logits_ratio}
"""The losses by name; the DLR loss of two classes, of which there is no third, is the margin itself."""
