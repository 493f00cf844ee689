"""What sampling methods share: running moments of maps, and rounds that stop when they are known well enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pellucid.core.progress import Progress
from pellucid.explain.base import Attribution, Question, per_example, sampling_error
from pellucid.shapes import Array, Floats

GROUP, HALF = 16, 8
"""Draws made together, in groups of two sizes, so that no other number of them has to be compiled."""

Drawn = tuple[Sequence[Floats], Sequence[Floats], Array]
"""What draws gave for some examples (E,): means of maps (E, ...), one an input; sums of squares about them; the cost (E,)."""


def rounds(first: int, most: int, step: int = 1) -> Iterator[tuple[int, int]]:
    """Draws (from, to) of each round: `first`, then half as many again as there are, in steps, up to `most`."""
    start = 0
    while start < most:
        stop = first if start == 0 else start + -(-max(1, start // 2) // step) * step
        stop = min(most, stop)
        yield start, stop
        start = stop


def sampled(
    question: Question, draw: Callable[[Array, range], Drawn], tolerance: float, most: int
) -> tuple[Moments, Array]:
    """Moments of maps, drawn until the relative L2 error of each example's mean is at most `tolerance`.

    Args:
        question: What is asked.
        draw: What the draws of a range give for the examples at an index (E,).
        tolerance: Error at which an example is done.
        most: Draws an example gets at most.

    Returns:
        The moments, and what each example cost (B,).
    """
    moments, spent, active = Moments(len(question)), np.zeros(len(question), int), np.arange(len(question))
    with Progress("drawing", len(question), question.progress) as bar:
        for first, last in rounds(GROUP, most, HALF):
            for start in range(first, last, GROUP):
                draws = range(start, min(start + GROUP, last))
                means, squares, cost = draw(active, draws)
                moments.merge(active, means, squares, len(draws))
                spent[active] += cost
            left = sampling_error(moments.mean(active), moments.standard_error(active)) > tolerance
            bar.advance(int((~left).sum()))
            active = active[left]
            if not len(active):
                break
    return moments, spent


def about_mean(draws: Sequence[Floats]) -> tuple[list[Floats], list[Floats]]:
    """Means (E, ...) of draws (E, P, ...), and sums of squares about them."""
    means = [d.mean(1, dtype=np.float64) for d in draws]
    away = [d - m[:, None] for d, m in zip(draws, means, strict=True)]
    return means, [np.einsum("ep...,ep...->e...", a, a) for a in away]


class Moments:
    """Mean and variance of each example's maps over its own number of draws (Welford's recurrences, by batches).

    Source: Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    """

    def __init__(self, examples: int) -> None:
        self.count = np.zeros(examples, int)
        self._mean: list[Floats] = []  # made with the first draws, which show the maps' shapes
        self._square: list[Floats] = []

    def add(self, index: Array, draws: Sequence[Floats]) -> None:
        """Add draws (E, P, ...), one array a map, for the examples at `index`."""
        self.merge(index, *about_mean(draws), draws[0].shape[1])

    def merge(self, index: Array, means: Sequence[Floats], squares: Sequence[Floats], new: int) -> None:
        """Add `new` draws, of which the means (E, ...) are known, and the sums of squares about them."""
        if not self._mean:
            shapes = [(len(self.count), *m.shape[1:]) for m in means]
            self._mean, self._square = list(map(np.zeros, shapes)), list(map(np.zeros, shapes))
        before = self.count[index]
        for mean, square, centre, about in zip(self._mean, self._square, means, squares, strict=True):
            delta = centre - mean[index]
            share = per_example(new / (before + new), delta)
            square[index] += about + delta**2 * per_example(before, delta) * share
            mean[index] += delta * share
        self.count[index] += new

    def mean(self, index: Array | slice = slice(None)) -> tuple[Floats, ...]:
        """Mean maps of some examples."""
        return tuple(m[index] for m in self._mean)

    def standard_error(self, index: Array | slice = slice(None)) -> tuple[Floats, ...]:
        """Standard errors of the mean maps; infinite after a single draw."""
        n = self.count[index]
        with np.errstate(divide="ignore"):
            factor = np.where(n > 1, 1.0 / (n * np.maximum(n - 1, 1)), np.inf)
        return tuple(
            np.sqrt(s[index] * per_example(factor, s)) if (n > 1).all() else np.full_like(s[index], np.inf)
            for s in self._square
        )

    def attribution(self, evaluations: Array, tolerance: float, **more: object) -> Attribution:
        """The maps with their uncertainty."""
        values, errors = self.mean(), self.standard_error()
        error = sampling_error(values, errors)
        as_float32 = lambda maps: tuple(m.astype(np.float32) for m in maps)  # noqa: E731
        return Attribution(
            values=as_float32(values), standard_error=as_float32(errors), error=error, samples=self.count.copy(),
            converged=error <= tolerance, evaluations=evaluations, **more,  # type: ignore[arg-type]
        )  # fmt: skip
