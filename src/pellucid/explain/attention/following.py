"""Matrices of attention followed from the last to the input, through streams that ask from and look at one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pellucid.core.attention_streams import Link, Stream, Wiring
from pellucid.shapes import Tensor

State = Mapping[Stream, Any]
"""What a stream's positions hold of the positions (B, T, K) of each stream at its start."""

Rule = Callable[[Link, Tensor, State, State, State], State]
"""A link and its matrix (B, Q, K); what the queries' stream holds at last; what queries and keys held when they met."""


def followed(
    wiring: Wiring, matrices: Sequence[Tensor], rule: Rule, start: Callable[[Stream], State]
) -> dict[Stream, State]:
    """What each stream that the score is read from holds of every stream's start.

    Args:
        wiring: How the attentions hang together.
        matrices: One (B, Q, K) for each attention.
        rule: What an attention does to the stream of its queries.
        start: What a stream holds before any attention.
    """
    after: dict[int, State] = {}

    def of(stream: Stream, upto: Iterable[int]) -> State:
        """A stream as it was after the last of some attentions that changed it."""
        changed = [n for n in upto if n in after and wiring.links[n].asks == stream]
        return after[max(changed)] if changed else start(stream)

    for number, (link, matrix) in enumerate(zip(wiring.links, matrices, strict=True)):
        own, asking, looked = of(link.asks, after), of(link.asks, link.after), of(link.looks, link.after)
        after[number] = rule(link, matrix, own, asking, looked)
    return {link.asks: after[link.site.number] for link in wiring.read}


def origins(wiring: Wiring) -> tuple[Stream, ...]:
    """The streams that come from inputs and are held, in the end, by what the score is read from."""
    held = followed(
        wiring, [None] * len(wiring.links), lambda link, matrix, own, asking, looked: {**own, **looked},
        lambda stream: {stream: None},
    )  # fmt: skip
    return tuple(dict.fromkeys(origin for state in held.values() for origin in state if origin.inputs))


def itself(like: Tensor, *, learned: bool = False) -> Callable[[Stream], State]:
    """Every position holds itself, (B, T, T); those of queries that are learned only if they count as positions."""
    from keras import ops

    def start(stream: Stream) -> State:
        if not (stream.inputs or learned):
            return {}
        count = stream.length
        return {stream: ops.broadcast_to(ops.eye(count)[None], (ops.shape(like)[0], count, count))}

    return start


def rolled(residual: float) -> Rule:
    """Rows of residual I + (1 - residual) A that add up to 1, multiplied layer by layer."""

    def rule(link: Link, matrix: Tensor, own: State, asking: State, looked: State) -> State:
        from keras import ops

        stay = residual if own else 0.0  # queries that are learned hold nothing of their own
        total = stay + (1 - stay) * ops.sum(matrix, axis=-1, keepdims=True)
        total = ops.where(total > 0, total, 1.0)
        taken = {origin: (1 - stay) * ops.matmul(matrix, held) / total for origin, held in looked.items()}
        return added({origin: stay * held / total for origin, held in own.items()}, taken)

    return rule


def added(first: State, second: State) -> State:
    """Two states of a stream together."""
    return {
        o: first[o] + second[o] if o in first and o in second else first.get(o, second.get(o))
        for o in {**first, **second}
    }
