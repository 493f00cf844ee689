"""The score as a sum of its input's part and its biases' parts, all brought to the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.errors import NotApplicable
from pellucid.explain.activation.grids import calls_of, first_in_input, interpolation
from pellucid.explain.base import Attribution, Method, Question, completeness_gap
from pellucid.explain.gradients.biases import Output, outputs_of, shares
from pellucid.explain.gradients.engine import by_input
from pellucid.explain.propagation.plan import layered
from pellucid.shapes import Array, Tensor

FORMS = ("complete", "picture")

WEIGHT = 4
"""Rows that an example weighs as: outputs, what is added to them, their slopes and their biases are held together."""

MISSED = 1e-3
"""Share of the score that may be missing from the sum before the record says so."""


@dataclass(frozen=True, eq=False)
class FullGradient(Method):
    """What the score consists of: the input's part, and the part of every bias in the model, where it acts.

    `score = sum_i x_i d score / d x_i + sum over layers of G . (f(z) - J z)`: what a layer f puts out is its slope J times what
    comes in, and a bias of its own, given (in a dense layer, a convolution, a batch normalization) or implicit (in whatever
    bends: `tanh(z) - tanh'(z) z`; rectifiers have none); G is the gradient of the score there. `values` are the input's part
    and all biases' parts, brought to the input; they add up to the score, and `gap` says by how much they miss it.

    A layer's outputs that lie on a grid, like the input, have their parts summed over channels, and those of each cell
    spread evenly over the pixels, steps or tokens below it, and over their channels. All others (of dense layers, or of a
    model with several such inputs) are spread evenly over everything: over the columns of a table.

    Args:
        form: "complete", as above, or "picture", as the authors draw it: the absolute value of the input's part and of each
            layer's on a grid, each scaled to [0, 1], stretched over the image and added up, with one channel.

    Raises:
        InvalidOption: A form that does not exist.
        UnsupportedLayer: A callable that cannot be taken apart into operations.
        NotApplicable: A picture of inputs that are on no grid.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> net.set_weights([np.array([[3.0], [-1.0]]), np.array([4.0])])
        >>> e = pl.explain(net, np.array([[1.0, 2.0]]), pl.FullGradient())
        >>> e.values.tolist(), e.output.tolist(), e.gap.tolist()
        ([[5.0, 0.0]], [5.0], [0.0])

    References:
        Srinivas and Fleuret 2019, "Full-gradient representation for neural network visualization", arXiv:1905.00780.

    Limits:
        The sum is exact, the places are not: a bias acts on all a unit sees, and where that is the whole input, or the model
        a table's, its part says nothing about single columns. Cells are taken to tile the input evenly. What is computed
        between the layers of a subclassed model, or after them, is missing from the sum, and the notes say so where it matters.
        A picture has lost its signs and its sum.
    """

    form: str = "complete"

    def __post_init__(self) -> None:
        options.one_of(self, "form", FORMS)

    @property
    def contributes(self) -> bool:
        """Whether signs and sum were kept."""
        return self.form == "complete"

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q = layered(question, type(self).__name__)
        outputs, canvases = outputs_of(q.model, q.inputs), [_canvas(q, i) for i in range(len(q.inputs))]
        if self.form == "picture" and not all(c.sizes for c in canvases):
            shapes = ", ".join(str(a.shape) for a in q.inputs)
            raise NotApplicable(f'FullGradient(form="picture") needs inputs on a grid, such as images, got {shapes}')
        key = ("full", self.form, q.target.function, *(a.shape[1:] for a in q.inputs))
        step = q.model.compiled(key, lambda: _step(q.model, q.target, (self.form, outputs, canvases)))
        *values, scores = q.model.in_chunks(key, step, (*q.inputs, q.target.selector), WEIGHT)
        count = len(q)
        found = Attribution(tuple(values), evaluations=np.full(count, 2), converged=np.ones(count, bool))
        if self.form == "picture":
            return found
        gap = completeness_gap(values, q.output)
        missed = float(np.max(gap / np.maximum(np.abs(scores), np.finfo(np.float32).tiny)))
        note = f"parts that {q.model.name} computes outside its layers are missing: up to {missed:.1%} of the score"
        return Attribution(
            tuple(values), evaluations=found.evaluations, converged=found.converged, complete=True,
            baseline_output=np.zeros(count, np.float32), notes=(note,) if missed > MISSED else (),
        )  # fmt: skip


@dataclass(frozen=True)
class _Canvas:
    """The grid of an input: its positions along each axis, the axis of its channels (None: it has none), and how many."""

    sizes: tuple[int, ...]
    axis: int | None
    channels: int

    @property
    def entries(self) -> int:
        """Numbers of one example."""
        return int(np.prod(self.sizes)) * self.channels

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether a layer's outputs of that shape lie on such a grid."""
        return bool(self.sizes) and len(shape) == len(self.sizes) + 1

    def cells(self, share: Tensor) -> Tensor:
        """A layer's shares (E, ...), summed over their channels: (E, grid...)."""
        from keras import ops

        return ops.sum(share, axis=1 if self.axis == 1 else -1)

    def over(self, cells: Tensor, weights: Callable[[int, int], Array]) -> Tensor:
        """Numbers of cells (E, grid...) brought to the input's positions, axis by axis."""
        from keras import ops

        for i, size in enumerate(self.sizes, start=1):
            if cells.shape[i] != size:
                cells = ops.moveaxis(ops.tensordot(cells, weights(cells.shape[i], size), axes=[[i], [1]]), -1, i)
        return cells

    def widened(self, positions: Tensor, channels: int) -> Tensor:
        """Numbers of positions as those of an input with so many channels."""
        from keras import ops

        return (
            positions if self.axis is None else ops.repeat(ops.expand_dims(positions, self.axis), channels, self.axis)
        )


def _canvas(question: Question, index: int) -> _Canvas:
    shape, model = question.inputs[index].shape[1:], question.model
    if any(e.input == index and e.layer is not None for e in model.anatomy.entries):
        return _Canvas(shape, None, 1)
    if len(shape) < 2:
        return _Canvas((), None, int(np.prod(shape)))
    first = first_in_input(model, calls_of(model, question.inputs), shape)
    sizes, channels = (shape[1:], shape[0]) if first else (shape[:-1], shape[-1])
    return _Canvas(sizes, 1 if first else len(shape), channels)


def evenly(count: int, size: int) -> Array:
    """Weights (size, count) that spread each of `count` equal cells over the positions that it covers; columns sum to one."""
    edges = np.arange(count + 1) * size / count
    low, high = edges[None, :-1], edges[None, 1:]
    at = np.arange(size)[:, None]
    return (np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None) / (high - low)).astype(np.float32)


def _step(model: Model, target: Resolved, plan: tuple[str, Sequence[Output], Sequence[_Canvas]]) -> Callable[..., Any]:
    form, outputs, canvases = plan
    size = len(canvases)

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        at = model.embed(arrays[:size])
        scores, grads, found = shares(model, target, outputs, at, arrays)
        own = by_input(model, [g * a for g, a in zip(grads, at, strict=True)], "product")
        placed = [(_place(o.shape, canvases), s) for o, s in zip(outputs, found, strict=True)]
        if form == "picture":
            return (*(_drawn(c, own[i], [s for p, s in placed if p == i]) for i, c in enumerate(canvases)), scores)
        return (*_spread(own, placed, canvases), scores)

    return step


def _place(shape: tuple[int, ...], canvases: Sequence[_Canvas]) -> int | None:
    """The one input on whose grid outputs of a shape lie."""
    held = [i for i, canvas in enumerate(canvases) if canvas.holds(shape)]
    return held[0] if len(held) == 1 else None


def _spread(own: Sequence[Tensor], placed: Sequence[Any], canvases: Sequence[_Canvas]) -> list[Tensor]:
    """The inputs' parts with all others spread over them."""
    from keras import ops

    flatly = lambda t: ops.sum(ops.reshape(t, (ops.shape(t)[0], -1)), axis=1)  # noqa: E731
    loose: Any = sum(flatly(share) for place, share in placed if place is None) + 0 * flatly(own[0])
    loose = loose / sum(canvas.entries for canvas in canvases)
    maps = []
    for i, (canvas, map_) in enumerate(zip(canvases, own, strict=True)):
        for share in (s for place, s in placed if place == i):
            positions = canvas.over(canvas.cells(share), evenly) / canvas.channels
            map_ = map_ + canvas.widened(positions, canvas.channels)
        maps.append(map_ + ops.reshape(loose, (-1, *[1] * (len(map_.shape) - 1))))
    return maps


def _drawn(canvas: _Canvas, own: Tensor, placed: Sequence[Tensor]) -> Tensor:
    """The published picture: what each map has of its own greatest value, added up."""
    from keras import ops

    def scaled(share: Tensor) -> Tensor:
        size = ops.abs(share)
        axes = tuple(range(1, len(size.shape)))
        size = size - ops.min(size, axis=axes, keepdims=True)
        return size / (ops.max(size, axis=axes, keepdims=True) + 1e-6)

    picture = scaled(own) if canvas.axis is None else canvas.cells(scaled(own))
    for share in placed:
        picture = picture + canvas.over(canvas.cells(scaled(share)), interpolation)
    return canvas.widened(picture, 1)
