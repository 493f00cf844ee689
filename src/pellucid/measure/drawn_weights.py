"""Nets whose weights are drawn around given ones, in the place of a model's own for the length of a `with` block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pellucid.core.model import Model
from pellucid.core.tensors import to_array
from pellucid.shapes import Array, Floats


@contextmanager
def weights_kept(model: Model) -> Iterator[None]:
    """Put the model's weights back at the end of the block, however it ends."""
    before = copied(model.weights)
    try:
        yield
    finally:
        model.backend.assign(model.weights, before)


def drawn_error(
    model: Model, inputs: tuple[Array, ...], labels: Array, mean: Floats, scale: Floats, generator: np.random.Generator
) -> float:
    """The share of errors on rows of a net with weights drawn from N(mean, scale^2), each (N,); the weights are left so."""
    drawn = mean + scale * generator.normal(size=len(mean))
    shapes = [tuple(v.shape) for v in model.weights]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    pieces = [p.reshape(s).astype(np.float32) for p, s in zip(np.split(drawn, ends), shapes, strict=True)]
    model.backend.assign(model.weights, pieces)
    scores = model.outputs_of(inputs)
    answer = (scores[:, 0] > 0).astype(int) if model.binary else scores.argmax(axis=1)
    return float(np.mean((answer != labels) | ~np.isfinite(scores).all(axis=1)))


def copied(variables: Sequence[Any]) -> list[Array]:
    """What variables hold, in memory of its own."""
    return [np.array(to_array(v)) for v in variables]


def units_of(before: Sequence[Array], noise: str) -> Floats:
    """The noise of scale 1 for each weight (N,), by the prior's weights; arrays near 0, such as biases, get a tenth of all's."""
    overall = float(np.sqrt(np.mean(np.concatenate([a.ravel() for a in before]).astype(float) ** 2)))
    size = lambda a: max(float(np.sqrt(np.mean(a.astype(float) ** 2))), 0.1 * overall)  # noqa: E731
    return np.concatenate([np.full(a.size, overall if noise == "isotropic" else size(a)) for a in before])
