"""What hidden units do on the way of an input from its baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import layers, options
from pellucid.core.baselines import resolve_baseline
from pellucid.core.progress import Progress
from pellucid.core.target import Resolved
from pellucid.errors import NotApplicable
from pellucid.explain.base import Attribution, Method, Question, completeness_gap, map_norm, relative
from pellucid.explain.gradients.engine import at_each_point, on_way, start_scores
from pellucid.shapes import Array, Floats, Tensor

FIRST, STRETCH, LEAP = 8, 32, 3
"""Intervals of the first rule; how many are evaluated together; by how many powers of two they go up at most."""


@dataclass(frozen=True, eq=False)
class _Inside(Method):
    """What conductance and influence share: a path of the inputs, and a rule of twice as many points where needed."""

    layer: str
    baseline: Any = 0.0
    tolerance: float = 0.02
    max_evaluations: int = 1024

    def __post_init__(self) -> None:
        options.instance(self, "layer", str, "the name of a layer")
        options.positive(self, "tolerance")
        options.whole(self, "max_evaluations", least=FIRST + 1)

    def attribute(self, question: Question) -> Attribution:
        """See `Method.attribute`."""
        name, inside = type(self).__name__, question.opened(self.layer)
        question.require_gradient(name)
        inside.require_gradient(name)
        at = layers.find(question.model.native, self.layer)
        if any(entry.layer is at for entry in question.model.anatomy.entries):
            raise NotApplicable(
                f"{name}: tokens are moved at the embedding {self.layer!r} itself; ask IntegratedGradients(layer={self.layer!r})"
            )
        baseline = resolve_baseline(self.baseline, question.model, question.inputs)
        start = start_scores(question, baseline)
        count, active = len(question), np.arange(len(question))
        values: list[Floats] = []
        error, spent, due = np.full(count, np.inf), np.zeros(count, int), np.full(count, FIRST)
        done_by = np.zeros(count, int)  # intervals of the rule that gave the values of each example
        with Progress(type(self).__name__, count, question.progress) as bar:
            while len(active):
                intervals = int(due[active].min())
                now = active[due[active] == intervals]
                now = now[done_by[now] == done_by[now].min()]
                before = int(done_by[now[0]]), [v[now] for v in values]
                fine, coarse, points = self._sums(inside.take(now), [b[now] for b in baseline], intervals, before)
                values = values or [np.zeros((count, *f.shape[1:]), np.float32) for f in fine]
                for v, f in zip(values, fine, strict=True):
                    v[now] = f
                missed = (
                    completeness_gap(fine, (question.output - start)[now]) if self.contributes else np.zeros(len(now))
                )
                error[now], spent[now], done_by[now] = _error(fine, coarse, missed), spent[now] + points, intervals
                due[now] = intervals * _times(
                    error[now] / self.tolerance, (self.max_evaluations - spent[now] - 1) / intervals
                )
                done = (error[now] <= self.tolerance) | (due[now] == intervals)
                bar.advance(int(done.sum()))
                active = np.setdiff1d(active, now[done])
        return Attribution(
            tuple(values), evaluations=spent, converged=error <= self.tolerance, error=error, baseline=baseline,
            baseline_output=start, complete=self.contributes, layer=self.layer, hidden=True,
        )  # fmt: skip

    def _sums(
        self, inside: Question, baseline: Sequence[Array], intervals: int, before: tuple[int, list[Floats]]
    ) -> tuple[list[Floats], list[Floats], int]:
        """The sums by a rule of so many intervals, and of half as many; and how many points that took.

        `before` are the intervals of the rule already used (0: none), and its sums.
        """
        places = np.arange(intervals + 1, dtype=np.float32) / intervals
        stretches = [places[i : i + STRETCH + 1] for i in range(0, intervals, STRETCH)]
        total = self._added(_along_outputs, inside, baseline, [(s,) for s in stretches])
        return list(total[::2]), list(total[1::2]), intervals + 1

    def _added(
        self, integral: Any, inside: Question, baseline: Sequence[Array], stretches: Sequence[tuple[Array, ...]]
    ) -> Sequence[Floats]:
        """What an integral gives over stretches of a path (each its places first), added up."""
        q = inside
        key = ("inside", type(self), q.target.function)
        compiled = q.model.compiled(key, lambda: _step(q.model, q.target, integral, len(stretches[0])))
        total: Any = None
        for stretch in stretches:
            step = lambda *examples, stretch=stretch: compiled(*examples, *stretch)  # noqa: E731
            found = q.model.in_chunks(key, step, (*q.inputs, *baseline, q.target.selector), len(stretch[0]))
            total = found if total is None else tuple(t + f for t, f in zip(total, found, strict=True))
        return total


def _error(fine: Sequence[Floats], coarse: Sequence[Floats], missed: Floats) -> Floats:
    """Relative L2 error (B,) of maps: their change from the rule of half as many points, and no less than what a gap proves.

    The slopes of piecewise linear models jump, so the error falls as 1/n and is about the change. N errors that add up to the
    gap have a norm of at least gap / sqrt(N).
    """
    units = sum(f[0].size for f in fine)
    change = map_norm([f - c for f, c in zip(fine, coarse, strict=True)])
    return relative(np.maximum(change, missed / np.sqrt(units)), map_norm(fine))


def _times(short: Floats, affordable: Floats) -> Array:
    """By which power of two the intervals of each example (B,) go up, for an error that falls as 1/n; 1: by none."""
    wanted = 2.0 ** np.clip(np.ceil(np.log2(np.maximum(short, 1e-9))), 1, LEAP)
    can = 2.0 ** np.floor(np.log2(np.maximum(affordable, 1.0)))
    return np.minimum(wanted, can).astype(int)


@dataclass(frozen=True, eq=False)
class Conductance(_Inside):
    """How much of the change in score from a baseline flows through each hidden unit.

    `values[b, u] = integral over the path of (d score / d h_u) dh_u`, h the layer's outputs while the input goes straight
    from the baseline to x. Over a layer that everything goes through, the values add up to `score(x) - score(b)`.

    The integral is taken by the trapezoid rule in h with 8 intervals and then as many as the error asks for, a power of two,
    until the change from the rule of half as many is below the tolerance, and the gap is no larger than so small errors make.

    Args:
        layer: The layer's name.
        baseline: What "nothing" looks like: a number, one example (...), one for each (B, ...), `Blurred`, `MaskToken`, or a
            dict of these by input name.
        tolerance: Relative L2 error of the whole map at which an example is done.
        max_evaluations: Gradients an example may cost.

    Raises:
        UnknownName: There is no layer of that name.
        InvalidInput: The layer is not on the way to the score.
        InvalidOption: A tolerance that is not above 0.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "relu", name="inner"), keras.layers.Dense(1)])
        >>> net.set_weights([np.eye(2), np.zeros(2), np.array([[3.0], [5.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[1.0, 2.0]]), pl.Conductance("inner")).values.round(4).tolist()
        [[3.0, 10.0]]

    References:
        Dhamdhere, Sundararajan and Yan 2019, "How important is a neuron?", arXiv:1805.12233.

    Limits:
        The answer depends on the baseline. Around a layer that can be bypassed, what goes by is missing from the sum: then the
        gap is no error, and `converged` may stay False.
    """


@dataclass(frozen=True, eq=False)
class InternalInfluence(_Inside):
    """The mean slope of the score by each hidden unit, on the way of the input from a baseline.

    `values[b, u] = integral from 0 to 1 of (d score / d h_u)(b + a (x - b)) da`, by the trapezoid rule with 8 intervals and then
    as many as the error asks for, a power of two, until the change from the rule of half as many is below the tolerance.

    Args:
        layer: The layer's name.
        baseline: As in `Conductance`.
        tolerance: Relative L2 error of the whole map at which an example is done.
        max_evaluations: Gradients an example may cost.

    Raises:
        UnknownName: There is no layer of that name.
        InvalidInput: The layer is not on the way to the score.
        InvalidOption: A tolerance that is not above 0.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "relu", name="inner"), keras.layers.Dense(1)])
        >>> net.set_weights([np.eye(2), np.zeros(2), np.array([[3.0], [5.0]]), np.zeros(1)])
        >>> pl.explain(net, np.array([[1.0, 2.0]]), pl.InternalInfluence("inner")).values.round(4).tolist()
        [[3.0, 5.0]]

    References:
        Leino, Sen, Datta, Fredrikson and Li 2018, "Influence-directed explanations for deep convolutional networks",
        arXiv:1802.03788.

    Limits:
        A slope, in units of the score for each unit of h: it does not say how far h moved; `Conductance` does.
    """

    @property
    def contributes(self) -> bool:
        """False: a slope is no contribution."""
        return False

    def _sums(
        self, inside: Question, baseline: Sequence[Array], intervals: int, before: tuple[int, list[Floats]]
    ) -> tuple[list[Floats], list[Floats], int]:
        """See `_Inside._sums`: a rule's points are among those of one with twice as many, and are not asked again."""
        done, known = before
        at = np.arange(intervals + 1)
        weights = np.where(at % intervals == 0, 0.5, 1.0)
        new = at % (intervals // done) != 0 if done else at >= 0
        fine, coarse = weights / intervals, np.where(at % 2 == 0, 2 * weights / intervals, 0.0)
        told = [part[new].astype(np.float32) for part in (at / intervals, fine, coarse)]
        stretches = [tuple(t[i : i + STRETCH] for t in told) for i in range(0, len(told[0]), STRETCH)]
        found = self._added(_weighted, inside, baseline, stretches)
        sums = list(found[::2]), list(found[1::2])
        for k, v in enumerate(known):
            sums[0][k] = sums[0][k] + v * np.float32(done / intervals)
            sums[1][k] = sums[1][k] + v * np.float32(2 * done / intervals)
        return *sums, len(told[0])


def _step(model: Any, target: Resolved, integral: Callable[..., list[Tensor]], told: int) -> Callable[..., Any]:
    """Integrals along a stretch of the path, map by map: by the rule, and by that of half as many points.

    The last `told` arrays say where the points of the stretch are (P,), and what else the integral needs of each.
    """
    from keras import ops

    base, size = model.base, len(model.names or "x")

    def step(*arrays: Tensor) -> tuple[Tensor, ...]:
        inputs, starts, selector = arrays[:size], base.embed(arrays[size : 2 * size]), arrays[2 * size]
        places, *weights = arrays[-told:]
        count = ops.shape(places)[0]
        at = [on_way(s, e - s, places) for s, e in zip(starts, base.embed(inputs), strict=True)]
        rows = [at_each_point(t, count) for t in (*inputs, selector)]
        outputs, slopes = _at_points(model, target, at, rows)
        found = []
        for h, g in zip(outputs, slopes, strict=True):
            found += integral(*(ops.reshape(t, (count, -1, *ops.shape(t)[1:])) for t in (h, g)), *weights)
        return tuple(found)

    return step


def _along_outputs(outputs: Tensor, slopes: Tensor) -> list[Tensor]:
    """The trapezoid rule over the outputs at points (P + 1, E, ...), by all and by every other."""
    from keras import ops

    pairs = [(outputs[::every], slopes[::every]) for every in (1, 2)]
    return [ops.sum((g[1:] + g[:-1]) / 2 * (h[1:] - h[:-1]), axis=0) for h, g in pairs]


def _weighted(outputs: Tensor, slopes: Tensor, *weights: Tensor) -> list[Tensor]:
    """The slopes at points (P, E, ...) by each of several sets of weights (P,)."""
    from keras import ops

    return [ops.tensordot(w, slopes, axes=1) for w in weights]


def _at_points(
    model: Any, target: Resolved, at: Sequence[Tensor], rows: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """What the layer puts out with the inputs at given entries, and the gradient of each row's score by it."""
    from keras import ops

    count = ops.shape(rows[-1])[0]
    still = [ops.zeros((count, *shape[1:])) for shape in model.shapes]

    def total(*shifts: Tensor) -> tuple[Tensor, Any]:
        seen: list[Tensor] = []
        with layers.shifted(model.layer, list(shifts), seen):
            scores = model.base.forward_from(at, rows[:-1])
        return ops.sum(target.score(scores, rows[-1])), seen

    seen, slopes = model.backend.gradient(total, still)
    return [ops.cast(s, "float32") for s in seen], slopes
