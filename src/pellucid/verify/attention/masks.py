"""Which positions an attention may look at: told by the masks that its layer was called with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pellucid.core.attention import Seen
from pellucid.shapes import Tensor

MASKS = ("mask", "key_mask", "value_mask", "attention_mask", "attn_mask", "key_padding_mask")
"""Names under which layers are given masks of their keys."""


def unmasked(seen: Seen) -> Tensor:
    """1.0 where a query may look at a key, else 0.0, (B, H, Q, K); inside a compiled function."""
    from keras import ops

    shape = ops.shape(seen.weights)
    found = ops.ones_like(seen.weights)
    for mask in _masks(seen):
        found = found * ops.broadcast_to(ops.cast(mask, "float32"), shape)
    return found


def _masks(seen: Seen) -> Iterator[Tensor]:
    """Masks that broadcast to (B, H, Q, K), true where a key counts."""
    from keras import ops

    queries, keys = (int(n) for n in seen.weights.shape[2:])
    blocks = type(seen.layer).__name__ == "MultiheadAttention"  # torch's own says which keys do *not* count
    for name in MASKS:
        given = seen.arguments.get(name)
        if isinstance(given, list | tuple):  # Attention and AdditiveAttention: one for queries, one for values
            given = given[1] if len(given) > 1 else None
        if given is None or not hasattr(given, "shape"):
            continue
        counts = _counting(given, blocks)
        if len(given.shape) == 2 and name == "attn_mask":  # (Q, K)
            counts = counts[None, None]
        elif len(given.shape) == 2:
            counts = counts[:, None, None, :]
        elif len(given.shape) == 3:
            heads = int(seen.weights.shape[1])
            counts = ops.reshape(counts, (-1, heads, queries, keys)) if name == "attn_mask" else counts[:, None]
        if len(counts.shape) == 4 and counts.shape[-1] == keys:
            yield counts
    if any(seen.arguments.get(name) is True for name in ("use_causal_mask", "is_causal")) or _is_causal(seen.layer):
        yield (ops.arange(queries)[:, None] >= ops.arange(keys)[None, :])[None, None]


def _is_causal(layer: Any) -> bool:
    return getattr(layer, "causal", False) is True


def _counting(mask: Any, blocks: bool) -> Tensor:
    """True where a key counts. Real numbers are added to scores (minus infinity for "no"), unless some are above zero."""
    from keras import ops

    mask = ops.convert_to_tensor(mask)
    kind = str(mask.dtype)
    if "bool" in kind or "int" in kind:
        return ops.logical_not(ops.cast(mask, "bool")) if blocks else ops.cast(mask, "bool")
    return ops.where(ops.any(mask > 0), mask > 0, mask > -1e3)
