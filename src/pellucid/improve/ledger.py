"""What the loss of a training is made of: penalties put into it, and what each comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pellucid import training
from pellucid.core.tensors import to_array
from pellucid.improve.base import Remedy
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor


class Ledger:
    """The penalties of a recipe on one model: puts them into its loss, and says what each comes to. What a changed step adds
    to the loss, it adds itself.

    They hang on the variables, where Keras looks for weight penalties on every backend and for every kind of model,
    beside what hangs there already ("own").
    """

    def __init__(
        self, model: Any, remedies: Sequence[Remedy], step: Step | None = None, batch: int = training.BATCH
    ) -> None:
        self._batch = batch
        self._variables = list(model.trainable_variables)
        self._own = [variable.regularizer for variable in self._variables]
        self._model, self._step = model, step
        self._terms = {r.slot: (r, [v for v in self._variables if r.penalizes(v)]) for r in remedies}
        self._terms = {slot: (remedy, found) for slot, (remedy, found) in self._terms.items() if found}
        self._kept: list[Any] = []

    @contextmanager
    def charged(self) -> Iterator[None]:
        """Train with the penalties; afterwards the model is as it was, also when training was interrupted."""
        try:
            for variable, own in zip(self._variables, self._own, strict=True):
                chosen = [self._function(r, variable) for r, found in self._terms.values() if _among(variable, found)]
                variable.regularizer = _sum([own, *chosen] if own else chosen)
            self._forget_compiled()
            yield
        finally:
            self._restore(self._own)
            while self._kept:
                self._model._untrack_variable(self._kept.pop())
            self._forget_compiled()

    @contextmanager
    def waived(self) -> Iterator[None]:
        """Evaluate the data loss alone: no penalty on weights, not even the model's own."""
        charged = [variable.regularizer for variable in self._variables]
        self._restore([None] * len(charged))
        try:
            yield
        finally:
            self._restore(charged)

    def _function(self, remedy: Remedy, variable: Any) -> Any:
        """The penalty on a variable as a function of its value. What it keeps from step to step is a weight of the model until
        training ends: there every backend finds it and moves it on.
        """
        import keras

        if (start := remedy.keeps(to_array(variable.value))) is None:
            return remedy.penalty
        kept = keras.Variable(start, trainable=False, dtype=variable.dtype, name=f"{remedy.slot}_kept")
        self._model._tracker.unlock()
        self._model._track_variable(kept)
        self._model._tracker.lock()
        self._kept.append(kept)
        return lambda value: remedy.penalty(value, kept)

    def _restore(self, regularizers: Sequence[Any]) -> None:
        for variable, regularizer in zip(self._variables, regularizers, strict=True):
            variable.regularizer = regularizer

    def _forget_compiled(self) -> None:
        """Compiled steps hold the penalties they were traced with."""
        for model in (self._model, self._step.native) if self._step else (self._model,):
            model.train_function = model.test_function = None

    def amounts(self, rows: Array) -> dict[str, float]:
        """What each penalty comes to at the present weights, summed in 64 bits; "own" is the model's.

        What depends on examples is that of some rows of the training data.
        """
        found = {slot: sum(r.exactly(_exact(v)) for v in values) for slot, (r, values) in self._terms.items()}
        found |= self._step.amounts(rows, self._batch) if self._step else {}
        own = [(v, r) for v, r in zip(self._variables, self._own, strict=True) if r is not None]
        return found | ({"own": sum(float(to_array(r(v.value))) for v, r in own)} if own else {})


def _among(variable: Any, variables: Sequence[Any]) -> bool:
    return any(v is variable for v in variables)


def _exact(variable: Any) -> Array:
    """The value of a variable in 64 bits: the log is exact where training is not."""
    return to_array(variable.value).astype(np.float64)


def _sum(functions: Sequence[Any]) -> Any:
    """One function that adds up several of a value, or None for none."""
    if not functions:
        return None

    def total(value: Tensor) -> Tensor:
        first, *rest = (function(value) for function in functions)
        for term in rest:
            first = first + term
        return first

    return total
