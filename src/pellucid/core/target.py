"""Which output number a question is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from pellucid.core.record import Value
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Tensor


@dataclass(frozen=True, eq=False)
class Margin(Value):
    """The score of class `a` minus the score of class `b`: why this class *rather than* that one.

    Args:
        a: Class index, or an array (B,) of them.
        b: Class index, or an array (B,) of them.

    Example:
        >>> import pellucid as pl
        >>> pl.Margin(3, 5)
        Margin(a=3, b=5)
    """

    a: Any
    b: Any


@dataclass(frozen=True, eq=False)
class Unit(Value):
    """A hidden unit in place of an output: what makes it respond?

    Args:
        layer: The layer's name, as in `model.summary()`.
        index: Which unit of one example's output: a whole number for a dense layer, one for each axis else; None on an axis
            is the mean over it, as in `(None, None, 3)` for channel 3 of a convolution over images.

    Raises:
        InvalidInput: An index of another form.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="inner"), keras.layers.Dense(1)])
        >>> net.set_weights([np.array([[1, 2, 3], [4, 5, 6]]), np.zeros(3), np.ones((3, 1)), np.zeros(1)])
        >>> pl.explain(net, np.array([[1.0, 1.0]]), pl.Gradient(), pl.Unit("inner", 1)).values.tolist()
        [[2.0, 5.0]]

    Limits:
        Of a layer that is called several times, the last call is asked about.
    """

    layer: str
    index: Any

    def __post_init__(self) -> None:
        index = self.index if isinstance(self.index, tuple) else (self.index,)
        whole = all(i is None or (isinstance(i, Integral) and not isinstance(i, bool)) for i in index)
        if not isinstance(self.layer, str) or not whole:
            raise InvalidInput(
                f"target: Unit takes a layer's name and a whole number, or a tuple of whole numbers and None; got "
                f"{self.layer!r} and {self.index!r}"
            )


Target = str | int | Array | Margin | Unit | Callable[[Tensor], Tensor]
"""A class index, an array (B,) of them, "predicted", "label", a `Margin`, a hidden `Unit`, or a callable (B, K) -> (B,)."""


@dataclass(frozen=True)
class Resolved:
    """A target made exact for given examples: the score is `sum_k selector[b, k] * scores[b, k]`, or a function.

    `classes` (B,) are the chosen class numbers, -1 where the target is not one class.
    """

    selector: Array
    classes: Array
    function: Callable[[Tensor], Tensor] | None = None

    def score(self, scores: Tensor, selector: Tensor) -> Tensor:
        """The asked-about number of each example (B,), inside a compiled function."""
        from keras import ops

        if self.function is not None:
            return ops.reshape(self.function(scores), (-1,))
        return ops.sum(scores * selector, axis=1)

    def of(self, scores: Array) -> Array:
        """The asked-about number of each example (B,), of scores (B, K) already computed."""
        if self.function is None:
            return np.einsum("bk,bk->b", scores, self.selector)
        from keras import ops

        with_tensor = self.score(ops.convert_to_tensor(scores), ops.convert_to_tensor(self.selector))
        return np.asarray(ops.convert_to_numpy(with_tensor))

    def take(self, index: Array | slice) -> Resolved:
        """The target of some of the examples."""
        return Resolved(self.selector[index], self.classes[index], self.function)


def resolve(target: Target, scores: Array, labels: Array | None, *, binary: bool) -> Resolved:
    """Make a target exact.

    Args:
        target: See `Target`.
        scores: Scores (B, K) of the examples.
        labels: Labels (B,), for target "label".
        binary: Whether the one output is the log-odds of class 1: class 0 is then asked about by its negative.

    Raises:
        InvalidInput: A class that does not exist, labels that are missing, or a callable that gives no (B,).
    """
    count, outputs = scores.shape
    if callable(target) and not isinstance(target, str | Margin):
        probe = Resolved(np.zeros_like(scores), np.full(count, -1), target)
        try:
            got = probe.of(scores)
        except Exception as problem:
            raise InvalidInput(f"target: the callable failed on scores of shape {scores.shape}: {problem}") from problem
        if got.shape != (count,):
            raise InvalidInput(f"target: the callable must give one number an example ({count},), it gave {got.shape}")
        return probe
    if isinstance(target, Margin):
        a, b = (_classes(side, scores, labels, binary) for side in (target.a, target.b))
        if np.any(a == b):
            raise InvalidInput("target: Margin needs two different classes, got the same one twice")
        if binary:  # the log-odds already are the margin
            return Resolved(np.where(a == 1, 1.0, -1.0)[:, None].astype(np.float32), a)
        return Resolved(_one_hot(a, outputs) - _one_hot(b, outputs), a)
    classes = _classes(target, scores, labels, binary)
    if binary:
        return Resolved(np.where(classes == 1, 1.0, -1.0)[:, None].astype(np.float32), classes)
    return Resolved(_one_hot(classes, outputs), classes)


def resolve_early(target: Target, outputs: int, count: int, labels: Array | None, *, binary: bool) -> Resolved | None:
    """Make a target as exact as it can be made of the shape of the scores (B, K) alone; None: not at all.

    "predicted" becomes a function of the scores, with the same value and gradient as the exact target.

    Raises:
        InvalidInput: As in `resolve`.
    """
    unseen = np.zeros((count, outputs), np.float32)
    if isinstance(target, str) and target == "predicted":
        return Resolved(unseen, np.full(count, -1), _larger_of_two if binary else _largest)
    sides = (target.a, target.b) if isinstance(target, Margin) else (target,)
    if any(callable(side) or (isinstance(side, str) and side == "predicted") for side in sides):
        return None
    return resolve(target, unseen, labels, binary=binary)


def _larger_of_two(scores: Tensor) -> Tensor:
    """The score of the predicted class (B,), of log-odds (B, 1)."""
    from keras import ops

    return ops.where(scores[:, 0] > 0, scores[:, 0], -scores[:, 0])


def _largest(scores: Tensor) -> Tensor:
    """The score of the predicted class (B,), of scores (B, K); of equal ones the first."""
    from keras import ops

    return ops.take_along_axis(scores, ops.expand_dims(ops.argmax(scores, axis=1), 1), axis=1)[:, 0]


def _one_hot(classes: Array, outputs: int) -> Array:
    return np.eye(outputs, dtype=np.float32)[classes]


def _classes(target: Any, scores: Array, labels: Array | None, binary: bool) -> Array:
    count, outputs = scores.shape
    if isinstance(target, str):
        if target == "predicted":
            return (scores[:, 0] > 0).astype(int) if binary else scores.argmax(1)
        if target != "label":
            raise InvalidInput(
                f'target: expected a class index, "predicted", "label", a Margin or a callable, got {target!r}'
            )
        if labels is None:
            raise InvalidInput('target: "label" needs labels; give the examples as pl.Dataset(x, y)')
        target = labels
    found = np.asarray(target)
    if found.ndim > 1 or (found.dtype.kind not in "iu" and not _whole(found)):
        raise InvalidInput(f"target: expected whole class numbers, got {target!r}")
    found = np.broadcast_to(found.astype(int), (count,)) if found.ndim == 0 else found.astype(int)
    if len(found) != count:
        raise InvalidInput(f"target: expected one class an example ({count},), got {found.shape}")
    classes = 2 if binary else outputs
    wrong = found[(found < 0) | (found >= classes)]
    if len(wrong):
        raise InvalidInput(
            f"target: class {wrong[0]} does not exist; the model has {classes}, numbered 0 to {classes - 1}"
        )
    return found


def _whole(array: Array) -> bool:
    return array.dtype.kind == "f" and bool(np.all(np.mod(array, 1) == 0))
