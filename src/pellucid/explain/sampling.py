"""What sampling methods share: running moments of maps, and rounds that stop when they are known well enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pellucid.core.progress import Progress
from pellucid.explain.base import Attribution, Question, per_example, sampling_error
from pellucid.shapes import Array, Floats

ROWS, BYTES = 2048, 64 * 2**20
"""Copies of all examples made at once, and what they may take."""


def rounds(first: int, most: int) -> Iterator[tuple[int, int]]:
    """Draws (from, to) of each round: `first`, then half as many again as there are, up to `most`."""
    start = 0
    while start < most:
        stop = min(most, max(start + 1, first if start == 0 else start + start // 2))
        yield start, stop
        start = stop


def sampled(
    question: Question, draw: Callable[[Array, range], tuple[Sequence[Floats], Array]], tolerance: float, most: int
) -> tuple[Moments, Array]:
    """Moments of maps, drawn until the relative L2 error of each example's mean is at most `tolerance`.

    Args:
        question: What is asked.
        draw: Maps (E, P, ...), one an input, of the draws of a range for the examples at an index (E,), and what they
            cost (E,).
        tolerance: Error at which an example is done.
        most: Draws an example gets at most.

    Returns:
        The moments, and what each example cost (B,).
    """
    moments, spent, active = Moments(len(question)), np.zeros(len(question), int), np.arange(len(question))
    together = max(1, min(ROWS, BYTES // max(1, sum(a[0].nbytes for a in question.inputs))))
    with Progress("drawing", len(question), question.progress) as bar:
        for first, last in rounds(16, most):
            for start in range(first, last, size := max(1, together // len(active))):
                maps, cost = draw(active, range(start, min(start + size, last)))
                moments.add(active, maps)
                spent[active] += cost
            left = sampling_error(moments.mean(active), moments.standard_error(active)) > tolerance
            bar.advance(int((~left).sum()))
            active = active[left]
            if not len(active):
                break
    return moments, spent


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
        if not self._mean:
            shapes = [(len(self.count), *values.shape[2:]) for values in draws]
            self._mean, self._square = list(map(np.zeros, shapes)), list(map(np.zeros, shapes))
        new = draws[0].shape[1]
        before = self.count[index]
        for mean, square, values in zip(self._mean, self._square, draws, strict=True):
            values = values.astype(np.float64)
            centre = values.mean(1)
            delta = centre - mean[index]
            share = per_example(new / (before + new), delta)
            square[index] += ((values - centre[:, None]) ** 2).sum(1) + delta**2 * per_example(before, delta) * share
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
