"""The activation engine: a layer is read inside one compiled step, folded, and stretched over the input it lies on.

A are the layer's activations (B, grid..., C), whatever the order of its own axes; G is the gradient of the score at them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core.target import Resolved
from pellucid.errors import InvalidOption
from pellucid.explain.activation.opening import Opened, opened
from pellucid.explain.base import Attribution, Method, Question
from pellucid.shapes import Array, Floats, Tensor


@dataclass(frozen=True, eq=False)
class Folded(Method):
    """A layer's activations, folded into one number for each position."""

    by_gradient: ClassVar[bool] = True
    """Whether `fold` takes gradients."""

    layer: str | None = None
    resize: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.layer, str | None):
            raise InvalidOption(f"{type(self).__name__}.layer: expected a layer's name or None, got {self.layer!r}")
        if not isinstance(self.resize, bool):
            raise InvalidOption(f"{type(self).__name__}.resize: expected True or False, got {self.resize!r}")

    @abstractmethod
    def fold(self, a: Tensor, more: Any) -> Tensor:
        """A map (B, grid...) of activations (B, grid..., C) and, as the method needs it, of their gradients or of weights."""

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place = self.opened(question)
        return answer(self, place, folded(self, place), evaluations=1)

    def opened(self, question: Question, *, laid: bool = False) -> Opened:
        """The layer that is read; `laid`: where it lies on the inputs is needed even if nothing is resized."""
        name = type(self).__name__
        return opened(question, self.layer, name, by_gradient=self.by_gradient, laid=self.resize or laid)


def folded(method: Folded, place: Opened, weights: Sequence[Array] = ()) -> tuple[Floats, ...]:
    """Maps of a layer, one a call; `weights` (B, C), one a call, go to `fold` where it takes no gradients."""
    q, key = place.question, ("folded", type(method), tuple(method.settings().values()), place.key)
    if method.by_gradient:
        return q.in_one_pass(key, lambda target: _slopes_step(method, place, target))
    step = q.model.compiled(key, lambda: _fold_step(method, place))
    return q.model.in_chunks(key, step, (*q.inputs, *weights))


def _fold_step(method: Folded, place: Opened) -> Callable[..., Any]:
    model, size = place.question.model, len(place.question.inputs)

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        at, weights = model.embed(arrays[:size]), arrays[size:]
        return _maps(method, place, at, weights or [None] * len(at))

    return step


def _slopes_step(method: Folded, place: Opened, target: Resolved) -> Callable[..., Any]:
    model = place.question.model

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        at, slopes, scores = model.sloped(lambda scores: target.score(scores, arrays[-1]), arrays[:-1])
        arranged = [grid.arranged(g) for grid, g in zip(place.grids, slopes, strict=True)]
        return *_maps(method, place, at, arranged), scores

    return step


def _maps(method: Folded, place: Opened, at: Sequence[Tensor], more: Sequence[Any]) -> tuple[Tensor, ...]:
    maps = [method.fold(grid.arranged(a), m) for grid, a, m in zip(place.grids, at, more, strict=True)]
    return tuple(place.on(call).stretched(m) if method.resize else m for call, m in enumerate(maps))


def answer(method: Folded, place: Opened, maps: Sequence[Floats], evaluations: int) -> Attribution:
    """What a method answers: the maps as they are, or added up over the inputs that they lie on."""
    inputs, count = place.question.inputs, len(place.question)
    if method.resize:
        found: dict[int, Any] = {}
        for call, m in enumerate(maps):
            i = place.on(call).input
            found[i] = found[i] + m if i in found else m
        maps = [found.get(i, np.zeros(a.shape, np.float32)) for i, a in enumerate(inputs)]
    return Attribution(
        tuple(maps), evaluations=np.full(count, evaluations), converged=np.ones(count, bool), layer=place.name,
        hidden=not method.resize, notes=place.notes,
    )  # fmt: skip
