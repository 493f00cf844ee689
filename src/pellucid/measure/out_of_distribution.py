"""Whether the model knows what it does not know: can rows of another kind be told by its own state?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import features as of_model
from pellucid.core import options
from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.randomness import some
from pellucid.core.resampling import Interval, clopper_pearson
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import auroc
from pellucid.measure.novelty import OF_FEATURES, SCORES, Known
from pellucid.shapes import Array, Floats, Inputs

PASSED = 0.95
"""The share of familiar rows that a threshold lets pass."""


@dataclass(frozen=True, eq=False)
class OutOfDistribution(Measure):
    """Can rows of another kind be told by the model's own state?

    A score of familiarity is computed for test rows and for outliers: the largest softmax probability, the energy
    log sum_k exp z_k of the logits z, and by the features h before the last layer the Mahalanobis distance to the nearest class,
    the distance to the k-th nearest training row, and ViM (the part of h in directions training rows hardly use, beside the
    energy). Each is judged by its AUROC, and by the share of outliers that pass a threshold which 95 % of the test rows pass.
    The value is the AUROC of the best score; all intervals hold at once, each at 1 - (1 - level) / (number of scores), so that
    the true AUROC of the best lies between the largest lower and the largest upper end. Verdicts: "told apart" where some score
    surely does better than chance, else "not told apart".

    `detail`: `scores` (auroc and passed, each with value and interval), `best`, `outliers` ("given" or "made"), and `left_out`.

    Args:
        outliers: Inputs of another kind (an array, a dict of arrays or a `pl.Dataset`); None makes some of the test rows: at each
            place values are exchanged between rows at random, which keeps how each is distributed and loses what belongs
            together.
        scores: Some of "softmax", "energy", "mahalanobis", "nearest", "vim".
        most: Rows of each kind looked at; drawn at random from more.
        level: Confidence level of all intervals together, in (0, 1).

    Raises:
        InvalidInput: Outliers that the model does not take.
        InvalidOption: A score that does not exist, or an option outside its range.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> g = np.random.default_rng(0)
        >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
        >>> rows = lambda n: (g.normal(size=(n, 4)), g.integers(0, 2, n))
        >>> asked = pl.OutOfDistribution(outliers=g.normal(5, 1, size=(100, 4)), scores=("mahalanobis",))
        >>> found, = pl.measure(net, asked, train=rows(300), test=rows(100))
        >>> found.verdict, round(found.value, 2)
        ('told apart', 1.0)

    References:
        Hendrycks and Gimpel 2017, arXiv:1610.02136. Liu et al. 2020, arXiv:2010.03759. Lee et al. 2018, arXiv:1807.03888. Sun et
        al. 2022, arXiv:2204.06507. Wang et al. 2022, "ViM", arXiv:2203.10807.

    Limits:
        About these outliers: others may be harder, and made ones are easier than most that the world has. A score that is best
        on some is not best on all. Test rows count as familiar, whatever is among them. A model of two classes with one output
        has logits -z/2 and z/2, of which softmax and energy give the same order.
    """

    outliers: Any = None
    scores: Sequence[str] = tuple(SCORES)
    most: int = 2000
    level: float = 0.95

    quantity: ClassVar[str] = "out_of_distribution"
    better: ClassVar[str] = "higher"

    def __post_init__(self) -> None:
        options.some_of(self, "scores", tuple(SCORES))
        options.whole(self, "most", 20)
        options.fraction(self, "level")

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`."""
        return min(train, self.most) + 2 * min(test, self.most)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("scores familiarity by class")
        test = context.data("test").take(some(len(context.data("test")), self.most, context.stream("test")))
        others = self._others(test, context)
        if min(len(test), len(others)) < 10:
            few = f"{counted(len(test), 'test row')} with {counted(len(others), 'outlier')}"
            raise NotApplicable(f"OutOfDistribution compares {few}: too few (at least 10 of each)")
        known, why = self._known(context)
        asked = [name for name in self.scores if known or name not in OF_FEATURES]
        if not asked:
            raise NotApplicable(f"OutOfDistribution: {why}")
        sides = [self._state(context, x, known is not None) for x in (test, others)]
        each = {}
        for name in asked:
            familiar, strange = (SCORES[name](known, *state) for state in sides)
            each[name] = separated(familiar, strange, 1 - (1 - self.level) / len(asked), context.stream(name))
        best = max(each, key=lambda name: each[name]["auroc"]["value"])
        ends = [part["auroc"]["interval"] for part in each.values()]
        interval = Interval(
            max(i.low for i in ends), max(i.high for i in ends), self.level, f"simultaneous {ends[0].kind}"
        )
        verdict = "told apart" if interval.low > 0.5 else "not told apart"
        made = "made" if self.outliers is None else "given"
        left = {name: why for name in self.scores if name not in asked}
        told = _told(best, each, interval, made, (len(test), len(others)))
        detail = {"explanation": told, "scores": each, "best": best, "outliers": made, "left_out": left}
        return Measurement(self.quantity, each[best]["auroc"]["value"], interval, verdict, detail)

    def _others(self, test: Dataset, context: Context) -> Dataset:
        if self.outliers is None:
            return Dataset(exchanged(test, context.stream("made")), kind=test.kind)
        others = as_dataset(self.outliers)
        try:
            context.model.prepare(others)
        except InvalidInput as problem:
            raise InvalidInput(f"OutOfDistribution.outliers: {problem}") from problem
        return others.take(some(len(others), self.most, context.stream("outliers")))

    def _known(self, context: Context) -> tuple[Known | None, str]:
        """The training rows' features; or why there are none."""
        if not set(self.scores) & set(OF_FEATURES):
            return None, ""
        if not context.has("train"):
            return None, "scores by features need train=pl.Dataset(x, y)"
        rows = some(len(context.data("train")), self.most, context.stream("train"))
        try:
            logits, found = self._state(context, context.data("train").take(rows), True)
        except NotApplicable as reason:
            return None, str(reason)
        layer = of_model.last_dense(context.model, context.model.prepare(context.data("train").take(slice(0, 1))))
        kernel, bias = (w.astype(float) for w in of_model.kernel_and_bias(context.model, layer))
        return Known(found, logits, context.labels("train")[rows], kernel, bias), ""

    def _state(self, context: Context, data: Dataset, features: bool) -> tuple[Floats, Floats]:
        """Logits and features of rows."""
        inputs = context.model.prepare(data)
        found = of_model.features(context.model, inputs).astype(float) if features else np.empty((len(data), 0))
        return _logits(context, context.run(data.x, "OutOfDistribution")), found


def _logits(context: Context, scores: Floats) -> Floats:
    """Logits (B, K) of a model's scores; of one output the two that have its difference, and no sum."""
    if context.model.output == "probabilities":
        return np.log(np.clip(scores, 1e-12, None)).astype(float)
    return np.column_stack([-scores / 2, scores / 2]).astype(float) if scores.shape[1] == 1 else scores.astype(float)


def exchanged(data: Dataset, generator: np.random.Generator) -> Inputs:
    """Inputs whose values at each place, or in each column of origin, come from rows drawn at random, each once."""
    if isinstance(data.x, Mapping):
        return {name: _exchanged(array, None, generator) for name, array in data.x.items()}
    return _exchanged(data.x, data.columns, generator)


def _exchanged(x: Array, columns: Sequence[str] | None, generator: np.random.Generator) -> Array:
    flat = x.reshape(len(x), -1)
    found, origin = np.empty_like(flat), np.arange(flat.shape[1])
    if columns is not None and len(columns) == flat.shape[1]:
        origin = np.unique(columns, return_inverse=True)[1]  # a category of several columns stays one
    for place in np.unique(origin):
        found[:, origin == place] = flat[generator.permutation(len(x))][:, origin == place]
    return found.reshape(x.shape)


def separated(familiar: Floats, strange: Floats, level: float, generator: np.random.Generator) -> dict[str, Any]:
    """How well a score, larger for familiar rows, tells them from strange ones.

    `passed` is the share of strange rows above the 5 % quantile of familiar ones. Where that quantile lies is not known either:
    the interval takes the order statistics that hold it between them, and exact intervals of the shares above these, each
    end at a quarter of the error.
    """
    from scipy.stats import binom

    side = np.repeat([1, 0], [len(familiar), len(strange)])
    score = np.concatenate([familiar, strange])
    area = auroc(side, np.column_stack([-score, score]), level, generator)
    ordered, share = np.sort(familiar), 1 - PASSED
    miss = (1 - level) / 4
    first, last = binom.ppf([miss, 1 - miss], len(ordered), share).astype(int)
    above = lambda threshold: int(np.sum(strange >= threshold))  # noqa: E731
    high = clopper_pearson(above(ordered[first - 1] if first > 0 else -np.inf), len(strange), 1 - 2 * miss).high
    low = clopper_pearson(above(ordered[last] if last < len(ordered) else np.inf), len(strange), 1 - 2 * miss).low
    passed = above(np.quantile(familiar, share)) / len(strange)
    return {
        "auroc": {"value": area.value, "interval": area.interval},
        "passed": {"value": passed, "interval": Interval(low, high, level, "clopper-pearson between order statistics")},
    }


def _told(best: str, each: Mapping[str, Any], interval: Interval, made: str, sizes: tuple[int, int]) -> str:
    found, count = each[best], f"{made.capitalize()} outliers ({sizes[1]:,})"
    area, passed = stated(found["auroc"]["value"], interval), found["passed"]
    what = f"{count} are told from {counted(sizes[0], 'test row')} best by the score {best}, with an AUROC of {area}"
    share = figure(passed["value"], passed["interval"], percent=True)
    told = f"{what}; where 95\u202f% of test rows pass, {share} of them pass too"
    if best == "softmax" or "softmax" not in each:
        return f"{told}."
    own = each["softmax"]["auroc"]
    return f"{told}. By its own confidence the AUROC is {figure(own['value'], own['interval'])}."
