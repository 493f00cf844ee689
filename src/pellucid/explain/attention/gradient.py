"""Attention weighted by the gradient of the score, followed through self, cross and encoder-decoder attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pellucid.core.attention_streams import Link, Stream
from pellucid.explain.attention.engine import AlongAttention
from pellucid.explain.attention.following import State, added
from pellucid.explain.attention.rollout import answered, read
from pellucid.explain.base import Attribution, Question
from pellucid.shapes import Tensor


@dataclass(frozen=True, eq=False)
class GradientAttention(AlongAttention):
    """Which inputs does attention bring to this score, where more attention would raise it?

    In each layer, `A = mean over heads of relu(a * d score / d a)`. Relevance starts as R = I for every sequence. Self-attention:
    `R += A R`. Attention of a sequence s to another, q: `R_sq += N(R_ss)' A N(R_qq)` and `R_ss += A R_qs`, where N divides the
    rows of R - I by their sums, and adds I. Values are the rows of R of the queries that the score depends on, each alike.

    Args:
        query: The number of the query that is asked about, after the last layer; None for those that the score depends on: the
            class token, all that are no padding under a mean, the only one of a pooling attention.
        resize: Whether the values are laid on the inputs; False for a value at every position (B, K).

    Raises:
        NotApplicable: The model has no attention that the score depends on.
        InvalidInput: The positions are no parts of an input.
        InvalidOption: A query that is not there.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = keras.Input((2, 1))
        >>> net = keras.Model(x, keras.layers.Attention()([x[:, :1], x])[:, 0])  # one query: the first position
        >>> e = pl.explain(net, np.array([[[0.0], [3.0]]]), pl.GradientAttention())  # equal weights of values 0 and 3
        >>> e.values[..., 0].tolist()  # weight 0.5 times slope 3
        [[0.0, 1.5]]

    References:
        Chefer, Gur and Wolf 2021, "Generic attention-model explainability for interpreting bi-modal and encoder-decoder
        transformers", arXiv:2103.15679.

    Limits:
        What lowers the score is cut off, head by head. The slope is by the weights alone, each on its own: that they add up to 1
        is left out, as is what feed-forward layers do. Under a mean, every position starts with an equal share of itself. The
        scale depends on that of the score: compare positions, not examples. Two attentions that run side by side are added up.
    """

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place = self.attended(question)
        place.checked(place.wiring.read)
        told = (
            [] if place.query is not None else [n for n, link in enumerate(place.wiring.links) if link.site.queries > 1]
        )

        def then(kept: Sequence[Tensor], slopes: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
            matrices = [_rising(slopes[n], weights) for n, weights in enumerate(kept)]
            return read(place, matrices, _rule, {n: slopes[n] for n in told}, learned=True)

        found = place.run("gradient attention", lambda seen: seen.weights, place.wiring.links, then)
        return answered(self, place, found)


def _rising(slopes: Tensor, weights: Tensor) -> Tensor:
    """The mean over heads (B, Q, K) of what raises the score."""
    from keras import ops

    return ops.mean(ops.relu(slopes * weights), axis=1)


def _rule(link: Link, matrix: Tensor, own: State, asking: State, looked: State) -> State:
    """The rules 6 and 7 of self-attention, 10 and 11 of attention to another sequence."""
    from keras import ops

    more = {origin: ops.matmul(matrix, held) for origin, held in looked.items() if origin != link.looks or link.own}
    if not link.own:
        first, last = normalized(asking, link.asks), normalized(looked, link.looks)
        brought = ops.matmul(ops.swapaxes(first, -1, -2), ops.matmul(matrix, last))
        more[link.looks] = brought
    return added(own, more)


def normalized(state: State, stream: Stream) -> Tensor:
    """What a stream has taken from itself, rows adding up to 1 (or 0, where nothing), and itself: rules 8 and 9."""
    from keras import ops

    whole = ops.eye(stream.length)[None]
    taken = state[stream] - whole
    total = ops.sum(taken, axis=-1, keepdims=True)
    return ops.where(total > 0, taken / ops.where(total > 0, total, 1.0), 0.0) + whole
