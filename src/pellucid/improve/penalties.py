"""Penalties on weights: the loss gets a price for large ones, reported apart from the data loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid import training
from pellucid.core import options
from pellucid.core.tensors import to_array
from pellucid.improve.base import Remedy
from pellucid.improve.step import Step
from pellucid.shapes import Array, Tensor

ON = ("kernels", "all")
_NOT_KERNELS = ("bias", "gamma", "beta", "alpha", "scale")


def is_kernel(variable: Any) -> bool:
    """Whether a trainable variable multiplies inputs: two or more axes, and no bias, normalization or slope."""
    return len(variable.shape) > 1 and variable.name not in _NOT_KERNELS


@dataclass(frozen=True, eq=False)
class _Penalty(Remedy):
    """A price on the trainable weights of a model."""

    strength: float = 0.01
    on: str = "kernels"

    def __post_init__(self) -> None:
        options.not_negative(self, "strength")
        options.one_of(self, "on", ON)

    def penalizes(self, variable: Any) -> bool:
        """Whether the variable is among those that `on` names."""
        return self.on == "all" or is_kernel(variable)


@dataclass(frozen=True, eq=False)
class L2(_Penalty):
    """A price on the squares of the weights: keeps all of them small.

    Would a model with smaller weights, hence a smoother one, hold better on new data?

        loss = data loss + strength * sum over i of w_i^2        (no factor 1/2)

    Args:
        strength: The factor, at least 0; useful values are mostly between 1e-5 and 1e-1.
        on: "kernels": weights with two or more axes (dense, convolution, embedding), but no biases and no
            normalization; "all": every trainable weight.

    Raises:
        InvalidOption: A negative strength, or another `on`.

    Example:
        >>> import pellucid as pl
        >>> pl.Recipe(pl.L2(0.01)).remedies
        (L2(strength=0.01, on='kernels'),)

    References:
        Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634; Krogh and Hertz 1991, "A simple weight decay can
        improve generalization", NIPS 4.

    Limits:
        The penalty depends on the units of the inputs: standardize them. Before a normalization layer the size of a
        kernel does not change the outputs, so there the penalty only changes the step size. With Adam it is not the
        same as decoupled weight decay.
    """

    slot = "l2"

    def penalty(self, value: Tensor) -> Tensor:
        """`strength` times the sum of squares."""
        from keras import ops

        return ops.sum(ops.square(value)) * self.strength  # type: ignore[operator]


@dataclass(frozen=True, eq=False)
class L1(_Penalty):
    """A price on the absolute values of the weights: drives many of them to zero.

    Does the model do as well with fewer connections?

        loss = data loss + strength * sum over i of |w_i|

    Args:
        strength: The factor, at least 0; useful values are mostly between 1e-6 and 1e-2.
        on: "kernels" (no biases, no normalization) or "all"; as for `L2`.

    Raises:
        InvalidOption: A negative strength, or another `on`.

    Example:
        >>> import pellucid as pl
        >>> pl.L1(0.001).strength
        0.001

    References:
        Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x.

    Limits:
        Gradient steps make weights small, hardly ever exactly zero. Of two inputs that say the same, either may be kept.
    """

    slot = "l1"

    def penalty(self, value: Tensor) -> Tensor:
        """`strength` times the sum of absolute values."""
        from keras import ops

        return ops.sum(ops.abs(value)) * self.strength  # type: ignore[operator]


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

    @contextmanager
    def charged(self) -> Iterator[None]:
        """Train with the penalties; afterwards the model is as it was, also when training was interrupted."""
        try:
            for variable, own in zip(self._variables, self._own, strict=True):
                chosen = [r.penalty for r, found in self._terms.values() if any(v is variable for v in found)]
                variable.regularizer = _sum([own, *chosen] if own else chosen)
            self._forget_compiled()
            yield
        finally:
            self._restore(self._own)
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
        found = {slot: sum(map(_amount(r), values)) for slot, (r, values) in self._terms.items()}
        found |= self._step.amounts(rows, self._batch) if self._step else {}
        own = [(v, r) for v, r in zip(self._variables, self._own, strict=True) if r is not None]
        return found | ({"own": sum(float(to_array(r(v.value))) for v, r in own)} if own else {})


def _amount(remedy: Remedy) -> Any:
    """The penalty on a variable, in NumPy and 64 bits: the log is exact where training is not."""

    def amount(variable: Any) -> float:
        value = to_array(variable.value).astype(np.float64)
        if isinstance(remedy, L2):
            return remedy.strength * float(np.square(value).sum())
        if isinstance(remedy, L1):
            return remedy.strength * float(np.abs(value).sum())
        return float(to_array(remedy.penalty(variable.value)))

    return amount


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
