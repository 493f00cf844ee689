"""How much single units of a hidden layer prefer one class over the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import agreeing, counted, figure, stated
from pellucid.core.resampling import Interval
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.units import Units, check_layer
from pellucid.shapes import Array, Floats

FEWEST = 4
"""Rows of a class: two in each half."""


@dataclass(frozen=True, eq=False)
class ClassSelectivity(Measure):
    """Do single units of a layer respond to one class?

    With m_k the mean of what a unit puts out on test rows of class k, its selectivity is (m_c - m) / (m_c + m), c being the class
    with the largest mean and m the mean of the others' means: 0 where all are equal, 1 where it responds to one class alone. The
    largest of several means is too large by chance, so that c is chosen on one half of the rows and the means are taken on the
    other, then the other way round. The value is the mean over units; its interval is the bootstrap over rows, within classes
    and halves. The p-value compares with labels permuted among the rows. Verdicts: "selective" where it is at most 1 - `level`,
    else "no selectivity shown".

    `detail`: `units` (U,), each unit's selectivity, NaN where it is silent; `classes` (2, U), the class chosen on each half;
    `silent`, how many; `p_value`; `null` (permutations,), the value for each; `rows`; `left_out`, classes of too few rows.

    Args:
        layer: The name of a layer whose outputs are not below 0, as of rectifiers; maps are averaged over positions.
        permutations: How often labels are permuted.
        resamples: Bootstrap samples.
        level: Confidence level of the interval, and 1 minus the chance that units without selectivity are called selective.

    Raises:
        InvalidOption: No layer, or an option outside its range.
        UnknownName: There is no layer of that name; the nearest are offered.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> hidden = keras.layers.Dense(2, "relu", use_bias=False, name="hidden")
        >>> net = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(2, "softmax")])
        >>> hidden.set_weights([np.eye(2)])
        >>> x, y = np.tile([[3.0, 1.0], [1.0, 3.0]], (20, 1)), np.tile([0, 1], 20)
        >>> found, = pl.measure(net, pl.ClassSelectivity("hidden"), test=(x, y))
        >>> found.value, found.verdict  # (3 - 1) / (3 + 1)
        (0.5, 'selective')

    References:
        Morcos, Barrett, Rabinowitz and Botvinick 2018, arXiv:1803.06959.

    Limits:
        Selective units are no more important: nets that generalize well have fewer of them, and taking selective units away
        costs no more than others. Directions across units may hold what no unit does. Where no class is surely preferred, the
        half chooses it badly, and the value is below that of all rows.
    """

    layer: str
    permutations: int = 500
    resamples: int = 200
    level: float = 0.95

    quantity: ClassVar[str] = "class_selectivity"

    def __post_init__(self) -> None:
        check_layer(self)
        options.whole(self, "permutations", 19)
        options.whole(self, "resamples", 20)
        options.fraction(self, "level")

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`."""
        return test

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("compares classes")
        labels, inputs = context.labels("test"), context.model.prepare(context.data("test"))
        active = Units(context.model, self.layer, inputs).activations(inputs).astype(float)
        context.evaluations += len(labels)
        if (least := float(active.min())) < 0:
            raise NotApplicable(
                f"ClassSelectivity divides by what units put out, but {self.layer!r} gives values below 0 ({figure(least)}); "
                "name the layer of its rectifier"
            )
        classes, sizes = np.unique(labels, return_counts=True)
        left, kept = classes[sizes < FEWEST], np.isin(labels, classes[sizes >= FEWEST])
        if np.sum(sizes >= FEWEST) < 2:
            raise NotApplicable(f"ClassSelectivity needs two classes of at least {FEWEST} test rows")
        halves = halved(labels[kept], context.stream("halves"))
        sides = [(active[kept][rows], labels[kept][rows]) for rows in halves]
        units, chosen = selectivity(sides)
        if np.isnan(units).all():
            raise NotApplicable(f"ClassSelectivity: no unit of {self.layer!r} puts out anything on the test rows")
        value = float(np.nanmean(units))
        interval = self._interval(value, sides, context.stream("rows"))
        draw = context.stream("null")
        null = np.array([_mean(_permuted(sides, draw)) for _ in range(self.permutations)])
        p_value = (1 + int(np.sum(null >= value))) / (1 + len(null))
        verdict = "selective" if p_value <= 1 - self.level else "no selectivity shown"
        detail = {
            "units": units, "classes": chosen, "silent": int(np.isnan(units).sum()), "p_value": p_value, "null": null,
            "rows": int(kept.sum()), "left_out": left,
        }  # fmt: skip
        told = (
            f"On {counted(detail['rows'], 'unseen row')}, of {self.layer!r} {agreeing(len(units), 'unit', 'has', 'have')} a mean "
            f"selectivity of {stated(value, interval)} for single classes (p = {p_value:.3g}): {verdict}."
        )
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})

    def _interval(
        self, value: float, sides: Sequence[tuple[Floats, Array]], generator: np.random.Generator
    ) -> Interval:
        from scipy.stats import norm

        drawn = [_mean([_resampled(*side, generator) for side in sides]) for _ in range(self.resamples)]
        half = float(norm.ppf(0.5 + self.level / 2) * np.nanstd(drawn, ddof=1))
        return Interval(max(-1.0, value - half), min(1.0, value + half), self.level, "bootstrap (normal)")


def halved(labels: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Row numbers of two halves, each with half of every class."""
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    place = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return np.sort(order[place % 2 == 0]), np.sort(order[place % 2 == 1])


def selectivity(sides: Sequence[tuple[Floats, Array]]) -> tuple[Floats, Array]:
    """Selectivity (U,) of units by activations (B, U) and labels (B,) of two halves, and the class each half chose (2, U)."""
    means = [_means(*side) for side in sides]
    chosen = np.array([m.argmax(axis=0) for m in means])
    found = [_contrast(means[1 - i], chosen[i]) for i in (0, 1)]
    known = np.isfinite(found)
    counts = known.sum(axis=0)
    mean = np.where(known, found, 0).sum(axis=0) / np.maximum(counts, 1)
    return np.where(counts > 0, mean, np.nan), np.unique(sides[0][1])[chosen]


def _means(active: Floats, labels: Array) -> Floats:
    """The mean of each class (K, U)."""
    classes, codes = np.unique(labels, return_inverse=True)
    member = (codes == np.arange(len(classes))[:, None]).astype(float)
    return member @ active / member.sum(axis=1, keepdims=True)


def _contrast(means: Floats, chosen: Array) -> Floats:
    """(m_c - m) / (m_c + m) of each unit, NaN for a silent one."""
    own = np.take_along_axis(means, chosen[None], axis=0)[0]
    others = (means.sum(axis=0) - own) / (len(means) - 1)
    total = own + others
    return np.where(total > 0, (own - others) / np.where(total > 0, total, 1), np.nan)


def _mean(sides: Sequence[tuple[Floats, Array]]) -> float:
    units = selectivity(sides)[0]
    return float(np.nanmean(units)) if np.isfinite(units).any() else 0.0


def _permuted(sides: Sequence[tuple[Floats, Array]], generator: np.random.Generator) -> list[tuple[Floats, Array]]:
    return [(active, generator.permutation(labels)) for active, labels in sides]


def _resampled(active: Floats, labels: Array, generator: np.random.Generator) -> tuple[Floats, Array]:
    """Rows drawn again, as many of each class."""
    order = np.argsort(labels, kind="stable")
    first, size = np.unique(labels[order], return_index=True)[1], np.unique(labels, return_counts=True)[1]
    drawn = np.repeat(first, size) + (generator.random(len(labels)) * np.repeat(size, size)).astype(int)
    return active[order[drawn]], labels[order]
