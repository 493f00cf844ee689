"""What is done at each kind of layer, so that gradients are DeepLIFT's multipliers.

Examples and their baselines run through the model as the two halves of one batch. Linear layers and all that only moves
values about need no treatment: their gradient is their multiplier. `DIFFERENCES` says what the others get.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pellucid import _backend
from pellucid.core import layers
from pellucid.errors import UnsupportedLayer
from pellucid.explain.propagation.linear import Part, folded, linear_part, same
from pellucid.explain.propagation.recurrent import Run, in_loop, in_step, stepwise
from pellucid.explain.propagation.treatments import (
    OPERATIONS,
    TREATMENTS,
    UNTREATED,
    by_folding,
    by_rule,
    by_signals,
    by_steps,
    entry_by_entry,
    varying,
)
from pellucid.shapes import Tensor


@dataclass
class Differences:
    """One pass: whether positive and negative parts are told apart, and what linear layers have put out."""

    reveals: bool = False
    made: dict[int, tuple[Tensor, Tensor, Part]] = field(default_factory=dict)


Treatment = Callable[[Any, layers.Call, Differences], layers.Call]


def halves(both: Tensor) -> tuple[Tensor, Tensor]:
    """Examples and their baselines."""
    from keras import ops

    count = ops.shape(both)[0] // 2
    return both[:count], both[count:]


def joined(examples: Tensor, values: Tensor, baselines: Tensor) -> Tensor:
    """Values of examples and baselines; the gradient is that of `examples`, and none for the baselines."""
    from keras import ops

    still = ops.stop_gradient
    return ops.concatenate([examples + still(values - examples), still(baselines)], axis=0)


def quotient(above: Tensor, below: Tensor) -> Tensor:
    """A quotient of differences; 0 where the lower one vanishes."""
    from keras import ops

    small = ops.abs(below) < 1e-7
    return ops.where(small, 0.0, above / ops.where(small, 1.0, below))


def rescaled(a: Tensor, function: Callable[[Tensor], Tensor], now: Differences) -> Tensor:
    """An activation: by the quotient of the differences after it and before it."""
    from keras import ops

    still = ops.stop_gradient
    before = now.made.get(id(a)) if now.reveals else None
    if before is not None:
        return revealed(a, function, before[1], before[2])
    (x, b), (y, start) = halves(a), halves(function(a))
    near = ops.abs(x - b) < 1e-5 * (1 + ops.abs(x))  # float32 has no digits left for a quotient: take the slope
    out = ops.where(near, y, x * still(quotient(y - start, x - b)))
    return joined(out, y, start)


def revealed(a: Tensor, function: Callable[[Tensor], Tensor], inputs: Tensor, part: Part) -> Tensor:
    """An activation after a linear layer: what raises its input and what lowers it, each by a quotient of its own."""
    from keras import ops

    still, none = ops.stop_gradient, ops.zeros_like
    above, below = (lambda w: ops.maximum(w, 0.0)), (lambda w: ops.minimum(w, 0.0))
    x, b = halves(inputs)
    away = x - still(b)
    rises = still((ops.sign(away) + 1) / 2)  # half and half where a difference is zero, but its parts need not be
    raised, lowered = away * rises, away * (1 - rises)
    up = part(raised, above, none) + part(lowered, below, none)
    down = part(raised, below, none) + part(lowered, above, none)
    (_, start), (y, first) = halves(a), halves(function(a))
    f_up, f_down, f_both = (function(start + d) for d in (up, down, up + down))
    by_up = quotient(f_up - first + f_both - f_down, 2 * up)
    by_down = quotient(f_down - first + f_both - f_up, 2 * down)
    return joined(up * still(by_up) + down * still(by_down), y, first)


def linear(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A linear layer and its activation."""
    part = linear_part(layer, original)

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        z = part(x)
        now.made[id(z)] = z, x, part
        after = getattr(layer, "activation", None)
        if after is None or getattr(after, "__name__", "") == "linear":
            return z
        return rescaled(z, after, now)

    return call


def normalized(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A batch normalization, linear as it is; noted as one with the layer before it."""

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        z = original(x, *rest, **options)
        _, given, part = now.made.get(id(x), (None, None, None))
        both = folded(part, layer, x) if part is not None else None
        if both is not None:
            now.made[id(z)] = z, given, both
        return z

    return call


def activation(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """An activation."""

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        from keras import ops

        if not ops.is_tensor(x):
            raise UnsupportedLayer(f"no multiplier is known for {layer.name!r} of a constant by an input")
        return rescaled(x, lambda a: original(a * 1, *rest, **options), now)

    return call


def constant_aside(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """The larger or smaller of a tensor and a constant."""
    from keras import ops

    def call(a: Any, b: Any) -> Tensor:
        own = varying(layer)
        if all(own):
            half = (a + b) / 2  # the larger of two is their mean and half their distance, whose activation is |a - b|
            sign = 0.5 if type(layer).__name__ == "Maximum" else -0.5
            return half + sign * rescaled(a - b, ops.abs, now)
        tensor, fixed = (a, b) if own[0] else (b, a)
        return rescaled(tensor, lambda t: original(t, fixed), now)

    return call


def chosen(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A maximum over a window: a rise goes to where the example's maximum is, a fall to where the baseline's was."""
    from keras import ops

    def call(both: Tensor, *rest: Any, **options: Any) -> Tensor:
        still = ops.stop_gradient
        pool = lambda t: original(t, *rest, **options)  # noqa: E731
        x, b = halves(both)
        y, start = pool(still(x)), pool(still(b))
        top = ops.maximum(y, start)
        away = (x - still(x)) * quotient(ops.ones_like(x), still(x - b))
        out = pool(still(x) + away) * (top - start) + pool(still(b) + away) * (y - top)
        return joined(out, y, start)

    return call


def shared(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """A product of two: each factor's difference times the mean of the other."""
    from keras import ops

    still = ops.stop_gradient
    (a1, a0), (b1, b0) = halves(a), halves(b)
    out = product(a1, still(b1 + b0) / 2) + product(still(a1 + a0) / 2, b1)
    return joined(out, product(still(a1), still(b1)), product(a0, b0))


def multiplied(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A layer that multiplies the tensors of a list."""

    def call(inputs: Any, *rest: Any, **options: Any) -> Tensor:
        found = inputs[0]
        for factor in inputs[1:]:
            found = shared(lambda a, b: original([a, b], *rest, **options), found, factor)
        return found

    return call


def pairwise(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """An operation that multiplies two tensors, or a tensor and a constant."""

    def call(a: Any, b: Any, *rest: Any, **options: Any) -> Tensor:
        if not all(varying(layer)):
            return original(a, b, *rest, **options)
        return shared(lambda x, y: original(x, y, *rest, **options), a, b)

    return call


@dataclass
class Gates:
    """The arithmetic of differences inside recurrent cells: gates count as much as signals do."""

    now: Differences

    def linear(self, run: Run, given: Tensor) -> Tensor:
        """See `recurrent.Arithmetic.linear`."""
        return run(given, same, same)

    def activated(self, z: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """See `recurrent.Arithmetic.activated`."""
        return rescaled(z, function, self.now)

    gate = activated

    def gated(self, gate: Tensor, signal: Tensor) -> Tensor:
        """See `recurrent.Arithmetic.gated`."""
        return shared(lambda a, b: a * b, gate, signal)


def in_steps(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A recurrent cell: products of gates and signals are shared out between them."""
    return in_step(layer, Gates(now))


def stepping(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A recurrent layer: step by step, through its cell; a baseline is masked where its example is."""
    if _backend.is_torch_module(layer):
        return in_loop(layer, Gates(now))

    def call(*inputs: Any, **options: Any) -> Any:
        if options.get("mask") is not None:
            options["mask"] = _of_examples(options["mask"])
        with stepwise(layer):
            return original(*inputs, **options)

    return call


def masked(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A layer that masks what holds a certain value: a baseline is masked where its example is."""
    from keras import ops
    from keras.src.backend import get_keras_mask, set_keras_mask

    def call(both: Tensor) -> Tensor:
        mask = get_keras_mask(original(_of_examples(both)))
        out = both * ops.cast(ops.expand_dims(mask, -1), both.dtype)
        set_keras_mask(out, mask)
        return out

    return call


def _of_examples(both: Tensor) -> Tensor:
    """What holds of the examples, for their baselines as well."""
    from keras import ops

    return ops.concatenate([halves(both)[0]] * 2, axis=0)


_MAXIMA = tuple(kind for kind in UNTREATED if "Max" in kind and kind != "Maximum")

DIFFERENCES: dict[Treatment | None, tuple[str, ...]] = {
    linear: TREATMENTS[by_rule],
    normalized: TREATMENTS[by_folding],
    activation: TREATMENTS[entry_by_entry],
    chosen: _MAXIMA,
    multiplied: ("Multiply",),
    in_steps: TREATMENTS[by_signals],
    stepping: TREATMENTS[by_steps],
    masked: ("Masking",),
    None: tuple(kind for kind in UNTREATED if kind not in {*_MAXIMA, "Softmax", "Maximum", "Minimum", "Masking"}),
}
"""What is done at which kind of layer, of Keras and of torch; None: nothing has to be done."""

OPERATION_DIFFERENCES: dict[Treatment | None, tuple[str, ...]] = {
    activation: (
        *OPERATIONS[entry_by_entry],
        "Absolute",
        "Exp",
        "Log",
        "Sqrt",
        "Square",
        "Sin",
        "Cos",
        "Erf",
        "Power",
        "Rsqrt",
    ),
    pairwise: ("Multiply", "Matmul", "Dot"),
    constant_aside: ("Maximum", "Minimum"),
    chosen: ("MaxPool",),
    None: tuple(k for k in OPERATIONS[None] if k not in {"Softmax", "Max", "Maximum", "Minimum", "MaxPool"}),
}
"""The same for operations of `keras.ops` in a functional model."""
