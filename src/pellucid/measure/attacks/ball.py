"""All places that an attack may move some inputs to, and the worst that it has found there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pellucid.measure.attacks.space import Space
from pellucid.measure.attacks.victim import Victim
from pellucid.shapes import Array, Floats

NORMS = ("inf", "2", "0")


@dataclass(frozen=True, eq=False)
class Ball:
    """Inputs (B, ...) with their labels, and how far each may be moved: by `epsilon` units in a norm.

    A move is an array (B, ...) in units of the space. In the norm "0" epsilon counts the parts that change.
    """

    victim: Victim
    space: Space
    x: Floats
    y: Array
    epsilon: float
    norm: str

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Array) -> Ball:
        """Some of the inputs."""
        return replace(self, x=self.x[rows], y=self.y[rows])

    @cached_property
    def movable(self) -> Array:
        """Which numbers may move (B, ...)."""
        return self.space.movable(self.x)

    @cached_property
    def room(self) -> tuple[Floats, Floats]:
        """How far each number may move, down and up, before it meets an end (B, ...)."""
        unit = np.where(self.space.scale > 0, self.space.scale, 1)
        low, high = ((end - self.x) / unit * self.movable for end in self.space.ends(self.x))
        return low, high

    def project(self, moves: Floats) -> Floats:
        """Moves that stay in the ball and between the ends; what a clip takes off does not leave the ball."""
        if self.norm == "inf":
            moves = np.clip(moves, -self.epsilon, self.epsilon)
        else:
            moves = moves * np.minimum(1, self.epsilon / np.maximum(self.lengths(moves), 1e-300))
        return np.clip(moves, *self.room)

    def lengths(self, moves: Floats) -> Floats:
        """The length of each move (B, 1, ...)."""
        axes = tuple(range(1, moves.ndim))
        if self.norm == "inf":
            return np.abs(moves).max(axis=axes, keepdims=True)
        return np.sqrt(np.sum(moves**2, axis=axes, keepdims=True))

    def direction(self, slopes: Floats) -> Floats:
        """The steepest move of length 1 for slopes by the inputs."""
        slopes = slopes * self.space.scale * self.movable
        return np.sign(slopes) if self.norm == "inf" else slopes / np.maximum(self.lengths(slopes), 1e-300)

    def points(self, moves: Floats) -> Array:
        """The inputs that moves lead to, as the model takes them; whole numbers move by whole numbers, towards zero."""
        shift = moves * self.space.scale
        shift = np.where(self.space.whole, np.trunc(shift * (1 + 1e-9)), shift)
        return np.clip(self.x + shift, *self.space.ends(self.x)).astype(np.float32)

    def start(self, generator: np.random.Generator | None) -> Floats:
        """No move, or one drawn: anywhere in a cube, or in any direction and up to any length."""
        if generator is None:
            return np.zeros_like(self.x)
        if self.norm == "inf":
            return self.project(generator.uniform(-self.epsilon, self.epsilon, self.x.shape))
        drawn = self.direction(
            generator.standard_normal(self.x.shape) / np.where(self.space.scale > 0, self.space.scale, 1)
        )
        return self.project(self.epsilon * generator.random((len(self), *(1,) * (self.x.ndim - 1))) * drawn)

    def slopes(self, moves: Floats, loss: str) -> tuple[Floats, Floats, Floats]:
        """Slopes, loss and margins after moves; see `Victim.slopes`."""
        return self.victim.slopes(self.points(moves), self.y, loss)

    def margins(self, moves: Floats) -> Floats:
        """Margins (B,) after moves."""
        return self.victim.margins(self.points(moves), self.y)


class Worst:
    """The points with the largest margins that were seen so far."""

    def __init__(self, ball: Ball) -> None:
        self.points = ball.x.astype(np.float32)
        self.margins = np.full(len(ball), -np.inf)

    def see(self, points: Array, margins: Floats, rows: Array | None = None) -> None:
        """Keep what is worse than all before; `rows` says which inputs these are of."""
        rows = np.arange(len(self.margins)) if rows is None else rows
        better = margins > self.margins[rows]
        self.points[rows[better]], self.margins[rows[better]] = points[better], margins[better]

    @property
    def standing(self) -> Array:
        """The rows that are still answered right."""
        return np.flatnonzero(self.margins <= 0)
