"""The loss of each row by its scores, as tensors: what curvature, bounds and attacks ask about."""

from __future__ import annotations

from pellucid.core.model import Model
from pellucid.shapes import Tensor

LEAST = 1e-7
"""Probabilities are kept above this, so that a loss of what was thought impossible is finite."""


def of_rows(model: Model, scores: Tensor, labels: Tensor) -> Tensor:
    """Loss (B,) of a model's scores (B, K) for labels (B,): the cross-entropy in nats of classes, the squared error of values."""
    from keras import ops

    if model.output == "value":
        return ops.square(scores[:, 0] - ops.cast(labels, scores.dtype))
    if model.binary:
        return ops.softplus(scores[:, 0]) - ops.cast(labels, scores.dtype) * scores[:, 0]
    own = ops.take_along_axis(scores, ops.cast(labels, "int32")[:, None], axis=1)[:, 0]
    return ops.logsumexp(scores, axis=1) - own if model.output == "logits" else -ops.log(ops.maximum(own, LEAST))
