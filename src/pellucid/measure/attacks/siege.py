"""Every attack at every distance: which rows fell, at which distance, and whether gradients told the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pellucid.core.resampling import wilson
from pellucid.measure.attacks.ball import Ball, Worst
from pellucid.measure.attacks.blind import noise, square
from pellucid.measure.attacks.gradient import apgd, fgsm, pgd
from pellucid.measure.attacks.sparse import greedy, scatter
from pellucid.measure.estimates import mean_interval
from pellucid.shapes import Array, Floats

Attack = Callable[[Ball, int, int, np.random.Generator], Worst]

ATTACKS: dict[str, Attack] = {
    "fgsm": fgsm, "pgd": pgd, "apgd-ce": apgd("ce"), "apgd-dlr": apgd("dlr"), "square": square, "noise": noise,
}  # fmt: skip
SPARSE: dict[str, Attack] = {"greedy": greedy, "scatter": scatter}
BLIND = ("square", "noise", "scatter")
"""Attacks that take no gradient."""

FLAT = 0.05
"""The share of rows with no gradient at all above which gradients are masked."""

HALVINGS = 14


class Fallen(NamedTuple):
    """The distance (B,) at which each row fell, 0 where it was wrong before and infinite where it stands; and where to."""

    at: Floats
    points: Array

    def standing(self, epsilon: float) -> Array:
        """Whether each row (B,) stands at a distance."""
        return self.at > epsilon


def besiege(
    attack: Attack, ball: Ball, clean: Floats, epsilons: Sequence[float], effort: tuple[int, int],
    generator: np.random.Generator,
) -> Fallen:  # fmt: skip
    """Attack at rising distances the rows that still stand: what is reached at one is within reach at the next."""
    at, points = np.where(clean > 0, 0.0, np.inf), ball.x.astype(np.float32)
    for epsilon in epsilons:
        rows = np.flatnonzero(np.isinf(at))
        if not len(rows) or epsilon == 0:
            continue
        worst = attack(replace(ball.take(rows), epsilon=epsilon), *effort, generator)
        fell = worst.margins > 0
        at[rows[fell]], points[rows[fell]] = epsilon, worst.points[fell]
    return Fallen(at, points)


def union(found: Sequence[Fallen]) -> Fallen:
    """What the attacks did together: every row by the one that felled it nearest."""
    every = np.stack([f.at for f in found])
    nearest = every.argmin(axis=0)
    return Fallen(every.min(axis=0), np.stack([f.points for f in found])[nearest, np.arange(len(nearest))])


def nearest(ball: Ball, fallen: Fallen) -> tuple[Floats, Array]:
    """How far each fallen row had to be moved (B,) at most, by halving on the line to where it fell, and the points.

    Infinite where it stands; in the norm "0" the number of parts that differ.
    """
    rows = np.flatnonzero(np.isfinite(fallen.at) & (fallen.at > 0))
    far, points = np.where(fallen.at == 0, 0.0, np.inf), fallen.points.copy()
    if not len(rows):
        return far, points
    part = ball.take(rows)
    if ball.norm == "0":
        changed = (np.abs(points[rows] - part.x) > 1e-6 * np.maximum(1, np.abs(part.x))).reshape(len(rows), -1)
        parts = ball.space.parts.ravel()
        far[rows] = [len(np.unique(parts[row])) for row in changed]
        return far, points
    whole = (points[rows] - part.x) / np.where(ball.space.scale > 0, ball.space.scale, 1)
    low, high = np.zeros(len(rows)), np.ones(len(rows))
    shape = (-1, *(1,) * (whole.ndim - 1))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        moves = middle.reshape(shape) * whole
        fell = part.margins(moves) > 0
        points[rows[fell]] = part.points(moves)[fell]
        low, high = np.where(fell, low, middle), np.where(fell, middle, high)
    moved = (points[rows] - part.x) / np.where(ball.space.scale > 0, ball.space.scale, 1)
    far[rows] = part.lengths(moved).ravel()
    return far, points


def masking(found: dict[str, Fallen], flat: Array, epsilons: Sequence[float], level: float) -> dict[str, Any]:
    """Signs that gradients do not lead where the model is weak, by name; see `AdversarialRobustness`.

    `flat` says at which rows that were right the gradient is zero. Attacks are compared row by row, at every distance, at a
    level that allows for so many comparisons.
    """
    signs: dict[str, Any] = {}
    if len(flat):
        signs["flat"] = float(flat.mean())
    steps = [name for name in found if name not in BLIND]
    many = [name for name in steps if name != "fgsm"]
    blind = [name for name in found if name in BLIND]
    pairs = {"blind": (blind, steps), "single": (["fgsm"], many) if "fgsm" in found else ([], [])}
    sure = 1 - (1 - level) / max(1, len(epsilons))
    shown = bool(len(flat)) and wilson(int(flat.sum()), len(flat), level).low > FLAT
    for name, (weak, strong) in pairs.items():
        if not weak or not strong:
            continue
        ends = [_ahead(found, weak, strong, epsilon, sure) for epsilon in epsilons]
        signs[name] = max(ahead for ahead, _ in ends)
        shown = shown or any(low > 0 for _, low in ends)
    return {"masked": bool(shown), **signs}


def _ahead(
    found: dict[str, Fallen], weak: Sequence[str], strong: Sequence[str], epsilon: float, level: float
) -> tuple[float, float]:
    """The share of rows that what should be weak fells more than what should be strong; and its lower end."""
    one, two = (np.any([~found[n].standing(epsilon) for n in names], axis=0) for names in (weak, strong))
    more = one.astype(float) - two
    return float(more.mean()), mean_interval(more, level, np.random.default_rng(0)).low
