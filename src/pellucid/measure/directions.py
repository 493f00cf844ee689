"""How long a model's answers hold while more and more of what a hidden layer says is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, stated
from pellucid.core.progress import Progress
from pellucid.core.resampling import Interval
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import mean_interval
from pellucid.measure.units import Units, check_layer
from pellucid.shapes import Array, Floats

STEPS = 10
"""Parts in which all units are taken away, one after the other."""


@dataclass(frozen=True, eq=False)
class DirectionReliance(Measure):
    """Do the answers rest on few units of a layer, or are they spread out over many?

    Units are set to their mean over rows, a tenth of them more at each step, in a random order. With a(f) the accuracy where a
    share f of the units is gone, the value is the area under (a(f) - a(1)) / (a(0) - a(1)): 1 where the answers hold until the
    last unit, 1/2 where each costs the same, near 0 where the first few cost everything. It is the mean over orders on test rows;
    its interval, Student's, joins the scatter over orders with that over rows. Verdicts, with t the limit:

    - "relies on few directions": the interval lies below t.
    - "spread out": it lies above t.
    - "cannot be told": it holds t.

    `detail`: `shares` (S,), of units gone; `units` and `directions` (random orthonormal directions in place of units), each with
    `test` and, if there are training rows, `train`: `value`, `interval`, and `curves` (orders, S), the accuracy.

    Args:
        layer: The name of a hidden layer; in maps a unit is gone at all positions.
        orders: How many random orders, and random sets of directions, at least 3.
        most: Rows of each split looked at; drawn at random from more.
        limit: The area below which few directions carry the answers, in (0, 1).
        level: Confidence level of the intervals, in (0, 1).

    Raises:
        InvalidOption: No layer, or an option outside its range.
        UnknownName: There is no layer of that name; the nearest are offered.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> hidden = keras.layers.Dense(9, use_bias=False, name="hidden")  # nine copies of what the answer is
        >>> net = keras.Sequential([keras.Input((1,)), hidden, keras.layers.Dense(1, "sigmoid")])
        >>> net.set_weights([np.ones((1, 9)), np.ones((9, 1)), np.zeros(1)])
        >>> x = np.random.default_rng(0).normal(size=(400, 1))
        >>> found, = pl.measure(net, pl.DirectionReliance("hidden"), test=(x - x.mean(), (x[:, 0] > x.mean()).astype(int)))
        >>> found.verdict
        'spread out'

    References:
        Morcos, Barrett, Rabinowitz and Botvinick 2018, arXiv:1803.06959.

    Limits:
        About random sets: answers that hold here may still fall with a few well-chosen units. That nets which memorise rely on
        fewer directions was seen among nets of one kind; a single net has nothing to be compared with. A narrow layer has few.
        What goes around the layer is left as it is.
    """

    layer: str
    orders: int = 10
    most: int = 1000
    limit: float = 0.5
    level: float = 0.95

    quantity: ClassVar[str] = "direction_reliance"

    def __post_init__(self) -> None:
        check_layer(self)
        options.whole(self, "orders", 3)
        options.whole(self, "most", 10)
        options.fraction(self, "limit", "level")

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`."""
        return 2 * self.orders * STEPS * (min(train, self.most) + min(test, self.most))

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("compares accuracies")
        found: dict[str, dict[str, Any]] = {"units": {}, "directions": {}}
        splits = [split for split in ("test", "train") if context.has(split)]
        shares = np.array([])
        with Progress("taking units away", 2 * self.orders * len(splits)) as bar:
            for split in splits:
                labels = context.labels(split)
                rows = context.stream("rows", split).permutation(len(labels))[: self.most]
                inputs = context.model.prepare(context.data(split).take(rows))
                units = Units(context.model, self.layer, inputs)
                gone = np.unique(np.round(np.linspace(0, units.count, STEPS + 1)).astype(int))
                middle = units.activations(inputs).mean(axis=0)
                shares = gone / units.count
                for kind, told in found.items():
                    hits = []
                    for order in range(self.orders):
                        axes = axes_of(kind, units.count, context.stream(kind, order))
                        hits.append(right(units, inputs, labels[rows], (axes, gone, middle)))
                        context.evaluations += len(rows) * len(gone)
                        bar.advance()
                    told[split] = self._area(np.array(hits), shares, split)
        value, interval = found["units"]["test"]["value"], found["units"]["test"]["interval"]
        verdict = judged(interval, self.limit)
        told = (
            f"As units of {self.layer!r} are set to their mean in {counted(self.orders, 'random order')}, the area under the "
            f"accuracy on unseen rows is {stated(value, interval)} of that if the answers held until the last: {verdict}."
        )
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, "shares": shares, **found})

    def _area(self, hits: Floats, shares: Floats, split: str) -> dict[str, Any]:
        """The area of hits (orders, S, B) with its interval.

        Raises:
            NotApplicable: The answers are not surely better with the layer than without.
        """
        worth = mean_interval(hits[0, 0] - hits[0, -1], self.level, np.random.default_rng(0))
        if worth.low <= 0:
            raise NotApplicable(
                f"DirectionReliance: without what {self.layer!r} says, the {split} rows are not surely answered worse"
            )
        value, interval = area(hits, shares, self.level)
        return {"value": value, "interval": interval, "curves": hits.mean(axis=2)}


def axes_of(kind: str, count: int, generator: np.random.Generator) -> Floats:
    """Orthonormal directions (U, U) in a random order: the units themselves, or a random rotation of them."""
    if kind == "units":
        return np.eye(count)[generator.permutation(count)]
    turned, scale = np.linalg.qr(generator.normal(size=(count, count)))
    return (turned * np.sign(np.diag(scale))).T  # so that every rotation is as likely


def right(units: Units, inputs: Sequence[Array], labels: Array, taken: tuple[Floats, Array, Floats]) -> Floats:
    """Which rows are answered right (S, B) with the first so many axes (S,) set to the middle (U,)."""
    axes, gone, middle = taken
    found = []
    for number in gone:
        scores = units.scores_within(inputs, axes[number:].T @ axes[number:], middle)
        answer = (scores[:, 0] > 0).astype(int) if units.model.binary else scores.argmax(axis=1)
        found.append(answer == labels)
    return np.array(found, dtype=float)


def area(hits: Floats, shares: Floats, level: float) -> tuple[float, Interval]:
    """The area of hits (orders, S, B) over shares (S,), between those of all rows right as at first and as in the end.

    It is a ratio of means over rows, whose error is that of u - area v, with u and v the rows' own areas; orders add theirs.
    """
    from scipy.integrate import trapezoid
    from scipy.stats import t

    own = trapezoid(hits, shares, axis=1) - hits[:, -1]
    whole = hits[:, 0] - hits[:, -1]
    base = float(whole.mean())
    value = float(own.mean()) / base
    influence = (own.mean(axis=0) - value * whole.mean(axis=0)) / base
    by_order = own.mean(axis=1) / base
    error = np.sqrt(influence.var(ddof=1) / len(influence) + by_order.var(ddof=1) / len(by_order))
    half = float(t.ppf(0.5 + level / 2, len(by_order) - 1) * error)
    return value, Interval(value - half, value + half, level, "student over orders and rows")


def judged(interval: Interval, limit: float) -> str:
    """The verdict on the interval of the area; see `DirectionReliance`."""
    if interval.high < limit:
        return "relies on few directions"
    return "spread out" if interval.low > limit else "cannot be told"
