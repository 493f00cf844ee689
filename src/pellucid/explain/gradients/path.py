"""Gradients along a path from a baseline, with the error of the integral under control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.baselines import Background, resolve_baseline
from pellucid.core.progress import Progress
from pellucid.explain.background import averaged
from pellucid.explain.base import RESOLUTION, Attribution, Method, Question, completeness_gap, map_norm, relative
from pellucid.explain.gradients.engine import STRAIGHT, Path, Points, along_path, start_scores
from pellucid.shapes import Array, Floats

FIRST, GROUP = 8, 16
"""Intervals of the first rule, and new points evaluated together in later rounds."""

BLOCK = 64 * 2**20
"""Bytes of running sums held at once; more examples are explained block by block."""


@dataclass(frozen=True, eq=False)
class IntegratedGradients(Method):
    """The gradient integrated from a baseline to the input: how much of the change in score each input accounts for.

    `values = (x - b) * integral from 0 to 1 of gradient(b + a (x - b)) da`. The sum of the values is
    `score(x) - score(b)` (completeness); `gap` says by how much it is missed.

    The integral is taken by Fejér's second rule with 7, 15, 31, ... points, each holding the points of the one before,
    so that no gradient is computed twice; only examples whose estimated error is above `tolerance` go on. The estimate
    pools three: how much the last doubling changed the map, how much the gradient jumps between neighbouring points,
    and the gap.

    Args:
        baseline: What "nothing" looks like: a number, one example (...), one for each example (B, ...), `Blurred`, `MaskToken`,
            or a dict of these by input name; or a `Background` of many. For integer tokens, token numbers.
        tolerance: Relative L2 error of the whole map at which an example is done.
        max_evaluations: Gradients an example may cost (for each row of a background); examples that stop there have
            `converged` False.
        layer: A hidden layer whose outputs h take the place of the inputs x: the path runs from h(b) to h(x), while what
            goes around the layer stays at x.

    Raises:
        InvalidOption: A tolerance that is not above 0, or fewer than 7 evaluations.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> f = lambda x: keras.ops.relu(keras.ops.relu(x[:, 0]) - 1 - keras.ops.relu(x[:, 1]))
        >>> e = pl.explain(f, np.array([[3.0, 1.0]]), pl.IntegratedGradients(tolerance=0.005, max_evaluations=1023))
        >>> np.round(e.values, 1).tolist()
        [[1.5, -0.5]]

    References:
        Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks", arXiv:1703.01365. Quadrature: Fejér
        1933, "Mechanische Quadraturen mit positiven Cotesschen Zahlen", doi:10.1007/BF01474575.

    Limits:
        The answer depends on the baseline: an input equal to it gets exactly nothing, so black pixels never count
        against a black baseline. A small gap alone does not show that single values are right: look at `error`, which
        is an estimate: on eight trained networks it was above the true error for 97 to 100 % of 64 examples, on networks of
        two to eight inputs and a handful of rectifiers for as few as two thirds.
    """

    baseline: Any = 0.0
    tolerance: float = 0.02
    max_evaluations: int = 511
    takes_shift: ClassVar[bool] = True
    layer: str | None = None

    def __post_init__(self) -> None:
        options.positive(self, "tolerance")
        options.whole(self, "max_evaluations", least=FIRST - 1)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        q = question.opened(self.layer)
        q.require_gradient(type(self).__name__)
        rule = Quadrature(type(self).__name__, self.tolerance, self.max_evaluations)
        if isinstance(self.baseline, Background):
            found = averaged(q, self.baseline.prepared(question.model), rule.attribution)
            found = replace(found, converged=np.asarray(found.error) <= self.tolerance)
        else:
            found = rule.attribution(q, resolve_baseline(self.baseline, question.model, question.inputs))
        return replace(found, layer=self.layer, hidden=self.layer is not None)


@dataclass(frozen=True)
class Quadrature:
    """Integrals of the gradient along paths, by rules of more and more points.

    Attributes:
        name: Of the method, for the progress bar.
        tolerance: Relative L2 error of the whole map at which an example is done.
        most: Gradients an example may cost.
        path: The way that the paths take.
    """

    name: str
    tolerance: float
    most: int
    path: Path = STRAIGHT

    def attribution(self, question: Question, baseline: tuple[Array, ...]) -> Attribution:
        """The integrals from one baseline an example, and how sure they are."""
        levels = _levels(self.most)
        held = 4 * (len(levels) + 1) * question.model.map_size(question.inputs)
        size, parts = max(1, BLOCK // held), []
        baseline_output = start_scores(question, baseline)
        change = question.output - baseline_output
        with Progress(self.name, len(question), question.progress) as bar:
            for start in range(0, len(question), size):
                block = slice(start, start + size)
                parts.append(self._integrate(question.take(block), [b[block] for b in baseline], change[block], levels))
                bar.advance(len(parts[-1][1]))
        values, errors, spent = (list(column) for column in zip(*parts, strict=True))
        error = np.concatenate(errors)
        return Attribution(
            values=tuple(np.concatenate(maps) for maps in zip(*values, strict=True)),
            evaluations=np.concatenate(spent), converged=error <= self.tolerance, error=error,
            baseline=baseline, baseline_output=baseline_output, complete=True,
        )  # fmt: skip

    def _integrate(
        self, question: Question, baseline: Sequence[Array], promised: Floats, levels: Sequence[int]
    ) -> tuple[list[Floats], Floats, Array]:
        """Values, error and cost of a block of examples, round by round on those that have not converged."""
        count, active = len(question), np.arange(len(question))
        values: list[Floats] = []
        error, spent = np.full(count, np.inf), np.zeros(count, int)
        sums: tuple[Floats, ...] = ()
        for number, intervals in enumerate(levels):
            asked = question if len(active) == count else question.take(active)
            starts = baseline if len(active) == count else [b[active] for b in baseline]
            added, jumps = self._round(asked, starts, levels, number)
            sums = added if number == 0 else tuple(s + a for s, a in zip(sums, added, strict=True))
            values = values or [np.zeros((count, *s.shape[2:]), np.float32) for s in sums]
            fine, coarse = [s[:, 1] for s in sums], [s[:, 0] for s in sums]
            change = map_norm([f - c for f, c in zip(fine, coarse, strict=True)])
            norm, gap = map_norm(fine), _sure_gap(asked, fine, promised[active])
            error[active] = relative(pooled_error(change, jumps, gap * _share(norm, fine)), norm)
            spent[active] = intervals - 1
            for v, f in zip(values, fine, strict=True):
                v[active] = f
            left = error[active] > self.tolerance
            active, sums = active[left], tuple(s[left, 1:] for s in sums)
            if not len(active):
                break
        return values, error, spent

    def _round(
        self, question: Question, starts: Sequence[Array], levels: Sequence[int], number: int
    ) -> tuple[tuple[Floats, ...], Floats]:
        """Sums over the new points of a level for the level before, this one and those that follow; and the squared jumps.

        Weights of a point differ from rule to rule, so each gradient is added to the sums of all rules still to come.
        """
        total: Any = None
        jumps: Any = 0.0
        for part in _parts(tuple(levels), number, self.path):
            sums, squares = along_path(question, starts, part)
            total = sums if total is None else tuple(t + s for t, s in zip(total, sums, strict=True))
            jumps = jumps + squares
        return total, jumps


@lru_cache(maxsize=64)
def _parts(levels: tuple[int, ...], number: int, path: Path) -> list[Points]:
    """The new points of a level, with their weights, as many together as are evaluated together."""
    fine = levels[number]
    new = _nodes(fine) if number == 0 else _nodes(fine)[::2]
    size = len(new) if number == 0 else GROUP
    ahead = [fine // 2, *levels[number:]]
    return [
        Points(
            _positions(group).astype(np.float32),
            np.stack([_weights_at(group, intervals) for intervals in ahead], axis=1).astype(np.float32),
            _spread(group, fine).astype(np.float32),
            path,
        )
        for group in (new[i : i + size] for i in range(0, len(new), size))
    ]


def _sure_gap(question: Question, maps: Sequence[Floats], promised: Floats) -> Floats:
    """What of the gap (B,) is beyond float32's own; none where gradients are taken beside the input that was scored."""
    if question.shift is not None:
        return np.zeros(len(question))
    blurred = RESOLUTION * (np.abs(question.output) + np.abs(question.output - promised))
    return np.maximum(completeness_gap(maps, promised) - blurred, 0.0)


def _share(norm: Floats, maps: Sequence[Floats]) -> Floats:
    """What of a gap is counted as error (B,): |map| / |sum of the map|, as if the error had the map's own shape, and at
    most all of it, as if errors were independent. Over the many pixels of an image errors agree, and the gap is far
    above the error's norm.
    """
    total = np.abs(sum(m.reshape(len(m), -1).sum(1, dtype=np.float64) for m in maps))
    return np.minimum(1.0, np.divide(norm, total, out=np.ones_like(norm), where=total > 0))


def pooled_error(change: Floats, jumps: Floats, gap: Floats) -> Floats:
    """95 % bound of the L2 error (B,) of the finer rule, from three estimates of its standard deviation s.

    A rule's error on a gradient that jumps at unknown places falls like 1/points, and errors of two rules hardly
    correlate: E change^2 = s^2 + (2 s)^2 = 5 s^2. A jump somewhere in a cell of width h leaves a variance of h^2 / 12,
    whose sum is `jumps`: E jumps = s^2. Errors of single entries add up to the gap, of which `_share` is counted:
    E gap^2 = s^2. The root of the mean is s, of which a normal error stays within 1.96 in 95 % of cases; the change
    itself is the most that is claimed, since it is far above the error where the gradient is smooth; and what is
    counted of the gap the least: a model that is cut between input and score has no change, no jumps, and a gap.
    """
    return np.maximum(np.minimum(change, 1.96 * np.sqrt((change**2 / 5 + jumps + gap**2) / 3)), gap)


def _levels(most: int) -> list[int]:
    """Intervals 8, 16, 32, ... of the rules affordable with `most` points."""
    levels = [FIRST]
    while 2 * levels[-1] - 1 <= most:
        levels.append(2 * levels[-1])
    return levels


def _nodes(intervals: int) -> Array:
    """Points of Fejér's second rule as angles (n - 1,): the inner points of n equal intervals of [0, pi]."""
    return np.arange(1, intervals) * np.pi / intervals


def _positions(angles: Array) -> Array:
    """Where on the path [0, 1] an angle lies."""
    return (1 - np.cos(angles)) / 2


def _weights_at(angles: Array, intervals: int) -> Array:
    """Weights on [0, 1] of the rule of n intervals at given angles; zero at angles that are none of its points.

    `w(t) = 2 sin(t) / n * sum over odd j < n of sin(j t) / j`.
    """
    step = angles * intervals / np.pi
    odd = np.arange(1, intervals, 2)
    weights = 2 / intervals * np.sin(angles) * (np.sin(np.outer(angles, odd)) / odd).sum(1)
    return np.where(np.abs(step - np.round(step)) < 1e-6, weights, 0.0)


def _spread(angles: Array, intervals: int) -> Array:
    """h^2 / 12 between neighbouring points, h^2 the mean over the cells of the finest rule that lie between them."""
    grid = _positions(np.arange(intervals + 1) * np.pi / intervals)
    squares = np.diff(grid) ** 2
    index = np.round(angles * intervals / np.pi).astype(int)
    return np.array([squares[a:b].mean() for a, b in pairwise(index)]) / 12
