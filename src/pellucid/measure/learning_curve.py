"""How the error falls with the number of training rows, and whether more of them would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import agreeing, count, figure, stated
from pellucid.core.progress import Progress
from pellucid.core.resampling import Interval, student
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.power_law import Extrapolation, extrapolated
from pellucid.measure.retrained import Build, check_build, trained
from pellucid.shapes import Array, Floats

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Parts of the training rows that are learned from where nothing is said."""

FEWEST = 4
"""Sizes that a curve of three parameters needs, to leave something to judge it by."""

UNLIKELY = 0.01
"""Errors that would be so far off a power law by so little chance follow none."""


@dataclass(frozen=True, eq=False)
class LearningCurve(Measure):
    """Would more training rows help, and how much?

    The model is built and trained anew on parts of the training rows, `repeats` times on each size, with other rows and
    another seed. The error on the test rows (1 - accuracy, or 1 - R2 of a regression) is fitted by error(n) = a n^-b + c. The
    value is the gain that twice the rows would bring, error(n) - error(2 n) at all rows n, with an interval that holds for
    all a, b and c that the repeats allow. Verdicts, with t the tolerance:

    - "more data would help": the interval of the gain lies above t.
    - "flat: more data of this kind buys little": it does not reach above t.
    - "cannot be told": else, or where the errors follow no such law.

    The parts of one repeat are nested; classes keep their proportions, and groups stay whole (their sizes are then about right).

    `detail`: `sizes` (S,); `errors` and `train_errors` (S, R), of the test rows and of those trained on; `mean` of each size,
    with Student's interval over repeats; `law` (scale a, rate b, floor c); `doubled`, the error with twice the rows, and
    `floor`, what is left without end, each with its interval; `misfit`, the chance of errors so far off a power law.

    Args:
        build: Function without arguments that gives a compiled Keras model.
        fit: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes.
        sizes: Numbers of rows, or parts of all in (0, 1], at least 4; None for 1/16, 1/8, 1/4, 1/2 and all.
        repeats: Trainings of each size, at least 2; with 2 the intervals are very wide.
        tolerance: A gain too small to matter, at least 0.
        level: Confidence level of every interval, in (0, 1).

    Raises:
        InvalidOption: Too few sizes, sizes beyond the rows there are, or another option outside its range.
        InvalidInput: A builder or data that cannot be trained with.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
        ...     net.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> y = (x[:, 0] > 0).astype(int)
        >>> curve = pl.LearningCurve(build, fit={"epochs": 2}, sizes=[25, 50, 100, 200], repeats=2)
        >>> found, = pl.measure(None, curve, train=(x[:200], y[:200]), test=(x[200:], y[200:]))
        >>> found.detail["errors"].shape, 0 <= found.value <= 1
        ((4, 2), True)

    References:
        Hestness et al. 2017, arXiv:1712.00409. Viering and Loog 2023, arXiv:2103.10948.

    Limits:
        Twice the rows is a short way to look ahead; the floor is a long one, and often left open. Curves may bend later, or
        rise before they fall (as where rows are about as many as weights). Epochs are the same for every size, so small parts
        are trained in fewer steps. The intervals are over parts and seeds; all are judged on the same test rows, whose own
        chance is not in them. At all rows only the seed differs, so what other rows would give is read off smaller parts.
        More data means more rows drawn like these.
    """

    build: Build
    fit: Mapping[str, Any] | None = None
    sizes: Sequence[float] | None = None
    repeats: int = 5
    tolerance: float = 0.01
    level: float = 0.95

    quantity: ClassVar[str] = "learning_curve"

    def __post_init__(self) -> None:
        check_build(self)
        options.whole(self, "repeats", 2)
        options.not_negative(self, "tolerance")
        options.fraction(self, "level")
        if self.sizes is not None:
            object.__setattr__(self, "sizes", tuple(self.sizes))

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        train = context.data("train")
        sizes = sizes_of(self.sizes, len(train))
        errors, learned = (np.zeros((len(sizes), self.repeats)) for _ in range(2))
        with Progress("training on parts of the data", len(sizes) * self.repeats) as bar:
            for r in range(self.repeats):
                order = nested(train, context.stream("rows", r))
                for s, size in enumerate(sizes):
                    seed = int(context.stream("seed", r, s).integers(2**31))
                    part = train.take(np.sort(first(order, size, train.groups)))
                    answers = trained(context, self.build, self.fit, part, seed)
                    learned[s, r], errors[s, r] = error(answers, "train"), error(answers, "test")
                    context.evaluations += answers.evaluations
                    bar.advance()
        found = extrapolated(sizes, errors, len(train), level=self.level)
        return measured(sizes, errors, learned, found, self)


def sizes_of(asked: Sequence[float] | None, rows: int) -> Array:
    """The numbers of rows (S,) to train on, ascending."""
    parts = SHARES if asked is None else asked
    whole = all(isinstance(s, int | np.integer) and not isinstance(s, bool) and s > 1 for s in parts)
    if not whole and not all(isinstance(s, float | int) and 0 < s <= 1 for s in parts):
        raise InvalidOption(f"LearningCurve.sizes: expected numbers of rows, or parts of all in (0, 1], got {asked!r}")
    found = np.unique(np.round(np.array(parts, dtype=float) * (1 if whole else rows)).astype(int))
    if found[-1] > rows:
        raise InvalidOption(
            f"LearningCurve.sizes: expected at most the {rows} training rows there are, got {found[-1]}"
        )
    if asked is None and found[0] < 2:
        raise NotApplicable(
            f"LearningCurve learns from parts of the training rows, for which {agreeing(rows, 'row')} too few"
        )
    if len(found) < FEWEST or found[0] < 2:
        raise InvalidOption(
            f"LearningCurve.sizes: expected at least {FEWEST} different sizes of at least 2 rows, got {found.tolist()}"
        )
    return found


def nested(train: Dataset, generator: np.random.Generator) -> Array:
    """Row numbers (B,) in an order of which any beginning is a fair part: classes in proportion, or groups one after another."""
    rows = generator.permutation(len(train))
    if train.groups is not None:
        place = {group: i for i, group in enumerate(generator.permutation(np.unique(train.groups)).tolist())}
        return rows[np.argsort([place[g] for g in train.groups[rows].tolist()], kind="stable")]
    if train.task != "classification":
        return rows
    key = np.empty(len(rows))
    for k in np.unique(train.y):
        own = train.y[rows] == k
        key[own] = (np.arange(own.sum()) + generator.random()) / own.sum()
    return rows[np.argsort(key, kind="stable")]


def first(order: Array, size: int, groups: Array | None) -> Array:
    """The first so many rows of an order; where there are groups, whole ones, as near to that as can be, but at least one."""
    if groups is None:
        return order[:size]
    ends = np.append(np.flatnonzero(groups[order][1:] != groups[order][:-1]) + 1, len(order))
    return order[: int(ends[np.argmin(np.abs(ends - size))])]


def error(answers: Context, split: str) -> float:
    """1 - accuracy, or 1 - R2 of a regression.

    Raises:
        NotApplicable: Values that are all equal have no variance to be explained.
    """
    labels = answers.labels(split)
    if answers.task == "classification":
        return float(np.mean(answers.probabilities(split).argmax(axis=1) != labels))
    if np.ptp(labels) == 0:
        raise NotApplicable(
            f"LearningCurve compares errors with the variance of the labels, but those of {split} are all equal"
        )
    return float(np.mean((answers.values(split) - labels) ** 2) / np.var(labels))


def measured(sizes: Array, errors: Floats, learned: Floats, found: Extrapolation, asked: LearningCurve) -> Measurement:
    """The measurement of errors (S, R) and what they were extrapolated to."""
    law, most = found.law, float(sizes[-1])
    now = float(student(errors[-1], asked.level).high)  # no more can be gained than there is
    found = replace(
        found, gain=_within(found.gain, now), error=_within(found.error, now), floor=_within(found.floor, now)
    )
    value = float(np.clip(law(most) - law(2 * most), found.gain.low, found.gain.high))
    verdict = judged(found.gain, found.misfit, asked.tolerance)
    detail = {
        "sizes": sizes, "errors": errors, "train_errors": learned, "misfit": found.misfit, "tolerance": asked.tolerance,
        "mean": [{"value": float(e.mean()), "interval": student(e, asked.level)} for e in errors],
        "law": {"scale": law.scale, "rate": law.rate, "floor": law.floor},
        "doubled": {"value": float(law(2 * most)), "interval": found.error},
        "floor": {"value": law.floor, "interval": found.floor},
    }  # fmt: skip
    told = _told(sizes, float(errors[-1].mean()), value, found, verdict)
    return Measurement(asked.quantity, value, found.gain, verdict, {"explanation": told, **detail})


def _within(found: Interval, most: float) -> Interval:
    """An interval without what lies above a bound."""
    return Interval(min(found.low, most), min(found.high, most), found.level, found.kind)


def judged(gain: Interval, misfit: float, tolerance: float) -> str:
    """The verdict on the interval of the gain; see `LearningCurve`."""
    if misfit < UNLIKELY or gain.low <= tolerance < gain.high:
        return "cannot be told"
    return "more data would help" if gain.low > tolerance else "flat: more data of this kind buys little"


def _told(sizes: Array, now: float, value: float, found: Extrapolation, verdict: str) -> str:
    size = stated(value, found.gain, percent=True, unit="points")
    start = f"With {count(int(sizes[-1]))} training rows the error is {figure(now, percent=True)}"
    start = f"{start}; twice as many would take off {size}"
    if found.misfit < UNLIKELY:
        return f"{start} if it fell by a power law, but it does not: {verdict}."
    left = f"without end {stated(found.law.floor, found.floor, percent=True)} would be left"
    return f"{start}, and {left}: {verdict.removeprefix('flat: ')}."
