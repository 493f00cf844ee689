"""Opening a layer for reading: which one, and where each of its calls lies on the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.anatomy import run_once
from pellucid.core.hidden import outputs_of
from pellucid.core.model import as_operations
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput, NotApplicable, NotDifferentiable
from pellucid.explain.activation.grids import (
    Call,
    Canvas,
    Grid,
    Shape,
    calls_of,
    canvas_of,
    first_in_layer,
    parted,
    token_grid,
)
from pellucid.explain.base import Question
from pellucid.explain.gradients.engine import at_input
from pellucid.shapes import Array, Tensor

INSTEAD = "methods that need no grid: IntegratedGradients, GradientInput, Occlusion"


@dataclass(frozen=True)
class Opened:
    """A layer opened for reading.

    Attributes:
        question: What is asked, of the model opened at the layer.
        name: The layer.
        grids: How its outputs are laid out, call by call.
        canvases: What they lie on; None where nobody asked and it is not clear.
        notes: What to say of it.
    """

    question: Question
    name: str
    grids: tuple[Grid, ...]
    canvases: tuple[Canvas | None, ...]
    notes: tuple[str, ...]

    @property
    def base(self) -> Any:
        """The model as it is, opened nowhere."""
        model: Any = self.question.model
        return model.base

    def on(self, call: int) -> Canvas:
        """What a call of the layer lies on, where that has been asked for."""
        canvas = self.canvases[call]
        if canvas is None:
            raise LookupError(f"nobody asked where {self.name!r} lies on the inputs")
        return canvas

    @property
    def key(self) -> tuple[Any, ...]:
        """What a step compiled for this layer depends on, besides the target."""
        return self.grids, self.canvases


def opened(question: Question, layer: str | None, method: str, *, by_gradient: bool, laid: bool) -> Opened:
    """Open a layer, or the last convolution; `laid`: where it lies on the inputs must be clear.

    Raises:
        UnknownName: There is no layer of that name.
        NotApplicable: A callable without layers; no layer is named, and there is no convolution with a grid.
        InvalidInput: The layer has no grid, is not on the way to the score, or lies on the inputs in no clear way.
        NotDifferentiable: `by_gradient`, and no gradient gets to the layer.
    """
    q = _with_layers(question, method)
    if by_gradient:
        q.model.require_gradient(method)
    calls = calls_of(q.model, q.inputs)
    name = _last_convolution(q, calls, method) if layer is None else layer
    sizes = tuple(a.shape[1:] for a in q.inputs)
    shapes = q.model.kept(("puts out", name, sizes), lambda: outputs_of(q.model, name, q.inputs))
    at = q.opened(name)
    if by_gradient:
        _require_gradient(q, at, method)
    placed = [_placed(at, name, calls, i, laid) for i in enumerate(shapes)]
    grids, canvases = tuple(g for g, _ in placed), tuple(c for _, c in placed)
    notes = [f"no layer was named: the convolution {name!r} was read"] if layer is None else []
    tokens = [(s[1], g) for s, g in zip(shapes, grids, strict=True) if len(g.shape) > len(s) - 2]
    notes += dict.fromkeys(_told_tokens(name, count, grid) for count, grid in tokens)
    return Opened(at, name, grids, canvases, (*notes, *_told_inputs(q, canvases)))


def _with_layers(question: Question, method: str) -> Question:
    """The same question of a model with layers: a callable as a model of its operations."""
    model = question.model
    if model.is_keras or model.is_torch:
        return question
    taken_apart = as_operations(model, question.inputs) if model.differentiable else None
    if taken_apart is None:
        raise NotApplicable(f"{method} reads a layer, and the callable {model.name} shows none; use {INSTEAD}")
    return replace(question, model=taken_apart)


def _require_gradient(question: Question, at: Question, method: str) -> None:
    """Raise if no gradient gets from the score to the layer; a piece that lets none through to the inputs is named first."""
    try:
        at.require_gradient(method)
    except InvalidInput:
        question.require_gradient(method)
        raise


def _last_convolution(question: Question, calls: Sequence[Call], method: str) -> str:
    """The last convolution with a grid that is on the way to the score; the last one at all where no gradient tells."""
    model = question.model
    ranks = {a.ndim - without for a in question.inputs for without in (1, 2)}
    spread = [c for c in calls if c.put is not None and len(c.put) > 1 and _positions(c, c.put, model.is_torch) > 1]
    found = [c.name for c in spread if c.convolution and len(c.put or ()) - 1 in ranks]
    if not found:
        has = "no convolution whose output still has a grid" if any(c.convolution for c in calls) else "no convolution"
        others = list(dict.fromkeys(c.name for c in spread))[-3:]
        offer = f"name a layer with positions ({', '.join(map(repr, others))}), or use " if others else "use "
        raise NotApplicable(f"{method}: {model.name} has {has}; {offer}{INSTEAD}")
    try:
        return next((n for n in dict.fromkeys(reversed(found)) if _on_the_way(question, n, method)), found[-1])
    except NotDifferentiable:
        return found[-1]


def _on_the_way(question: Question, name: str, method: str) -> bool:
    """Whether a gradient gets from the score to a layer; where there are several heads, one that is not zero."""
    at = question.opened(name)
    try:
        at.require_gradient(method)
    except InvalidInput:
        return False
    return question.model.anatomy.heads == 1 or any(s.any() for s in at_input(at.take(slice(0, 8)), "slope"))


def _positions(call: Call, put: Shape, is_torch: bool) -> int:
    return int(np.prod(parted(put, is_torch if call.first is None else call.first)[0]))


def _placed(
    at: Question, name: str, calls: Sequence[Call], output: tuple[int, Shape], laid: bool
) -> tuple[Grid, Canvas | None]:
    """The grid of one of a layer's calls (its number, and the shape of what it puts out), and what it lies on."""
    index, (count, *own) = output
    if count != 1 or len(own) < 2:
        raise InvalidInput(
            f"layer: {name!r} puts out {(count, *own)} for one example, no positions with channels, examples first; name a "
            "layer with a grid, such as a convolution"
        )
    first = first_in_layer(at.model, calls, name, tuple(own), images=all(a.ndim == 4 for a in at.inputs))
    shape, width = parted(tuple(own), first)
    grid, rank = Grid(1 if first else len(own), width, 0, shape), len(shape)
    fitting = [i for i, a in enumerate(at.inputs) if _fits(a, rank)]
    if len(fitting) > 1:
        fitting = [i for i in fitting if _read(at.model, at.inputs)[index][i]]
    if len(fitting) == 1:
        return _laid(at, calls, grid, fitting[0], name, laid)
    if not laid:
        return grid, None
    told = ", ".join(f"{n} {a.shape[1:]}" for n, a in zip(at.model.names or ("x",), at.inputs, strict=True))
    raise InvalidInput(
        f"layer: the grid {' x '.join(map(str, shape))} of {name!r} lies on {'several inputs' if fitting else 'no input'} "
        f"({told}); name another layer, or take the layer's own grid with resize=False"
    )


def _fits(array: Array, rank: int) -> bool:
    """Whether an input has the axes of the grid, with or without channels, or is an image that tokens may tile."""
    return array.ndim - 1 - rank in (0, 1) or (rank == 1 and array.ndim == 4)


def _laid(
    at: Question, calls: Sequence[Call], grid: Grid, index: int, name: str, laid: bool
) -> tuple[Grid, Canvas | None]:
    """The grid on the input that it fits."""
    rank = len(grid.shape)
    tokens = at.inputs[index].ndim - 1 - rank > 1
    if not (tokens or laid):
        return grid, None
    canvas = canvas_of(at.model, calls, at.inputs, index, 2 if tokens else rank)
    if tokens and canvas is not None:
        before, tiles = token_grid(grid.shape[0], canvas.sizes, name)
        grid = replace(grid, before=before, shape=tiles)
    return grid, canvas


def _read(model: Any, inputs: Sequence[Array]) -> list[list[bool]]:
    """For each call of the layer that a model is opened at, which inputs it reads."""
    base, one, at = model.base, [a[:1] for a in inputs], []
    run_once(base, lambda *tensors: at.extend(to_array(e) for e in base.embed(tensors)), one)

    def outputs(*entries: Tensor) -> list[Tensor]:
        from keras import ops

        with layers.read(model.layer) as seen:
            base.forward_from(entries, [ops.convert_to_tensor(a) for a in one])
        return seen

    found = []
    for ways in base.backend.reaches(outputs, at):
        reached = {e.input for e, way in zip(base.anatomy.entries, ways, strict=True) if way}
        found.append([i in reached for i in range(len(one))])
    return found


def _told_tokens(name: str, count: int, grid: Grid) -> str:
    return f"the {count} tokens of {name!r} were taken for {grid.before} and {' x '.join(map(str, grid.shape))}"


def _told_inputs(question: Question, canvases: Sequence[Canvas | None]) -> list[str]:
    names, covered = question.model.names or ("x",), {c.input for c in canvases if c is not None}
    if not covered or len(covered) == len(names):
        return []
    return [f"the map lies on {', '.join(names[i] for i in sorted(covered))}; the other inputs get zeros"]
