"""Does the explanation change when the model's weights do?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.layers import sublayers
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model
from pellucid.core.numbers import ranged
from pellucid.core.randomness import stream
from pellucid.core.resampling import Interval, student
from pellucid.core.tensors import to_array
from pellucid.errors import NotApplicable
from pellucid.shapes import Array, Floats
from pellucid.verify.base import Case, Check
from pellucid.verify.trust import CHANGES, PARTLY, UNCHANGED

SAME = 0.9
"""Rank correlation above which two explanations count as the same."""


@dataclass(frozen=True, eq=False)
class ParameterRandomization(Check):
    """Replace the weights by random ones: an explanation of what was learned must not survive that.

    Each trainable array is redrawn from a normal distribution with its own mean and standard deviation, from the last
    layer to the first ("cascade"), or all at once ("all"). After each step the same question is explained again;
    `value` is the mean over examples of Spearman's rank correlation between the parts' old and new values once all
    weights are random. The model gets its own weights back, whatever happens.

    The value is of all random models; the way there, which is drawn and decides nothing, of the first one.

    Args:
        order: "cascade" or "all".
        repeats: Random models.
        limit: Similarity whose interval must stay below it for the explanation to count as changed.
        patch: Size of the parts of images and sequences, as in `PermutationShapley`.
        steps: Points on the way, at most one a layer: of deeper models several layers are replaced in a step.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> keras.utils.set_random_seed(0)
        >>> net = keras.Sequential([keras.Input((12,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
        >>> x = np.random.default_rng(0).normal(size=(30, 12))
        >>> e = pl.explain(net, x, pl.GradientInput(), target=1)
        >>> pl.verify(net, e, pl.ParameterRandomization())[0].verdict
        'changes with the weights'

    References:
        Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim 2018, "Sanity checks for saliency maps", arXiv:1810.03292;
        Hedström, Weber, Lapuschkin and Höhne 2024, "A fresh look at sanity checks for saliency maps", arXiv:2405.02383.

    Limits:
        A map times its input keeps the input's outline under any weights: on images with an empty background the
        similarity of such methods starts high. Passing shows that the map depends on the weights, not that it is right.
    """

    better: ClassVar[str] = "lower"

    order: str = "cascade"
    repeats: int = 3
    limit: float = 0.5
    patch: Any = None
    steps: int = 6

    def __post_init__(self) -> None:
        options.one_of(self, "order", ("cascade", "all"))
        options.whole(self, "repeats")
        options.whole(self, "steps")
        options.fraction(self, "limit")

    def check(self, case: Case) -> Measurement:
        """See `Check.check`."""
        owned = _steps(case.model, self.order)
        if not owned:
            raise NotApplicable("the model has no trainable weights that could be replaced")
        groups = [list(g) for g in np.array_split(np.arange(len(owned)), min(self.steps, len(owned)))]
        players = case.players(self.patch)
        before, method = players.gather(case.maps), _no_dearer(case)
        way, ends, spent = [], [], 0
        for repeat in range(self.repeats):
            with _restored(case.model):
                for group in groups if repeat == 0 else [range(len(owned))]:
                    for name, variables in (owned[i] for i in group):
                        _randomize(case.model, variables, stream(case.question.seed, "weights", repeat, name))
                    found = method.attribute(replace(case.question, progress=False))
                    spent += int(found.evaluations.sum())
                    way.append(rank_correlation(before, players.gather(found.values)))
            ends.append(way.pop())
        return _measured(np.array(ends), [m.mean() for m in way], [owned[g[-1]][0] for g in groups], self.limit, spent)


def _no_dearer(case: Case) -> Any:
    """The method, allowed to spend no more on an example than the explanation did: random models are harder."""
    if not hasattr(case.method, "max_evaluations"):
        return case.method
    return replace(case.method, max_evaluations=int(np.max(case.explanation.evaluations)))  # type: ignore[type-var]


def _steps(model: Model, order: str) -> list[tuple[str, list[Any]]]:
    """Which weights are redrawn together, in order: layer by layer from the last, or all of them."""
    if order == "all":
        return [("all", model.weights)] if model.weights else []
    owned: list[tuple[str, list[Any]]] = []
    taken: set[int] = set()
    for name, layer in reversed(sublayers(model.native).items()):
        own = [w for w in _weights_of(layer) if id(w) not in taken]
        taken |= {id(w) for w in own}
        if own:
            owned.append((name, own))
    rest = [w for w in model.weights if id(w) not in taken]
    return [*owned, ("rest", rest)] if rest else owned


def _weights_of(layer: Any) -> list[Any]:
    if hasattr(layer, "trainable_variables"):
        return list(layer.trainable_variables)
    return [p for p in layer.parameters(recurse=False) if p.requires_grad]


def _randomize(model: Model, variables: Sequence[Any], generator: np.random.Generator) -> None:
    arrays = [to_array(v) for v in variables]
    model.backend.assign(variables, [generator.normal(a.mean(), a.std(), a.shape).astype(a.dtype) for a in arrays])


@contextmanager
def _restored(model: Model) -> Iterator[None]:
    before = [np.array(to_array(v)) for v in model.weights]
    try:
        yield
    finally:
        model.backend.assign(model.weights, before)


def rank_correlation(a: Floats, b: Floats) -> Floats:
    """Spearman's rank correlation of each row of (B, G) with the same row of another; 0 where a row is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(m, axis=1) for m in (a, b)]
    x, y = (r - r.mean(1, keepdims=True) for r in ranks)
    size = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), size, out=np.zeros(len(a)), where=size > 0)


def _measured(ends: Array, way: Sequence[float], names: Sequence[str], limit: float, spent: int) -> Measurement:
    """Turn similarities, (R, B) with all weights random and mean ones on the way there, into a measurement."""
    last = ends.mean(axis=0)
    value = float(last.mean())
    if len(last) >= 3:
        interval = student(last)
    else:
        low, high = ends.min(), ends.max()
        interval = Interval(float(low), float(high), 0.95, "range over random models")
    verdict = CHANGES if interval.high < limit else UNCHANGED if interval.low > SAME else PARTLY
    explanation = (
        f"With all weights random, the ranking of the parts correlates {ranged(value, interval)} "
        f"with the explanation; it should stay below {limit:g}."
    )
    detail = {
        "layers": list(names), "similarities": np.array([*way, value]), "per_example": last, "limit": limit,
        "evaluations": spent, "explanation": explanation,
    }  # fmt: skip
    return Measurement("parameter_randomization", value, interval, verdict, detail)
