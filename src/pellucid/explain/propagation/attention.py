"""Attention, written once for every method: scores and values are products of signals, weights a softmax."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from pellucid.explain.propagation.arithmetic import Arithmetic
from pellucid.explain.propagation.patches import patched
from pellucid.shapes import Tensor


def attending(layer: Any, do: Arithmetic) -> AbstractContextManager[None]:
    """An attention layer of Keras, or of ours, works by a method's arithmetic until the block ends."""
    changes: dict[str, Callable[..., Any]] = {
        "_compute_attention": partial(_over_heads, layer, do), "_calculate_scores": partial(_scores, layer, do),
        "_apply_scores": partial(_applied, do), "score": partial(_scaled, layer, do), "normalize": partial(_normalized, do),
        "attend": partial(_context, do),
    }  # fmt: skip
    return patched(layer, changes)


def _over_heads(
    layer: Any,
    do: Arithmetic,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any = None,
    *rest: Any,
    **more: Any,
) -> tuple[Tensor, Tensor]:
    """The attention of many heads, of projected (B, T, N, H)."""
    from keras import ops

    mask, grouped = attention_mask, hasattr(layer, "_inverse_sqrt_head_dim")
    if more.get("use_causal_mask"):
        causal = layer._compute_causal_mask(query, value)
        mask = causal if mask is None else ops.logical_and(mask, causal)
    scale = layer._inverse_sqrt_head_dim if grouped else layer._inverse_sqrt_key_dim
    pair = (query, key) if grouped else (key, query)  # in the order of the layer's own equation
    scores = do.product(lambda a, b: ops.einsum(layer._dot_product_equation, a, b), *pair)
    weights = layer._masked_softmax(scores * ops.cast(scale, scores.dtype), mask)
    out = do.product(lambda w, v: ops.einsum(layer._combine_equation, w, v), weights, value)
    if attention_mask is not None:  # where nothing is left to attend to, each backend has a value of its own
        still = ops.stop_gradient
        own = type(layer)._compute_attention(layer, *map(still, (query, key, value)), attention_mask, *rest, **more)[0]
        out = out + still(own - out)
    return out, weights


def _scores(layer: Any, do: Arithmetic, query: Tensor, key: Tensor) -> Tensor:
    """Scores (B, T, S) of one head of queries (B, T, D) and keys (B, S, D)."""
    from keras import ops

    additive = any(base.__name__ == "AdditiveAttention" for base in type(layer).__mro__)
    if not additive and layer.score_mode == "dot":
        scores = do.product(lambda q, k: ops.matmul(q, ops.swapaxes(k, -2, -1)), query, key)
        return scores if layer.scale is None else scores * layer.scale
    total = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
    scale = 1.0 if layer.scale is None else ops.convert_to_tensor(layer.scale)
    if additive:
        return ops.sum(scale * do.activated(total, ops.tanh), axis=-1)
    return ops.convert_to_tensor(layer.concat_score_weight) * ops.sum(do.activated(scale * total, ops.tanh), axis=-1)


def _applied(
    do: Arithmetic, scores: Tensor, value: Tensor, scores_mask: Tensor = None, training: bool = False
) -> tuple[Tensor, Tensor]:
    """Values (B, S, D) weighted by a softmax of scores."""
    from keras import ops

    if scores_mask is not None:
        mask = ops.expand_dims(scores_mask, -2) if len(scores_mask.shape) == 2 else scores_mask
        scores = ops.where(mask, scores, -65504.0 if scores.dtype == "float16" else -1e9)
    weights = do.softmax(scores)
    return do.product(ops.matmul, weights, value), weights


def _scaled(layer: Any, do: Arithmetic, queries: Tensor, keys: Tensor) -> Tensor:
    """Scores (B, H, Q, K) of our layers, of projected (B, H, T, D)."""
    from keras import ops

    scores = do.product(lambda q, k: ops.matmul(q, ops.swapaxes(k, -2, -1)), queries, keys)
    return scores * ops.cast(layer.scale, scores.dtype)


def _normalized(do: Arithmetic, scores: Tensor, mask: Tensor | None) -> Tensor:
    """A softmax of scores over the keys that a mask lets through."""
    from keras import ops

    if mask is None:
        return do.softmax(scores)
    weights = do.softmax(ops.where(mask, scores, -3e4 if "16" in str(scores.dtype) else -1e9))
    return ops.where(mask, weights, 0.0)


def _context(do: Arithmetic, weights: Tensor, values: Tensor) -> Tensor:
    """Values (B, H, K, D) by weights (B, H, Q, K)."""
    from keras import ops

    return do.product(ops.matmul, weights, values)
