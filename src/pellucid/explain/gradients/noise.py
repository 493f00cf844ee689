"""Attributions averaged over noisy copies of the input, until the average is known well enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.progress import Progress
from pellucid.core.randomness import stream
from pellucid.errors import InvalidOption
from pellucid.explain.base import Attribution, Method, Question, flat, per_example, sampling_error
from pellucid.explain.gradients.engine import entries_of
from pellucid.explain.gradients.local import Gradient, GradientInput
from pellucid.explain.gradients.path import IntegratedGradients
from pellucid.explain.sampling import Moments, rounds
from pellucid.shapes import Array, Floats

ROWS = 2048
"""Noisy copies of all examples made at once."""


@dataclass(frozen=True, eq=False)
class SmoothGrad(Method):
    """The mean of a gradient method over Gaussian noise on the input: the part of the map that is not an accident.

    `values = mean over d of method(x + s * e_d)`, `e_d ~ N(0, I)`, drawn until the standard error is small enough. Draw
    d is the same for every example, so a result does not depend on the examples beside it. Tokens (B, T) get their noise
    at the embedding (B, T, D).

    Args:
        method: The gradient method to smooth.
        noise: Standard deviation s: a number is a share of each example's range (max - min), an array of the shape of
            one example (or broadcastable to it) is s itself, in the units of the inputs.
        tolerance: Relative L2 error of the whole map at which an example is done.
        max_evaluations: Draws an example may cost, each one evaluation of `method`.

    Raises:
        InvalidOption: A method that takes no gradients, noise below 0, or a tolerance that is not above 0.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> e = pl.explain(lambda x: 3 * x[:, 0] - x[:, 1], np.array([[1.0, 2.0]]), pl.SmoothGrad())
        >>> np.round(e.values, 5).tolist()
        [[3.0, -1.0]]

    References:
        Smilkov, Thorat, Kim, Viégas and Wattenberg 2017, "SmoothGrad: removing noise by adding noise", arXiv:1706.03825.

    Limits:
        It explains a smoothed model, not this one: with much noise the two differ. A share of each example's range is
        made for images; for a table whose columns have different units give an array, such as a tenth of each
        column's standard deviation.
    """

    method: Method = field(default_factory=Gradient)
    noise: Any = 0.15
    tolerance: float = 0.1
    max_evaluations: int = 1024

    def __post_init__(self) -> None:
        if not isinstance(self.method, Gradient | GradientInput | IntegratedGradients):
            raise InvalidOption(f"SmoothGrad.method: expected a gradient method, got {self.method!r}")
        noise = np.asarray(self.noise)
        if noise.dtype.kind not in "iuf" or not np.isfinite(noise).all() or (noise < 0).any():
            raise InvalidOption(f"SmoothGrad.noise: expected numbers of at least 0, got {self.noise!r}")
        options.positive(self, "tolerance")
        options.whole(self, "max_evaluations", least=2)

    @property
    def contributes(self) -> bool:
        """As the smoothed method's."""
        return self.method.contributes

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        question.model.require_gradient(type(self).__name__)
        scales = _scales(self.noise, entries_of(question))
        moments = Moments([a.shape for a in question.inputs])
        spent, active = np.zeros(len(question), int), np.arange(len(question))
        with Progress(type(self).__name__, len(question), question.progress) as bar:
            for first, last in rounds(16, self.max_evaluations):
                part, s = question.take(active), [s[active] for s in scales]
                for draws in _batches(first, last, len(active)):
                    values, cost = self._draw(part, s, draws)
                    moments.add(active, values)
                    spent[active] += cost
                left = sampling_error(moments.mean(active), moments.standard_error(active)) > self.tolerance
                bar.advance(int((~left).sum()))
                active = active[left]
                if not len(active):
                    break
        return moments.attribution(spent, self.tolerance)

    def _draw(self, question: Question, scales: Sequence[Floats], draws: range) -> tuple[list[Floats], Array]:
        """Maps of every draw (E, P, ...), one an input, and what they cost (E,)."""
        count, copies = len(question), np.repeat(np.arange(len(question)), len(draws))
        noise = [_noise(question.seed, draws, i, s) for i, s in enumerate(scales)]
        noisy = replace(question.take(copies), shift=tuple(n.reshape(-1, *n.shape[2:]) for n in noise), progress=False)
        found = self.method.attribute(noisy)
        maps = [v.reshape(count, len(draws), *v.shape[1:]) for v in found.values]
        return maps, found.evaluations.reshape(count, -1).sum(1)


def _scales(noise: Any, entries: Sequence[Floats]) -> list[Floats]:
    """Standard deviation of the noise, broadcastable to each entry (B, ...)."""
    array = np.asarray(noise, np.float32)
    if array.ndim == 0:
        return [np.broadcast_to(per_example(array * np.ptp(flat(e), axis=1), e), e.shape) for e in entries]
    try:
        return [np.broadcast_to(array, e.shape) for e in entries]
    except ValueError:
        shapes = ", ".join(str(e.shape[1:]) for e in entries)
        raise InvalidOption(
            f"SmoothGrad.noise: an array of shape {array.shape} does not fit an example {shapes}"
        ) from None


def _noise(seed: int, draws: range, entry: int, scale: Floats) -> Floats:
    """Noise (E, P, ...); draw d of an entry depends on the seed, d and the entry alone."""
    shape = scale.shape[1:]
    drawn = np.stack([stream(seed, "noise", entry, d).standard_normal(shape, np.float32) for d in draws])
    return drawn[None] * scale[:, None]


def _batches(first: int, last: int, examples: int) -> Iterator[range]:
    size = max(1, ROWS // examples)
    return (range(start, min(start + size, last)) for start in range(first, last, size))
