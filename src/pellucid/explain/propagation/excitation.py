"""Excitation backpropagation: one unit after another wins, in proportion to what excites the one above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid.core import layers, options
from pellucid.core.anatomy import run_once, run_recorded
from pellucid.core.kinds import kinds
from pellucid.core.model import Model
from pellucid.core.tensors import flattened, to_array
from pellucid.errors import UnsupportedLayer
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.propagation.composites import Composite
from pellucid.explain.propagation.plan import Plan, at_rest, layered, make_plan, writes
from pellucid.explain.propagation.relevance import relevance_step
from pellucid.explain.propagation.rules import Rule, Run, Share
from pellucid.explain.propagation.slopes import backward
from pellucid.explain.propagation.treatments import (
    OPERATIONS,
    TREATMENTS,
    Pass,
    Treatment,
    by_folding,
    by_rule,
    entry_by_entry,
)
from pellucid.explain.propagation.watching import Watching, by_kind
from pellucid.shapes import Array, Tensor

SUMS = (
    "Add", "Average", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalAveragePooling3D", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "Mean", "Sum", "AveragePool",
)  # fmt: skip
"""Layers and operations that add up or average: linear, with weights above zero."""

WITHOUT = (
    "Softmax", "Subtract", "Negative", "Minimum", "Multiply", "Matmul", "Dot", "Einsum", "Tensordot", "Divide", "TrueDivide",
)  # fmt: skip
"""Layers and operations in which nothing wins."""

LINEAR = TREATMENTS[by_rule]


@dataclass(frozen=True, eq=False)
class ExcitationBackprop(Method):
    """How likely an input is to win, when every unit in turn picks who excites it most: where is the evidence?

    The unit asked about wins. A winner j passes its probability on to the units below that excite it:
    `P(i) = sum_j a_i+ w_ij+ / (sum_i a_i+ w_ij+) P(j)`, a their activations. Values are probabilities, and add up to one
    unless somewhere nothing excites a winner. "contrastive" takes from them the probabilities of the opposite unit, the
    one with every weight of the last layer turned round: what speaks for this score, and not for others as well.

    Args:
        contrastive: Whether to subtract what the opposite unit gets.
        layer: A hidden layer whose outputs take the place of the inputs; None for the inputs.

    Raises:
        InvalidOption: `contrastive` is neither True nor False.
        UnsupportedLayer: A layer in which nothing wins, such as an attention or a normalization by the input's own spread.
        UnknownName: There is no layer of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> net.set_weights([np.array([[1.0], [3.0], [-5.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[1.0, 1.0, 1.0]]), pl.ExcitationBackprop(), target=0).values.tolist()
        [[0.25, 0.75, 0.0]]

    References:
        Zhang, Lin, Brandt, Shen and Sclaroff 2016, "Top-down neural attention by excitation backprop", arXiv:1608.00507.

    Limits:
        Meant for rectifier networks, whose units never put out less than zero: what is below zero, in an input or a
        layer, never wins, so that standardized inputs lose their lower half. Being about probabilities, the values say
        nothing about the size of the score. Without the contrast, maps of different classes look alike.
    """

    contrastive: bool = False
    layer: str | None = None

    def __post_init__(self) -> None:
        options.one_of(self, "contrastive", (False, True))

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q = layered(question, type(self).__name__, self.layer)
        key = ("excitation", self.contrastive, *(a.shape[1:] for a in q.inputs))
        one = [a[:1] for a in q.inputs]
        values = q.in_one_pass(
            key, lambda target: relevance_step(q.model, target, _plan(q.model, one, self.contrastive))
        )
        count = len(q)
        return Attribution(
            values, evaluations=np.ones(count, int), converged=np.ones(count, bool), layer=self.layer,
            hidden=self.layer is not None,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Excitation(Rule):
    """Shares among activations above zero, by weights above zero."""

    stabilizer: float = 1e-9

    def shares(self, x: Tensor, z: Tensor, run: Run, ones: Tensor) -> Sequence[Share]:
        """See `Rule.shares`."""
        from keras import ops

        return [(1.0, run(ops.relu(x), ops.relu, ops.zeros_like))]


def _plan(model: Model, example: Sequence[Array], contrastive: bool) -> Plan:
    """Rules for what is below the last linear layer; that one picks the first winners; what follows it is left alone."""
    rule = _Excitation()
    plan = make_plan(model, Composite(dense=rule, convolution=rule), example)
    top, after = _top(model, example)
    if _bypassed(model, top, example):
        raise UnsupportedLayer(
            "ExcitationBackprop: the score is not made by the last linear layer alone, or gradients are asked for above it; "
            "what works on this model: Gradient, GradientInput, IntegratedGradients, Occlusion"
        )
    own = [(model.native, _between(at_rest(model)), rule)] if writes(model) else []
    plan = replace(plan, steps=tuple(step for step in plan.steps if not own or step[0] is not model.native))
    for layer, treatment, _ in plan.steps:
        if treatment not in (by_rule, by_folding, entry_by_entry) and id(layer) not in after:
            raise _refusal(layer)
    inside = [*layers.sublayers(model.native).values(), *layers.operations(model.native)]
    taken_off = {id(layer) for layer, _ in model.anatomy.softened}
    for layer in inside:
        if any(kind in WITHOUT for kind in kinds(layer)) and id(layer) not in after | taken_off:
            raise _refusal(layer)
    steps: list[tuple[Any, Treatment, Rule]] = [
        (layer, _winners(contrastive) if id(layer) in top else how, rule)
        for layer, how, rule in plan.steps
        if id(layer) not in after
    ]
    sums = [layer for layer in inside if any(kind in SUMS for kind in kinds(layer)) and id(layer) not in after]
    return replace(plan, steps=(*steps, *((layer, _among_positive, rule) for layer in sums), *own))


def _between(resting: Sequence[Any]) -> Treatment:
    """What a torch module writes between its layers, up to the last linear one."""
    table = {kind: treatment for kind, treatment in by_kind(OPERATIONS).items() if kind not in WITHOUT}
    table |= {**dict.fromkeys(SUMS, _among_positive), **dict.fromkeys(WITHOUT, _losing)}

    def treatment(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
        def how(treated: Treatment, node: Any, run: layers.Call) -> layers.Call:
            return treated(node, run, rule, now)

        return Watching(layer, resting, table, how, done=lambda: now.won)(original)

    return treatment


def _losing(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """Refused: nothing wins."""
    raise _refusal(layer)


def _refusal(layer: Any) -> UnsupportedLayer:
    return UnsupportedLayer(
        f"ExcitationBackprop: nothing wins in {layer.name if hasattr(layer, 'name') else 'a layer'!r} "
        f"({type(layer).__name__}); what works on this model: Gradient, GradientInput, IntegratedGradients, Occlusion"
    )


def _top(model: Model, example: Sequence[Array]) -> tuple[set[int], set[int]]:
    """Linear layers that put out the scores, or are called last; and layers that are only called after them."""
    found, calls = run_recorded(model, list(example))
    if (unit := getattr(model, "unit", None)) is not None:
        asked = layers.find(model.native, unit.layer)
        parts = {id(part) for part in (asked, *layers.sublayers(asked).values())}
        calls = calls[: max(i for i, c in enumerate(calls) if id(c.layer) in parts) + 1]
    outputs = [to_array(o) for o in flattened(found)]
    linear = [i for i, c in enumerate(calls) if any(kind in LINEAR for kind in kinds(c.layer))]
    if not linear:
        raise UnsupportedLayer(f"ExcitationBackprop: {model.name} holds no linear layer in which anything could win")
    is_output = lambda c: any(np.shape(c.output) == o.shape and np.array_equal(to_array(c.output), o) for o in outputs)  # noqa: E731
    top = {id(calls[i].layer) for i in linear if i == linear[-1] or is_output(calls[i])}
    again = [calls[i].name for i in linear if sum(calls[j].layer is calls[i].layer for j in linear) > 1]
    for name, layer in layers.sublayers(model.native).items():
        if id(layer) in top and name in again:
            raise UnsupportedLayer(f"ExcitationBackprop: {name!r} puts out the scores and also works inside the model")
    before = {id(c.layer) for c in calls[: linear[-1] + 1]}
    return top, {id(layer) for layer in layers.leaves(model.native).values()} - before


def _bypassed(model: Model, top: set[int], example: Sequence[Array]) -> bool:
    """Whether a gradient gets from the scores to where it is asked for without passing the top layers."""
    from keras import ops

    at: list[Array] = []
    run_once(model, lambda *tensors: at.extend(to_array(e) for e in model.embed(tensors)), list(example))
    inside = [layer for layer in layers.sublayers(model.native).values() if id(layer) in top]

    def stopped(original: layers.Call) -> layers.Call:
        return lambda *inputs, **options: ops.stop_gradient(original(*inputs, **options))

    def total(*entries: Tensor) -> list[Tensor]:
        with layers.all_replaced((layer, stopped) for layer in inside):
            return [ops.sum(model.forward_from(entries, [ops.convert_to_tensor(a) for a in example]))]

    return any(model.backend.reaches(total, at)[0])


def _winners(contrastive: bool) -> Treatment:
    """The last linear layer: the score is one unit, whose weights are its gradient there."""

    def treatment(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
        def call(x: Tensor, *rest: Any, **options: Any) -> Tensor:
            now.won = True
            return original(_first_won(x, contrastive), *rest, **options)

        return call

    return treatment


def _first_won(x: Tensor, contrastive: bool) -> Tensor:
    """x itself; what comes back is the weights of the score, what goes on is probability by activation."""
    from keras import ops

    def shared(x: Tensor, weights: Tensor) -> Tensor:
        excited = ops.relu(weights) * ops.cast(x > 0, x.dtype)
        total = ops.sum(excited * x, axis=list(range(1, len(x.shape))), keepdims=True)
        return ops.where(total > 0, excited / ops.where(total > 0, total, 1.0), 0.0)

    def share(weights: Tensor, x: Tensor) -> Tensor:
        return shared(x, weights) - shared(x, -weights) if contrastive else shared(x, weights)

    return backward(x, x, share, x)


def _among_positive(layer: Any, original: layers.Call, rule: Rule, now: Pass) -> layers.Call:
    """A sum or a mean: by what is above zero in it."""
    from keras import ops, tree

    still = ops.stop_gradient
    positive = lambda t: ops.relu(t) if ops.is_tensor(t) else 0 * t  # noqa: E731

    def call(*inputs: Any, **options: Any) -> Tensor:
        y = still(original(*inputs, **options))
        out = original(*tree.map_structure(positive, inputs), **options)
        out = out * still(y / rule.stabilized(out))
        return out + still(y - out)

    return call
