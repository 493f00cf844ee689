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
from pellucid.verify.attention_site import Attended, AttentionCheck, answer_under, over_examples, rows_each, side, whom
from pellucid.verify.base import Case

LARGEST = float(np.log(2))
"""The Jensen-Shannon divergence, in nats, of distributions that share no position."""

FAR = LARGEST / 2
"""Weights that differ by more than this are another account."""

PENALTY = 50.0
"""Nats that a move of 1 beyond the bound costs: more than such a move can gain, so that it does not pay."""

TINY = 1e-12


@dataclass(frozen=True, eq=False)
class AdversarialAttention(AttentionCheck):
    """Look for weights as different as possible that leave the output where it is.

    For each example: maximize JSD(a, w) = H((a + w) / 2) - H(a) / 2 - H(w) / 2 over weights w on the positions that are not
    masked, such that the output moves by no more than `bound`: the total variation distance; for a single probability its
    absolute difference; for a value the same in units of the mean difference between two examples. All heads and all rows
    that the score depends on are changed at once, and the divergence is their mean. It is in nats: at most ln 2 = 0.693.

    Gradient ascent (Adam) on the logits of w with a penalty beyond the bound, from several starts. Whatever came out is then
    drawn back towards the model's own weights until the model, run again, keeps within the bound: what is reported has been
    attained. `value` is the mean over examples of the best found. "another account does" where the interval lies above half
    of ln 2, "no other account does" where below, else "unclear".

    Args:
        layer: Name of the attention; None for the last one.
        examples: How many of the explained examples are looked at, at most.
        bound: How far the output may move.
        restarts: Starts: one with little weight where there was much, the others at random.
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
    restarts: int = 4
    steps: int = 80

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
            for found, runs in self._candidates(attended, start):
                held, more = _drawn_back(attended, found, self.bound)
                away = attended.over_rows(divergence(attended.weights, held))
                better = away > reached
                best[better], reached[better] = held[better], away[better]
                spent += (runs + more) * len(attended)
        return _measured(attended, best, reached, self.bound, spent)

    def _candidates(self, attended: Attended, start: int) -> Iterator[tuple[Floats, int]]:
        """The best within the bound on the way of one ascent, and where it ends; each with the runs it took."""
        logits = _start(attended, start)
        kept, reached = np.array(attended.weights), np.zeros(len(attended))
        slow, square = np.zeros_like(logits), np.zeros_like(logits)
        for step in range(self.steps):
            weights, slope, away, moved = _looked(attended, logits, self.bound)
            better = (moved <= self.bound) & (away > reached)
            kept[better], reached[better] = weights[better], away[better]
            slow, square = 0.9 * slow + 0.1 * slope, 0.99 * square + 0.01 * slope**2
            rate = 0.05 + 0.45 * (1 + np.cos(np.pi * step / self.steps)) / 2
            unbiased = slow / (1 - 0.9 ** (step + 1))
            logits = logits + rate * unbiased / (np.sqrt(square / (1 - 0.99 ** (step + 1))) + 1e-9)
            logits = (logits - logits.max(-1, keepdims=True)).clip(-30, 0).astype(np.float32)
        yield kept, self.steps
        yield _looked(attended, logits, self.bound)[0], 1


def divergence(p: Floats, q: Floats) -> Floats:
    """Jensen-Shannon divergence (...,) of distributions (..., K), in nats."""
    p, q = p.astype(np.float64), q.astype(np.float64)
    return np.maximum(0, (_xlogx(p) + _xlogx(q)) / 2 - _xlogx((p + q) / 2))


def _xlogx(p: Floats) -> Floats:
    return (p * np.log(np.maximum(p, TINY))).sum(-1)


def _start(attended: Attended, number: int) -> Floats:
    """Logits (B, H, Q, K) to start from: weights turned round, then at random, from level to peaked."""
    generator = stream(attended.question.seed, "adversary", number)
    noise = generator.normal(size=attended.weights.shape)
    if number == 0:
        top = attended.weights.max(-1, keepdims=True)
        return (0.1 * noise - 4 * attended.weights / np.maximum(top, TINY)).astype(np.float32)
    return ((1.0, 3.0, 6.0)[number % 3] * noise).astype(np.float32)


def _looked(attended: Attended, logits: Floats, bound: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights of logits, the slope of what is maximized, the divergence and the move of each example."""
    q, key = attended.question, ("attention adversary", attended.site.number)
    step = attended.model.compiled(key, lambda: _ascent(attended.model, attended.site, q.target))
    numbers = np.tile(np.array([attended.unit, bound], np.float32), (len(attended), 1))
    arrays = (
        *q.inputs, q.target.selector, numbers, attended.answers.astype(np.float32), attended.weights,
        attended.visible.astype(np.float32), attended.rows.astype(np.float32), logits,
    )  # fmt: skip
    return attended.model.in_chunks(key, step, arrays, 3 * rows_each(attended))


def _ascent(model: Model, site: Site, target: Resolved) -> Callable[..., Any]:
    from keras import ops

    def xlogx(p: Tensor) -> Tensor:
        return ops.sum(p * ops.log(ops.maximum(p, TINY)), axis=-1)

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        *inputs, selector, numbers, answers, own, visible, rows, logits = arrays

        def run(logits: Tensor) -> tuple[Tensor, Any]:
            shown = ops.softmax(ops.where(visible > 0, logits, -1e9), axis=-1)
            weights = ops.where(ops.expand_dims(rows, -1) > 0, shown, own)
            away = (xlogx(own) + xlogx(weights)) / 2 - xlogx((own + weights) / 2)
            away = ops.sum(away * rows, axis=(1, 2)) / ops.sum(rows, axis=(1, 2))
            now = answer_under(model, site, target, (inputs, selector, numbers[:, 0]), weights)
            moved = ops.sum(ops.abs(now - answers), axis=1) / 2
            gain = away - PENALTY * ops.relu(moved - 0.8 * numbers[:, 1])
            return ops.sum(gain), (weights, away, moved)

        (weights, away, moved), (slope,) = model.backend.gradient(run, [logits])
        return weights, slope, away, moved

    return step


def _drawn_back(attended: Attended, found: Floats, bound: float) -> tuple[Floats, int]:
    """The furthest point between the model's own weights and others where the output is within the bound, and the runs.

    Halving, which need not find the furthest; but what it gives has been run.
    """
    near = np.zeros(len(attended))
    far = np.ones(len(attended))

    def at(share: Floats) -> Floats:
        return attended.weights + share[:, None, None, None].astype(np.float32) * (found - attended.weights)

    share, runs = far.copy(), 0
    for _ in range(12):
        within = attended.moved(at(share)) <= bound
        near, far = np.where(within, share, near), np.where(within, far, share)
        runs += 1
        if np.all(near == 1):
            break
        share = np.where(near == 1, 1, (near + far) / 2)
    return at(near), runs


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
