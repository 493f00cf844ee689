"""Statistics of attributions over noisy copies of the input, drawn until they are known well enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.model import Model
from pellucid.core.randomness import stream
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.explain.base import Asked, Attribution, Method, Question, flat, per_example
from pellucid.explain.gradients.engine import Draws, at_draws, entries_of
from pellucid.explain.gradients.local import Gradient, GradientInput
from pellucid.explain.sampling import Drawn, about_mean, sampled
from pellucid.shapes import Array, Floats, Tensor

STATISTICS = ("mean", "squared", "variance")

FOLDS = {Gradient: "slope", GradientInput: "product"}
"""Methods whose noisy copies are made where the gradient is taken, and never held."""


@dataclass(frozen=True, eq=False)
class SmoothGrad(Method):
    """A statistic of another method over Gaussian noise on the input: the part of the map that is not an accident.

    With `v_d = method(x + s * e_d)`, `e_d ~ N(0, I)`: "mean" is the mean of v_d (SmoothGrad), "squared" that of v_d^2
    (SmoothGrad-squared), "variance" the variance of v_d (VarGrad), as the mean of (v_d - v_d')^2 / 2 over pairs of draws.
    Draws go on until the standard error is small enough. Draw d is the same for every example, so a result does not depend
    on the examples beside it. Tokens (B, T) get their noise at the embedding (B, T, D), also where the method reads a
    hidden layer.

    Args:
        method: The method to smooth: any for real numbers, one of gradients for tokens.
        noise: Standard deviation s: a number is a share of each example's range (max - min), an array of the shape of
            one example (or broadcastable to it) is s itself, in the units of the inputs.
        statistic: "mean", in the units of the method's values; "squared" or "variance", in their squares.
        tolerance: Relative L2 error of the whole map at which an example is done.
        max_evaluations: Draws an example may cost, each one evaluation of `method`.

    Raises:
        InvalidOption: A method that is none or samples itself, noise below 0, a statistic that does not exist, or a
            tolerance that is not above 0.
        NotApplicable: Tokens, and a method that cannot be asked at their embedding.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> e = pl.explain(lambda x: 3 * x[:, 0] - x[:, 1], np.array([[1.0, 2.0]]), pl.SmoothGrad())
        >>> np.round(e.values, 5).tolist()
        [[3.0, -1.0]]

    References:
        Smilkov, Thorat, Kim, Viégas and Wattenberg 2017, "SmoothGrad: removing noise by adding noise", arXiv:1706.03825;
        variance: Adebayo, Gilmer, Goodfellow and Kim 2018, "Local explanation methods for deep neural networks lack
        sensitivity to parameter values", arXiv:1810.03307; squares: Hooker, Erhan, Kindermans and Kim 2019, "A benchmark
        for interpretability methods in deep neural networks", arXiv:1806.10758.

    Limits:
        It explains a smoothed model, not this one: with much noise the two differ. A share of each example's range is
        made for images; for a table whose columns have different units give an array, such as a tenth of each
        column's standard deviation. Squares and variances have no sign.
    """

    method: Method = field(default_factory=Gradient)
    noise: Any = 0.15
    statistic: str = "mean"
    tolerance: float = 0.1
    max_evaluations: int = 1024

    def __post_init__(self) -> None:
        if not isinstance(self.method, Method) or isinstance(self.method, SmoothGrad):
            raise InvalidOption(f"SmoothGrad.method: expected a method such as pl.Gradient(), got {self.method!r}")
        noise = np.asarray(self.noise)
        if noise.dtype.kind not in "iuf" or not np.isfinite(noise).all() or (noise < 0).any():
            raise InvalidOption(f"SmoothGrad.noise: expected numbers of at least 0, got {self.noise!r}")
        options.one_of(self, "statistic", STATISTICS)
        options.positive(self, "tolerance")
        options.whole(self, "max_evaluations", least=4)

    @property
    def contributes(self) -> bool:
        """As the smoothed method's; squares and variances have no sign."""
        return self.statistic == "mean" and self.method.contributes

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        scales = _scales(self.noise, self._entries(question))
        fold = FOLDS.get(type(self.method)) if getattr(self.method, "layer", None) is None else None
        found: list[Attribution] = []

        def draw(active: Array, draws: range) -> Drawn:
            asked = question if len(active) == len(question) else question.take(active)
            noises, scaled = range(self._each * draws.start, self._each * draws.stop), [s[active] for s in scales]
            noise = [_noise(question.seed, noises, i, s.shape[1:]) for i, s in enumerate(scales)]
            if fold is not None:
                means, squares = at_draws(asked, (fold, self.statistic), self._draws(fold), scaled, noise)
                return means, squares, np.full(len(active), len(noises))
            found[:] = [self.method.attribute(self._moved(asked, noise, scaled))]
            maps = [v.reshape(len(active), len(noises), *v.shape[1:]).swapaxes(0, 1) for v in found[0].values]
            means, squares = about_mean([self._folded(m).swapaxes(0, 1) for m in maps])
            return means, squares, found[0].evaluations.reshape(len(active), -1).sum(1)

        moments, spent = sampled(question, draw, self.tolerance, self.max_evaluations // self._each)
        read = found[0] if found else None
        return moments.attribution(
            spent, self.tolerance, layer=read.layer if read else None, hidden=read is not None and read.hidden
        )

    def _draws(self, fold: str) -> Draws:
        """Noisy copies, made where the gradient is taken."""

        def place(
            model: Model, entries: Sequence[Tensor], scales: Sequence[Tensor], noise: Sequence[Tensor]
        ) -> tuple[list[Tensor], list[Tensor] | None]:
            at = [e + s * n[:, None] for e, s, n in zip(entries, scales, noise, strict=True)]
            return at, at if fold == "product" else None

        return Draws(place, fold, self._folded)

    @property
    def _each(self) -> int:
        """Noisy copies behind one draw of the statistic."""
        return 2 if self.statistic == "variance" else 1

    def _folded(self, maps: Any) -> Any:
        """Maps (P, E, ...) of noisy copies, tensors or arrays, as draws whose mean is the statistic."""
        if self.statistic == "variance":
            return (maps[::2] - maps[1::2]) ** 2 / 2
        return maps**2 if self.statistic == "squared" else maps

    def _entries(self, question: Question) -> tuple[Floats, ...]:
        """Where noise is added: the inputs, or the embeddings of tokens."""
        if self.method.takes_shift:
            question.model.require_gradient(type(self).__name__)
            question.opened(getattr(self.method, "layer", None)).require_gradient(type(self).__name__)
            return entries_of(question)
        if any(a.dtype.kind != "f" for a in question.inputs):
            raise NotApplicable(
                f"SmoothGrad adds noise to tokens at their embedding, where {type(self.method).__name__} cannot be asked; smooth "
                "Gradient, GradientInput or IntegratedGradients"
            )
        return question.inputs

    def _moved(self, question: Question, noise: Sequence[Floats], scales: Sequence[Floats]) -> Question:
        """The question of every noisy copy of every example (E * P)."""
        copies = question.take(np.repeat(np.arange(len(question)), len(noise[0])))
        shift = tuple((n * s[:, None]).reshape(-1, *n.shape[1:]) for n, s in zip(noise, scales, strict=True))
        if self.method.takes_shift:
            return replace(copies, shift=shift, progress=False)
        inputs = tuple(a + s for a, s in zip(copies.inputs, shift, strict=True))
        asked = Asked.known(copies.target, copies.score_of(inputs, "noisy copies of x"))
        return replace(copies, inputs=inputs, asked=asked, progress=False)


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


def _noise(seed: int, draws: range, entry: int, shape: tuple[int, ...]) -> Floats:
    """Standard normal noise (P, ...); draw d of an entry depends on the seed, d and the entry alone."""
    return np.stack([stream(seed, "noise", entry, d).standard_normal(shape, np.float32) for d in draws])
