"""What is done at each kind of layer, so that gradients are DeepLIFT's multipliers.

Examples and their baselines run through the model as the two halves of one batch. Linear layers and all that only moves
values about need no treatment: their gradient is their multiplier. `DIFFERENCES` says what the others get.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pellucid import _backend
from pellucid.core import layers
from pellucid.core.kinds import RECTIFIED, is_rectified, is_rectifier, kinds
from pellucid.errors import UnsupportedLayer
from pellucid.explain.propagation.arithmetic import Product, Run
from pellucid.explain.propagation.attention import attending
from pellucid.explain.propagation.linear import folded, linear_part, parts_of_normalization, same
from pellucid.explain.propagation.multihead import in_heads
from pellucid.explain.propagation.multipliers import (
    Differences,
    Treatment,
    halves,
    log_softened,
    rectified,
    rescaled,
    shared,
    softened,
    squared,
)
from pellucid.explain.propagation.recurrent import in_loop, in_step, stepwise
from pellucid.explain.propagation.slopes import sloped
from pellucid.explain.propagation.treatments import (
    OPERATIONS,
    TREATMENTS,
    UNTREATED,
    by_attention,
    by_folding,
    by_pairs,
    by_rule,
    by_signals,
    by_steps,
    by_still_spread,
    entry_by_entry,
    mixes,
    of_two,
    varying,
)
from pellucid.shapes import Tensor


def linear(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A linear layer and its activation."""
    part = linear_part(layer, original)

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        examples, baselines = now.halves(x)
        z = now.joined(part(examples), part(baselines))
        now.made[id(z)] = z, x, part
        after = getattr(layer, "activation", None)
        if after is None or getattr(after, "__name__", "") == "linear":
            return z
        return _after(z, after, now)

    return call


SOFTENING = {"softmax": softened, "log_softmax": log_softened}
"""Activations over the last axis that are treated as chains, by name."""


def _after(z: Tensor, function: Callable[[Tensor], Tensor], now: Differences) -> Tensor:
    """An activation, or a softmax or its logarithm over the last axis."""
    name = getattr(function, "__name__", "")
    if name in SOFTENING:
        return SOFTENING[name](z, -1, now)
    return (rectified if name in RECTIFIED else rescaled)(z, function, now)


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
    by = rectified if is_rectifier(layer) or is_rectified(layer) else rescaled

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        from keras import ops

        if not ops.is_tensor(x):
            raise UnsupportedLayer(f"no multiplier is known for {layer.name!r} of a constant by an input")
        if mixes(getattr(layer, "activation", None)):
            return _after(x, layer.activation, now)
        return by(x, lambda a: original(a * 1, *rest, **options), now)

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
        x, b = now.halves(both)
        share = ops.divide_no_nan(ops.ones_like(x), x - b)
        of_rise, of_fall = pool(sloped(x, x, share)), pool(sloped(b, x, share))
        y, start = still(of_rise), still(of_fall)
        top = ops.maximum(y, start)
        return now.valued(of_rise * (top - start) + of_fall * (y - top), y, start)

    return call


def larger(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """The largest or the smallest of the tensors of a list, one after the other: half their sum and half their distance."""
    from keras import ops

    sign = 0.5 if any(kind == "Maximum" for kind in kinds(layer)) else -0.5

    def call(inputs: Any, *rest: Any, **options: Any) -> Tensor:
        found = inputs[0]
        for other in inputs[1:]:
            found = (found + other) / 2 + sign * rescaled(found - other, ops.abs, now)
        return found

    return call


def multiplied(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A layer that multiplies the tensors of a list."""
    if getattr(layer, "normalize", False):
        raise UnsupportedLayer(f"no multiplier is known for {layer.name!r}, which takes the lengths of its inputs out")

    def call(inputs: Any, *rest: Any, **options: Any) -> Tensor:
        found = inputs[0]
        for factor in inputs[1:]:
            found = shared(lambda a, b: original([a, b], *rest, **options), found, factor, now)
        return found

    return call


def pairwise(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """An operation that multiplies two tensors, or a tensor and a constant."""
    return of_two(layer, original, lambda product, a, b: shared(product, a, b, now))


@dataclass
class Gates:
    """The arithmetic of differences inside layers: gates count as much as signals do."""

    now: Differences

    def linear(self, run: Run, given: Tensor) -> Tensor:
        """See `Arithmetic.linear`."""
        return run(given, same, same)

    def activated(self, z: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Arithmetic.activated`."""
        return _after(z, function, self.now)

    gate = activated

    def gated(self, gate: Tensor, signal: Tensor) -> Tensor:
        """See `Arithmetic.gated`."""
        return shared(lambda a, b: a * b, gate, signal, self.now)

    def product(self, product: Product, a: Tensor, b: Tensor) -> Tensor:
        """See `Arithmetic.product`."""
        return shared(product, a, b, self.now)

    def softmax(self, scores: Tensor) -> Tensor:
        """See `Arithmetic.softmax`."""
        return softened(scores, -1, self.now)


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


def spread_out(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A normalization by the input's own spread, as a chain: squares, their mean, one over its root, and a product."""
    from keras import ops

    still = ops.stop_gradient

    def spread(centre: Tensor, mean: Callable[[Tensor], Tensor], epsilon: float) -> Tensor:
        return rescaled(mean(squared(centre, now)), lambda v: ops.rsqrt(v + epsilon), now)

    def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        centre, scale = parts_of_normalization(layer, x, spread)
        out = shared(lambda a, b: a * b, centre, scale, now)
        return out + still(original(x, *rest, **options) - out)

    return call


def softening(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A softmax, layer or operation."""
    from keras import ops

    def call(scores: Tensor, mask: Tensor = None, **options: Any) -> Tensor:
        axis = getattr(layer, "axis", getattr(layer, "dim", -1))
        if mask is None:
            return softened(scores, axis, now)
        out = softened(ops.where(mask, scores, -3e4 if scores.dtype == "float16" else -1e9), axis, now)
        return ops.where(mask, out, 0.0)

    return call


def log_softening(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """The logarithm of a softmax, layer or operation."""
    axis = getattr(layer, "axis", None)
    dim = getattr(layer, "dim", None) if axis is None else axis
    return lambda scores, *rest, **options: log_softened(scores, -1 if dim is None else dim, now)


def attended(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """Attention: its products are shared out between their factors, its softmax is a chain."""
    if _backend.is_torch_module(layer):
        return in_heads(layer, Gates(now))

    def call(*inputs: Any, **options: Any) -> Any:
        with attending(layer, Gates(now)):
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


def divided(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A quotient: a product with one over the divisor."""

    def call(a: Any, b: Any) -> Tensor:
        own = varying(layer)
        if not own[1]:
            return original(a, b)
        if not own[0]:
            return rescaled(b, lambda t: original(a, t), now)
        return shared(lambda x, y: x * y, a, rescaled(b, lambda t: 1 / t, now), now)

    return call


def averaged(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """The logits of a mean of probabilities, as a chain: logarithms of each, and that of the mean of their exponentials."""
    from keras import ops

    def logarithm(z: Tensor, sign: int) -> Tensor:
        if layer.how == "softmax" and layer.of == "scores":
            return log_softened(z, -1, now)
        return rescaled(z, lambda t: layer.logarithm(t, sign), now)

    def mean(logarithms: list[Tensor]) -> Tensor:
        if len(logarithms) == 1:
            return logarithms[0]
        each = ops.stack(logarithms, axis=-1)
        return (each - log_softened(each, -1, now))[..., 0] - math.log(len(logarithms))

    def call(inputs: Any) -> Tensor:
        members = inputs if isinstance(inputs, list | tuple) else [inputs]
        yes, *no = (mean([logarithm(z, s) for z in members]) for s in ((1,) if layer.how == "softmax" else (1, -1)))
        return yes - no[0] if no else yes

    return call


def stepped(layer: Any, original: layers.Call, now: Differences) -> layers.Call:
    """A rising function of each probability; then a product with one over their sum, where there are several."""
    from keras import ops

    def call(p: Tensor) -> Tensor:
        if layer.functions == 1:
            return rescaled(p, original, now)
        found = rescaled(p, layer.steps, now)
        total = ops.sum(found, axis=-1, keepdims=True)
        return shared(lambda a, b: a * b, found, rescaled(total, lambda t: 1 / ops.maximum(t, 1e-30), now), now)

    return call


_MAXIMA = tuple(kind for kind in UNTREATED if "Max" in kind and kind != "Maximum")

DIFFERENCES: dict[Treatment | None, tuple[str, ...]] = {
    linear: TREATMENTS[by_rule],
    normalized: TREATMENTS[by_folding],
    activation: tuple(kind for kind in TREATMENTS[entry_by_entry] if kind != "Isotonic"),
    averaged: ("EnsembleLogits",),
    stepped: ("Isotonic",),
    chosen: _MAXIMA,
    multiplied: ("Multiply", "Dot"),
    larger: ("Maximum", "Minimum"),
    in_steps: TREATMENTS[by_signals],
    stepping: TREATMENTS[by_steps],
    masked: ("Masking",),
    spread_out: TREATMENTS[by_still_spread],
    softening: ("Softmax",),
    log_softening: ("LogSoftmax",),
    attended: TREATMENTS[by_attention],
    None: tuple(
        kind
        for kind in UNTREATED
        if kind not in {*_MAXIMA, "Softmax", "LogSoftmax", "Maximum", "Minimum", "Masking", "EnsembleLogits"}
    ),
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
    pairwise: OPERATIONS[by_pairs],
    divided: ("Divide", "TrueDivide"),
    constant_aside: ("Maximum", "Minimum"),
    chosen: ("MaxPool", "AdaptiveMaxPool"),
    softening: ("Softmax",),
    log_softening: ("LogSoftmax",),
    None: tuple(
        k
        for k in OPERATIONS[None]
        if k not in {"Softmax", "LogSoftmax", "Max", "Maximum", "Minimum", "MaxPool", "AdaptiveMaxPool"}
    ),
}
"""The same for operations of `keras.ops` in a functional model."""
