"""Streams of positions inside a model: which one each attention asks from, which it looks at, which the score is read from.

All is told by where gradients find a way once every attention is cut: then a tensor leads back only to what it grew from
position by position (through residuals, norms and dense layers), be it an input or what an earlier attention put out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.core.anatomy import run_once
from pellucid.core.attention import Seen, Site, sites, watched
from pellucid.core.model import Model
from pellucid.core.registry import unknown
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput, NotApplicable, UnknownName
from pellucid.shapes import Array, Tensor

INSTEAD = "methods that need no attention: IntegratedGradients, Occlusion, LayerRelevance"


@dataclass(frozen=True)
class Stream:
    """A sequence of positions that attentions ask from or look at.

    Attributes:
        length: How many positions it has.
        inputs: The numbers of the inputs that it grew from; none for queries that are learned.
    """

    length: int
    inputs: frozenset[int]


@dataclass(frozen=True)
class Link:
    """One attention between streams.

    Attributes:
        site: The attention.
        asks: The stream of its queries.
        looks: The stream of its keys.
        after: Numbers of the attentions whose outputs its queries and keys hold.
    """

    site: Site
    asks: Stream
    looks: Stream
    after: frozenset[int]

    @property
    def own(self) -> bool:
        """Whether a stream attends to itself."""
        return self.asks == self.looks


@dataclass(frozen=True)
class Wiring:
    """How the attentions of a model hang together.

    Attributes:
        links: Every attention, in the order they run.
        read: For each stream that the score is read from, the last attention that has changed it.
    """

    links: tuple[Link, ...]
    read: tuple[Link, ...]

    def named(self, layer: str | None) -> Link:
        """The attention of that name; None for the last before the score.

        Raises:
            UnknownName: There is none of that name.
        """
        if layer is None:
            return self.read[-1]
        known = {link.site.name: link for link in self.links}
        if layer not in known:
            raise UnknownName(unknown("attention", layer, known))
        return known[layer]

    def reader(self, link: Link) -> Link:
        """The attention by which it is told which queries of a link's stream count: the last, where the score is read."""
        return next((last for last in self.read if last.asks == link.asks), link)

    def first(self, stream: Stream) -> Link:
        """The first attention that looks at a stream."""
        return next(link for link in self.links if link.looks == stream)


def wiring(model: Model, inputs: Sequence[Array], method: str) -> Wiring:
    """How the attentions of a model hang together; kept on the model.

    Raises:
        NotApplicable: There is no attention that the score is read from.
        NotDifferentiable: No gradient can be had.
    """
    try:
        found = sites(model, inputs)
    except InvalidInput as problem:
        raise NotApplicable(f"{method}: {problem}; use {INSTEAD}") from problem
    model.require_gradient(method)
    shapes = tuple(a.shape[1:] for a in inputs)
    return model.kept(("wiring", shapes), lambda: _wired(model, inputs, found, method))


def _wired(model: Model, inputs: Sequence[Array], found: Sequence[Site], method: str) -> Wiring:
    *ways, out = _ways(model, inputs, found)
    links: list[Link] = []
    for site, (by_weights, by_values) in zip(found, zip(ways[::2], ways[1::2], strict=True), strict=True):
        looks = _stream(site.keys, by_values, links)
        asks = looks if site.self_attention else _asking(site, by_weights, by_values, links)
        links.append(Link(site, asks, looks, by_weights[1] | by_values[1]))
    last = {links[number].asks: links[number] for number in sorted(out[1])}
    if not last:
        raise NotApplicable(f"{method}: the score of {model.name} does not depend on its attention; use {INSTEAD}")
    return Wiring(tuple(links), tuple(sorted(last.values(), key=lambda link: link.site.number)))


Way = tuple[frozenset[int], frozenset[int]]
"""What a tensor leads back to: inputs, and attentions, by number."""


def _stream(length: int, way: Way, links: Sequence[Link]) -> Stream:
    """The stream of a tensor: what has no way to an input has come out of an attention, and goes on from there."""
    own, through = way
    if not own and through:
        own = links[max(through)].asks.inputs
    return Stream(length, own)


def _asking(site: Site, by_weights: Way, by_values: Way, links: Sequence[Link]) -> Stream:
    """The stream of the queries: weights lead back to queries and keys, so it is what the values do not lead back to."""
    more: Way = (by_weights[0] - by_values[0], by_weights[1] - by_values[1])
    if any(more):
        return _stream(site.queries, more, links)
    same = _stream(site.queries, by_values, links)
    known = any(same in (link.asks, link.looks) for link in links)
    return same if known or 1 < site.queries != site.keys else Stream(site.queries, frozenset())


def _ways(model: Model, inputs: Sequence[Array], found: Sequence[Site]) -> list[Way]:
    """Where weights and values of every attention, and the scores, lead back to, with all attentions cut."""
    from keras import ops

    one, at = [a[:1] for a in inputs], []
    run_once(model, lambda *tensors: at.extend(to_array(e) for e in model.embed(tensors)), one)
    smooth = [i for i, a in enumerate(at) if a.dtype.kind == "f"]
    nothing = [np.zeros((1, s.heads, s.keys, s.depth), np.float32) for s in found]

    def outputs(*given: Tensor) -> list[Tensor]:
        entries, shifts, seen = list(map(ops.convert_to_tensor, at)), given[len(smooth) :], []
        for i, tensor in zip(smooth, given, strict=False):
            entries[i] = tensor

        def cut(s: Seen) -> tuple[Tensor, Tensor]:
            seen.extend((s.weights, s.values))
            return ops.stop_gradient(s.weights), ops.stop_gradient(s.values) + shifts[s.number]

        with watched(model, cut):
            scores = model.forward_from(entries, [ops.convert_to_tensor(a) for a in one])
        return [*seen, scores]

    reached = model.backend.reaches(outputs, [*(at[i] for i in smooth), *nothing])
    return [_way(model, smooth, row) for row in reached]


def _way(model: Model, smooth: Sequence[int], row: Sequence[bool]) -> Way:
    own = {model.anatomy.entries[i].input for i, way in zip(smooth, row, strict=False) if way}
    return frozenset(own), frozenset(n for n, way in enumerate(row[len(smooth) :]) if way)
