"""Hiding parts of an input: which parts there are, what stands in for them, and the scores of what is left.

The parts are called players, after the games that Shapley values are defined on. Every player is a set of entries of an
example: a column (with all columns encoded from it), a patch of pixels, a token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pellucid.core.inputs import broken_row
from pellucid.core.model import Model
from pellucid.core.target import Resolved
from pellucid.errors import InvalidInput, InvalidOption
from pellucid.shapes import Array, Floats, Tensor

ROWS = 4096
"""Masked copies, over all examples, that a step is made for; at least 64 of each example."""


@dataclass(frozen=True)
class Players:
    """The parts of an example.

    Attributes:
        assignment: For each input, the player (>= 0) that every entry of one example belongs to.
        count: How many players there are, over all inputs.
    """

    assignment: tuple[Array, ...]
    count: int

    @cached_property
    def digest(self) -> str:
        """The same for the same parts."""
        digest = hashlib.sha256()
        for a in self.assignment:
            digest.update(f"{a.shape}".encode() + a.tobytes())
        return digest.hexdigest()

    def sizes(self) -> Array:
        """Entries of each player (G,)."""
        flat = np.concatenate([a.ravel() for a in self.assignment])
        return np.bincount(flat, minlength=self.count)

    def gather(self, maps: Sequence[Array]) -> Floats:
        """Sum maps (B, ...), one an input, over each player: (B, G)."""
        count = len(maps[0])
        total = np.zeros((count, self.count))
        for assignment, values in zip(self.assignment, maps, strict=True):
            whole = np.broadcast_to(values, (count, *assignment.shape))  # a map may have one number for all channels
            flat = whole.reshape(count, -1).astype(np.float64)
            order = np.argsort(assignment, axis=None, kind="stable")
            owners, starts = np.unique(assignment.ravel()[order], return_index=True)
            total[:, owners] += np.add.reduceat(flat[:, order], starts, axis=1)
        return total

    def spread(self, values: Floats) -> tuple[Floats, ...]:
        """Values of players (B, G) as maps (B, ...), each shared out evenly over its player's entries."""
        shares = values / self.sizes()
        return tuple(shares[:, a] for a in self.assignment)


def make_players(
    inputs: Sequence[Array], kind: str, *, patch: Any = None, columns: Sequence[str] | None = None, most: int = 64
) -> Players:
    """Divide examples into players.

    Args:
        inputs: Arrays (B, ...), one an input.
        kind: Kind of data, as in `Dataset`.
        patch: Size of a patch: a whole number, one for each axis but the channels', or None for patches of the
            smallest size that gives at most `most` players; an array of whole numbers, of the shape of one example,
            gives every entry's player itself.
        columns: The original column of each column of a table (F,): columns of one origin make one player.
        most: Upper bound on players where `patch` is None (columns and tokens are never merged).
    """
    found, start = [], 0
    for array in inputs:
        shape = array.shape[1:]
        if isinstance(patch, np.ndarray):
            own = _given(patch, shape)
        elif len(shape) <= 1 and columns is not None and kind == "tabular" and shape == (len(columns),):
            own = np.unique(np.asarray(columns), return_inverse=True)[1].astype(int)
            own = _in_order_of_appearance(own)
        elif len(shape) <= 1:
            own = np.arange(int(np.prod(shape))).reshape(shape) // (patch or 1)
        else:
            own = _grid(shape, patch, most)
        found.append(own + start)
        start += int(own.max()) + 1
    return Players(tuple(found), start)


def _in_order_of_appearance(labels: Array) -> Array:
    first = np.unique(labels, return_index=True)[1]
    rank = np.empty(len(first), dtype=int)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[labels]


def _given(patch: Array, shape: tuple[int, ...]) -> Array:
    if patch.shape != shape or patch.dtype.kind not in "iu" or patch.min() < 0:
        raise InvalidOption(
            f"patch: expected whole numbers of at least 0 in the shape of one example {shape}, got {patch.dtype} {patch.shape}"
        )
    return np.unique(patch, return_inverse=True)[1].reshape(shape)


def _grid(shape: tuple[int, ...], patch: Any, most: int) -> Array:
    """Patches over all axes but the last (channels or features), which stay together."""
    axes = shape[:-1]
    sizes = _patch_sizes(axes, patch, most)
    own = np.zeros(axes, dtype=int)
    for axis, (length, size) in enumerate(zip(axes, sizes, strict=True)):
        index = np.arange(length) // size
        own = own * (int(index[-1]) + 1) + index.reshape([-1 if i == axis else 1 for i in range(len(axes))])
    return np.broadcast_to(own[..., None], shape).copy()


def _patch_sizes(axes: tuple[int, ...], patch: Any, most: int) -> tuple[int, ...]:
    if patch is None:
        size = 1
        while np.prod([-(-length // size) for length in axes]) > most:
            size += 1
        return (size,) * len(axes)
    sizes = (patch,) * len(axes) if np.ndim(patch) == 0 else tuple(patch)
    if len(sizes) != len(axes) or any(int(s) != s or s < 1 for s in sizes):
        raise InvalidOption(f"patch: expected a whole number of at least 1, or {len(axes)} of them, got {patch!r}")
    return tuple(map(int, sizes))


def hidden_scores(
    model: Model, inputs: Sequence[Array], fill: Sequence[Array], target: Resolved, players: Players, hide: Array
) -> Floats:
    """Scores of examples with some players hidden.

    Args:
        model: The model.
        inputs: Prepared inputs (B, ...).
        fill: What is put in place of hidden entries, of the inputs' shapes.
        target: The target of each example.
        players: The parts of an example.
        hide: Which players are hidden (M, G), or for every example its own (B, M, G).

    Returns:
        Scores (B, M).
    """
    shared = hide.ndim == 2
    key = ("hidden", shared, players.digest, target.function)
    step = model.compiled(key, lambda: _hidden_step(model, target, players, shared))
    count, masks = len(inputs[0]), hide.shape[-2]
    if masks == 0:
        return np.zeros((count, 0), np.float32)
    size = min(masks, max(64, 1 << (ROWS // count).bit_length()))
    parts = []
    for start in range(0, masks, size):
        part = hide[..., start : start + size, :]
        real = part.shape[-2]
        part = np.concatenate([part, np.repeat(part[..., -1:, :], size - real, axis=-2)], axis=-2)
        own = () if shared else (part,)
        away = [part[:, a] for a in players.assignment] if shared else []
        masked = lambda *examples, away=away: step(*examples, *away)  # noqa: E731
        parts.append(model.in_chunks(key, masked, (*inputs, *fill, target.selector, *own), size)[:, :real])
    scores = np.concatenate(parts, axis=1)
    if (example := broken_row(scores)) is not None:
        raise InvalidInput(
            f"{model.name} gives NaN or infinity for example {example} with parts of it replaced by the baseline; choose "
            "a baseline that the model can take"
        )
    return scores


def _hidden_step(model: Model, target: Resolved, players: Players, shared: bool) -> Callable[..., Any]:
    """Masks come spread over the entries (M, ...), an array an input, where all examples share them: that is done once
    for all, and outside. Else every example brings its own, by player (B, M, G)."""
    from keras import ops

    size = len(players.assignment)

    def spread(hide: Tensor, assignment: Array) -> Tensor:
        in_order = np.array_equal(assignment.ravel(), np.arange(players.count))
        entries = hide if in_order else ops.take(hide, assignment.ravel(), axis=2)
        return ops.reshape(entries, (*ops.shape(hide)[:2], *assignment.shape))

    def step(*arrays: Tensor) -> Tensor:
        inputs, fill, selector, hide = arrays[:size], arrays[size : 2 * size], arrays[2 * size], arrays[2 * size + 1 :]
        count, masks = ops.shape(selector)[0], ops.shape(hide[0])[0 if shared else 1]
        if shared:
            away = [ops.expand_dims(entries, 0) for entries in hide]
        else:
            away = [spread(hide[0], assignment) for assignment in players.assignment]
        made = [
            ops.reshape(ops.where(hidden, ops.expand_dims(f, 1), ops.expand_dims(x, 1)), (-1, *ops.shape(x)[1:]))
            for hidden, f, x in zip(away, fill, inputs, strict=True)
        ]
        scores = target.score(model.forward(made), ops.repeat(selector, masks, axis=0))
        return ops.reshape(scores, (count, masks))

    return step
