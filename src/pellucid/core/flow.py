"""Whether a gradient gets from a score back to where it is asked for, and what is in its way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from pellucid.core import layers
from pellucid.core.anatomy import run_once
from pellucid.core.hidden import AtLayer
from pellucid.core.model import Model, as_operations
from pellucid.core.target import Resolved
from pellucid.core.tensors import flattened, to_array
from pellucid.errors import InvalidInput, NotDifferentiable
from pellucid.shapes import Array, Tensor

CUTTING = (
    "Argmax", "Argmin", "Argsort", "ArgPartition", "Sign", "Round", "Floor", "Ceil", "Trunc", "Digitize", "SearchSorted",
    "OneHot", "FloorDivide", "Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual", "LogicalNot", "Bincount",
)  # fmt: skip
"""Kinds of `keras.ops` nodes whose output does not change smoothly with their input."""

TRIES = 16
"""Disturbances of each size: one alone leaves the largest of three scores where it is as often as not."""

INSTEAD = "use a method that only needs outputs: Occlusion, PermutationShapley"


def reached(model: Model, target: Resolved, inputs: Sequence[Array]) -> bool:
    """Whether a gradient gets from the score to where it is asked for; looked at once for a model and target."""
    return any(model.kept(("flow", target.function), lambda: _reached(model, target, inputs)))


def refuse(model: Model, target: Resolved, inputs: Sequence[Array], method: str) -> NoReturn:
    """Say why no gradient gets from the score to where it is asked for.

    Raises:
        NotDifferentiable: A piece in between has no gradient; it is named.
        InvalidInput: The score does not depend on the input, or on the layer.
    """
    if isinstance(model, AtLayer):
        raise InvalidInput(
            f"layer: {model.layer_name!r} is not on the way to the score: no gradient of it gets there; name a layer between "
            "the input and the output that is asked about (of a layer that puts out several tensors, the first is meant)"
        )
    plain = Resolved(np.ones_like(target.selector), target.classes)
    if target.function is not None and any(_reached(model, plain, inputs)):
        if _moves(model, target, inputs):
            raise NotDifferentiable(f"{method} needs gradients, but the target, a callable, has none; {INSTEAD}")
        raise InvalidInput(
            "target: the callable gives the same number whatever the scores are; there is nothing to explain"
        )
    if (piece := _piece(model, inputs)) is not None:
        raise NotDifferentiable(f"{method} needs gradients, but none gets through the {piece}; {INSTEAD}")
    if _moves(model, target, inputs):
        raise NotDifferentiable(f"{method} needs gradients, but none gets through {model.name}; {INSTEAD}")
    raise InvalidInput(f"target: the score does not depend on the input of {model.name}; there is nothing to explain")


def acts(model: Model, target: Resolved, inputs: Sequence[Array]) -> bool:
    """Whether the score of the first example changes with what is put in the place of what is explained."""
    from keras import ops

    scores: list[Array] = []
    one, draw = [np.repeat(a[:1], TRIES, axis=0) for a in inputs], np.random.default_rng(0)
    selector = np.repeat(target.selector[:1], TRIES, axis=0)

    def disturbed(*tensors: Tensor) -> None:
        at = model.embed(tensors)
        for scale in (0.0, 0.1, 1.0, 10.0, 1000.0):
            noise = [ops.convert_to_tensor((scale * draw.normal(size=e.shape)).astype(np.float32)) for e in at]
            moved = [e + ops.cast(n, e.dtype) for e, n in zip(at, noise, strict=True)]
            found = target.score(model.forward_from(moved, tensors), ops.convert_to_tensor(selector))
            scores.append(to_array(found))

    run_once(model, disturbed, one)
    return not all(np.array_equal(scores[0], s) for s in scores)


def notes(model: Model) -> tuple[str, ...]:
    """What to say of operations that no gradient gets through, in a functional model that has been differentiated."""
    if not any(isinstance(key, tuple) and key[0] == "flow" for key in model._kept):
        return ()
    found = [node.name for node in layers.operations(model.native) if _cuts(node)]
    told = "no gradient gets through the operation {!r}: what acts through it alone is not counted"
    return tuple(told.format(name) for name in found)


def _cuts(node: Any) -> bool:
    return type(node).__name__ in CUTTING or (
        type(node).__name__ == "Cast" and "int" in str(getattr(node, "dtype", ""))
    )


def _reached(model: Model, target: Resolved, inputs: Sequence[Array]) -> list[bool]:
    """For each place where a gradient is taken, whether one gets there."""
    at: list[Array] = []
    one = [a[:1] for a in inputs]
    run_once(model, lambda *tensors: at.extend(to_array(e) for e in model.embed(tensors)), one)

    def score(*entries: Tensor) -> list[Tensor]:
        from keras import ops

        selector = ops.convert_to_tensor(target.selector[:1])
        return [target.score(model.forward_from(entries, [ops.convert_to_tensor(a) for a in one]), selector)]

    return model.backend.reaches(score, at)[0]


def _piece(model: Model, inputs: Sequence[Array]) -> str | None:
    """The first layer or operation of a model that gets a gradient through to none of its inputs, in words."""
    from keras import ops

    taken_apart = as_operations(model, inputs) if not (model.is_keras or model.is_torch) else model
    if taken_apart is None:
        return None
    embedded = {e.input for e in model.anatomy.entries if e.layer is not None}
    one = [a[:1] if i in embedded else a[:1].astype(np.float32) for i, a in enumerate(inputs)]
    names: list[tuple[str, int]] = []

    def passed(*tensors: Tensor) -> list[Tensor]:
        given = [ops.convert_to_tensor(a) if i in embedded else t for i, (a, t) in enumerate(zip(one, tensors))]
        with layers.recorded(taken_apart.native, nodes=True) as calls:
            taken_apart.forward(given)
        read = [[t for t in flattened(list(c.inputs)) if ops.is_tensor(t)] for c in calls]
        names.extend((_told(c.layer, c.name), len(r)) for c, r in zip(calls, read, strict=True))
        return [t for c, r in zip(calls, read, strict=True) for t in (*r, flattened(c.output)[0])]

    ways = iter(model.backend.reaches(passed, [np.zeros_like(a, np.float32) + a for a in one]))
    last = ""
    for name, count in names:
        into, out = [any(next(ways)) for _ in range(count)], any(next(ways))
        if any(into) and not out:
            return name
        if last and count and not any(into):
            return f"computation between {last} and {name}"
        last = name if out else last
    return f"computation after {last}" if last else None


def _told(layer: Any, name: str) -> str:
    kind, is_layer = type(layer).__name__, hasattr(layer, "weights") or hasattr(layer, "forward")
    return f"layer {name!r} ({kind})" if is_layer else f"operation {name!r} (keras.ops, {kind})"


def _moves(model: Model, target: Resolved, inputs: Sequence[Array]) -> bool:
    """Whether the score of the first example changes when its numbers are disturbed, or its tokens moved."""
    draw = np.random.default_rng(0)
    many = [np.repeat(a[:1], TRIES, axis=0) for a in inputs]
    selector, classes = (np.repeat(part[:1], TRIES, axis=0) for part in (target.selector, target.classes))
    scores = lambda given: Resolved(selector, classes, target.function).of(model.outputs_of(tuple(given)))  # noqa: E731
    before = scores(many)

    def disturbed(a: Array, scale: float) -> Array:
        if a.dtype.kind != "f":
            return np.stack([np.roll(row, i, -1) for i, row in enumerate(a, start=1)])
        return (a + scale * (1 + np.abs(a)) * draw.normal(size=a.shape)).astype(a.dtype)

    moved = ([disturbed(a, scale) for a in many] for scale in (0.1, 1.0, 10.0))
    return any(not np.array_equal(scores(given), before) for given in moved)
