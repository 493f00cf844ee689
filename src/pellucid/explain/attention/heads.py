"""The weights of several heads as one matrix."""

from __future__ import annotations

from typing import Any

from pellucid.core.attention_streams import Link
from pellucid.errors import InvalidOption
from pellucid.shapes import Tensor

FOLDS = ("mean", "max", "min")


def check_heads(owner: Any) -> None:
    """Require the option `heads` to be a way of folding them, or the number of one."""
    heads = owner.heads
    if heads not in FOLDS if isinstance(heads, str) else isinstance(heads, bool) or not isinstance(heads, int):
        raise InvalidOption(
            f'{type(owner).__name__}.heads: expected "mean", "max", "min" or the number of a head, got {heads!r}'
        )


def require_head(heads: str | int, link: Link) -> None:
    """Raise where an attention has no head of that number."""
    if not isinstance(heads, str) and not -link.site.heads <= heads < link.site.heads:
        raise InvalidOption(
            f"heads: {link.site.name} has {link.site.heads} heads, numbered from 0; there is no {heads}"
        )


def over_heads(weights: Tensor, heads: str | int) -> Tensor:
    """Weights (B, H, Q, K) as (B, Q, K)."""
    from keras import ops

    if not isinstance(heads, str):
        return weights[:, heads]
    fold = {"mean": ops.mean, "max": ops.max, "min": ops.min}[heads]
    return fold(weights, axis=1)
