"""Attacks that follow the gradient of a loss: one step, many, and many of a size that adapts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pellucid.measure.attacks.ball import Ball, Worst
from pellucid.shapes import Array, Floats

MOMENTUM, ENOUGH = 0.75, 0.75
"""The share of a new step, and of steps that gain, below which steps are too long."""


def fgsm(ball: Ball, steps: int, restarts: int, generator: np.random.Generator) -> Worst:
    """One step to the edge along the gradient.

    Source: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572.
    """
    del steps, restarts, generator
    worst, still = Worst(ball), ball.start(None)
    slopes, _, margins = ball.slopes(still, "ce")
    worst.see(ball.points(still), margins)
    moves = ball.project(ball.epsilon * ball.direction(slopes))
    worst.see(ball.points(moves), ball.margins(moves))
    return worst


def pgd(ball: Ball, steps: int, restarts: int, generator: np.random.Generator) -> Worst:
    """Steps of 2.5 epsilon / steps along the gradient, each brought back into the ball.

    Source: Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv:1706.06083.
    """

    def ascend(part: Ball, moves: Floats, see: Callable[[Floats, Floats], None]) -> None:
        size = 2.5 * part.epsilon / steps
        for _ in range(steps):
            slopes, _, margins = part.slopes(moves, "ce")
            see(moves, margins)
            moves = part.project(moves + size * part.direction(slopes))
        see(moves, part.margins(moves))

    return _restarted(ball, ascend, restarts, generator)


def apgd(loss: str) -> Callable[[Ball, int, int, np.random.Generator], Worst]:
    """Steps with momentum that start at 2 epsilon, and are halved, from the best point so far, where too few of them gain.

    Source: Croce and Hein 2020, arXiv:2003.01690, algorithm 1.
    """

    def attack(ball: Ball, steps: int, restarts: int, generator: np.random.Generator) -> Worst:
        def ascend(part: Ball, moves: Floats, see: Callable[[Floats, Floats], None]) -> None:
            _adaptive(part, moves, loss, steps, see)

        return _restarted(ball, ascend, restarts, generator)

    return attack


def _restarted(
    ball: Ball, ascend: Callable[[Ball, Floats, Callable[[Floats, Floats], None]], None], restarts: int,
    generator: np.random.Generator,
) -> Worst:  # fmt: skip
    """An ascent from the inputs themselves, then from random places, of those that are still answered right."""
    worst = Worst(ball)
    for number in range(restarts):
        rows = worst.standing
        if not len(rows):
            break
        part = ball.take(rows)
        see = lambda moves, margins, part=part, rows=rows: worst.see(part.points(moves), margins, rows)  # noqa: E731
        ascend(part, part.start(generator if number else None), see)
    return worst


def checkpoints(steps: int) -> list[int]:
    """The steps after which the length of steps is looked at: at 22 % of them, then ever closer, by 3 % less, down to 6 %."""
    found, before, last = [], 0.0, 0.22
    while last < 1:
        found.append(int(np.ceil(round(last * steps, 9))))
        before, last = last, last + max(last - before - 0.03, 0.06)
    return sorted(set(found))


def _adaptive(ball: Ball, moves: Floats, loss: str, steps: int, see: Callable[[Floats, Floats], None]) -> None:
    slopes, values, margins = ball.slopes(moves, loss)
    see(moves, margins)
    before, best, best_slopes, best_values = moves, moves, slopes, values
    size = np.full((len(ball), *(1,) * (moves.ndim - 1)), 2 * ball.epsilon)
    gains, halved, known, last = np.zeros(len(ball)), np.zeros(len(ball), bool), values, 0
    checks = set(checkpoints(steps))
    for step in range(1, steps + 1):
        ahead = ball.project(moves + size * ball.direction(slopes))
        kept = MOMENTUM if step > 1 else 1.0
        moves, before = ball.project(moves + kept * (ahead - moves) + (1 - kept) * (moves - before)), moves
        slopes, now, margins = ball.slopes(moves, loss)
        see(moves, margins)
        gains += now > values
        values = now
        best = _where(now > best_values, moves, best)
        best_slopes = _where(now > best_values, slopes, best_slopes)
        best_values = np.maximum(now, best_values)
        if step in checks:
            stuck = ~halved & (best_values <= known)
            halved = (gains < ENOUGH * (step - last)) | stuck
            size = _where(halved, size / 2, size)
            moves, before = _where(halved, best, moves), _where(halved, best, before)
            slopes, values = _where(halved, best_slopes, slopes), np.where(halved, best_values, values)
            gains, known, last = np.zeros(len(ball)), best_values, step


def _where(rows: Array, one: Floats, other: Floats) -> Floats:
    return np.where(rows.reshape(-1, *(1,) * (one.ndim - 1)), one, other)
