"""The gradients engine: gradients at chosen points, taken and folded inside one compiled step.

A point is where the model is differentiated: the input, or a place on the way from a baseline to it. Integer tokens have
no neighbourhood, so they are differentiated at their embedding (B, T, D), and a token's share is summed over D.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.explain.base import Question
from pellucid.shapes import Array, Floats, Tensor


def entries_of(question: Question) -> tuple[Floats, ...]:
    """Where gradients are taken: each input, or its embedding (B, T, D)."""
    model = question.model
    if model.anatomy.at_inputs:
        return question.inputs
    step = model.compiled("entries", lambda: lambda *inputs: tuple(model.embed(inputs)))
    return model.in_chunks("entries", step, question.inputs)


def at_input(question: Question, fold: str) -> tuple[Floats, ...]:
    """Gradients at the inputs, one map an input.

    Args:
        question: What is asked.
        fold: "slope" for the gradient itself (a token's is the length of its embedding's gradient), "product" for the
            gradient times the input.
    """
    return question.in_one_pass(("gradient", fold), lambda target: _input_step(question.model, target, fold))


def _input_step(model: Model, target: Resolved, fold: str) -> Callable[..., Any]:
    size = len(model.names or "x")

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, selector, shift = arrays[:size], arrays[size], arrays[size + 1 :]
        at, grads, scores = model.sloped(lambda scores: target.score(scores, selector), inputs, shift)
        if fold == "product":
            grads = [g * a for g, a in zip(grads, at, strict=True)]
        return *by_input(model, grads, fold), scores

    return step


@dataclass(frozen=True)
class Path:
    """A way from where gradients are taken at a baseline to where they are at the input: the straight one."""

    def described(self, positions: Floats) -> tuple[Array, ...]:
        """What a compiled step has to know of positions (P,) on the way, from 0 to 1, besides these."""
        del positions
        return ()

    def along(
        self, starts: Sequence[Tensor], ends: Sequence[Tensor], positions: Tensor, known: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Where the path is, all examples at the first position, then all at the second, ... (P * E, ...), and its
        derivative by the position (P, E, ...), or (E, ...) where it is the same everywhere."""
        del known
        ways = [e - s for e, s in zip(ends, starts, strict=True)]
        return [on_way(s, w, positions) for s, w in zip(starts, ways, strict=True)], ways

    def place(self, starts: Sequence[Array], ends: Sequence[Array], position: float) -> list[Array]:
        """Where the path is at one position, as arrays (E, ...)."""
        return [s + position * (e - s) for s, e in zip(starts, ends, strict=True)]


STRAIGHT = Path()


@dataclass(frozen=True, eq=False)
class Points:
    """Points of paths.

    Attributes:
        positions: Where they are on their path, from 0 to 1 (P,).
        weights: Their weights in each of L sums (P, L).
        spread: For each pair of neighbouring points, the weight (P - 1,) of the squared change between them.
        path: The way that the paths take.
    """

    positions: Floats
    weights: Floats
    spread: Floats
    path: Path = STRAIGHT


def along_path(question: Question, baselines: Sequence[Array], points: Points) -> tuple[tuple[Floats, ...], Floats]:
    """Weighted sums of gradient * way over points of the paths from the baselines (of the inputs' shapes).

    Returns:
        Sums (B, L, ...), one an input; and (B,) the weighted sum of squared changes, over all inputs.
    """
    q = question
    key = ("path", points.path, q.shift is not None, q.target.function)
    compiled = q.model.compiled(key, lambda: _path_step(q.model, q.target, points.path))
    shared = (points.positions, points.weights, points.spread, *points.path.described(points.positions))
    step = lambda *examples: compiled(*examples, *shared)  # noqa: E731
    examples = (*q.inputs, *baselines, q.target.selector, *(q.shift or ()))
    *sums, changes = q.model.in_chunks(key, step, examples, len(points.positions))
    return tuple(sums), changes


Place = Callable[
    [Model, Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], tuple[list[Tensor], list[Tensor] | None]
]
"""Of entries (E, ...), more arrays of the examples (E, ...) and what the draws share (P, ...): where gradients are taken
(P, E, ...), and what each is multiplied by there, if anything."""


@dataclass(frozen=True)
class Draws:
    """Random points to take gradients at, described by what is drawn.

    Attributes:
        place: Where the points are.
        fold: How a token's embedding is folded, as in `at_input`.
        change: What is done to the maps (P, E, ...) of the draws.
    """

    place: Place
    fold: str = "product"
    change: Callable[[Tensor], Tensor] = lambda maps: maps


def at_draws(
    question: Question, key: Any, draws: Draws, more: Sequence[Array], shared: Sequence[Array]
) -> tuple[list[Floats], list[Floats]]:
    """Means (B, ...) of the maps at draws, one an input, and sums of squares about them.

    Args:
        question: What is asked.
        key: Tells this kind of draws from others.
        draws: Where the points are.
        more: Further arrays of the examples (B, ...).
        shared: What is drawn (P, ...), the same for every example.
    """
    q, size = question, len(question.model.names or "x")
    key = ("draws", key, q.target.function)
    compiled = q.model.compiled(key, lambda: _draws_step(q.model, q.target, draws, size + 1 + len(more)))
    step = lambda *examples: compiled(*examples, *shared)  # noqa: E731
    found = q.model.in_chunks(key, step, (*q.inputs, q.target.selector, *more), len(shared[0]))
    return list(found[::2]), list(found[1::2])


def _draws_step(model: Model, target: Resolved, draws: Draws, own: int) -> Callable[..., Any]:
    """`own` is how many of the step's arrays belong to the examples."""
    from keras import ops

    size = len(model.names or "x")

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, selector, more, shared = arrays[:size], arrays[size], arrays[size + 1 : own], arrays[own:]
        count = ops.shape(shared[0])[0]
        at, factors = draws.place(model, model.embed(inputs), more, shared)
        points = [ops.reshape(a, (-1, *ops.shape(a)[2:])) for a in at]
        grads = gradients(model, target, points, [at_each_point(t, count) for t in (*inputs, selector)])
        shares = [ops.reshape(g, ops.shape(a)) for g, a in zip(grads, at, strict=True)]
        if factors is not None:
            shares = [g * f for g, f in zip(shares, factors, strict=True)]
        maps = [draws.change(m) for m in by_input(model, shares, draws.fold)]
        means = [ops.mean(m, axis=0) for m in maps]
        about = [ops.sum(ops.square(m - c), axis=0) for m, c in zip(maps, means, strict=True)]
        return tuple(part for pair in zip(means, about, strict=True) for part in pair)

    return step


def start_scores(question: Question, baselines: Sequence[Array]) -> Floats:
    """Scores (B,) at the start of the path: the baseline in place of the input, under the input's own padding mask."""
    q = question
    if q.model.anatomy.at_inputs:
        return q.score_of(tuple(baselines))
    size = len(q.inputs)

    def at_start(*arrays: Tensor) -> Tensor:
        scores = q.model.forward_from(q.model.embed(arrays[size : 2 * size]), arrays[:size])
        return q.target.score(scores, arrays[-1])

    key = ("start", q.target.function)
    step = q.model.compiled(key, lambda: at_start)
    return q.model.in_chunks(key, step, (*q.inputs, *baselines, q.target.selector))


def _path_step(model: Model, target: Resolved, path: Path) -> Callable[..., Any]:
    from keras import ops

    size, extra = len(model.names or "x"), len(path.described(np.zeros(1, np.float32)))

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, starts = arrays[:size], model.embed(arrays[size : 2 * size])
        selector, rest = arrays[2 * size], arrays[2 * size + 1 :]
        rest, known = rest[: len(rest) - extra], rest[len(rest) - extra :]
        *shift, points, weights, spread = rest
        count, ends = ops.shape(points)[0], model.embed(inputs, shift)
        at, ways = path.along(starts, ends, points, known)
        rows, moved = ([at_each_point(t, count) for t in tensors] for tensors in ((*inputs, selector), shift))
        grads = gradients(model, target, at, rows, moved)
        shares = [ops.reshape(g, (count, *ops.shape(e))) * w for g, e, w in zip(grads, ends, ways, strict=True)]
        maps = by_input(model, shares, "product")
        return (*(_weighted(m, weights) for m in maps), sum(_changes(m, spread) for m in maps))

    return step


def on_way(start: Tensor, way: Tensor, points: Tensor) -> Tensor:
    """All examples at the first point of their paths, then all at the second, ... (P * E, ...).

    With the points outside, every sum over them is one plain matrix product, and nothing is transposed on the way.
    """
    from keras import ops

    a = ops.reshape(points, (-1, *[1] * len(start.shape)))
    return ops.reshape(start + a * way, (-1, *ops.shape(start)[1:]))


def at_each_point(tensor: Tensor, count: Tensor) -> Tensor:
    """The same tensor (E, ...) at each of `count` points, (P * E, ...)."""
    from keras import ops

    every = ops.broadcast_to(tensor, (count, *ops.shape(tensor)))
    return ops.reshape(every, (-1, *ops.shape(tensor)[1:]))


def _weighted(maps: Tensor, weights: Tensor) -> Tensor:
    """Sums over points, (P, E, ...) and (P, L) to (E, L, ...)."""
    from keras import ops

    count, *rest = ops.shape(maps)
    sums = ops.matmul(ops.transpose(weights), ops.reshape(maps, (count, -1)))
    return ops.swapaxes(ops.reshape(sums, (-1, *rest)), 0, 1)


def _changes(maps: Tensor, spread: Tensor) -> Tensor:
    """Weighted squares of the changes between neighbouring points, (P, E, ...) to (E,)."""
    from keras import ops

    squares = ops.square(maps[1:] - maps[:-1])
    each = ops.sum(ops.reshape(squares, (*ops.shape(squares)[:2], -1)), axis=2)
    return ops.sum(each * ops.expand_dims(spread, 1), axis=0)


def gradients(
    model: Model, target: Resolved, at: Sequence[Tensor], rows: Sequence[Tensor], shift: Sequence[Tensor] = ()
) -> list[Tensor]:
    """Gradients at the entries of each row's score; `rows` are the inputs and the selector."""
    return model.slopes_at(lambda scores: target.score(scores, rows[-1]), at, rows[:-1], shift)[0]


def by_input(model: Model, maps: Sequence[Tensor], fold: str) -> tuple[Tensor, ...]:
    """Maps at the entries, as one map an input: embeddings folded to one number a token, shared inputs added up.

    A model opened at a hidden layer gets one map a call of the layer, as it is.
    """
    from keras import ops

    found: dict[int, Tensor] = {}
    for entry, m in zip(model.anatomy.entries, maps, strict=True):
        if entry.layer is not None and not entry.hidden:
            m = ops.sum(m, axis=-1) if fold == "product" else ops.sqrt(ops.sum(ops.square(m), axis=-1))
        found[entry.input] = found[entry.input] + m if entry.input in found else m
    return tuple(found[i] for i in sorted(found))
