"""Which layers read the inputs themselves, and which number of an input every number is that they read.

The model is run on examples of codes: numbers that no two places of an input share. Where all that a layer is given are
codes, nothing before it has done more than move numbers, copy them or leave some out, however that is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2, prod
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.anatomy import run_once, run_recorded
from pellucid.core.kinds import kinds
from pellucid.core.model import Model
from pellucid.core.tensors import to_array
from pellucid.shapes import Array, Floats, Tensor

RESCALING = ("Rescaling", "Normalization")
"""Layers that prepare an input number by number: what reads them counts as reading the input."""

BITS = 12
"""Bits that hold one number of a code; ten of them are drawn."""

UNIT = 512.0
"""What makes whole numbers of them."""

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Reading:
    """One call of a layer that reads inputs themselves.

    Attributes:
        shape: The shape of what it reads of one example.
        places: For each number of it (N,), its place among those of all inputs, one after the other; -1: it is padding.
        inputs: Shapes of one example's inputs.
    """

    shape: tuple[int, ...]
    places: Array
    inputs: Shapes

    def without_padding(self, values: Tensor) -> Tensor:
        """Values (B, ...) of the shape of what is read, zero where that is padding."""
        from keras import ops

        inside = self.places >= 0
        if inside.all():
            return values
        return values * ops.convert_to_tensor(inside.reshape(self.shape).astype(np.float32))

    def moved(self, values: Array) -> Array | None:
        """Values that broadcast over an example of the inputs, as the layer would read them; None where they do not."""
        ends = np.cumsum([prod(shape) for shape in self.inputs])
        whole = np.zeros(ends[-1] + 1, np.float32)  # padding is last
        for i in np.unique(np.searchsorted(ends, self.places[self.places >= 0], side="right")):
            try:
                whole[ends[i] - prod(self.inputs[i]) : ends[i]] = np.broadcast_to(values, self.inputs[i]).ravel()
            except ValueError:
                return None
        return whole[self.places].reshape(self.shape)


def sent_back(readings: Sequence[Reading], relevance: Sequence[Tensor]) -> list[Tensor]:
    """Relevance of what was read (B, ...), call by call, at the inputs that it is from."""
    from keras import ops

    shapes = readings[0].inputs
    sizes = [prod(shape) for shape in shapes]
    places = np.concatenate([r.places for r in readings])
    flat = ops.concatenate([ops.reshape(r, (-1, prod(r.shape[1:]))) for r in relevance], axis=1)
    if not np.array_equal(places, np.arange(sum(sizes))):
        flat = ops.concatenate([flat, ops.zeros_like(flat[:, :1])], axis=1)
        flat = ops.sum(ops.take(flat, _readers(places, sum(sizes)), axis=1), axis=1)
    ends = np.cumsum(sizes, dtype=int)
    parts = [flat[:, end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return [ops.reshape(part, (-1, *shape)) for part, shape in zip(parts, shapes, strict=True)]


def _readers(places: Array, size: int) -> Array:
    """Who reads each place, (R, N): the numbers of its readers, and that of nobody after the last of them."""
    order = np.argsort(places, kind="stable")[(places < 0).sum() :]
    own = places[order]
    turn = np.arange(len(own)) - np.searchsorted(own, own)
    found = np.full((turn.max() + 1, size), len(places))
    found[turn, own] = order
    return found


def read_inputs(model: Model, example: Sequence[Array]) -> tuple[list[layers.Called], list[Reading | None]]:
    """Calls of the innermost layers, and what each reads of the inputs; None where it reads what others have made.

    Inputs are those that gradients are taken at: embeddings, or a hidden layer's outputs, stand for what they are made of.
    """
    kept: list[Any] = []
    try:
        run_once(model, lambda *tensors: kept.append(_on_codes(model, tensors)), example)
    except Exception:  # a model may refuse numbers that mean nothing
        return not_looked_at(model, example)
    return kept[0]


def not_looked_at(model: Model, example: Sequence[Array]) -> tuple[list[layers.Called], list[Reading | None]]:
    """The same where nobody asks who reads the inputs."""
    calls = run_recorded(model, list(example))[1]
    return calls, [None] * len(calls)


def _on_codes(model: Model, tensors: Sequence[Tensor]) -> tuple[list[layers.Called], list[Reading | None]]:
    from keras import ops

    shapes = tuple(tuple(map(int, t.shape[1:])) for t in model.embed(tensors))
    sizes = [prod(shape) for shape in shapes]
    codes = _codes(sum(sizes))
    parts = np.split(codes, np.cumsum(sizes, dtype=int)[:-1], axis=1)
    given = [ops.convert_to_tensor(p.reshape(-1, *shape)) for p, shape in zip(parts, shapes, strict=True)]
    many = [ops.repeat(t, len(codes), axis=0) for t in tensors]
    inside = layers.sublayers(model.native).items()
    prepared = [(la, _as_it_is) for _, la in inside if any(kind in RESCALING for kind in kinds(la))]
    with layers.all_replaced(prepared), layers.recorded(model.native) as calls:
        heads = [(la, _projecting(name, la, calls)) for name, la in inside if "MultiheadAttention" in kinds(la)]
        with layers.all_replaced(heads):
            model.forward_from(given, many)
    order = np.argsort(_keys(codes[: len(codes) // 2]))
    return calls, [_reading(call, codes, order, shapes) for call in calls]


def _as_it_is(original: layers.Call) -> layers.Call:
    return lambda x, *rest, **options: x


def _projecting(name: str, layer: Any, calls: list[layers.Called]) -> Callable[[layers.Call], layers.Call]:
    """Lists what each projection of torch's attention reads, which is one layer to it, examples first."""
    from keras import ops

    def make(original: layers.Call) -> layers.Call:
        def call(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any) -> Any:
            output = original(query, key, value, *rest, **options)
            turned = [t if layer.batch_first else ops.swapaxes(t, 0, 1) for t in (query, key, value)]
            calls.extend(layers.Called(name, layer, (t,), output) for t in turned)
            return output

        return call

    return make


def _codes(size: int) -> Floats:
    """Codes (2 W, N) of places, no two alike: numbers that half precision has room for, and the same with another sign."""
    chance = np.random.default_rng(0)
    shape = max(3, ceil((2 * log2(size) + 4) / 10)), size  # so long that two are seldom alike
    while True:
        digits, powers = chance.integers(128, 256, shape), chance.integers(-2, 2, shape)
        words = chance.choice([-1.0, 1.0], shape) * np.ldexp(digits / 128, powers)
        if len(np.unique(_keys(words))) == size:
            return np.concatenate([words, -words]).astype(np.float32)


def _keys(words: Floats) -> Array:
    """Codes (W, N) as one whole number each."""
    whole = (words * UNIT).astype(np.int64) + (1 << BITS - 1)
    return np.sum([word << BITS * i for i, word in enumerate(whole)], axis=0)


def _reading(call: layers.Called, codes: Floats, order: Array, shapes: Shapes) -> Reading | None:
    """What a call reads, where that is codes, and numbers that are the same for all of them."""
    try:
        given = to_array(call.inputs[0]).astype(np.float32)
    except Exception:  # each framework has an error of its own for a tensor without a value
        return None
    if given.ndim < 2 or len(given) != len(codes):
        return None
    flat = given.reshape(len(codes), -1)
    (words, turned), own = np.split(flat, 2), np.split(codes, 2)[0]
    padding = (flat == flat[:1]).all(0)
    likely = ((turned == -words) & (words * UNIT == np.rint(words * UNIT)) & (np.abs(words) < 4)).all(0) & ~padding
    sought, known = _keys(np.where(likely, words, 0.0)), _keys(own[:, order])
    at = np.searchsorted(known, sought).clip(max=len(known) - 1)
    found = likely & (known[at] == sought)
    if not found.any() or not (found | padding).all():
        return None
    return Reading(given.shape[1:], np.where(found, order[at], -1), shapes)
