"""What becomes of a position when the value of another is zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pellucid.core import layers
from pellucid.core.attention import Seen, watched
from pellucid.core.attention_streams import Link
from pellucid.errors import NotApplicable
from pellucid.explain.attention.blocks import Block, block_of
from pellucid.explain.attention.engine import Attended, laid, told
from pellucid.explain.attention.rollout import answered, rolled_out
from pellucid.explain.attention.values import LayerOrAll
from pellucid.explain.base import Attribution, Question
from pellucid.explain.gradients.engine import at_each_point
from pellucid.shapes import Floats, Tensor

TOGETHER = 32
"""Positions whose values are zeroed in one step, each in a copy of the examples."""


@dataclass(frozen=True, eq=False)
class ValueZeroing(LayerOrAll):
    """How much would the output of a layer turn if it took nothing from a position?

    `values[b, k] = mean over queries q of C[q, k]`, with `C[q, k] = 1 - cos(h_q, h_q without k)`, rows made to add up to 1: h_q
    is what the block of the attention puts out for query q, and once more with the value of k at zero in all heads, the weights
    as they are. What a residual, a normalization or a feed-forward layer makes of it is thus counted in.

    Args:
        layer: The name of the attention, as `pl.attention` gives it; None for the last before the score.
        rollout: Whether C of all layers are multiplied through, without a residual (it is in C), in place of one layer's.
        query: The number of the query that is asked about; None for those that the score depends on.
        resize: Whether the values are laid on the inputs; False for a value at every position (B, K).

    Raises:
        NotApplicable: The model has no attention that the score depends on; `rollout` where one sequence attends to another.
        UnknownName: There is no attention of that name.
        InvalidInput: The positions are no parts of an input.
        InvalidOption: Both a layer and `rollout`, or a query that is not there.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = keras.Input((2, 2))
        >>> net = keras.Model(x, keras.layers.Dense(1)((x + keras.layers.Attention()([x * 0, x]))[:, 0]))
        >>> e = pl.explain(net, np.array([[[4.0, 0.0], [0.0, 6.0]]]), pl.ValueZeroing())  # (6, 3) to (4, 3) or (6, 0)
        >>> e.values[..., 0].astype(float).round(4).tolist()
        [[0.1325, 0.8675]]

    References:
        Mohebbi, Zuidema, Chrupała and Alishahi 2023, "Quantifying context mixing in transformers", arXiv:2301.12971.

    Limits:
        How a representation turns is not what the score makes of it, nor for which class; of two positions with the same
        content, zeroing one shows little. A position counts even for itself only through its value, not its residual. One run of
        the model for each position and layer. Where nothing but the attention's own output can be told (the record says so), the
        residual is left out.
    """

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place = self.attended(question)
        links = list(place.wiring.links) if self.rollout else [place.wiring.named(self.layer)]
        place.checked(place.wiring.read if self.rollout else links)
        if self.rollout and any(link.asks.inputs and not link.own for link in links):
            raise NotApplicable(
                "ValueZeroing: one sequence attends to another, and how much it keeps of itself is not told by values; name a "
                "layer in place of rollout=True"
            )
        sites = [link.site for link in place.wiring.links]
        blocks = [block_of(question.model, question.inputs, link.site, sites) for link in links]
        matrices = [_zeroed(place, link, block) for link, block in zip(links, blocks, strict=True)]
        notes, cost = [_compared(link, block) for link, block in zip(links, blocks, strict=True)], _cost(links)
        if self.rollout:
            answer = answered(self, place, rolled_out(place, "zeroing, all", lambda seen: None, 0.0, matrices), cost)
        else:
            values, rows = place.of_one("zeroing", links[0], None, matrices)
            answer = laid(self, place, {links[0].looks: values}, told(place, links, [rows]), cost)
        return replace(answer, notes=(*answer.notes, *notes))


def _cost(links: Sequence[Link]) -> int:
    return 1 + sum(link.site.keys + -(-link.site.keys // TOGETHER) for link in links)


def _compared(link: Link, block: Block) -> str:
    if block.alone:
        return f"what is compared is the output of {link.site.name} itself, without what follows"
    return f"what is compared after {link.site.name} is the output of {block.name}"


def _zeroed(place: Attended, link: Link, block: Block) -> Floats:
    """C (B, Q, K) with rows that add up to 1, of rows that change at all."""
    q, count = place.question, link.site.keys
    key = ("zeroed", link.site.number, place.key)
    compiled = q.model.compiled(key, lambda: _zero_step(place, link, block))
    chosen = np.eye(count, dtype=np.float32)
    parts = []
    for start in range(0, count, TOGETHER):
        zeroed = np.zeros((1 + min(TOGETHER, count), count), np.float32)  # the first as it is
        now = chosen[start : start + TOGETHER]
        zeroed[1 : 1 + len(now)] = now
        step = lambda *examples, zeroed=zeroed: compiled(*examples, zeroed)  # noqa: E731
        parts.append(q.model.in_chunks(key, step, q.inputs, len(zeroed))[:, : len(now)])
    found = np.moveaxis(np.concatenate(parts, axis=1), 1, 2)
    total = found.sum(-1, keepdims=True)
    return found / np.where(total > 0, total, 1)


def _zero_step(place: Attended, link: Link, block: Block) -> Callable[..., Any]:
    """Inputs (E, ...) and positions (P + 1, K) to cosine distances (E, P, Q) from what is put out with none at zero."""
    from keras import ops

    model, site = place.question.model, link.site

    def step(*arrays: Tensor) -> Tensor:
        *inputs, zeroed = arrays
        copies, examples = ops.shape(zeroed)[0], ops.shape(inputs[0])[0]
        each = ops.broadcast_to(zeroed[:, None], (copies, examples, site.keys))
        kept = 1 - ops.reshape(each, (-1, 1, site.keys, 1))

        def zero(seen: Seen) -> tuple[Tensor, Tensor] | None:
            return (seen.weights, seen.values * kept) if seen.number == site.number else None

        with layers.read(block.layer) as put, watched(model, zero):
            model.call([at_each_point(t, copies) for t in inputs])
        h = ops.reshape(ops.cast(put[block.index], "float32"), (copies, examples, site.queries, -1))
        length = ops.sqrt(ops.sum(ops.square(h), axis=-1, keepdims=True))
        h = h / ops.where(length > 0, length, 1.0)
        # half the squared distance of unit vectors is 1 - cos, without the rounding of a difference from 1
        return ops.swapaxes(ops.sum(ops.square(h[1:] - h[:1]), axis=-1) / 2, 0, 1)

    return step
