"""What a method is asked: a model, inputs, and which score of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid.core import flow
from pellucid.core.hidden import at_layer
from pellucid.core.inputs import broken_row
from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Floats


class Asked:
    """The score that is asked about, of each example; the model is run for it once somebody needs it, or never.

    A method that runs the model on the inputs anyhow works with `early`, and `tell`s what the scores were: its gradient
    then costs one pass of the model, not two.

    Args:
        run: Gives the model's scores (B, K).
        resolve: Makes the target exact by these scores.
        early: The target so far as it is known without them, or None where nothing of it is.
    """

    def __init__(
        self, run: Callable[[], Floats], resolve: Callable[[Floats], Resolved], early: Resolved | None = None
    ) -> None:
        self._run, self._resolve, self._early = run, resolve, early
        self._known: tuple[Resolved, Floats] | None = None

    @classmethod
    def known(cls, target: Resolved, output: Floats) -> Asked:
        """A target and the scores asked about (B,) that are known already."""
        found = cls(lambda: output, lambda scores: target, target)
        found._known = target, output
        return found

    def tell(self, scores: Floats) -> tuple[Resolved, Floats]:
        """The model's scores (B, K) of the inputs, from a method that needed them itself; gives what then is known."""
        if self._known is None:
            target = self._resolve(scores)
            self._known = target, target.of(scores)
        return self._known

    @property
    def early(self) -> Resolved:
        """The target, without a run of the model for it if that can be had."""
        return self._early or self.target

    @property
    def target(self) -> Resolved:
        """The target, exact."""
        return self._told()[0]

    @property
    def output(self) -> Floats:
        """The score asked about, of each example (B,)."""
        return self._told()[1]

    def _told(self) -> tuple[Resolved, Floats]:
        return self._known or self.tell(self._run())


@dataclass(frozen=True)
class Question:
    """What a method is asked: why these scores of these examples.

    `shift` (one array for every entry of the model, or None) is added where gradients are taken, embeddings included.
    """

    model: Model
    inputs: tuple[Array, ...]
    asked: Asked
    seed: int
    kind: str
    columns: Sequence[str] | None = None
    shift: tuple[Array, ...] | None = None
    progress: bool | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def target(self) -> Resolved:
        """The output asked about."""
        return self.asked.target

    @property
    def output(self) -> Floats:
        """The asked-about score of each example (B,)."""
        return self.asked.output

    def take(self, index: Array | slice) -> Question:
        """The same question of some of the examples."""
        shift = None if self.shift is None else tuple(s[index] for s in self.shift)
        asked = Asked.known(self.target.take(index), self.output[index])
        return replace(self, inputs=tuple(a[index] for a in self.inputs), asked=asked, shift=shift)

    def opened(self, layer: str | None) -> Question:
        """The same question, with gradients taken at what a hidden layer puts out; None: where they are."""
        return self if layer is None else replace(self, model=at_layer(self.model, layer, self.inputs))

    def in_one_pass(
        self, key: Any, make: Callable[[Resolved], Callable[..., Any]], more: Sequence[Array] = (), each: int = 1
    ) -> tuple[Floats, ...]:
        """Maps by a compiled step that runs the model on the inputs as they are, and so finds the scores on the way.

        Args:
            key: Tells the step from others.
            make: Gives the step for a target. It takes the inputs, the target's selector, the shift and `more`; it gives maps
                and, last, the scores (B, K).
            more: Further arrays, examples first.
            each: Rows that an example counts for in a chunk.
        """
        target = self.asked.early if self.shift is None else self.target  # a shift has scores of its own
        key = (key, self.shift is not None, target.function)
        step = self.model.compiled(key, lambda: make(target))
        examples = (*self.inputs, target.selector, *(self.shift or ()), *more)
        *maps, scores = self.model.in_chunks(key, step, examples, each)
        if self.shift is None:
            self.asked.tell(scores)
        return tuple(maps)

    def require_gradient(self, method: str) -> None:
        """Raise if no gradient gets from the score to where it is asked for; `method` is named in the message."""
        self.model.require_gradient(method)
        if not flow.reached(self.model, self.asked.early, self.inputs):
            flow.refuse(self.model, self.target, self.inputs, method)

    def score_of(self, inputs: tuple[Array, ...], what: str = "baseline") -> Floats:
        """The asked-about score (B,) of other inputs of the same shape; identical rows are run once."""
        target = self.target  # of scores that are no numbers, those of the examples are told first
        if all(a.strides[0] == 0 for a in inputs):
            scores = np.repeat(self.model.outputs_of(tuple(a[:1] for a in inputs)), len(self), axis=0)
        else:
            scores = self.model.outputs_of(inputs)
        require_finite(what, self.model, scores)
        return target.of(scores)


def require_finite(what: str, model: Model, scores: Floats) -> None:
    """Raise if a model's scores (B, K) of some inputs hold what is no number; `what` names them in the message."""
    if (row := broken_row(scores)) is not None:
        raise InvalidInput(f"{what}: {model.name} gives NaN or infinity for example {row}; there is nothing to explain")
