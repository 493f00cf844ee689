"""How faithful the explanations of a model are, as a quantity of the model: what a comparison can have for a column."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.randomness import some
from pellucid.core.target import Margin, Target
from pellucid.errors import InvalidOption
from pellucid.explain.base import Method, explain
from pellucid.measure.base import Context, Measure
from pellucid.shapes import Floats
from pellucid.verify.base import Check, verify
from pellucid.verify.faithfulness import Deletion


@dataclass(frozen=True, eq=False)
class Faithfulness(Measure):
    """Can this model be explained faithfully?

    A sample of test rows is explained by `method`, and the explanations are checked by `check`; the value, its interval and
    its verdict are those of the check. Two models that are equally right may not be equally open to the same method.

    Of a classifier the score is log p_a / p_b, a being the class predicted and b the next: the same number whether a model ends
    in logits or, as an ensemble does, in the logarithm of a mean.

    Args:
        check: A check of `pl.verify` with a value, such as `pl.Deletion()` or `pl.ParameterRandomization()`.
        method: How to explain; None for `pl.IntegratedGradients` from the mean of the training rows (tables), from mask tokens
            or unknown words (texts whose vocabulary has them) or from zeros.
        examples: How many test rows are explained, drawn by chance.
        target: The output asked about, as in `pl.explain`; "predicted" is the class predicted rather than the next.

    Raises:
        InvalidOption: Something that is no check or no method.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> keras.utils.set_random_seed(0)
        >>> net = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
        >>> x = np.random.default_rng(0).normal(size=(100, 6)).astype("float32")
        >>> found, = pl.measure(net, pl.Faithfulness(examples=30), train=x, test=x)
        >>> found.name, found.verdict
        ('faithfulness.deletion', 'better than random')

    References:
        Samek, Binder, Montavon, Lapuschkin and Müller 2017, arXiv:1509.06321 (deletion, the default check).

    Limits:
        What is judged is a method on a model: a lower value may be the method's fault. A model whose score falls with any part
        that is hidden looks hard to explain. See also the limits of the check.
    """

    check: Any = field(default_factory=lambda: Deletion(steps=10, rankings=10))
    method: Any = None
    examples: int = 32
    target: Any = "predicted"

    quantity: ClassVar[str] = "faithfulness"

    def __post_init__(self) -> None:
        options.whole(self, "examples")
        options.instance(self, "check", Check, "a check such as pl.Deletion()")
        if self.method is not None and not isinstance(self.method, Method):
            raise InvalidOption(
                f"Faithfulness.method: expected a method such as pl.IntegratedGradients() or None, got {self.method!r}"
            )

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`; about what deletion and a path of gradients take."""
        return 200 * min(self.examples, test)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        data = context.data("test")
        rows = data.take(some(len(data), self.examples, context.stream("rows")))
        seed = int(context.stream("seed").integers(2**31))
        asked = self.target
        if isinstance(asked, str) and asked == "predicted" and context.task != "regression":
            asked = rather_than_next(context.model.scores(rows))
        found = explain(context.model, rows, self.method or usual(context), asked, seed=seed, progress=False)
        (checked,) = verify(context.model, found, [self.check], seed=seed, progress=False)
        context.evaluations += int(found.evaluations.sum()) + checked.provenance.evaluations
        detail = {"method": repr(found.method), **checked.detail}
        return replace(checked, name=f"{self.quantity}.{checked.name}", detail=detail)


def rather_than_next(scores: Floats) -> Target:
    """The class of the largest of the scores (B, K) rather than the second; of a single score, what is predicted."""
    if scores.shape[1] < 2:
        return "predicted"
    second, first = np.argsort(scores, axis=1, kind="stable")[:, -2:].T
    return Margin(first, second)


def usual(context: Context) -> Method:
    """The method of an audit, from the training rows where there are any."""
    from pellucid.explain.gradients.path import IntegratedGradients
    from pellucid.report.gather import baseline

    return IntegratedGradients(baseline=baseline(context.data("train" if context.has("train") else "test")))
