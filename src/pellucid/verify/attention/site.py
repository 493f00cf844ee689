"""One attention of a model under examination: read for the explained examples, and run again with other weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.attention import Seen, Site, rows_each, sites, watched
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model
from pellucid.core.numbers import counted
from pellucid.core.randomness import stream
from pellucid.core.registry import unknown
from pellucid.core.resampling import Interval, student
from pellucid.core.target import Resolved
from pellucid.errors import InvalidInput, NotApplicable, UnknownName
from pellucid.explain.base import Question
from pellucid.shapes import Array, Floats, Tensor
from pellucid.verify.attention.masks import unmasked
from pellucid.verify.base import Case, Check

LEAST = 3
"""Positions below which an example says nothing: two can only be swapped."""

RESOLUTION = 1e-6
"""Differences of weights or answers below this are rounding."""

HELD = 4
"""Times that weights are held in a step: as they are and changed, each with what is made of it."""

LARGEST = 2**24
"""Weights that are held at once; of long inputs fewer examples are looked at."""


@dataclass(frozen=True)
class Attended:
    """An attention with its weights on some examples.

    Attributes:
        question: What was explained, for these examples.
        site: Which attention.
        weights: (B, H, Q, K), as the model has them.
        visible: Where a weight may be put (B, H, Q, K): not on what is masked.
        rows: Which rows the score depends on (B, H, Q): of a class token one, under a mean all that are not masked.
        answers: What changes are measured in (B, C); see `answer`.
        unit: What a change of 1 is in the model's own output, for values; else 1.
        index: Which of the explained examples these are (B,).
        left_out: Examples with too few positions.
    """

    question: Question
    site: Site
    weights: Floats
    visible: Array
    rows: Array
    answers: Floats
    unit: float
    index: Array
    left_out: int

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def model(self) -> Model:
        """The model."""
        return self.question.model

    @property
    def seen(self) -> Array:
        """Which positions are attended to at all (B, K): not those that are masked."""
        return np.any(self.visible & self.rows[..., None], axis=(1, 2))

    @property
    def account(self) -> Floats:
        """Attention over positions (B, K): the mean over heads and over the rows that the score depends on."""
        return self.over_rows(self.weights)

    def over_rows(self, values: Floats) -> Floats:
        """The mean over heads and rows that count, of (B, H, Q, ...)."""
        rows = self.rows.reshape(*self.rows.shape, *(1,) * (values.ndim - 3))
        return (values * rows).sum((1, 2), dtype=np.float64) / rows.sum((1, 2))

    def under(self, weights: Floats) -> Floats:
        """The answers (B, C) with other weights (B, H, Q, K) at this place."""
        q, key = self.question, ("attention replaced", self.site.number)
        step = self.model.compiled(key, lambda: _under(self.model, self.site, q.target))
        units = np.full(len(self), self.unit, np.float32)
        arrays = (*q.inputs, q.target.selector, units, weights.astype(np.float32))
        return self.model.in_chunks(key, step, arrays, self.each)

    def moved(self, weights: Floats) -> Floats:
        """How far the answers move (B,) under other weights."""
        moved = distance(self.under(weights), self.answers)
        return np.where(moved < RESOLUTION, 0.0, moved)

    @property
    def each(self) -> int:
        """Rows that an example counts for in a chunk."""
        return rows_each(self.model, [self.site], HELD)

    @property
    def exchanged(self) -> float:
        """The mean distance between the answers for two examples: what another input would do. 0 for a single one."""
        return _spread(self.answers)

    @property
    def told(self) -> dict[str, Any]:
        """What every measurement of this attention has in its detail."""
        return {"about": "attention", "layer": self.site.name, "examples": len(self), "left_out": self.left_out}


@dataclass(frozen=True, eq=False)
class AttentionCheck(Check):
    """A check of the model's attention: which one, and on how many of the explained examples."""

    layer: str | None = None
    examples: int = 100

    def __post_init__(self) -> None:
        options.whole(self, "examples")

    def check(self, case: Case) -> Measurement:
        """See `Check.check`; what was found for a case is kept on it."""
        return case.kept(self, lambda: self.examined(case))

    @abstractmethod
    def examined(self, case: Case) -> Measurement:
        """Examine the attention."""

    def attended(self, case: Case) -> Attended:
        """The attention, read.

        Raises:
            NotApplicable: There is none, or no example has enough positions.
            UnknownName: There is none of that name.
        """
        key = ("attended", self.layer, self.examples)
        return case.kept(key, lambda: _read(case.question, _site(case, self.layer), self.examples))


def distance(p: Floats, q: Floats) -> Floats:
    """Total variation distance (...,) of distributions (..., C): half of the summed absolute differences."""
    return 0.5 * np.abs(p.astype(np.float64) - q).sum(-1)


def _spread(answers: Floats) -> float:
    count = len(answers)
    if count < 2:
        return 0.0
    return float(np.mean([distance(answers[i + 1 :], answers[i]).sum() for i in range(count)])) * 2 / (count - 1)


def _site(case: Case, layer: str | None) -> Site:
    try:
        found = sites(case.model, case.question.inputs)
    except InvalidInput as problem:
        raise NotApplicable(str(problem)) from problem
    case.question.require_gradient("a check of attention")
    named = {site.name: site for site in found}
    if layer is not None and layer not in named:
        raise UnknownName(unknown("attention", layer, named))
    return found[-1] if layer is None else named[layer]


def _read(question: Question, site: Site, examples: int) -> Attended:
    most = min(examples, max(1, LARGEST // int(np.prod(site.shape))))
    index = np.sort(stream(question.seed, "attended").permutation(len(question))[:most])
    question = question.take(index)
    model, key = question.model, ("attention examined", site.number)
    step = model.compiled(key, lambda: _reading(model, site, question.target))
    each, arrays = rows_each(model, [site], HELD), (*question.inputs, question.target.selector)
    weights, visible, slopes, answers = model.in_chunks(key, step, arrays, each)
    visible = _zeros_hidden(weights, visible > 0, model)
    most_of_all = slopes.max((1, 2), keepdims=True)
    rows = (slopes > 1e-6 * most_of_all) | (most_of_all == 0)
    rows &= visible.any(-1)  # a row that sees nothing has no weights
    enough = np.any(visible & rows[..., None], axis=(1, 2)).sum(1) >= LEAST
    if not enough.any():
        raise NotApplicable(
            f"{site.name} has fewer than {LEAST} positions to attend to in every example: there is nothing to rank"
        )
    unit = 1.0 if _has_classes(model) else _spread(answers[enough]) or float(np.abs(answers).max()) or 1.0
    return Attended(
        question.take(enough), site, weights[enough], visible[enough], rows[enough], answers[enough] / np.float32(unit),
        unit, index[enough], int((~enough).sum()),
    )  # fmt: skip


def _zeros_hidden(weights: Floats, visible: Array, model: Model) -> Array:
    """Modules of torch may keep their masks to themselves: then weights of exactly zero are taken for masked.

    Not where next to nothing is left, or where the smallest of the others are close to underflow.
    """
    if not model.is_torch or not visible.all():
        return visible
    shown = weights > 0
    smallest = np.where(shown, weights, 1).min((1, 2, 3))
    masks = (shown.any((1, 2)).sum(-1) >= LEAST) & (smallest > 1e-20)
    return shown | ~masks[:, None, None, None]


def _has_classes(model: Model) -> bool:
    return model.output != "value" and (model.anatomy.heads == 1 or model.anatomy.multilabel)


def answer(model: Model, target: Resolved, scores: Tensor, selector: Tensor) -> Tensor:
    """What the model says (B, C), so that half of the summed absolute differences is how far it moved.

    Probabilities of the classes: the total variation distance. Of several yes-or-no questions the one asked about. A
    value y as (y, -y): its absolute difference.
    """
    from keras import ops

    asked = ops.expand_dims(target.score(scores, selector), 1)
    if not _has_classes(model):
        return ops.concatenate([asked, -asked], axis=1)
    if model.output != "logits":
        return scores
    if model.anatomy.multilabel or model.anatomy.width == 1:
        return ops.concatenate([ops.sigmoid(asked), ops.sigmoid(-asked)], axis=1)
    return ops.softmax(scores, axis=1)


def _reading(model: Model, site: Site, target: Resolved) -> Callable[..., Any]:
    """Inputs and selector to weights, where they may be, the slope of the score by each row, and the answer."""
    from keras import ops

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, selector = arrays[:-1], arrays[-1]

        def run(shift: Tensor) -> tuple[Tensor, Any]:
            kept: list[Tensor] = []

            def look(seen: Seen) -> tuple[Tensor, Tensor] | None:
                if seen.number != site.number:
                    return None
                kept.extend((seen.weights, unmasked(seen)))
                return seen.weights + shift, seen.values

            with watched(model, look):
                scores = model.forward(inputs)
            return ops.sum(target.score(scores, selector)), (scores, *kept)

        nothing = ops.zeros((ops.shape(selector)[0], *site.shape))
        (scores, weights, visible), (slope,) = model.backend.gradient(run, [nothing])
        return weights, visible, ops.sqrt(ops.sum(slope**2, axis=-1)), answer(model, target, scores, selector)

    return step


def answer_under(
    model: Model, site: Site, target: Resolved, given: tuple[Any, Tensor, Tensor], weights: Tensor
) -> Tensor:
    """Inside a compiled step: the answer (B, C) in units, for given (inputs, selector, units), with weights at a site."""
    from keras import ops

    inputs, selector, unit = given

    def put(seen: Seen) -> tuple[Tensor, Tensor] | None:
        return (weights, seen.values) if seen.number == site.number else None

    with watched(model, put):
        scores = model.forward(inputs)
    return answer(model, target, scores, selector) / ops.expand_dims(unit, 1)


def _under(model: Model, site: Site, target: Resolved) -> Callable[..., Any]:
    def step(*arrays: Tensor) -> Tensor:
        *inputs, selector, unit, weights = arrays
        return answer_under(model, site, target, (inputs, selector, unit), weights)

    return step


def whom(attended: Attended) -> str:
    """Where and on how many examples, in words."""
    left = f" ({attended.left_out} left out for having fewer than {LEAST} positions)" if attended.left_out else ""
    return f"at {attended.site.name}, in {counted(len(attended), 'example')}{left}"


def over_examples(values: Floats, low: float, high: float) -> Interval:
    """Student's t interval of a mean over examples, of numbers that lie between `low` and `high`."""
    found = student(values)
    return Interval(max(found.low, low), min(found.high, high), found.level, found.kind)


def side(interval: Interval, limit: float, words: tuple[str, str, str]) -> str:
    """Which of three words: for an interval above the limit, across it, or below it."""
    return words[0] if interval.low > limit else words[2] if interval.high < limit else words[1]
