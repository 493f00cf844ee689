"""Bounds by the relative entropy of two coins, for classifiers drawn at random: pure functions of shares and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pellucid.shapes import Floats

FEWEST = 8
"""Rows below which Maurer's constant is not proved."""


def coins(seen: float, true: float) -> float:
    """kl(seen || true) of two coins, in nats: seen ln(seen / true) + (1 - seen) ln((1 - seen) / (1 - true))."""
    from scipy.special import rel_entr

    return float(rel_entr(seen, true) + rel_entr(1 - seen, 1 - true))


def largest(seen: float, budget: float) -> float:
    """The largest share with kl(seen || share) <= budget."""
    from scipy.optimize import brentq

    if seen >= 1 or coins(seen, 1 - 1e-15) <= budget:
        return 1.0
    return float(brentq(lambda share: coins(seen, share) - budget, seen, 1 - 1e-15, xtol=1e-14))  # type: ignore[arg-type]


def apart(mean: Floats, scale: Floats, prior_mean: Floats, prior_scale: Floats) -> float:
    """KL(N(mean, scale^2) || N(prior_mean, prior_scale^2)) in nats, weights independent of each other.

    sum_i ((scale^2 + (mean - prior_mean)^2) / prior_scale^2 - 1 - ln(scale^2 / prior_scale^2)) / 2.
    """
    ratio, shift = (scale / prior_scale) ** 2, (mean - prior_mean) / prior_scale
    return 0.5 * float(np.sum(ratio - 1 - np.log(ratio) + shift**2))


class Paid(NamedTuple):
    """A bound, and what went into it: each price is the right side of an inequality kl(seen || true) <= price.

    `risk` bounds the drawn classifiers' mean error on the rows, known only from some of them; `bound` that on new rows.
    """

    bound: float
    risk: float
    divergence: float
    for_draws: float
    for_rows: float


def bound(drawn: float, draws: int, divergence: float, rows: int, *, priors: int = 1, miss: float = 0.05) -> Paid:
    """A bound on the error rate of classifiers drawn from a posterior, which holds with probability 1 - `miss`.

    Half of `miss` is for the draws, kl(drawn || risk) <= ln(2 / (miss/2)) / draws; half for the rows, for every posterior and
    each of the priors at once, kl(risk || bound) <= (KL + ln(2 sqrt(rows) priors / (miss/2))) / rows.

    Args:
        drawn: Mean error on the rows of classifiers drawn from the posterior, after it was chosen.
        draws: How many.
        divergence: KL of the posterior from the prior, in nats.
        rows: Rows that no prior depends on, at least `FEWEST`.
        priors: How many priors the one used was chosen from, knowing the rows.
        miss: Probability with which it may fail.

    Source: Maurer 2004, arXiv:cs/0411099 (rows); Langford and Caruana 2001 (draws).
    """
    for_draws = float(np.log(4 / miss)) / draws
    for_rows = float(divergence + np.log(4 * np.sqrt(rows) * priors / miss)) / rows
    risk = largest(drawn, for_draws)
    return Paid(largest(risk, for_rows), risk, divergence, for_draws, for_rows)


def chosen(risks: Floats, divergences: Floats, draws: int, rows: int, miss: float) -> tuple[int, int]:
    """The posterior (row of the divergences (P, J)) and the one of J priors with the smallest bound, if risks (P,) are right."""
    priors = divergences.shape[1]
    at = [[bound(r, draws, d, rows, priors=priors, miss=miss).bound for d in own] for r, own in zip(risks, divergences)]
    best = np.unravel_index(int(np.argmin(at)), divergences.shape)
    return int(best[0]), int(best[1])


def divergences(mean: Floats, prior_mean: Floats, scales: Sequence[Floats]) -> Floats:
    """KL (P, J) of posteriors from priors, with each of the scales, each (N,)."""
    return np.array([[apart(mean, scale, prior_mean, other) for other in scales] for scale in scales])
