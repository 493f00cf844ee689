"""Attacks that only ask for answers: what they find and gradients do not tells that gradients are masked."""

from __future__ import annotations

import numpy as np

from pellucid.measure.attacks.ball import Ball, Worst
from pellucid.shapes import Array, Floats

QUERIES = 4
"""Looks of the square attack for each step of the others."""


def noise(ball: Ball, steps: int, restarts: int, generator: np.random.Generator) -> Worst:
    """Random corners of the ball, or moves to its edge in random directions: the best of as many as there are steps."""
    worst = Worst(ball)
    for _ in range(steps * restarts):
        rows = worst.standing
        if not len(rows):
            break
        part = ball.take(rows)
        drawn = part.direction(generator.standard_normal(part.x.shape))
        moves = part.project(ball.epsilon * drawn)
        worst.see(part.points(moves), part.margins(moves), rows)
    return worst


def square(ball: Ball, steps: int, restarts: int, generator: np.random.Generator) -> Worst:
    """Random search: a window, ever smaller, is moved to one end or the other, and stays there where the margin gets larger.

    Windows are squares of an image, spans of a sequence, and random sets of columns of a table. In the norm "2" the whole move
    is brought back to the edge of the ball, which is simpler than the windows of the paper.

    Source: Andriushchenko, Croce, Flammarion and Hein 2020, arXiv:1912.00049.
    """
    worst, count = Worst(ball), QUERIES * steps * restarts
    moves = _stretched(ball, _signs(ball.x, generator, stripes=True))
    best = ball.margins(moves)
    worst.see(ball.points(moves), best)
    for i in range(count):
        rows = worst.standing
        if not len(rows):
            break
        part, window = ball.take(rows), _windows(ball.x[rows], _share(i / count), generator)
        drawn = _signs(part.x, generator) * _height(part, moves[rows])
        tried = _stretched(part, np.where(window, drawn, moves[rows]))
        margins = part.margins(tried)
        worst.see(part.points(tried), margins, rows)
        better = margins >= best[rows]
        moves[rows[better]], best[rows[better]] = tried[better], margins[better]
    return worst


def _share(done: float) -> float:
    """The share of an input that a window covers: halved at the paper's shares of all queries, from 0.8 on."""
    return 0.8 / 2 ** np.searchsorted([0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8], done, side="right")


def _height(ball: Ball, moves: Floats) -> Floats:
    """How far a window is moved: to the end, or as far as the numbers are moved on average."""
    if ball.norm == "inf":
        return np.full((1,) * moves.ndim, ball.epsilon)
    free = np.maximum(ball.movable.sum(axis=tuple(range(1, moves.ndim)), keepdims=True), 1)
    return 2 * ball.epsilon / np.sqrt(free)


def _stretched(ball: Ball, moves: Floats) -> Floats:
    """Moves to the edge of the ball."""
    moves = moves * ball.movable
    return ball.project(
        ball.epsilon * (np.sign(moves) if ball.norm == "inf" else moves / np.maximum(ball.lengths(moves), 1e-300))
    )


def _signs(x: Floats, generator: np.random.Generator, stripes: bool = False) -> Floats:
    """1 or -1: one a channel and image, or, as a first guess of images, one a column of pixels."""
    shape = [len(x), *(1,) * (x.ndim - 2), x.shape[-1]] if x.ndim > 2 else list(x.shape)
    if stripes and x.ndim > 2:
        shape[-2] = x.shape[-2]
    return np.broadcast_to(np.where(generator.random(shape) < 0.5, 1.0, -1.0), x.shape)


def _windows(x: Floats, share: float, generator: np.random.Generator) -> Array:
    """One window an input (B, ...): a square, a span, or a random set."""
    if x.ndim == 2:
        drawn = generator.random(x.shape)
        return (drawn < share) | (drawn == drawn.min(axis=1, keepdims=True))
    inside = np.ones((len(x), *(1,) * (x.ndim - 1)), bool)
    places = range(1, x.ndim - 1)
    for axis in places:
        count = x.shape[axis]
        length = max(1, round(share ** (1 / len(places)) * count))
        start = generator.integers(count - length + 1, size=len(x)).reshape(inside.shape[:1] + (1,) * (x.ndim - 1))
        at = np.arange(count).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        inside = inside & (at >= start) & (at < start + length)
    return np.broadcast_to(inside, x.shape)
