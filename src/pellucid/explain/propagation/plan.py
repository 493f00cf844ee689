"""Which treatment and which rule every layer of a model gets; found by running it once on one example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.anatomy import run_recorded
from pellucid.core.kinds import kinds
from pellucid.core.model import Model, as_operations
from pellucid.errors import UnsupportedLayer
from pellucid.explain.base import Question
from pellucid.explain.propagation.composites import Composite
from pellucid.explain.propagation.differences import DIFFERENCES, OPERATION_DIFFERENCES
from pellucid.explain.propagation.reading import Reading, not_looked_at, read_inputs
from pellucid.explain.propagation.recurrent import STEPS, cells
from pellucid.explain.propagation.rules import Epsilon, Flat, Rule
from pellucid.explain.propagation.signs import given_nothing_negative
from pellucid.explain.propagation.treatments import (
    OPERATIONS,
    TREATMENTS,
    UNTREATED,
    Treatment,
    by_attention,
    by_rule,
    mixes,
)
from pellucid.explain.propagation.watching import by_kind, by_operations, operation_differences
from pellucid.explain.propagation.written import refusal
from pellucid.shapes import Array

COMPARISONS = (
    "Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalOr", "LogicalNot",
    "OnesLike",
)  # fmt: skip
"""Operations that say of tokens which of them are padding; a baseline has the padding of its example."""


_RELEVANCE, _DIFFERENCES = by_kind(TREATMENTS), by_kind(DIFFERENCES)

PROJECTING = (by_rule, by_attention)
"""What is done at layers with weights that can be the first; of attention, where its projections are no layers of their own."""

KNOWN = {*_RELEVANCE, *UNTREATED}
"""Kinds of layers of which it is known what they do."""


@dataclass(frozen=True)
class Plan:
    """What a modified pass does.

    Attributes:
        steps: Layers that are treated, how, and by which rule.
        direct: What layers with a direct rule read of the inputs, and their rule, call by call.
        notes: What the record should say.
    """

    steps: tuple[tuple[Any, Treatment, Rule], ...]
    direct: tuple[tuple[Reading, Rule], ...]
    notes: tuple[str, ...] = ()


def layered(question: Question, method: str, layer: str | None = None) -> Question:
    """The same question of a model with layers, opened at one of them.

    A callable, or a model with a call of its own, becomes a model of its operations, where it can be taken apart.

    Raises:
        NotDifferentiable: No gradient gets from the score to where it is asked for; `method` is named in the message.
        UnsupportedLayer: A callable that cannot be taken apart.
        UnknownName: There is no layer of that name.
    """
    question.require_gradient(method)
    model = question.model
    if not model.is_torch and not layers.operations_known(model.native):
        taken_apart = as_operations(model, question.inputs)
        if taken_apart is not None:
            question = replace(question, model=taken_apart)
        elif not model.is_keras:
            raise UnsupportedLayer(
                f"{model.name} is a callable that cannot be taken apart into operations; write it in keras.ops, or give a "
                "model with layers"
            )
    opened = question.opened(layer)
    opened.require_gradient(method)
    return opened


def differences_plan(model: Model, example: Sequence[Array]) -> list[tuple[Any, Any]]:
    """Which layers and operations DeepLIFT treats, and how.

    Raises:
        UnsupportedLayer: A layer for which no multiplier is defined.
    """
    _, calls = run_recorded(model, list(example))
    _refuse_more(model)
    _refuse_mixing(model, "softmax", "log_softmax")
    _refuse_unknown(model, calls, list(_DIFFERENCES))
    steps = [(layer, _treatment(layer, _DIFFERENCES)) for layer in layers.sublayers(model.native).values()]
    inside = [(model.native, operation_differences(at_rest(model)))] if writes(model) else []
    operations = _operations(model, OPERATION_DIFFERENCES)
    return [*((layer, how) for layer, how in (*steps, *operations) if how is not None), *inside]


def writes(model: Model) -> bool:
    """Whether a model is a torch module with a forward of its own around its layers."""
    return model.is_torch and not any(kind in KNOWN for kind in kinds(model.native))


def at_rest(model: Model) -> list[Any]:
    """The layers of a torch module whose work is known, so that nothing has to be seen of how they do it."""
    return [layer for layer in layers.sublayers(model.native).values() if any(kind in KNOWN for kind in kinds(layer))]


def make_plan(model: Model, composite: Composite, example: Sequence[Array]) -> Plan:
    """Decide what is done at each layer.

    Raises:
        UnsupportedLayer: A layer whose relevance nothing sound is known about.
        UnknownName: The composite names a layer that does not exist.
    """
    for name in composite.named:
        layers.find(model.native, name)
    _refuse_more(model)
    _refuse_mixing(model, "softmax", "log_softmax")
    calls, readings = read_inputs(model, example) if composite.asks else not_looked_at(model, example)
    first, positive = _first(calls, readings), given_nothing_negative(calls)
    steps = []
    for name, layer in _rules_by_name(model):
        treatment = _treatment(layer)
        if treatment is by_rule and _is_made_up(layer):
            raise UnsupportedLayer(refusal(f"layer {name!r}, whose kernel is made of several parts"))
        if treatment is not None:
            rule = _rule(composite, name, layer, treatment, id(layer) in first)
            steps.append((layer, treatment, rule.of_positive() if id(layer) in positive else rule))
    if writes(model):
        steps.append((model.native, by_operations(at_rest(model), composite), Epsilon()))
    steps += [
        (node, treatment, Epsilon()) for node, treatment in _operations(model, OPERATIONS) if treatment is not None
    ]
    _refuse_unknown(model, calls, [*_RELEVANCE, *UNTREATED])
    rules = {id(layer): rule for layer, treatment, rule in steps if treatment in PROJECTING and rule.direct}
    reads = [(r, id(c.layer)) for c, r in zip(calls, readings, strict=True) if r is not None and id(c.layer) in rules]
    direct = tuple((reading, rules[layer].moved(reading.moved)) for reading, layer in reads)
    return Plan(tuple(steps), direct, _notes(composite, steps, found=bool(first)))


def _notes(composite: Composite, steps: Sequence[tuple[Any, Treatment, Rule]], *, found: bool) -> tuple[str, ...]:
    """What to say of the rule of first layers, where it was given to none, or to one that it tells nothing about."""
    if not found and composite.asks:
        return ("no layer was found that reads the input itself: the rule of first layers was given to none",)
    alike = [
        layer for layer, _, rule in steps if isinstance(rule, Flat) and type(layer).__name__ in ("Dense", "Linear")
    ]
    told = "the rule Flat gives all inputs of a dense layer the same; of a table ask pl.LayerRelevance(pl.Epsilon())"
    return (told,) if alike else ()


def _rules_by_name(model: Model) -> list[tuple[str, Any]]:
    """Every layer by the name that a composite gives its rule by: a recurrent cell has its layer's."""
    inside = layers.sublayers(model.native)
    owners = {id(cell): name for name, layer in inside.items() for cell in cells(layer)}
    return [(owners.get(id(layer), name), layer) for name, layer in inside.items()]


def _refuse_more(model: Model) -> None:
    """Raise for a recurrent or attention layer that does more than its steps, or whose cell is unknown."""
    for name, layer in layers.sublayers(model.native).items():
        told = f"layer {name!r} ({type(layer).__name__}), "
        if getattr(layer, "stateful", False):
            raise UnsupportedLayer(refusal(told + "which keeps its state from one call to the next"))
        if type(layer).__name__ == "Bidirectional" and layer.merge_mode == "mul":
            raise UnsupportedLayer(refusal(told + "which multiplies its two directions"))
        if getattr(layer, "use_gate", False):
            raise UnsupportedLayer(refusal(told + "which gates what it attends to"))
        if type(layer).__module__.startswith("pellucid.") and getattr(layer, "alpha", 1.0) != 1.0:
            raise UnsupportedLayer(refusal(told + "whose weights are no softmax"))
        if getattr(layer, "proj_size", 0):
            raise UnsupportedLayer(refusal(told + "which projects its state"))
        unknown = [c for c in cells(layer) if not any(kind in STEPS for kind in kinds(c))]
        if unknown:
            raise UnsupportedLayer(refusal(told + f"whose cell is a {type(unknown[0]).__name__}"))


def _is_made_up(layer: Any) -> bool:
    """Whether a linear layer's kernel is computed from others (LoRA, weight normalization): its sign is not theirs."""
    parts = (
        {name.split(".")[-1] for name, _ in layer.named_parameters()} if hasattr(layer, "named_parameters") else set()
    )
    return bool(getattr(layer, "lora_enabled", False) or (not hasattr(layer, "call") and parts - {"weight", "bias"}))


def _operations(model: Model, table: Mapping[Any, Sequence[str]]) -> Iterator[tuple[Any, Any]]:
    """What is done at each `keras.ops` node."""
    known = by_kind(table)
    for node in layers.operations(model.native):
        kind = type(node).__name__
        if kind in COMPARISONS and _about_tokens(node):
            continue
        if kind not in known:
            raise UnsupportedLayer(refusal(f"operation {node.name!r} (keras.ops, {kind})"))
        yield node, known[kind]


def _about_tokens(node: Any) -> bool:
    """Whether an operation reads whole numbers and truth values only, as one does that says what is padding."""
    return all("float" not in str(t.dtype) for t in node._inbound_nodes[0].input_tensors)


def _refuse_mixing(model: Model, *allowed: str) -> None:
    """Raise for an activation inside the model whose outputs depend on several of its inputs each."""
    taken_off = {id(layer) for layer, _ in model.anatomy.softened}
    for name, layer in layers.sublayers(model.native).items():
        for activation in (getattr(layer, "activation", None), getattr(layer, "recurrent_activation", None)):
            kind = getattr(activation, "__name__", "")
            if (mixes(activation) or _spreads(activation)) and kind not in allowed and id(layer) not in taken_off:
                raise UnsupportedLayer(refusal(f"activation of {name!r} ({kind})"))


def _spreads(activation: Any) -> bool:
    """Whether a change of one entry changes others after an activation, which may be anybody's function."""
    from keras import ops

    if activation is None or hasattr(activation, "call"):  # a layer is looked at as such
        return False
    before = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    after = before.copy()
    after[0, 0, 0] += 1
    first, second = (ops.convert_to_numpy(activation(ops.convert_to_tensor(a))) for a in (before, after))
    if first.shape != before.shape:
        return True
    changed = first != second
    changed[0, 0, 0] = False
    return bool(changed.any())


def _rule(composite: Composite, name: str, layer: Any, treatment: Treatment, is_first: bool) -> Rule:
    rule = composite.rule(name, layer, is_first=is_first)
    if not rule.direct or is_first:
        return rule
    if treatment is not by_rule and name not in composite.named:
        return Epsilon()
    raise UnsupportedLayer(
        f"{type(rule).__name__} gives relevance to inputs of zero, which is only sound where the input itself is read; the "
        f"layer {name!r} reads what another has made: give it pl.Epsilon(), pl.Gamma() or pl.ZPlus()"
    )


def _treatment(layer: Any, known: Mapping[str, Any] = _RELEVANCE) -> Any:
    return next((known[kind] for kind in kinds(layer) if kind in known), None)


def _refuse_unknown(model: Model, calls: Sequence[layers.Called], known: Sequence[str]) -> None:
    """Raise for a layer of no known kind; parts of a softmax that is taken off are never asked.

    In a torch module, what such a layer calls is looked at as it is called.
    """
    taken_off = {id(layer) for layer, how in model.anatomy.softened if how == "call"}
    for call in () if writes(model) else calls:
        if id(call.layer) not in taken_off and not any(kind in known for kind in kinds(call.layer)):
            raise UnsupportedLayer(refusal(f"layer {call.name!r} ({type(call.layer).__name__})"))


def _first(calls: Sequence[layers.Called], readings: Sequence[Reading | None]) -> set[int]:
    """Linear layers, and attention with projections (by identity), that read the inputs themselves at every call."""
    linear = [(id(c.layer), r) for c, r in zip(calls, readings, strict=True) if _treatment(c.layer) in PROJECTING]
    return {layer for layer, _ in linear} - {layer for layer, reading in linear if reading is None}
