"""How far the members of an ensemble give different reasons for its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.members import members
from pellucid.core.model import Model, wrap
from pellucid.core.record import Provenance, Record, Stopwatch, versions
from pellucid.core.resampling import Interval
from pellucid.core.target import Target
from pellucid.errors import InvalidOption
from pellucid.explain.base import Explanation, Method, explain, flat
from pellucid.shapes import Array, Floats, Inputs


@dataclass(frozen=True, eq=False)
class Disagreement(Record):
    """How far the explanations of an ensemble's members lie apart.

    Attributes:
        values: The mean of the members' explanations, in the shape of the inputs (B, ...); a dict of them where those are.
        spread: Their standard deviation, likewise: how much a feature's share depends on which member is asked.
        spread_low, spread_high: Ends of its interval, for members whose values are normal around their mean.
        agreement: Of each example (B,) the mean rank correlation (Spearman) between two members' whole maps: 1 where all order
            the features alike, 0 where they have nothing in common, or one is level.
        mean_agreement: The mean of that over the examples.
        interval: Its interval, over members: where it would lie with other members, trained likewise.
        members: How many there are.
        classes: The class asked about (B,), -1 where the target is not a class.
        provenance: Method, seed, cost, versions.
    """

    values: Any
    spread: Any
    spread_low: Any
    spread_high: Any
    agreement: Floats
    mean_agreement: float
    interval: Interval
    members: int
    classes: Array
    provenance: Provenance = field(default_factory=Provenance)

    def __str__(self) -> str:
        low, high = self.interval
        around = f"[{low:.2f}, {high:.2f}]" if np.isfinite(high - low) else "(no interval from two members)"
        return (
            f"the explanations of {self.members} members agree with a rank correlation of {self.mean_agreement:.2f} "
            f"{around} over {len(self.agreement)} examples"
        )


def disagreement(
    model: Any,
    x: Inputs | Dataset,
    method: Method,
    target: Target = "predicted",
    *,
    seed: int = 0,
    level: float = 0.95,
    progress: bool | None = None,
) -> Disagreement:
    """Explain an answer of an ensemble by each of its members, and say how far they agree.

    All members are asked about the same output: with "predicted", the class that the ensemble predicts. The interval of the mean
    agreement is that of the jackknife over members (Student's t of M - 1): each is left out once.

    Args:
        model: An ensemble: what `DeepEnsemble`, `SnapshotEnsemble`, `McDropout` or `BatchEnsemble` give, or a model with a
            layer "mean" that averages its parts, see `members`. It may be calibrated.
        x: Examples, as for `explain`.
        method: An attribution method.
        target: As for `explain`.
        seed: As for `explain`; each member is explained with the same.
        level: Confidence level of the intervals, in (0, 1).
        progress: Whether to show a bar; None: where there is a terminal.

    Raises:
        NotApplicable: A model without members.
        InvalidOption: A level outside (0, 1).

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> x, each = keras.Input((3,)), [keras.layers.Dense(1, use_bias=False) for _ in range(2)]
        >>> net = keras.Model(x, keras.layers.Average(name="mean")([layer(x) for layer in each]))
        >>> for layer, last in zip(each, (3, 5)):
        ...     layer.set_weights([np.array([[1.0], [2.0], [last]])])
        >>> found = pl.disagreement(net, np.ones((1, 3)), pl.GradientInput())
        >>> found.values[0].tolist(), found.spread[0].astype(float).round(2).tolist(), found.agreement.round(6).tolist()
        ([1.0, 2.0, 4.0], [0.0, 0.0, 1.41], [1.0])

    References:
        Spearman 1904, doi:10.2307/1412159. Efron and Stein 1981, "The jackknife estimate of variance",
        doi:10.1214/aos/1176345462.

    Limits:
        Members that agree may all be wrong in the same way: it is the training that is varied, not the data. With few members the
        spread is known roughly: of 5 within a factor of 0.6 to 2.9. Its interval takes values to be normal. That of the
        agreement is infinite for two members, where nothing says how pairs vary.
    """
    if not 0 < level < 1:
        raise InvalidOption(f"disagreement: level: expected a number between 0 and 1, got {level!r}")
    clock, model = Stopwatch(), wrap(model)
    parts, asked = members(model), _same_for_all(model, x, target)
    found = [explain(m, x, method, asked, seed=seed, progress=progress) for m in parts]
    maps = {name: np.stack([_maps(e)[name] for e in found]).astype(float) for name in _maps(found[0])}
    each = correlations([np.concatenate([flat(m[i]) for m in maps.values()], axis=1) for i in range(len(found))])
    value, interval = over_members(each, len(found), level)
    spread = {name: m.std(axis=0, ddof=1) for name, m in maps.items()}
    below, above = _factors(len(found), level)
    shaped = lambda d: d if isinstance(found[0].values, dict) else d["x"]  # noqa: E731
    return Disagreement(
        shaped({n: m.mean(axis=0) for n, m in maps.items()}), shaped(spread),
        shaped({n: s * below for n, s in spread.items()}), shaped({n: s * above for n, s in spread.items()}),
        each.mean(axis=0), value, interval, len(found), found[0].classes,
        Provenance(
            method, seed, sum(e.provenance.evaluations for e in found), clock.seconds, model.fingerprint(),
            found[0].provenance.inputs, versions(), tuple(dict.fromkeys(n for e in found for n in e.provenance.notes)),
        ),
    )  # fmt: skip


def _same_for_all(model: Model, x: Any, target: Target) -> Target:
    """The target, with what the ensemble predicts in place of what each member would."""
    if not (isinstance(target, str) and target == "predicted"):
        return target
    scores = model.scores(x)
    return (scores[:, 0] > 0).astype(int) if model.binary else scores.argmax(axis=1)


def _maps(e: Explanation) -> dict[str, Array]:
    return e.values if isinstance(e.values, dict) else {"x": e.values}


def correlations(maps: Sequence[Floats]) -> Floats:
    """Spearman's correlation (P, B) of the maps (B, N) of each pair of members; 0 where one of them is level."""
    from scipy.stats import rankdata

    ranks = [rankdata(m, axis=1) for m in maps]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    sizes = [np.sqrt(np.square(c).sum(axis=1)) for c in centred]
    found = []
    for i, j in combinations(range(len(maps)), 2):
        size = sizes[i] * sizes[j]
        found.append(np.where(size > 0, (centred[i] * centred[j]).sum(axis=1) / np.where(size > 0, size, 1), 0.0))
    return np.array(found)


def over_members(each: Floats, count: int, level: float) -> tuple[float, Interval]:
    """The mean (of pairs and examples) of correlations (P, B), and its jackknife interval over `count` members."""
    from scipy.stats import t

    pairs, value = list(combinations(range(count), 2)), float(each.mean())
    if count < 3:
        return value, Interval(-np.inf, np.inf, level, "jackknife")
    means = each.mean(axis=1)
    without = np.array(
        [np.mean([m for m, pair in zip(means, pairs, strict=True) if i not in pair]) for i in range(count)]
    )
    error = np.sqrt((count - 1) / count * np.sum(np.square(without - without.mean())))
    half = float(t.ppf(0.5 + level / 2, count - 1) * error)
    return value, Interval(max(-1.0, value - half), min(1.0, value + half), level, "jackknife")


def _factors(count: int, level: float) -> tuple[float, float]:
    """What a standard deviation of so many normal numbers is multiplied by for the ends of its interval."""
    from scipy.stats import chi2

    free = count - 1
    low, high = (float(np.sqrt(free / chi2.ppf(p, free))) for p in (0.5 + level / 2, 0.5 - level / 2))
    return low, high
