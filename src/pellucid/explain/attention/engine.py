"""The attention engine: one matrix for each attention, rows of those queries that count, and what they say of the input.

A method makes a matrix (B, Q, K) of each attention: how much query q takes from key k. The rows that count are averaged: the
class token's, where the score is read from one, all that are no padding under a mean, the only one of a pooling attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from pellucid.core.attention import Seen, rows_each, watched
from pellucid.core.attention_ground import Ground, ground_of
from pellucid.core.attention_streams import Link, Stream, Wiring, wiring
from pellucid.core.target import Resolved
from pellucid.errors import InvalidOption
from pellucid.explain.base import Attribution, Method, Question
from pellucid.shapes import Array, Floats, Tensor

RESOLUTION = 1e-6
"""Gradients below this share of the largest are rounding."""

Maps = Mapping[Stream, Any]
"""Of each stream, what is known of its positions: (B, K), or (B, Q, K)."""

Then = Callable[..., Sequence[Tensor]]
"""What was kept of each attention, and gradients (B, H, Q, K) by its number, to maps."""


@dataclass(frozen=True)
class Attended:
    """A model with attention under a question.

    Attributes:
        question: What is asked.
        wiring: How the attentions hang together.
        query: The query that is asked about, or None for those that count.
    """

    question: Question
    wiring: Wiring
    query: int | None

    @property
    def key(self) -> tuple[Any, ...]:
        """What a step compiled for it depends on, besides the target."""
        return tuple(a.shape[1:] for a in self.question.inputs), self.query

    def run(
        self, key: Any, keep: Callable[[Seen], Any], by: Sequence[Link], then: Then, more: Sequence[Array] = ()
    ) -> tuple[Floats, ...]:
        """What a method makes of its attentions, in one compiled pass of the model.

        Args:
            key: Tells the step from others.
            keep: What is kept of each attention.
            by: The attentions whose weights the score is differentiated by.
            then: Gives maps, of what was kept, of gradients (B, H, Q, K) by number, and of `more`.
            more: Further arrays, examples first.
        """
        q, size = self.question, len(self.question.inputs)
        each = rows_each(q.model, [link.site for link in self.wiring.links], 3)

        def make(target: Resolved) -> Callable[..., Any]:
            def step(*arrays: Tensor) -> tuple[Tensor, ...]:
                kept, slopes, scores = self._passed(target, arrays[:size], arrays[size], keep, by)
                return *then(kept, slopes, *arrays[size + 1 :]), scores

            return step

        return q.in_one_pass((key, self.key), make, more, each)

    def _passed(
        self,
        target: Resolved,
        inputs: Sequence[Tensor],
        selector: Tensor,
        keep: Callable[[Seen], Any],
        by: Sequence[Link],
    ) -> tuple[list[Any], dict[int, Tensor], Tensor]:
        """One pass: what is kept of each attention, the gradients of the score by the weights of some, and the scores."""
        from keras import ops

        model, numbers = self.question.model, [link.site.number for link in by]

        def run(*shifts: Tensor) -> tuple[Tensor, tuple[list[Any], Tensor]]:
            kept: list[Any] = []

            def look(seen: Seen) -> tuple[Tensor, Tensor] | None:
                kept.append(keep(seen))
                if seen.number not in numbers:
                    return None
                return seen.weights + shifts[numbers.index(seen.number)], seen.values

            with watched(model, look):
                scores = model.forward(inputs)
            return ops.sum(target.score(scores, selector)), (kept, scores)

        still = [ops.zeros((ops.shape(selector)[0], *link.site.shape)) for link in by]
        (kept, scores), slopes = model.backend.gradient(run, still) if by else (run()[1], [])
        return kept, dict(zip(numbers, slopes, strict=True)), scores

    def of_one(
        self, key: Any, link: Link, matrix: Callable[[Seen], Tensor] | None, more: Sequence[Array] = ()
    ) -> tuple[Floats, ...]:
        """The mean (B, K) of one attention's matrix (B, Q, K) over queries that count, and how much each does (B, Q).

        Args:
            key: Tells the step from others.
            link: The attention.
            matrix: Makes the matrix; None where it is the one of `more`.
            more: The matrix, if it is known.
        """
        number = link.site.number

        def keep(seen: Seen) -> Tensor | None:
            return matrix(seen) if matrix and seen.number == number else None

        def then(kept: Sequence[Any], slopes: Mapping[int, Tensor], *known: Tensor) -> tuple[Tensor, ...]:
            made = known[0] if known else kept[number]
            rows = self.rows(link, slopes, made)
            return of_rows(rows, made), rows

        return self.run((key, number), keep, self.readers([link]), then, more)

    def readers(self, links: Sequence[Link]) -> list[Link]:
        """The attentions whose gradients tell which queries of some links count: none for a query that is given, or alone."""
        if self.query is not None:
            return []
        found = {self.wiring.reader(link).site.number: self.wiring.reader(link) for link in links}
        return [link for link in found.values() if link.site.queries > 1]

    def rows(self, link: Link, slopes: Mapping[int, Tensor], like: Tensor) -> Tensor:
        """How much each query of a link's stream counts (B, Q), adding up to 1."""
        from keras import ops

        count, reader = link.site.queries, self.wiring.reader(link).site.number
        if reader not in slopes:
            chosen = np.eye(count, dtype=np.float32)[0 if self.query is None else self.query]
            return ops.broadcast_to(ops.convert_to_tensor(chosen)[None], (ops.shape(like)[0], count))
        size = ops.sqrt(ops.sum(ops.square(slopes[reader]), axis=(1, 3)))
        most = ops.max(size, axis=1, keepdims=True)
        there = ops.cast(ops.logical_or(size > RESOLUTION * most, most == 0), "float32")
        return there / ops.sum(there, axis=1, keepdims=True)

    def checked(self, links: Sequence[Link]) -> None:
        """Raise where the query asked about is none of those."""
        for link in links:
            if self.query is not None and not -link.site.queries <= self.query < link.site.queries:
                raise InvalidOption(
                    f"query: {link.site.name} has {link.site.queries} queries, numbered from 0; there is no {self.query}"
                )

    def ground(self, stream: Stream) -> Ground:
        """How a stream lies on the input."""
        q = self.question
        return ground_of(q.model, q.inputs, stream, self.wiring.first(stream))


@dataclass(frozen=True, eq=False)
class AlongAttention(Method):
    """A method that gives each position that is looked at a number, and lays it on the input."""

    reads_attention: ClassVar[bool] = True
    query: int | None = field(default=None, kw_only=True)
    resize: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if self.query is not None and (isinstance(self.query, bool) or not isinstance(self.query, int)):
            raise InvalidOption(f"{type(self).__name__}.query: expected a whole number or None, got {self.query!r}")
        if not isinstance(self.resize, bool):
            raise InvalidOption(f"{type(self).__name__}.resize: expected True or False, got {self.resize!r}")

    @property
    def contributes(self) -> bool:
        """False: how much is taken from a position says neither for what nor against what."""
        return False

    def attended(self, question: Question) -> Attended:
        """The model with its attention under the question."""
        found = wiring(question.model, question.inputs, type(self).__name__)
        return Attended(question, found, self.query)


def laid(method: AlongAttention, place: Attended, maps: Maps, notes: list[str], cost: int = 1) -> Attribution:
    """What a method answers: maps (B, K) of streams as they are, or on the inputs they lie on."""
    q, count = place.question, len(place.question)
    if not method.resize:
        values, layer = tuple(maps.values()), place.wiring.first(next(iter(maps))).site.name.split(":")[0]
        return Attribution(
            values, np.full(count, cost), np.ones(count, bool), layer=layer, hidden=True, notes=tuple(notes)
        )
    found: dict[int, Floats] = {}
    for stream, values in maps.items():
        ground = place.ground(stream)
        spread = ground.spread(values)
        found[ground.input] = found[ground.input] + spread if ground.input in found else spread
        if ground.added:
            notes.append(
                f"{ground.added} of the {stream.length} positions is no part of the input, such as a class token: what falls "
                "on it is left out"
            )
    names = q.model.names or ("x",)
    if len(found) < len(names):
        notes.append(f"the values lie on {', '.join(names[i] for i in sorted(found))}; the other inputs get zeros")
    if any(e.layer is not None and not found.get(e.input, np.ones(1)).all() for e in q.model.anatomy.entries):
        notes.append("words that nothing looks at, such as padding, have the value 0")
    values = tuple(found.get(i, np.zeros(a.shape, np.float32)) for i, a in enumerate(q.inputs))
    return Attribution(values, np.full(count, cost), np.ones(count, bool), notes=tuple(notes))


def told(place: Attended, links: Sequence[Link], rows: Sequence[Array]) -> list[str]:
    """Which queries (B, Q) of which attention were asked about, in words."""
    notes = []
    for link, counts in zip(links, rows, strict=True):
        one = np.unique(counts.argmax(1))
        if link.site.queries == 1:
            notes.append(f"asked about the only query of {link.site.name}")
        elif (counts.max(1) == 1).all() and len(one) == 1:
            why = "" if place.query is not None else ": the score is read from that position alone"
            notes.append(f"asked about query {one[0]} of {link.site.name}{why}")
        else:
            notes.append(f"asked about the queries of {link.site.name} that the score depends on, each alike")
    return notes


def of_rows(rows: Tensor, matrix: Tensor) -> Tensor:
    """The mean (B, K) of a matrix (B, Q, K) over the queries that count (B, Q)."""
    from keras import ops

    return ops.matmul(ops.expand_dims(rows, 1), matrix)[:, 0]
