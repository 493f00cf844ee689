"""Gradients along a path of words: from a baseline to each token, past the embeddings of real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.baselines import resolve_baseline
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.explain.base import Attribution, Method, Question
from pellucid.explain.gradients.walks import FIRST, Rounds, Span, apart, swept, walk_through
from pellucid.shapes import Array, Floats

STRATEGIES = ("greedy", "maxcount")


@dataclass(frozen=True, eq=False)
class DiscretizedIntegratedGradients(Method):
    """The gradient integrated past real words: which tokens count, without asking about places that no word is near?

    `values[b, t] = sum over D of the integral of d score / d z dz` along a path z in the space of embeddings, (B, T) token
    numbers in. The path of a token leads from one word to the next of its neighbours, not used yet, until the baseline. Each
    is bent so that every coordinate goes one way only: where it does not lie between the place before and the baseline, it
    goes an nth of the way that is left, n the number of words. "greedy" takes the word that is bent least, "maxcount" the one
    of which most coordinates can stay. The values add up to `score(x) - score(b)`; `gap` says by how much they miss it.

    The integral along that path is taken by the trapezoid rule with 8, 16, 32, ... steps, until the last two doublings
    changed the map by no more than half of the tolerance. Inputs that are no tokens take the straight way.

    Args:
        strategy: "greedy" or "maxcount".
        baseline: The token that says nothing: its number, numbers (T,) or (B, T), a `MaskToken`, or a dict of these by input
            name. A token that is its own baseline, such as padding, gets nothing.
        anchors: Words on the way; one less than a power of two makes the steps meet them.
        neighbours: Words, nearest to the last one, among which the next is looked for.
        tolerance: Relative L2 error of the whole map at which an example is done.
        max_evaluations: Gradients an example may cost; examples that stop there have `converged` False.

    Raises:
        InvalidOption: A strategy that does not exist, a tolerance that is not above 0, or fewer than 59 evaluations.
        NotApplicable: No input is tokens that an embedding reads.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> tokens = keras.Input((2,), dtype="int32")
        >>> words = keras.layers.Embedding(5, 1)
        >>> net = keras.Model(tokens, keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(words(tokens))))
        >>> net.set_weights([np.arange(5.0)[:, None], np.array([[2.0], [3.0]])])
        >>> pl.explain(net, np.array([[4, 1]]), pl.DiscretizedIntegratedGradients()).values.round(4).tolist()
        [[8.0, 3.0]]

    References:
        Sanyal and Ren 2021, "Discretized integrated gradients for explaining language models",
        doi:10.18653/v1/2021.emnlp-main.805, arXiv:2108.13654.

    Limits:
        In a space of many coordinates hardly any word lies between two others, and most of a path is bent: it is near words,
        not at them. Which words it passes depends on the whole table of embeddings. Near the baseline a path may have run out
        of words, and jump; more steps resolve the jump.
    """

    strategy: str = "greedy"
    baseline: Any = 0
    anchors: int = 31
    neighbours: int = 500
    tolerance: float = 0.05
    max_evaluations: int = 511

    def __post_init__(self) -> None:
        options.one_of(self, "strategy", STRATEGIES)
        options.whole(self, "anchors")
        options.whole(self, "neighbours")
        options.positive(self, "tolerance")
        options.whole(self, "max_evaluations", least=7 * FIRST + 3)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q, name = question, type(self).__name__
        if q.model.anatomy.at_inputs:
            shapes = ", ".join(f"{a.dtype} {a.shape}" for a in q.inputs)
            raise NotApplicable(
                f"{name} needs tokens that an embedding layer reads, got {shapes}; use IntegratedGradients"
            )
        q.require_gradient(name)
        baseline = resolve_baseline(self.baseline, q.model, q.inputs)
        lexicons = [self._lexicon(q, baseline, e) if e.layer is not None else None for e in q.model.anatomy.entries]

        def place(span: Span, position: float) -> list[Array]:
            ends = zip(apart(span.start, span.shapes), apart(span.end, span.shapes), lexicons, strict=True)
            entries = span.question.model.anatomy.entries
            return [
                s + position * (e - s) if lexicon is None else lexicon.at(span, entry.input, position)
                for entry, (s, e, lexicon) in zip(entries, ends, strict=True)
            ]

        rounds = Rounds(name, self.tolerance, self.max_evaluations, keep=True)
        return rounds.attribution(q, baseline, walk_through(place), swept)

    def _lexicon(self, question: Question, baseline: tuple[Array, ...], entry: Any) -> Lexicon:
        """The paths of all pairs of a token and its baseline that an embedding reads."""
        table = next(
            (t for name in ("embeddings", "weight") if (t := getattr(entry.layer, name, None)) is not None), None
        )
        if table is None:
            raise InvalidInput(f"{question.model.name}: the embedding {entry.layer!r} has no table of words to go past")
        words: Floats = to_array(table).astype(np.float64)
        codes = np.unique(_codes(question.inputs[entry.input], baseline[entry.input], len(words)))
        paths = [self._path(words, int(code) // len(words), int(code) % len(words)) for code in codes]
        return Lexicon(len(words), codes, np.stack(paths).astype(np.float32))

    def _path(self, words: Floats, token: int, goal: int) -> Floats:
        """Places (anchors + 2, D) from the baseline's embedding to the token's."""
        path, used, last = [words[token]], {token}, token
        for _ in range(self.anchors):
            if last != goal:
                last = self._next(words, last, goal, used)
                used.add(last)
            path.append(bent(words[last], path[-1], words[goal], self.anchors))
        return np.array([words[goal], *path[::-1]])

    def _next(self, words: Floats, last: int, goal: int, used: set[int]) -> int:
        """The word to go to from the last one; the goal where no neighbour is left."""
        away = np.square(words - words[last]).sum(1)
        away[last] = np.inf
        near = np.argsort(away, kind="stable")[: min(self.neighbours, len(words) - 1)]
        near = near[[n != goal and n not in used for n in near.tolist()]]
        if not len(near):
            return goal
        if self.strategy == "maxcount":
            return int(near[between(words[near], words[last], words[goal]).sum(1).argmax()])
        change = bent(words[near], words[last], words[goal], self.anchors) - words[near]
        return int(near[np.square(change).sum(1).argmin()])


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Paths (U, anchors + 2, D) of pairs of a token and its baseline, by the pairs' codes (U,), in order."""

    size: int
    codes: Array
    paths: Floats

    def at(self, span: Span, index: int, position: float) -> Floats:
        """Where the paths of an input's tokens are at a position: (E, T, D)."""
        own = np.searchsorted(self.codes, _codes(span.question.inputs[index], span.baseline[index], self.size))
        on = position * (self.paths.shape[1] - 1)
        low = min(int(on), self.paths.shape[1] - 2)
        return self.paths[own, low] + (on - low) * (self.paths[own, low + 1] - self.paths[own, low])


def _codes(tokens: Array, baseline: Array, size: int) -> Array:
    """One number for each pair of a token and its baseline."""
    return tokens.astype(np.int64) * size + baseline


def between(place: Floats, last: Floats, goal: Floats) -> Array:
    """Which coordinates of places (..., D) lie between the last one's and the goal's, both included."""
    return (np.minimum(last, goal) <= place) & (place <= np.maximum(last, goal))


def bent(place: Floats, last: Floats, goal: Floats, count: int) -> Floats:
    """Places (..., D) whose coordinates not between the last one's and the goal's go a `count`th of the way that is left."""
    return np.where(between(place, last, goal), place, last - (last - goal) / count)
