"""Where the positions of a stream lie on an input: each on what it has grown from.

With every attention cut, the gradient of one position's value by the input is zero outside the word, column, patch or
moment that the position was made of: so patches of any form and order are found, and tokens that the model adds have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.attention import Seen, watched
from pellucid.core.attention_streams import Link, Stream
from pellucid.core.model import Model
from pellucid.errors import InvalidInput
from pellucid.shapes import Array, Floats, Tensor

RESOLUTION = 1e-5
"""Gradients below this share of the largest are rounding."""

DRAWS = 2
"""Random inputs that are looked at: what a rectifier hides in one shows in the other."""


@dataclass(frozen=True, eq=False)
class Ground:
    """How positions lie on an input.

    Attributes:
        input: The number of the input.
        shape: The shape of a map of one example, with one channel where the input has channels.
        cover: Which positions (K,) each part of the flat map (N,) has grown from, (N, K).
        added: Positions that are no part of the input.
    """

    input: int
    shape: tuple[int, ...]
    cover: Array
    added: int

    @property
    def apart(self) -> bool:
        """Whether every part of the input belongs to one position, and to no other."""
        return bool((self.cover.sum(1) == 1).all())

    def spread(self, values: Floats) -> Floats:
        """Values (B, K) as a map (B, ...) of the input: each part gets the mean of the positions that hold it."""
        counts = self.cover.sum(1)
        if counts.max(initial=0) <= 1:  # patches that do not overlap: no product of large matrices
            flat = np.where(counts > 0, values[:, self.cover.argmax(1)], 0).astype(np.float32)
        else:
            flat = values @ (self.cover / np.maximum(counts, 1)[:, None]).T.astype(np.float32)
        return flat.reshape(len(values), *self.shape)


def ground_of(model: Model, inputs: Sequence[Array], stream: Stream, first: Link) -> Ground:
    """How a stream lies on the input it has grown from, given the first attention that looks at it; kept on the model.

    Raises:
        InvalidInput: It grew from no input, or its positions are no parts of one.
    """
    key = ("ground", stream, first.site.number, tuple(a.shape[1:] for a in inputs))
    return model.kept(key, lambda: _found(model, inputs, stream, first))


def _found(model: Model, inputs: Sequence[Array], stream: Stream, first: Link) -> Ground:
    supports = _supports(model, inputs, first) if stream.inputs else {}
    for index in sorted(stream.inputs):
        shape = inputs[index].shape[1:]
        found = _local(supports[index], shape, first=model.is_torch) if index in supports else None
        found = found or _counted(supports.get(index), shape, stream.length)
        if found is not None:
            reduced, cover = found
            return Ground(index, reduced, cover, int((~cover.any(0)).sum()))
    told = ", ".join(f"{n} {a.shape[1:]}" for n, a in zip(model.names or ("x",), inputs, strict=True))
    raise InvalidInput(
        f"resize: the {stream.length} positions that {first.site.name} looks at are no parts of an input ({told}): "
        "what is before mixes them, or they are not made of one; resize=False gives a value for each position"
    )


def _local(support: Array, shape: tuple[int, ...], *, first: bool) -> tuple[tuple[int, ...], Array] | None:
    """A map's shape and what covers it (N, K), of where each position leads to (K, ...); None where positions are mixed."""
    axis = _channels(support, first=first)
    if axis is not None:
        support = np.asarray(support.any(axis + 1, keepdims=True))
        shape = tuple(1 if i == axis else n for i, n in enumerate(shape))
    cover = support.reshape(len(support), -1).T
    parts = cover[:, cover.any(0)]
    if not parts.size or (parts.shape[1] > 1 and parts.mean(0).max() > 0.5) or not parts.any(1).all():
        return None
    return shape, cover


def _channels(support: Array, *, first: bool) -> int | None:
    """The axis of one example that every position has whole: its channels. Keras puts them last, torch first."""
    rank = support.ndim - 1
    if rank < 2:
        return None
    order = (0, rank - 1) if first and rank > 2 else (rank - 1, 0)
    whole = [a for a in order if np.array_equal(support.any(a + 1), support.all(a + 1))]
    return whole[0] if whole else None


def _counted(support: Array | None, shape: tuple[int, ...], count: int) -> tuple[tuple[int, ...], Array] | None:
    """Positions that are as many as columns, words or moments, or one more: one each, in order, the one more before them."""
    if len(shape) not in (1, 2) or count - shape[0] not in (0, 1):
        return None
    before = count - shape[0]
    if before and support is not None and support[0].any() and not support[-1].any():
        before = 0  # the one more is behind them
    cover = np.zeros((shape[0], count), bool)
    cover[np.arange(shape[0]), np.arange(shape[0]) + before] = True
    return (shape[0], *[1] * (len(shape) - 1)), cover


def _supports(model: Model, inputs: Sequence[Array], first: Link) -> dict[int, Array]:
    """For each input that it can be told of, where every position that an attention looks at leads to: (K, ...)."""
    count, key = first.site.keys, ("support", first.site.number)
    step = model.compiled(key, lambda: _support_step(model, first, inputs))
    embedded = {e.input for e in model.anatomy.entries if e.layer is not None}
    found: dict[int, Array] = {}
    for draw in range(DRAWS):
        generator = np.random.default_rng(draw)
        one = [
            a[:1] if i in embedded or a.dtype.kind != "f" else generator.normal(size=a[:1].shape).astype(np.float32)
            for i, a in enumerate(inputs)
        ]
        rows = [np.broadcast_to(a, (count, *a.shape[1:])) for a in one]
        sizes = model.in_chunks(key, step, (*rows, np.eye(count, dtype=np.float32)))
        for entry, slopes in zip(_smooth(model, inputs), sizes, strict=True):
            most = slopes.max(tuple(range(1, slopes.ndim)), keepdims=True)
            there: Array = slopes > RESOLUTION * np.maximum(most, 0.1 * most.max())
            found[entry.input] = there | found.get(entry.input, np.zeros_like(there))
    return found


def _smooth(model: Model, inputs: Sequence[Array]) -> list[Any]:
    """The entries of a model that hold real numbers."""
    return [e for e in model.anatomy.entries if e.layer is not None or inputs[e.input].dtype.kind == "f"]


def _support_step(model: Model, first: Link, inputs: Sequence[Array]) -> Callable[..., Any]:
    """Inputs (K, ...) and one position for each row (K, K) to the size of the gradient of that position's value."""
    from keras import ops

    site, size, smooth = first.site, len(inputs), _smooth(model, inputs)
    # any direction would do, but for a sum: what a layer normalization gives has the same sum wherever it is
    way = np.random.default_rng(0).normal(size=(1, site.heads, 1, site.depth)).astype(np.float32)

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        given, chosen = arrays[:size], arrays[size]

        def value(*moved: Tensor) -> tuple[Tensor, Tensor]:
            seen: list[Tensor] = []
            by_entry = {id(e): t for e, t in zip(smooth, moved, strict=True)}
            entries = [by_entry.get(id(e), t) for e, t in zip(model.anatomy.entries, at, strict=True)]

            def cut(s: Seen) -> tuple[Tensor, Tensor]:
                if s.number == site.number:
                    seen.append(s.values)
                return ops.stop_gradient(s.weights), ops.stop_gradient(s.values)

            with watched(model, cut):
                model.forward_from(entries, given)
            total = ops.sum(seen[0] * ops.convert_to_tensor(way) * chosen[:, None, :, None])
            return total, total

        at = model.embed(given)
        moved = [t for e, t in zip(model.anatomy.entries, at, strict=True) if any(e is s for s in smooth)]
        sizes = [ops.abs(g) for g in model.backend.gradient(value, moved)[1]]
        return tuple(s if e.layer is None else ops.max(s, axis=-1) for e, s in zip(smooth, sizes, strict=True))

    return step
