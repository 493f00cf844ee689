"""Multipliers: how a difference after an operation is handed to the differences before it.

Examples and their baselines are the two halves of one batch; every function gives the operation's own values, with a
gradient that is the multiplier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pellucid.core import layers
from pellucid.explain.propagation.linear import Part
from pellucid.explain.propagation.slopes import backward, sloped
from pellucid.shapes import Tensor


@dataclass
class Differences:
    """One pass: whether positive and negative parts are told apart, what linear layers have put out, and of which halves.

    A batch made by `joined` remembers its halves, so that from one treated layer to the next a gradient goes through the
    examples alone: the way back through the baselines, along which it is zero, is never taken.
    """

    reveals: bool = False
    made: dict[int, tuple[Tensor, Tensor, Part]] = field(default_factory=dict)
    joins: dict[int, tuple[Tensor, int, tuple[Tensor, Tensor]]] = field(default_factory=dict)

    def halves(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """Examples and their baselines."""
        whole, version, known = self.joins.get(id(both), (None, 0, None))
        if whole is both and known is not None and version == _version(both):
            return known
        return halves(both)

    def joined(self, examples: Tensor, baselines: Tensor) -> Tensor:
        """Examples and baselines as one batch; the gradient is that of the examples, and none for the baselines."""
        from keras import ops

        known = examples, ops.stop_gradient(baselines)
        both = ops.concatenate(known, axis=0)
        self.joins[id(both)] = both, _version(both), known
        return both

    def before(self, a: Tensor) -> tuple[Tensor, Part] | None:
        """Inputs of the linear layer that has put out a, and what it does, where positive and negative are told apart."""
        made = self.made.get(id(a)) if self.reveals else None
        return None if made is None else made[1:]

    def valued(self, examples: Tensor, values: Tensor, baselines: Tensor) -> Tensor:
        """`joined`, with other values for the examples than those whose gradient counts."""
        return self.joined(backward(values, examples, lambda upstream: upstream), baselines)


def _version(tensor: Tensor) -> int:
    """How often torch has worked on a tensor in place; other frameworks never do."""
    return getattr(tensor, "_version", 0)


Treatment = Callable[[Any, layers.Call, Differences], layers.Call]


def halves(both: Tensor) -> tuple[Tensor, Tensor]:
    """The first half of a batch, and the second."""
    from keras import ops

    count = ops.shape(both)[0] // 2
    return both[:count], both[count:]


def quotient(above: Tensor, below: Tensor) -> Tensor:
    """A quotient of differences; 0 where the lower one vanishes."""
    from keras import ops

    small = ops.abs(below) < 1e-7
    return ops.where(small, 0.0, above / ops.where(small, 1.0, below))


def rescaled(
    a: Tensor, function: Callable[[Tensor], Tensor], now: Differences, values: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """An activation: by the quotient of the differences after it and before it; `values` are what it gives, if known."""
    from keras import ops

    still = ops.stop_gradient
    if (before := now.before(a)) is not None:
        return revealed(a, function, before, now)
    x, b = now.halves(a)
    steep = function(x)
    y, start = values or (steep, function(still(b)))
    near = ops.abs(x - b) < 1e-5 * (1 + ops.abs(x))  # float32 has no digits left for a quotient: take the slope
    out = ops.where(near, steep, x * still(quotient(y - start, x - b)))
    return now.valued(out, y, start)


def rectified(a: Tensor, function: Callable[[Tensor], Tensor], now: Differences) -> Tensor:
    """`rescaled` of a rectifier, which gives what it takes or a bound, without rounding: its quotients are always exact."""
    from keras import ops

    if (before := now.before(a)) is not None:
        return revealed(a, function, before, now)
    x, b = now.halves(a)
    y, start = function(x), function(ops.stop_gradient(b))
    slope = ops.where(x == b, ops.cast(x > 0, x.dtype), ops.divide_no_nan(y - start, x - b))
    return now.joined(sloped(y, x, slope), start)


def revealed(a: Tensor, function: Callable[[Tensor], Tensor], made: tuple[Tensor, Part], now: Differences) -> Tensor:
    """An activation after a linear layer: what raises its input and what lowers it, each by a quotient of its own."""
    from keras import ops

    still, none = ops.stop_gradient, ops.zeros_like
    above, below = (lambda w: ops.maximum(w, 0.0)), (lambda w: ops.minimum(w, 0.0))
    inputs, part = made
    x, b = now.halves(inputs)
    away = x - still(b)
    rises = still((ops.sign(away) + 1) / 2)  # half and half where a difference is zero, but its parts need not be
    raised, lowered = away * rises, away * (1 - rises)
    up = part(raised, above, none) + part(lowered, below, none)
    down = part(raised, below, none) + part(lowered, above, none)
    (z, start) = now.halves(a)
    y, first = function(z), function(start)
    f_up, f_down, f_both = (function(start + d) for d in (up, down, up + down))
    by_up = quotient(f_up - first + f_both - f_down, 2 * up)
    by_down = quotient(f_down - first + f_both - f_up, 2 * down)
    return now.valued(up * still(by_up) + down * still(by_down), y, first)


def shared(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, now: Differences) -> Tensor:
    """A product of two: each factor's difference times the mean of the other."""
    from keras import ops

    still = ops.stop_gradient
    (a1, a0), (b1, b0) = now.halves(a), now.halves(b)
    out = product(a1, still(b1 + b0) / 2) + product(still(a1 + a0) / 2, b1)
    return now.valued(out, product(still(a1), still(b1)), product(a0, b0))


def squared(a: Tensor, now: Differences) -> Tensor:
    """The square of each entry: by the sum of what it is and what it was."""
    return shared(lambda x, y: x * y, a, a, now)


def softened(scores: Tensor, axis: Any, now: Differences) -> Tensor:
    """A softmax, as a chain: exp of its logarithm."""
    from keras import ops

    return rescaled(log_softened(scores, axis, now), ops.exp, now)


def log_softened(scores: Tensor, axis: Any, now: Differences) -> Tensor:
    """The logarithm of a softmax, as a chain: exp of the scores, their sum, its logarithm, and the scores less that.

    The sum is taken from the highest score of example and baseline on, so that nothing overflows; where one of them is
    far below, its logarithm is taken on its own.
    """
    from keras import ops

    still = ops.stop_gradient
    x, b = now.halves(scores)
    top = still(ops.max(ops.maximum(x, b), axis=axis, keepdims=True))
    top = ops.concatenate([top, top], axis=0)
    level = still(ops.logsumexp(scores, axis=axis, keepdims=True))
    total = ops.sum(rescaled(scores - top, ops.exp, now), axis=axis, keepdims=True)

    logarithm = lambda t: ops.log(ops.maximum(t, 1e-30))  # noqa: E731
    return scores - rescaled(total, logarithm, now, now.halves(level))
