"""Attention multiplied through the layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.attention import Seen
from pellucid.core.attention_streams import Stream
from pellucid.errors import InvalidOption
from pellucid.explain.attention.engine import AlongAttention, Attended, laid, of_rows, told
from pellucid.explain.attention.following import Rule, followed, itself, origins, rolled
from pellucid.explain.attention.heads import check_heads, over_heads, require_head
from pellucid.explain.base import Attribution, Question
from pellucid.shapes import Array, Floats, Tensor


@dataclass(frozen=True, eq=False)
class Folded(AlongAttention):
    """A method that follows the weights of all layers, with the heads of each as one."""

    residual: float = 0.5
    heads: str | int = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self)
        if isinstance(self.residual, bool) or not isinstance(self.residual, int | float) or not 0 <= self.residual <= 1:
            raise InvalidOption(f"{type(self).__name__}.residual: expected a number from 0 to 1, got {self.residual!r}")

    def folded(self, question: Question) -> Attended:
        """The model with its attention under the question.

        Raises:
            InvalidOption: An attention lacks the head that is asked for, or the last ones the query.
        """
        place = self.attended(question)
        for link in place.wiring.links:
            require_head(self.heads, link)
        place.checked(place.wiring.read)
        return place


@dataclass(frozen=True, eq=False)
class AttentionRollout(Folded):
    """Which inputs does the attention of all layers together look at?

    `values = p A_n ... A_2 A_1` with `A_l = residual I + (1 - residual) fold over heads of a_l`, rows made to add up to 1, and p
    the queries that the score depends on, each alike. A pooling attention is the last row, without a residual; attention
    of one sequence to another adds the other's rows. The values add up to at most 1.

    Args:
        residual: The share that a position keeps of itself, past the attention: 0 to 1.
        heads: How heads are folded: "mean", "max", "min", or the number of one head.
        query: The number of the query that is asked about, after the last layer; None for those that the score depends on.
        resize: Whether the values are laid on the inputs; False for a value at every position (B, K).

    Raises:
        NotApplicable: The model has no attention that the score depends on.
        InvalidInput: The positions are no parts of an input.
        InvalidOption: A residual outside 0 to 1, a head or a query that is not there.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x = keras.Input((2, 2))
        >>> net = keras.Model(x, keras.layers.Dense(1)((x + pl.layers.SelfAttention(1)(x))[:, 0]))
        >>> e = pl.explain(net, np.ones((1, 2, 2)), pl.AttentionRollout())  # half its own, half by two equal weights
        >>> e.values[..., 0].tolist()
        [[0.75, 0.25]]

    References:
        Abnar and Zuidema 2020, "Quantifying attention flow in transformers", arXiv:2005.00928.

    Limits:
        What values hold, what feed-forward layers do with it, and whether the score needs it are left out; the values are the
        same for every class. Half for the residual is a convention, not a measurement. With many layers all positions come
        out alike.
    """

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        place = self.folded(question)
        key = ("attention rollout", self.residual, self.heads)
        found = rolled_out(place, key, lambda seen: over_heads(seen.weights, self.heads), self.residual)
        return answered(self, place, found)


def rolled_out(
    place: Attended, key: Any, keep: Callable[[Seen], Any], residual: float, matrices: Sequence[Array] = ()
) -> tuple[Floats, ...]:
    """What `read` gives of a matrix for each attention, these multiplied through; those that are kept, or known ones."""

    def then(kept: Sequence[Tensor], slopes: Mapping[int, Tensor], *known: Tensor) -> tuple[Tensor, ...]:
        return read(place, known or kept, rolled(residual), slopes)

    return place.run(key, keep, place.readers(place.wiring.read), then, matrices)


def read(
    place: Attended, matrices: Sequence[Tensor], rule: Rule, slopes: Mapping[int, Tensor], *, learned: bool = False
) -> tuple[Tensor, ...]:
    """What the queries that count hold of the start of each of `origins` (B, K); then how much each of them counts (B, Q)."""
    found: dict[Stream, Tensor] = {}
    states = followed(place.wiring, matrices, rule, itself(matrices[0], learned=learned))
    counts = [place.rows(link, slopes, matrices[0]) for link in place.wiring.read]
    for link, rows in zip(place.wiring.read, counts, strict=True):
        for origin, held in states[link.asks].items():
            value = of_rows(rows, held)
            found[origin] = found[origin] + value if origin in found else value
    return (*(found[origin] for origin in origins(place.wiring)), *counts)


def answered(method: AlongAttention, place: Attended, found: Sequence[Floats], cost: int = 1) -> Attribution:
    """What a method answers, of what `read` gives."""
    streams = origins(place.wiring)
    maps = dict(zip(streams, found, strict=False))
    return laid(method, place, maps, told(place, place.wiring.read, found[len(streams) :]), cost)
