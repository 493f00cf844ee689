"""Whether a model under- or overfits, without training it again: its errors beside what no model can get right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.copies import arrays_of
from pellucid.core.dataset import Dataset
from pellucid.core.features import features
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, stated
from pellucid.core.randomness import some
from pellucid.core.resampling import Interval, difference
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.gap import TOLERANCE
from pellucid.measure.noise_floor import disagreement, lower, mean_error, neighbours, upper, voted
from pellucid.measure.performance import row_losses
from pellucid.measure.twins import standardised
from pellucid.shapes import Array, Floats

FEWEST = 50
"""Rows of each set below which nothing is told."""


@dataclass(frozen=True, eq=False)
class Fit(Measure):
    """Does the model underfit, overfit, or neither?

    Errors are shares of wrong classes, or of a regression squared errors as a share of the variance of the test labels. The error
    on new rows is split by the floor, the least error that any model could have on these inputs:

        new - floor = (new - train) + (train - floor) = gap + excess on training rows.

    Where `noise` is None the floor is bounded from both sides. No prediction of test rows has a smaller error, so the upper
    ends of simple ones are upper ends of the floor: votes of 1, 5 and 25 nearest training rows, in standardised inputs and in
    features before the last layer, and the model itself. Labels of near rows disagree by noise alone: from the disagreement R
    of a test row's label with its nearest training rows', extrapolated to no distance, the floor of K classes is at least
    (K-1)/K (1 - sqrt(1 - K/(K-1) R)) (Cover and Hart), and the noise of values is half the mean squared difference. Errors,
    gap and floor have intervals at 1 - (1 - level) / 4, so that all hold at once. The value is new - floor. Verdicts, with t
    the tolerance:

    - "underfits": train - floor is surely above t: even on training rows it errs more than it must.
    - "overfits": the gap is surely above t. "underfits and overfits": both.
    - "fits": neither can be more than t.
    - "cannot be told": the data allow both.

    `detail`: `train`, `test`, `floor`, `gap` and `above_floor` (train - floor), each with value and interval; the `floor`'s
    `source` ("given", or the rule whose upper end is the least); `tolerance`.

    Args:
        noise: The least possible error where it is known: a share of wrong labels, or of a regression the variance of the
            noise, in squared units of the label; None to estimate it.
        most: Rows of each set that the estimate looks at; drawn at random from more.
        level: Confidence level of all intervals together, in (0, 1).
        tolerance: A difference too small to matter, as a share of rows (of the variance, of a regression), at least 0.

    Raises:
        InvalidOption: An option outside its range, such as a share of wrong labels above 1.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> g = np.random.default_rng(0)
        >>> x = g.uniform(size=(2000, 2))
        >>> y = (x[:, 0] > 0.5).astype(int)
        >>> model = pl.wrap(lambda x: np.tile([0.6, 0.4], (len(x), 1)), output="probabilities")  # always the same answer
        >>> found, = pl.measure(model, pl.Fit(), train=(x[:1000], y[:1000]), test=(x[1000:], y[1000:]))
        >>> found.verdict, found.detail["floor"]["interval"].high < 0.05
        ('underfits', True)

    References:
        Cover and Hart 1967, doi:10.1109/TIT.1967.1053964. Facco, d'Errico, Rodriguez and Laio 2017,
        doi:10.1038/s41598-017-11873-y (how near rows are, which says how to extrapolate). Evans and Jones 2002,
        doi:10.1098/rspa.2002.1010 (the Gamma test, noise of values). Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.

    Limits:
        The floor's upper end holds in any sample; its lower end rests on near rows being near enough to extrapolate from,
        which in many columns they are not: it is then about 0 and "fits" cannot be told, nor where it is wide. What no model can
        get right on these columns others may help with. Test rows with twins in training, or of the same groups, make the floor
        too low; test rows drawn elsewhere than training rows are no measure of a gap. An error rate does not see that
        probabilities are too sure.
    """

    noise: float | None = None
    most: int = 3000
    level: float = 0.95
    tolerance: float = TOLERANCE

    quantity: ClassVar[str] = "fit"
    better: ClassVar[str] = "lower"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.noise is not None:
            options.not_negative(self, "noise")
        options.whole(self, "most", FEWEST)
        options.fraction(self, "level")
        options.not_negative(self, "tolerance")

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`."""
        return 0 if self.noise is not None else min(train, self.most) + min(test, self.most)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        sizes = [len(context.labels(s)) for s in ("train", "test")]
        if min(sizes) < FEWEST:
            raise NotApplicable(
                f"Fit compares errors of at least {FEWEST} rows of each set, got {sizes[0]} and {sizes[1]}"
            )
        unit = 1.0 if context.task == "classification" else float(context.labels("test").var())
        if unit == 0:
            raise NotApplicable("Fit compares errors with the variance of the labels, but all test labels are equal")
        own = 1 - (1 - self.level) / 4
        seen, new = (_errors(context, s) / unit for s in ("train", "test"))
        train, test = (
            (float(e.mean()), mean_error(e, own, context.stream(s))) for s, e in (("train", seen), ("test", new))
        )
        gap = test[0] - train[0], difference(test, train)
        floor, around, source = self._floor(context, new, unit, own)
        above = train[0] - floor, Interval(train[1].low - around.high, train[1].high - around.low, self.level, "bounds")
        low, high = test[1].low - around.high, test[1].high - around.low
        interval = Interval(max(0.0, low), max(0.0, high), self.level, "bounds")
        verdict = judged(gap[1], above[1], self.tolerance)
        parts = {"train": train, "test": test, "gap": gap, "above_floor": above}
        detail = {
            **{name: {"value": value, "interval": ends} for name, (value, ends) in parts.items()},
            "floor": {"value": floor, "interval": around, "source": source}, "tolerance": self.tolerance,
        }  # fmt: skip
        told = _told(detail, verdict, context.task == "classification")
        value = max(0.0, test[0] - floor)
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})

    def _floor(self, context: Context, new: Floats, unit: float, level: float) -> tuple[float, Interval, str]:
        """The least possible error, in the unit, its interval, and what told it."""
        if self.noise is not None:
            if context.task == "classification" and self.noise > 1:
                raise InvalidOption(f"Fit.noise: expected a share of wrong labels, from 0 to 1, got {self.noise!r}")
            return self.noise / unit, Interval(self.noise / unit, self.noise / unit, level, "given"), "given"
        classes = context.model.classes if context.task == "classification" else 0
        picked = [some(len(context.data(s)), self.most, context.stream(s)) for s in ("train", "test")]
        sides = [context.data(s).take(rows) for s, rows in zip(("train", "test"), picked, strict=True)]
        known, asked = (context.labels(s)[rows] for s, rows in zip(("train", "test"), picked, strict=True))
        errors, least, tail = {"the model": new}, (0.0, 0.0), 0.5 + level / 2
        for space, (reference, rows) in _spaces(context, sides).items():
            distances, which = neighbours(reference, rows)
            near = known[which]
            errors |= {
                f"{counted(k, 'neighbour')} in {space}": e / unit for k, e in voted(asked, near, classes).items()
            }
            if space == "inputs":
                least = lower(disagreement(asked, near, classes) / unit, distances, classes, tail)
        source, value, high = upper(errors, tail, context.stream("floor"))
        value = (min(least[0], value) + value) / 2
        low = (
            least[1] if least[1] <= high else 0.0
        )  # near rows that are copies disagree by more than noise: that tells nothing
        value = float(np.clip(value, low, high))
        return value, Interval(low, high, level, "between disagreement and the best rule"), source


def _errors(context: Context, split: str) -> Floats:
    """The error of each row (B,): 0 or 1, or the squared error."""
    name = "squared_error" if context.task == "regression" else "error"
    return row_losses(context, split, name)


def _spaces(context: Context, sides: list[Dataset]) -> dict[str, tuple[Floats, Floats]]:
    """Training and test rows as vectors, in each space where distances mean something."""
    found, (train, test) = dict[str, tuple[Floats, Floats]](), sides
    numbers: Array | bool = all(a.dtype.kind in "biuf" for d in sides for a in arrays_of(d.x))
    if numbers and train.kind != "text":
        found["inputs"] = standardised(train.x, test.x, train.kind == "image")
    try:
        here, there = (features(context.model, context.model.prepare(side)) for side in sides)
    except NotApplicable:
        return found
    spread = here.std(axis=0, dtype=float)
    return {**found, "features": (here / np.where(spread > 0, spread, 1), there / np.where(spread > 0, spread, 1))}


def judged(gap: Interval, above: Interval, tolerance: float) -> str:
    """The verdict on the intervals of the gap, and of the training error above the floor; see `Fit`."""
    said = [word for word, part in (("underfits", above), ("overfits", gap)) if part.low > tolerance]
    if said:
        return " and ".join(said)
    return "fits" if max(gap.high, above.high) <= tolerance else "cannot be told"


def _told(detail: dict[str, Any], verdict: str, share: bool) -> str:
    part = lambda name, unit="%": stated(detail[name]["value"], detail[name]["interval"], percent=True, unit=unit)  # noqa: E731
    what = "error rate" if share else "squared error, as a share of the labels' variance,"
    least = "is given as" if detail["floor"]["source"] == "given" else "is estimated as"
    said = (
        f"The {what} is {part('train')} on training rows and {part('test')} on new ones, and the least that is possible "
        f"{least} {part('floor')}"
    )
    return (
        f"{said}. "
        + {
            "underfits": f"Even training rows have more than that by {part('above_floor', 'points')}: the model underfits.",
            "overfits": f"New rows have more than training rows by {part('gap', 'points')}: the model overfits.",
            "underfits and overfits": "Training rows surely have more than that, and new rows surely more than training rows.",
            "fits": "Neither difference can matter: the model fits.",
            "cannot be told": "Neither difference is shown, nor can one that matters be ruled out.",
        }[verdict]
    )
