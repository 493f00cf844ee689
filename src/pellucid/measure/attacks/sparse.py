"""Attacks that change few columns, pixels or steps, each as much as it may: what the norm "0" counts."""

from __future__ import annotations

import numpy as np

from pellucid.measure.attacks.ball import Ball, Worst
from pellucid.shapes import Array, Floats


def greedy(ball: Ball, steps: int, restarts: int, generator: np.random.Generator) -> Worst:
    """One part after another: the one by which the loss, going straight on along its gradient, would gain most.

    A number goes to one of its ends, a category, as a whole, to another that was seen in training.
    """
    del steps, restarts, generator
    worst, x = Worst(ball), ball.x.copy()
    used = np.zeros((len(ball), int(ball.space.parts.max()) + 1), bool)
    for _ in range(int(ball.epsilon)):
        slopes, _, margins = ball.victim.slopes(x.astype(np.float32), ball.y, "ce")
        worst.see(x.astype(np.float32), margins)
        there, gains = _steepest(ball, x, slopes)
        part = np.where(used, -np.inf, gains).argmax(axis=1)
        used[np.arange(len(x)), part] = True
        x = np.where(_inside(ball, part[:, None]), there, x)
    worst.see(x.astype(np.float32), ball.victim.margins(x.astype(np.float32), ball.y))
    return worst


def scatter(ball: Ball, steps: int, restarts: int, generator: np.random.Generator) -> Worst:
    """Parts drawn, each moved to an end, or to a category, drawn: the best of as many as there are steps."""
    worst, parts = Worst(ball), int(ball.space.parts.max()) + 1
    for _ in range(steps * restarts):
        rows = worst.standing
        if not len(rows):
            break
        some = ball.take(rows)
        there, _ = _steepest(some, some.x, generator.standard_normal(some.x.shape))
        drawn = generator.random((len(some), parts)).argsort(axis=1)[:, : int(ball.epsilon)]
        points = np.where(_inside(some, drawn), there, some.x).astype(np.float32)
        worst.see(points, some.victim.margins(points, some.y), rows)
    return worst


def _inside(ball: Ball, parts: Array) -> Array:
    """Which numbers (B, ...) belong to some parts (B, P) of each input."""
    chosen = np.zeros((len(parts), int(ball.space.parts.max()) + 1), bool)
    np.put_along_axis(chosen, parts, True, axis=1)
    return chosen[:, ball.space.parts]


def _steepest(ball: Ball, x: Floats, slopes: Floats) -> tuple[Floats, Floats]:
    """Where every number would go for slopes by the inputs (B, ...), and what each part would gain by it (B, P)."""
    ends = [np.where(ball.movable, end, x) for end in ball.space.ends(ball.x)]
    down, up = (slopes * (end - x) for end in ends)
    there, gains = np.where(up > down, ends[1], ends[0]), np.maximum(up, down)
    parts, flat = ball.space.parts.ravel(), gains.reshape(len(x), -1)
    order = np.argsort(parts, kind="stable")
    total = np.add.reduceat(flat[:, order], np.flatnonzero(np.diff(parts[order], prepend=-1)), axis=1)
    for part, column in ball.space.categories():
        gained = (
            slopes[:, column.where] @ column.choices.T - (slopes[:, column.where] * x[:, column.where]).sum(1)[:, None]
        )
        there[:, column.where], total[:, part] = column.choices[gained.argmax(axis=1)], gained.max(axis=1)
    return there, total
