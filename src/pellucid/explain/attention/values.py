"""Attention weights times the length of what they bring."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.attention import Seen
from pellucid.core.options import instance
from pellucid.errors import InvalidOption
from pellucid.explain.attention.engine import AlongAttention, laid, told
from pellucid.explain.attention.rollout import answered, rolled_out
from pellucid.explain.base import Attribution, Question
from pellucid.shapes import Tensor

RESIDUAL = 0.5
"""What a position keeps of itself where layers are multiplied, as in `AttentionRollout`."""


@dataclass(frozen=True, eq=False)
class LayerOrAll(AlongAttention):
    """A method that is asked about one attention, or rolled out through all of them."""

    layer: str | None = None
    rollout: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        instance(self, "rollout", bool, "True or False")
        if self.rollout and self.layer is not None:
            raise InvalidOption(
                f"{type(self).__name__}: rollout goes through all layers; leave layer={self.layer!r} away"
            )


@dataclass(frozen=True, eq=False)
class ValueWeightedAttention(LayerOrAll):
    """How much does attention bring from each position, counting what is there and not only the weight?

    `values[b, k] = mean over queries q of || sum over heads h of a[b, h, q, k] f_h(x_k) ||`, with the transformed value
    `f_h(x) = (x W_V + b_V) W_O` of each head: a large weight on a short vector brings little. The mean is over the queries that
    the score depends on. Where a layer does not join its heads by a projection, their values are taken side by side.

    Args:
        layer: The name of the attention, as `pl.attention` gives it; None for the last before the score.
        rollout: Whether the norms of all layers, rows made to add up to 1, are multiplied through as in `AttentionRollout` with
            a residual of a half, in place of one layer's.
        query: The number of the query that is asked about; None for those that the score depends on.
        resize: Whether the values are laid on the inputs; False for a value at every position (B, K).

    Raises:
        NotApplicable: The model has no attention that the score depends on.
        UnknownName: There is no attention of that name.
        InvalidInput: The positions are no parts of an input.
        InvalidOption: Both a layer and `rollout`, or a query that is not there.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = keras.Input((2, 2))
        >>> net = keras.Model(x, keras.layers.Attention()([x[:, :1] * 0, x])[:, 0])  # equal weights
        >>> e = pl.explain(net, np.array([[[3.0, 4.0], [0.0, 1.0]]]), pl.ValueWeightedAttention(), target=0)
        >>> e.values[..., 0].astype(float).round(4).tolist()  # half of the lengths 5 and 1
        [[2.5, 0.5]]

    References:
        Kobayashi, Kuribayashi, Yokoi and Inui 2020, "Attention is not only a weight: analyzing transformers with vector norms",
        arXiv:2004.10102.

    Limits:
        A long vector may point where the score does not look, or cancel with another: the length is of what is brought, not of
        what is used. Residual and normalization after the layer are left out. The values are the same for every class.
    """

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place = self.attended(question)
        if self.rollout:
            place.checked(place.wiring.read)
            key = "attention norms, all"
            return answered(self, place, rolled_out(place, key, _shares, RESIDUAL))
        link = place.wiring.named(self.layer)
        place.checked([link])
        values, rows = place.of_one("attention norms", link, norms)
        return laid(self, place, {link.looks: values}, told(place, [link], [rows]))


def norms(seen: Seen) -> Tensor:
    """|| sum_h a_h[q, k] f_h(x_k) || (B, Q, K), by the products of the heads' vectors: nothing of (B, Q, K, O) is made."""
    from keras import ops

    a, values = seen.weights, seen.values
    if seen.output_kernel is None:
        squares = ops.sum(ops.square(a) * ops.expand_dims(ops.sum(ops.square(values), axis=-1), 2), axis=1)
    else:
        brought = ops.einsum("bhkd,hdo->bkho", values, seen.output_kernel)
        products = ops.matmul(brought, ops.swapaxes(brought, -1, -2))  # (B, K, H, H)
        squares = ops.sum(a * ops.einsum("bgqk,bkhg->bhqk", a, products), axis=1)
    return ops.where(squares > 0, ops.sqrt(ops.where(squares > 0, squares, 1.0)), 0.0)


def _shares(seen: Seen) -> Tensor:
    """The norms with rows that add up to 1."""
    from keras import ops

    found = norms(seen)
    total = ops.sum(found, axis=-1, keepdims=True)
    return found / ops.where(total > 0, total, 1.0)
