"""The largest flow that fits through a model's attention from each input to the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.core.attention_streams import Link, Stream
from pellucid.errors import NotApplicable
from pellucid.explain.attention.engine import Attended
from pellucid.explain.attention.following import State, followed, origins
from pellucid.explain.attention.heads import over_heads
from pellucid.explain.attention.rollout import Folded, answered
from pellucid.explain.base import Attribution, Question
from pellucid.shapes import Array, Floats, Tensor

LARGEST = 256
"""Positions of a sequence beyond which nothing is tried: the cost grows with the cube of their number, and more."""

WHOLE = 2**30
"""Capacities are whole numbers of 32 bits: the largest that may flow in all."""


@dataclass(frozen=True, eq=False)
class AttentionFlow(Folded):
    """How much can flow from each input to the score, if attention weights are the widths of pipes?

    Positions in each layer are nodes; the capacity from position k to position q of the next is A_l[q, k], with
    `A_l = residual I + (1 - residual) fold over heads of a_l`, rows made to add up to 1. A position's value is the maximum flow
    from it alone to the queries that the score depends on, together, divided by their number. The values need not add up to 1.

    Args:
        residual: The share that a position keeps of itself, past the attention: 0 to 1.
        heads: How heads are folded: "mean", "max", "min", or the number of one head.
        query: The number of the query that is asked about, after the last layer; None for those that the score depends on.
        resize: Whether the values are laid on the inputs; False for a value at every position (B, K).

    Raises:
        NotApplicable: The model has no attention that the score depends on, or more than 256 positions.
        InvalidInput: The positions are no parts of an input.
        InvalidOption: A residual outside 0 to 1, a head or a query that is not there.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = keras.Input((2, 2))
        >>> net = keras.Model(x, keras.layers.Dense(1)((x + pl.layers.SelfAttention(1)(x))[:, 0]))
        >>> e = pl.explain(net, np.ones((1, 2, 2)), pl.AttentionFlow())
        >>> e.values[..., 0].round(6).tolist()
        [[0.75, 0.25]]

    References:
        Abnar and Zuidema 2020, "Quantifying attention flow in transformers", arXiv:2005.00928.

    Limits:
        As of `AttentionRollout`: values, feed-forward layers and the score are left out. Where the first layer looks evenly, the
        flow is the same from everywhere. Exact, but for capacities rounded to 2^-30 times the number of queries. Slow: one
        maximum flow for each position of each example; up to about 64 positions it is quick.
    """

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place = self.folded(question)
        longest = max(max(link.site.queries, link.site.keys) for link in place.wiring.links)
        if longest > LARGEST:
            raise NotApplicable(
                f"AttentionFlow: {longest} positions are too many for a maximum flow from each (at most {LARGEST}); use "
                "AttentionRollout, which follows the same weights"
            )
        read = place.wiring.read

        def then(kept: Sequence[Tensor], slopes: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
            """The matrix (B, Q, K) of each attention, and the queries that count (B, Q)."""
            return *kept, *(place.rows(link, slopes, kept[0]) for link in read)

        found = place.run(
            ("attention flow", self.heads), lambda seen: over_heads(seen.weights, self.heads), place.readers(read), then
        )
        count = len(place.wiring.links)
        matrices, rows = found[:count], found[count:]
        flows = [
            _flows(place, [m[i] for m in matrices], [r[i] for r in rows], self.residual) for i in range(len(question))
        ]
        values = [np.stack(each).astype(np.float32) for each in zip(*flows, strict=True)]
        return answered(self, place, [*values, *rows])


def _flows(place: Attended, matrices: Sequence[Floats], rows: Sequence[Floats], residual: float) -> list[Floats]:
    """The maximum flow from every position of each stream's start, for one example."""
    net = Network()
    ends: dict[Stream, Array] = {}

    def start(stream: Stream) -> State:
        if stream.inputs and stream not in ends:
            ends[stream] = net.nodes(stream.length)
        return {stream: ends[stream]} if stream.inputs else {}

    def rule(link: Link, matrix: Floats, own: State, asking: State, looked: State) -> State:
        """States hold the nodes of the stream as it is, under the streams that lead there."""
        stay = residual if own else 0.0
        total = stay + (1 - stay) * matrix.sum(-1, keepdims=True)
        total[total == 0] = 1
        nodes, shares = net.nodes(link.site.queries), (1 - stay) * matrix / total
        if own:
            net.join(_any(own), nodes, np.eye(len(nodes)) * stay / total)
        net.join(_any(looked), nodes, shares)
        return dict.fromkeys({**own, **looked}, nodes)

    last = followed(place.wiring, matrices, rule, start)
    asked = [nodes[counts > 0] for nodes, counts in zip(map(_any, last.values()), rows, strict=True)]
    return [net.flows(ends[origin], asked) for origin in origins(place.wiring)]


def _any(state: State) -> Array:
    return next(iter(state.values()))


class Network:
    """Nodes, and pipes between them."""

    def __init__(self) -> None:
        self.count = 2  # the source, and what all that is asked about flows into
        self.pipes: list[tuple[Array, Array, Floats]] = []

    def nodes(self, count: int) -> Array:
        """New nodes."""
        self.count += count
        return np.arange(self.count - count, self.count)

    def join(self, sources: Array, targets: Array, capacities: Floats) -> None:
        """Pipes of given capacities (targets, sources)."""
        t, s = np.nonzero(capacities)
        self.pipes.append((sources[s], targets[t], capacities[t, s]))

    def flows(self, sources: Array, asked: Sequence[Array]) -> Floats:
        """The maximum flow from each source alone to nodes that are asked about, each group's divided by its number."""
        return np.array([sum(self.flow(source, group) / len(group) for group in asked) for source in sources])

    def flow(self, source: int, group: Array) -> float:
        """The maximum flow from a node to a group of nodes together."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow

        key = tuple(group)
        if getattr(self, "_built", None) != key:
            scale = WHOLE // len(group)
            ends = (group, np.ones(len(group), int), np.ones(len(group)))
            s, t, c = (np.concatenate(parts) for parts in zip(*self.pipes, ends, strict=True))
            whole = np.minimum(np.rint(c * scale), WHOLE).astype(np.int32)
            self._graph = csr_array((whole, (s, t)), shape=(self.count, self.count)).tocsr()
            self._built, self._scale = key, scale
        return maximum_flow(self._graph, int(source), 1).flow_value / self._scale
