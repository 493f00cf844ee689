"""From scores to weights: numbers of at least zero that add up to one, dense or with exact zeros.

All three maps belong to one family, the alpha-entmax: p = argmax over the simplex of p . z + H_alpha(p). They work along
the last axis, in float32 at least, and give back the type of the scores. A position that is masked gets exactly 0; where
every position is masked all weights are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from pellucid.shapes import Tensor

_OUTSIDE = -2.0
"""Where scores are shifted so that the largest is 0, nothing at or below -1 has weight: as good as minus infinity."""


def softmax(scores: Tensor, mask: Any = None) -> Tensor:
    """Weights that are never quite zero: p_j = exp(z_j) / sum_k exp(z_k), the alpha-entmax of alpha = 1.

    Args:
        scores: Any numbers (..., K).
        mask: True where a position counts, of a shape that broadcasts to (..., K); None if all do.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> ops.convert_to_numpy(pl.layers.softmax(np.log([[1.0, 3.0, 5.0]], dtype="float32"), [[True, True, False]])).round(4)
        array([[0.25, 0.75, 0.  ]], dtype=float32)
    """
    scores = ops.convert_to_tensor(scores)
    z, mask = _shifted(scores, mask)
    e = ops.exp(z) if mask is None else ops.where(mask, ops.exp(z), ops.zeros_like(z))
    total = ops.sum(e, axis=-1, keepdims=True)
    return ops.cast(e / ops.where(total > 0, total, ops.ones_like(total)), _dtype(scores))


def sparsemax(scores: Tensor, mask: Any = None) -> Tensor:
    """The point of the simplex nearest to the scores: p_j = max(z_j - tau, 0), the alpha-entmax of alpha = 2.

    The threshold is tau = (sum of z over S - 1) / |S|, over the support S of the largest k scores with
    1 + k z_(k) > sum of the largest k. Its Jacobian is diag(s) - s s' / |S| for the indicator s of S.

    Args:
        scores: Any numbers (..., K).
        mask: True where a position counts, of a shape that broadcasts to (..., K); None if all do.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> ops.convert_to_numpy(pl.layers.sparsemax(np.array([[1.0, 0.5, -1.0]], "float32"))).tolist()
        [[0.75, 0.25, 0.0]]

    References:
        Martins and Astudillo 2016, "From softmax to sparsemax", arXiv:1602.02068.

    Limits:
        A weight of exactly zero has no gradient: what falls outside the support is found again only when other scores
        move.
    """
    scores = ops.convert_to_tensor(scores)
    z, mask = _shifted(scores, mask)
    z, ordered, rank = _ordered(z)
    inside = _support(z, ordered, 1 + rank * ordered > ops.cumsum(ordered, axis=-1))
    count = ops.sum(inside, axis=-1, keepdims=True)
    threshold = (ops.sum(z * inside, axis=-1, keepdims=True) - 1) / count
    return _weights(ops.relu(z - threshold) * inside, scores, mask)


def entmax15(scores: Tensor, mask: Any = None) -> Tensor:
    """Between softmax and sparsemax: p_j = max(z_j / 2 - tau, 0)^2, the alpha-entmax of alpha = 1.5.

    Over the support S of scores halved, with mean m and sum of squared deviations d: tau = m - sqrt((1 - d) / |S|). Its
    Jacobian is diag(s) - s s' / sum(s) with s_j = sqrt(p_j).

    Args:
        scores: Any numbers (..., K).
        mask: True where a position counts, of a shape that broadcasts to (..., K); None if all do.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> from keras import ops
        >>> ops.convert_to_numpy(pl.layers.entmax15(np.array([[1.0, 1.0, -2.0]], "float32"))).round(4)
        array([[0.5, 0.5, 0. ]], dtype=float32)

    References:
        Peters, Niculae and Martins 2019, "Sparse sequence-to-sequence models", arXiv:1905.05702.

    Limits:
        As for `sparsemax`: a weight of exactly zero has no gradient.
    """
    scores = ops.convert_to_tensor(scores)
    z, mask = _shifted(scores, mask, 0.5)
    z, ordered, rank = _ordered(z)
    mean = ops.cumsum(ordered, axis=-1) / rank
    spread = ops.cumsum(ops.square(ordered), axis=-1) - rank * ops.square(mean)
    inside = _support(z, ordered, mean - ops.sqrt(ops.relu((1 - spread) / rank)) <= ordered)
    count = ops.sum(inside, axis=-1, keepdims=True)
    mean = ops.sum(z * inside, axis=-1, keepdims=True) / count
    spread = ops.sum(ops.square(z - mean) * inside, axis=-1, keepdims=True)
    threshold = mean - ops.sqrt((1 - spread) / count)
    return _weights(ops.square(ops.relu(z - threshold) * inside), scores, mask)


FAMILY: dict[float, Callable[..., Tensor]] = {1.0: softmax, 1.5: entmax15, 2.0: sparsemax}
"""The maps by their alpha."""


def _dtype(scores: Tensor) -> str:
    return keras.backend.standardize_dtype(scores.dtype)


def _shifted(scores: Tensor, mask: Any, scale: float = 1.0) -> tuple[Tensor, Tensor | None]:
    """Scores in float32 at least, the largest that counts at 0 and what does not count at -2; the mask beside them."""
    z = ops.cast(scores, "float64" if _dtype(scores) == "float64" else "float32") * scale
    if mask is None:
        return z - ops.stop_gradient(ops.max(z, axis=-1, keepdims=True)), None
    mask = ops.broadcast_to(ops.cast(mask, "bool"), ops.shape(z))
    z = ops.where(mask, z, ops.full_like(z, -1e30))
    z = z - ops.stop_gradient(ops.max(z, axis=-1, keepdims=True))
    return ops.where(mask, z, ops.full_like(z, _OUTSIDE)), mask


def _ordered(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of at least -2, the same from the largest down, and ranks 1, 2, ...; the order has no gradient."""
    z = ops.where(z > _OUTSIDE, z, ops.full_like(z, _OUTSIDE))
    ordered = -ops.sort(-ops.stop_gradient(z), axis=-1)
    return z, ordered, ops.cumsum(ops.ones_like(ordered), axis=-1)


def _support(z: Tensor, ordered: Tensor, kept: Tensor) -> Tensor:
    """1 where a score is as large as one that is kept, 0 elsewhere (..., K)."""
    least = ops.min(ops.where(kept, ordered, ops.zeros_like(ordered)), axis=-1, keepdims=True)
    return ops.cast(ops.stop_gradient(z) >= least, z.dtype)


def _weights(p: Tensor, scores: Tensor, mask: Tensor | None) -> Tensor:
    """Weights in the type of the scores, with exact zeros at what does not count."""
    return ops.cast(p if mask is None else ops.where(mask, p, ops.zeros_like(p)), _dtype(scores))
