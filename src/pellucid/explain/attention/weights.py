"""The weights of one attention, as they are."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.explain.attention.engine import AlongAttention, laid, told
from pellucid.explain.attention.heads import check_heads, over_heads, require_head
from pellucid.explain.base import Attribution, Question


@dataclass(frozen=True, eq=False)
class AttentionWeights(AlongAttention):
    """Which positions does one attention of the model look at?

    `values[b, k] = mean over queries q of fold over heads h of a[b, h, q, k]`, with `a = softmax(q k' / sqrt(D))` as the model
    itself uses it. The mean is over the queries that the score depends on: the class token's alone, where the score is read
    from one; all that are no padding, under a mean; the only one of a pooling attention.

    Args:
        layer: The name of the attention, as `pl.attention` gives it; None for the last before the score.
        heads: How heads are folded: "mean", "max", "min", or the number of one head.
        query: The number of the query that is asked about; None for those that the score depends on (the record says so).
        resize: Whether the values are laid on the inputs: on words, columns, pixels or moments, with one channel where the input
            has channels; what the model adds itself, such as a class token, gets none. False for values at all positions (B, K).

    Raises:
        NotApplicable: The model has no attention that the score depends on.
        UnknownName: There is no attention of that name.
        InvalidInput: The positions are no parts of an input.
        InvalidOption: A head or a query that is not there.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = keras.Input((3, 2))
        >>> net = keras.Model(x, keras.layers.Dense(1)(pl.layers.AttentionPooling()(x)))
        >>> e = pl.explain(net, np.array([[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]]), pl.AttentionWeights())
        >>> e.values[..., 0].astype(float).round(3).tolist()
        [[0.333, 0.333, 0.333]]

    References:
        Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate", arXiv:1409.0473;
        Jain and Wallace 2019, "Attention is not Explanation", arXiv:1902.10186.

    Limits:
        A weight says how much of a value is taken, not what the value holds, nor whether the score needs it: very different
        weights can give the same output (Jain and Wallace 2019); `verify` asks that of this model. Deeper attentions look at
        mixtures of positions, not at the words or pixels below them: see `AttentionRollout`. The values are the same for
        every class.
    """

    layer: str | None = None
    heads: str | int = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place = self.attended(question)
        link = place.wiring.named(self.layer)
        require_head(self.heads, link)
        place.checked([link])
        key = ("attention weights", self.heads)
        values, rows = place.of_one(key, link, lambda seen: over_heads(seen.weights, self.heads))
        return laid(self, place, {link.looks: values}, told(place, [link], [rows]))
