"""How different could attention be, and the output stay the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.attention import Site
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model
from pellucid.core.numbers import figure, ranged
from pellucid.core.randomness import stream
from pellucid.core.target import Resolved
from pellucid.shapes import Floats, Tensor
from pellucid.verify.attention.site import Attended, AttentionCheck, answer_under, over_examples, side, whom
from pellucid.verify.base import Case

LARGEST = float(np.log(2))
"""The Jensen-Shannon divergence, in nats, of distributions that share no position."""

FAR = LARGEST / 2
"""Weights that differ by more than this are another account."""

TINY = 1e-12

DIRECTIONS, HALVINGS = 6, 12
"""Random directions of which the best is followed, and halvings that find the bound on a line."""


@dataclass(frozen=True, eq=False)
class AdversarialAttention(AttentionCheck):
    """Look for weights as different as possible that leave the output where it is.

    For each example: maximize JSD(a, w) = H((a + w) / 2) - H(a) / 2 - H(w) / 2 over weights w on the positions that are not
    masked, such that the output moves by no more than `bound`: the total variation distance; for a single probability its
    absolute difference; for a value the same in units of the mean difference between two examples. All heads and all rows
    that the score depends on are changed at once, and the divergence is their mean. It is in nats: at most ln 2 = 0.693.

    Natural gradient ascent on the logits of w, along the bound once it is reached, from several starts. What comes out is moved
    along the line from the model's own weights to where the model, run again, is just within the bound: what is reported
    was attained.
    `value` is the mean over examples of the best found. "another account does" where the interval lies above half of ln 2, "no
    other account does" where below, else "unclear".

    Args:
        layer: Name of the attention; None for the last one.
        examples: How many of the explained examples are looked at, at most.
        bound: How far the output may move.
        restarts: Starts: in turn from anywhere, from the bound in a random direction, and from the other side of the best so far.
        steps: Steps of each.

    Raises:
        InvalidOption: No starts or steps, or a bound that is not between 0 and 1.
        UnknownName: There is no attention of that name.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> tokens = keras.Input((6, 4))
        >>> net = keras.Model(tokens, keras.layers.Dense(2)(pl.layers.AttentionPooling()(tokens)))
        >>> same = np.ones((8, 6, 4)) * np.random.default_rng(0).normal(size=(8, 1, 1))
        >>> e = pl.explain(net, same, pl.Gradient())
        >>> pl.verify(net, e, pl.AdversarialAttention())[0].verdict
        'another account does'

    References:
        Jain and Wallace 2019, "Attention is not Explanation", section 4.2.2, arXiv:1902.10186; Wiegreffe and Pinter 2019,
        "Attention is not not Explanation", arXiv:1908.04626; Lin 1991, "Divergence measures based on the Shannon entropy",
        doi:10.1109/18.61115.

    Limits:
        It judges the model's attention, not the explanation at hand. Other weights exist for nearly every model with more
        positions than outputs, also for one that puts out the very token it attends to: a mixture of two others can have its
        value. So far weights that do as well show that attention is not the *only* account, not that it is none (Wiegreffe
        and Pinter 2019). What is found is a lower bound of the largest divergence.
    """

    examples: int = 32
    bound: float = 0.01
    restarts: int = 18
    steps: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        options.fraction(self, "bound")
        for name in ("restarts", "steps"):
            options.whole(self, name)

    def examined(self, case: Case) -> Measurement:
        """See `AttentionCheck.examined`."""
        attended = self.attended(case)
        best, reached, spent = np.array(attended.weights), np.zeros(len(attended)), 0
        for start in range(self.restarts):
            logits, reach = self._start(attended, best, start)
            lines = DIRECTIONS if start % 3 == 1 else start % 6 == 5
            spent += lines * (HALVINGS + 1) * len(attended)
            for found, runs in self._candidates(attended, logits, reach):
                held, more = _to_bound(attended, found, self.bound)
                away = attended.over_rows(divergence(attended.weights, held))
                better = away > reached
                best[better], reached[better] = held[better], away[better]
                spent += (runs + more) * len(attended)
        return _measured(attended, best, reached, self.bound, spent)

    def _start(self, attended: Attended, best: Floats, number: int) -> tuple[Floats, Floats]:
        """Logits (B, H, Q, K) to start from, and how far the first step goes (B, 1, 1, 1): in turn from anywhere, from the bound
        in a random direction, and from the other side of the best so far: by its answer, then by its weights."""
        way, turn = divmod(number, 3)
        if turn == 0:
            return _anywhere(attended, way), np.ones((len(attended), 1, 1, 1))
        if turn == 2:
            other = self._beyond(attended, best, way)
            return other, _length(attended, _weights(attended, other))
        edge = _edge(attended, way, self.bound)
        return np.log(np.maximum(edge, TINY)), _length(attended, edge) / 2

    def _beyond(self, attended: Attended, best: Floats, way: int) -> Floats:
        """Logits on the other side of the model's own, by the answer or by the weights; later a little elsewhere each time, for
        what is within the bound has more ends than two."""
        if way % 2:
            other, _ = _to_bound(attended, 2 * attended.weights - best, self.bound)
            logits = np.log(np.maximum(other, TINY))
        else:
            logits = _across(attended, best)
        noise = stream(attended.question.seed, "adversary", "beyond", way).normal(size=logits.shape)
        return logits + noise / 2 if way > 1 else logits

    def _candidates(self, attended: Attended, logits: Floats, reach: Floats) -> Iterator[tuple[Floats, int]]:
        """The best within the bound on the way of one ascent, and where it ends; each with the runs it took."""
        own = attended.weights
        kept, reached = np.array(own), np.zeros(len(attended))
        weights = _weights(attended, logits)
        for step in range(self.steps):
            slope, moved = _looked(attended, weights)
            away = attended.over_rows(divergence(own, weights))
            better = (moved <= self.bound) & (away > reached)
            kept[better], reached[better] = weights[better], away[better]
            rate = reach * 0.003 ** (step / self.steps)
            logits = logits + _ascent(attended, weights, slope, moved, self.bound, rate)
            weights = _weights(attended, logits)
            logits = np.log(np.maximum(weights, TINY))
        yield kept, self.steps
        yield weights, 0


def divergence(p: Floats, q: Floats) -> Floats:
    """Jensen-Shannon divergence (...,) of distributions (..., K), in nats."""
    p, q = p.astype(np.float64), q.astype(np.float64)
    return np.maximum(0, (_xlogx(p) + _xlogx(q)) / 2 - _xlogx((p + q) / 2))


def _xlogx(p: Floats) -> Floats:
    return (p * np.log(np.maximum(p, TINY))).sum(-1)


def _anywhere(attended: Attended, way: int) -> Floats:
    """Logits (B, H, Q, K): weights turned round; then at random, in turn from the model's own and from even ones."""
    noise = stream(attended.question.seed, "adversary", way).normal(size=attended.weights.shape)
    if way == 0:
        return noise / 10 - 4 * attended.weights / np.maximum(attended.weights.max(-1, keepdims=True), TINY)
    return np.log(np.maximum(attended.weights, 1e-3)) + noise if way % 2 else 4 * noise


def _edge(attended: Attended, way: int, bound: float) -> Floats:
    """Weights on the bound (B, H, Q, K): the furthest of those that lie in several random directions."""
    best, reached = np.array(attended.weights), np.zeros(len(attended))
    for i in range(DIRECTIONS * way, DIRECTIONS * (way + 1)):
        noise = stream(attended.question.seed, "adversary", "direction", i).normal(size=attended.weights.shape)
        aside = _weights(attended, 4 * noise) - attended.weights
        found, _ = _to_bound(attended, attended.weights + (0.01 if i % 2 else -0.01) * aside, bound)
        away = attended.over_rows(divergence(attended.weights, found))
        better = away > reached
        best[better], reached[better] = found[better], away[better]
    return best


def _length(attended: Attended, weights: Floats) -> Floats:
    """How far weights are from the model's own (B, 1, 1, 1), as steps of the ascent are measured; at least a little."""
    both = np.sqrt(np.maximum(attended.weights, 0).astype(np.float64) * np.maximum(weights, 0)).sum(-1, keepdims=True)
    angles = 2 * np.arccos(np.clip(both, 0, 1)) * attended.rows[..., None]
    return np.clip(np.sqrt((angles**2).sum((1, 2, 3), keepdims=True)), 0.02, 1)


def _across(attended: Attended, best: Floats) -> Floats:
    """Logits from which the answer lies as far to the other side of the model's own as it does at the best so far."""
    slope, moved = _looked(attended, best)
    fills, size = _filling(attended, best, slope)
    return np.log(np.maximum(best, TINY)) - (2 * moved[:, None, None, None] / size * fills).clip(-2, 2)


def _weights(attended: Attended, logits: Floats) -> Floats:
    """Weights (B, H, Q, K) of logits: in the rows that count, on what is not masked."""
    shown = np.where(attended.visible, logits, -np.inf)
    top = shown.max(-1, keepdims=True)
    e = np.exp(shown - np.where(np.isfinite(top), top, 0))
    made = e / np.maximum(e.sum(-1, keepdims=True), TINY)
    return np.where(attended.rows[..., None], made, attended.weights).astype(np.float32)


def _ascent(attended: Attended, weights: Floats, slope: Floats, moved: Floats, bound: float, rate: float) -> Floats:
    """One step (B, H, Q, K) of the logits, given how far the answer has moved and the slope of that by the weights.

    Along the slope of the divergence, by the natural gradient (that by the weights, centred): it does not die out where weights
    are small. Near the bound, without what fills it more; beyond it, back by as much as is too much.
    """
    fills, size = _filling(attended, weights, slope)
    filled = moved[:, None, None, None] / bound
    own = attended.weights
    up = _centred(attended, weights, np.log(np.maximum(2 * weights, TINY) / np.maximum(own + weights, TINY)) / 2)
    inner = lambda g, h: (weights * g * h).sum((1, 2, 3), keepdims=True)  # noqa: E731
    along = np.where(filled > 0.5, np.maximum(inner(up, fills), 0) / size, 0)
    up = up - along * fills
    up = rate * up / np.sqrt(np.maximum(inner(up, up), 1e-12))
    return up.clip(-2, 2) - (np.maximum(filled - 0.97, 0) * bound / size * fills).clip(-2, 2)


def _filling(attended: Attended, weights: Floats, slope: Floats) -> tuple[Floats, Floats]:
    """The natural gradient of how far the answer moves, and its squared size (B, 1, 1, 1)."""
    fills = _centred(attended, weights, slope)
    return fills, np.maximum((weights * fills**2).sum((1, 2, 3), keepdims=True), TINY)


def _centred(attended: Attended, weights: Floats, slope: Floats) -> Floats:
    """A slope by weights without its mean in each row: weights add up to one."""
    counted = attended.rows[..., None] & attended.visible
    slope = slope.astype(np.float64)
    return (slope - (weights * slope).sum(-1, keepdims=True)) * counted


def _looked(attended: Attended, weights: Floats) -> tuple[Floats, Floats]:
    """The slope (B, H, Q, K) of how far the answer moves by the weights, and how far it moves (B,)."""
    q, key = attended.question, ("attention adversary", attended.site.number)
    step = attended.model.compiled(key, lambda: _moving(attended.model, attended.site, q.target))
    units = np.full(len(attended), attended.unit, np.float32)
    arrays = (*q.inputs, q.target.selector, units, attended.answers.astype(np.float32), weights)
    return attended.model.in_chunks(key, step, arrays, 2 * attended.each)


def _moving(model: Model, site: Site, target: Resolved) -> Callable[..., Any]:
    from keras import ops

    def step(*arrays: Tensor) -> tuple[Tensor, Tensor]:
        *inputs, selector, unit, answers, weights = arrays

        def run(weights: Tensor) -> tuple[Tensor, Tensor]:
            now = answer_under(model, site, target, (inputs, selector, unit), weights)
            moved = ops.sum(ops.abs(now - answers), axis=1) / 2
            return ops.sum(moved), moved

        moved, (slope,) = model.backend.gradient(run, [weights])
        return slope, moved

    return step


def _to_bound(attended: Attended, found: Floats, bound: float) -> tuple[Floats, int]:
    """The furthest point found on the line from the model's own weights through others, and beyond, where all weights are at
    least 0 and the output is within the bound; and the runs. Halving, which need not find the furthest; but what it gives has
    been run.
    """
    way = found.astype(np.float64) - attended.weights
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.where(way < -TINY, attended.weights / -way, np.inf).min((1, 2, 3))
    last = np.where(np.isfinite(ends), ends, 1.0)  # nothing gets smaller only where nothing changes

    def at(share: Floats) -> Floats:
        moved = attended.weights + share[:, None, None, None] * way
        return np.maximum(moved, 0).astype(np.float32)

    first = np.minimum(1.0, last)
    within = attended.moved(at(first)) <= bound
    near, far = np.where(within, first, 0.0), np.where(within, last, first)
    share = far
    for _ in range(HALVINGS):
        within = attended.moved(at(share)) <= bound
        near, far = np.where(within, share, near), np.where(within, far, share)
        share = (near + far) / 2
    return at(near), HALVINGS + 1


def _measured(attended: Attended, best: Floats, reached: Floats, bound: float, spent: int) -> Measurement:
    value, interval = float(reached.mean()), over_examples(reached, 0, LARGEST)
    verdict = side(interval, FAR, ("another account does", "unclear", "no other account does"))
    moved = attended.moved(best)
    explanation = (
        f"Attention {whom(attended)} can be changed by a Jensen-Shannon divergence of {ranged(value, interval)} nats, of at "
        f"most {LARGEST:.3f}, with the output moving by no more than {figure(float(moved.max()))}."
    )
    detail = {
        **attended.told, "per_example": reached, "moved": moved, "weights": best, "own_weights": attended.weights,
        "bound": bound, "far": float(np.mean(reached > FAR)), "largest": LARGEST, "unit": attended.unit,
        "evaluations": spent + len(attended), "explanation": explanation,
    }  # fmt: skip
    return Measurement("adversarial_attention", value, interval, verdict, detail)
