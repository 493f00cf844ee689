"""The mean of an explanation over many baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pellucid.errors import InvalidInput
from pellucid.explain.base import Attribution, Question, map_norm, relative
from pellucid.explain.sampling import Moments
from pellucid.shapes import Array

BLOCK = 64 * 2**20
"""Bytes of pairs of an example and a baseline held at once."""


def averaged(
    question: Question, rows: Sequence[Array], attribute: Callable[[Question, tuple[Array, ...]], Attribution]
) -> Attribution:
    """The mean over the rows of a background of what a method answers with each of them for its baseline.

    Args:
        question: What is asked.
        rows: The background (M, ...), one array an input.
        attribute: Answers a question, given baselines of the inputs' shapes.

    Returns:
        Mean values; their standard errors, which say how much other rows from the same source would change them; the mean
        score of the background; the numerical error of the mean, at most the mean error of its parts.
    """
    count, many = len(question), len(rows[0])
    each = sum(a[0].nbytes for a in question.inputs) * 2
    examples = max(1, min(count, BLOCK // (each * min(many, 64))))
    together = max(1, min(many, BLOCK // (each * examples)))
    parts = [
        _block(question.take(slice(i, i + examples)), rows, together, attribute) for i in range(0, count, examples)
    ]
    return _joined(parts)


def _block(
    question: Question, rows: Sequence[Array], together: int, attribute: Callable[..., Attribution]
) -> tuple[Attribution, Moments]:
    """Sums over the rows, `together` of them at once, for some examples; as an answer of means, and the maps' moments."""
    count, many = len(question), len(rows[0])
    moments, found = Moments(count), None
    start, slack, spent, sure = np.zeros(count), np.zeros(count), np.zeros(count, int), np.ones(count, bool)
    for first in range(0, many, together):
        part = [r[first : first + together] for r in rows]
        size = len(part[0])
        paired = question.take(np.repeat(np.arange(count), size))
        found = attribute(paired, tuple(np.tile(r, (count, *[1] * (r.ndim - 1))) for r in part))
        maps = [v.reshape(count, size, *v.shape[1:]) for v in found.values]
        moments.add(np.arange(count), maps)
        by_example = lambda numbers, size=size: np.asarray(numbers).reshape(count, size)  # noqa: E731
        start += by_example(found.baseline_output).sum(1) / many
        spent += by_example(found.evaluations).sum(1)
        sure &= by_example(found.converged).all(1)
        if found.error is not None:
            slack += by_example(found.error * map_norm(found.values)).sum(1) / many
    if found is None:
        raise InvalidInput("background: expected at least one row")
    error = None if found.error is None else relative(slack, map_norm(moments.mean()))
    mean = replace(
        found,
        values=moments.mean(),
        evaluations=spent,
        converged=sure,
        error=error,
        baseline=None,
        baseline_output=start,
    )
    return mean, moments


def _joined(parts: Sequence[tuple[Attribution, Moments]]) -> Attribution:
    first = parts[0][0]
    maps = lambda each: tuple(np.concatenate(m).astype(np.float32) for m in zip(*each, strict=True))  # noqa: E731
    of = lambda name: np.concatenate([getattr(found, name) for found, _ in parts])  # noqa: E731
    several = parts[0][1].count[0] > 1
    return replace(
        first,
        values=maps(found.values for found, _ in parts),
        standard_error=maps(m.standard_error() for _, m in parts) if several else None,
        samples=np.concatenate([m.count for _, m in parts]) if several else None,
        evaluations=of("evaluations"), converged=of("converged"), baseline_output=of("baseline_output"),
        error=None if first.error is None else of("error"),
    )  # fmt: skip
