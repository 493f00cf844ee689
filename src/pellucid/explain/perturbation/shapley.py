"""Shapley values by sampled orders, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.baselines import resolve_baseline
from pellucid.core.masks import Players, hidden_scores, make_players
from pellucid.core.progress import Progress
from pellucid.core.randomness import stream
from pellucid.explain.base import Attribution, Method, Question, sampling_error
from pellucid.explain.sampling import Moments, rounds
from pellucid.shapes import Array, Floats

FIRST_ROUND = 1024
"""Evaluations of an example in the first round: enough for its standard errors to mean something."""

SCORES = 2**20
"""Scores held at once."""


@dataclass(frozen=True, eq=False)
class PermutationShapley(Method):
    """Shapley values: each part's share of the score, averaged over all orders in which parts could join.

    `phi_i = mean over orders of score(parts before i and i) - score(parts before i)`, absent parts replaced by the
    baseline. Orders are drawn in pairs, each with its reverse (antithetic), which cancels all first-order error. The
    values of every draw add up to `score(x) - score(baseline)` exactly. Draws go on until the error is within tolerance.
    The parts (players) are columns, tokens or patches; a patch's value is shared out evenly over its entries.

    Args:
        baseline: What stands for an absent part: a number, one example, one for each (B, ...), or a dict.
        patch: Size of the parts: a whole number, one for each axis but the channels', None for at most 64 patches, or
            an array of whole numbers in the shape of one example that names every entry's part.
        tolerance: Relative L2 error of the whole map (over parts) at which an example is done.
        max_evaluations: Scores an example may cost.

    Raises:
        InvalidOption: A tolerance that is not above 0, or a patch that does not fit.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> f = lambda x: x[:, 0] * x[:, 1] + x[:, 2]
        >>> e = pl.explain(f, np.array([[2.0, 3.0, 4.0]]), pl.PermutationShapley())
        >>> np.round(e.values, 5).tolist()
        [[3.0, 3.0, 4.0]]

    References:
        Shapley 1953, doi:10.1515/9781400881970-018; Castro, Gómez and Tejada 2009, "Polynomial calculation of the
        Shapley value based on sampling", doi:10.1016/j.cor.2008.04.004; Mitchell, Cooper, Frank and Holmes 2022,
        "Sampling permutations for Shapley value estimation", arXiv:2104.12199.

    Limits:
        Scores of inputs with absent parts may be of inputs that cannot occur (the marginal, not the conditional game).
        Correlated columns share credit according to the model, not to the world. The answer depends on the baseline.
    """

    baseline: Any = 0.0
    patch: Any = None
    tolerance: float = 0.05
    max_evaluations: int = 20_000

    def __post_init__(self) -> None:
        options.positive(self, "tolerance")
        options.whole(self, "max_evaluations", least=4)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q, fill = question, resolve_baseline(self.baseline, question.model, question.inputs)
        players = make_players(q.inputs, q.kind, patch=self.patch, columns=q.columns)
        each = 2 * max(1, players.count - 1)
        most, first = max(2, self.max_evaluations // each), max(16, FIRST_ROUND // each)
        moments, active = Moments(len(q)), np.arange(len(q))
        empty = q.score_of(fill)
        with Progress(type(self).__name__, len(q), q.progress) as bar:
            for start, stop in rounds(first, most):
                for block, pairs in _portions(active, range(start, stop), each):
                    part = _Game(q.take(block), tuple(f[block] for f in fill), players, empty[block])
                    moments.add(block, [part.marginals(pairs)])
                error = sampling_error(moments.mean(active), moments.standard_error(active))
                bar.advance(int((error <= self.tolerance).sum()))
                active = active[error > self.tolerance]
                if not len(active):
                    break
        return _shared_out(moments, players, fill, empty, each, self.tolerance)


@dataclass(frozen=True)
class _Game:
    question: Question
    fill: tuple[Array, ...]
    players: Players
    empty: Floats

    def marginals(self, pairs: range) -> Floats:
        """What each player adds (B, P, G), averaged over an order and its reverse; an order depends on its pair alone."""
        q, count = self.question, self.players.count
        forward = [stream(q.seed, "order", pair).permutation(count) for pair in pairs]
        orders = [order for o in forward for order in (o, o[::-1])]
        hide = np.concatenate([_absent_after(o) for o in orders])
        scores = hidden_scores(q.model, q.inputs, self.fill, q.target, self.players, hide)
        steps = np.empty((len(q), len(orders), count + 1))
        steps[:, :, 0], steps[:, :, -1] = self.empty[:, None], q.output[:, None]
        steps[:, :, 1:-1] = scores.reshape(len(q), len(orders), count - 1)
        added = np.empty((len(q), len(orders), count))
        np.put_along_axis(added, np.stack(orders)[None], np.diff(steps, axis=2), axis=2)
        return (added[:, ::2] + added[:, 1::2]) / 2


def _absent_after(order: Array) -> Array:
    """Who is still absent after the first 1, 2, ... G - 1 of an order have joined: (G - 1, G)."""
    rank = np.argsort(order)
    return rank[None, :] >= np.arange(1, len(order))[:, None]


def _portions(active: Array, pairs: range, each: int) -> Iterator[tuple[Array, range]]:
    """Examples and pairs of orders in portions of at most `SCORES` scores."""
    together = int(np.clip(SCORES // (each * len(active)), 1, len(pairs)))
    size = max(1, SCORES // (each * together))
    for i in range(0, len(active), size):
        for j in range(0, len(pairs), together):
            yield active[i : i + size], pairs[j : j + together]


def _shared_out(
    moments: Moments, players: Players, fill: tuple[Array, ...], empty: Floats, each: int, tolerance: float
) -> Attribution:
    (values,), (errors,) = moments.mean(), moments.standard_error()
    error = sampling_error([values], [errors])
    return Attribution(
        values=tuple(v.astype(np.float32) for v in players.spread(values)),
        standard_error=tuple(s.astype(np.float32) for s in players.spread(errors)),
        error=error, samples=moments.count.copy(), converged=error <= tolerance,
        evaluations=each * moments.count, baseline=fill, baseline_output=empty, complete=True,
    )  # fmt: skip
