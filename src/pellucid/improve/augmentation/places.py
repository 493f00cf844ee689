"""Values taken from other places: by number, between two of them, exchanged in pairs."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.shapes import Tensor


def taken(x: Tensor, index: Tensor) -> Tensor:
    """What is at places (B, N) of the second axis of x (B, T, ...): (B, N, ...)."""
    from keras import ops

    return ops.take_along_axis(x, ops.reshape(index, (-1, index.shape[1], *(1,) * (len(x.shape) - 2))), axis=1)


def between(x: Tensor, where: Tensor) -> Tensor:
    """What is at real places (B, N) of the second axis of x (B, T, ...), linear between two whole ones."""
    from keras import ops

    last = x.shape[1] - 1
    where = ops.clip(where, 0.0, float(last))
    low = ops.cast(ops.minimum(ops.floor(where), float(max(last - 1, 0))), "int32")
    part = ops.reshape(where - ops.cast(low, where.dtype), (-1, where.shape[1], *(1,) * (len(x.shape) - 2)))
    return taken(x, low) * (1 - part) + taken(x, ops.minimum(low + 1, last)) * part


def pairs(order: Tensor, ready: Tensor, hit: Tensor) -> Tensor:
    """Where each place of a row takes its value from, when places are exchanged in pairs, each place in one at most.

    Args:
        order: Random numbers (N, L) below 1 that decide who is paired.
        ready: Which places (N, L) may be exchanged.
        hit: Whether a pair is exchanged (N, L); half of them are used.
    """
    from keras import ops

    count = ops.shape(order)[1]
    ranked = ops.argsort(ops.where(ready, order, order + 2), axis=1)  # those that are ready first, in random order
    rank = ops.argsort(ranked, axis=1)
    partner = rank + 1 - 2 * (rank % 2)
    able = ops.sum(ops.cast(ready, rank.dtype), axis=1, keepdims=True)
    moved = ops.take_along_axis(hit, rank // 2, axis=1) & (partner < able) & ready
    other = ops.take_along_axis(ranked, ops.minimum(partner, count - 1), axis=1)
    own = ops.cast(ops.arange(count), rank.dtype)
    return ops.where(moved, other, own[None])


def box(ends: Sequence[Tensor], sides: Sequence[int]) -> Tensor:
    """Which pixels (B, H, W, 1) are inside rectangles: from row `ends[0]` to before `ends[1]`, and columns likewise (B,)."""
    from keras import ops

    def within(first: Tensor, after: Tensor, side: int) -> Tensor:
        at = ops.cast(ops.arange(side), first.dtype)[None]
        return (at >= first[:, None]) & (at < after[:, None])

    rows, columns = within(ends[0], ends[1], sides[0]), within(ends[2], ends[3], sides[1])
    return (rows[:, :, None] & columns[:, None, :])[..., None]
