"""What the model keeps of single rows: whether its losses tell which rows it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval, clopper_pearson, difference, wilson
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import auroc
from pellucid.measure.shift import compared
from pellucid.shapes import Array, Floats

FALSE_POSITIVES = 0.01
"""The share of unseen rows that an attacker may take for seen ones, where few but sure hits are asked for."""

TENTHS = 10
"""Parts of the labels of a regression that are made alike on both sides, where labels differ."""

FEWEST = 4
"""Rows of each side: two in each half, one to choose by and one more."""


@dataclass(frozen=True, eq=False)
class Memorization(Measure):
    """Can someone who sees a row's loss tell whether the model was trained on it?

    The attacker calls rows with a loss of at most t seen. TPR(t) is the share of training rows called so, FPR(t) that of test
    rows, and the advantage TPR(t) - FPR(t): 0 for guessing, 1 for telling every row. The best t is chosen on one half of the rows
    and judged on the other, then the other way round, and the two are averaged: the largest difference on the rows it was chosen
    by is above 0 by chance alone. Losses are -ln p[label], or abs(value - label) of a regression. Where labels are distributed
    differently on both sides, which tells the sides apart without any memory, rows are left out by chance until every class (of
    a regression, every tenth of the labels) has the same share of both. Verdicts:

    - "remembers": the interval of the advantage is above 0.
    - "no memory shown": it is not; the explanation says how large an advantage may be.

    `detail`: `auroc` of telling training from test rows, with DeLong's interval; `tpr_at_fpr`, the share of training rows
    found where one test row in 100 is taken for one, with an interval that holds for any number of rows; `threshold`, the
    best loss of each half; `train_loss` and `test_loss`, their means; `attack` ("loss"); `label_shift`, the p of labels that are
    distributed alike, and the `rows` of each side that were compared.

    Args:
        level: Confidence level of every interval, in (0, 1).

    Raises:
        InvalidOption: A level outside (0, 1).

    Example:
        >>> import numpy as np, pellucid as pl
        >>> g = np.random.default_rng(0)
        >>> x, noise = g.uniform(size=(400, 1)).astype("float32"), g.integers(2, size=400)
        >>> known = dict(zip(x[:200, 0].tolist(), noise[:200].tolist()))  # a model that looks its answers up
        >>> model = pl.wrap(lambda x: np.array([[0.1, 0.9] if known.get(v, 0) else [0.9, 0.1] for v in x[:, 0].tolist()]),
        ...                 output="probabilities")
        >>> found, = pl.measure(model, pl.Memorization(), train=(x[:200], noise[:200]), test=(x[200:], noise[200:]))
        >>> found.verdict, round(found.value, 1)
        ('remembers', 0.5)

    References:
        Yeom, Giacomelli, Fredrikson and Jha 2018, arXiv:1709.01604. Carlini et al. 2022, arXiv:2112.03570 (few but sure hits).
        DeLong et al. 1988, doi:10.2307/2531595. Newcombe 1998,
        doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Limits:
        One attack, and a weak one: attackers who train models of their own find more, so "no memory shown" is no promise of
        privacy. Test rows whose inputs are harder than those of training rows, or drawn elsewhere, look unseen without any
        memory: see `ShiftDetection`. Rows that are in both sets hide it. Rows that belong together (`groups`) make the intervals
        too short.
    """

    level: float = 0.95

    quantity: ClassVar[str] = "memorization"
    better: ClassVar[str] = "lower"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        seen, new = (losses(context, split) for split in ("train", "test"))
        apart, (first, second) = self._alike(context)
        if len(first) < len(seen) and min(len(first), len(second)) < FEWEST <= min(len(seen), len(new)):
            raise NotApplicable(
                "Memorization compares rows of the same labels, but hardly any label occurs on both sides"
            )
        seen, new = seen[first], new[second]
        if min(len(seen), len(new)) < FEWEST:
            raise NotApplicable(
                f"Memorization halves both sets, so each needs at least {FEWEST} rows, got {len(seen)} and {len(new)}"
            )
        value, interval, thresholds = advantage(seen, new, context.stream("halves"), self.level)
        ranked = ranking(seen, new, self.level, context.stream("auroc"))
        found, around = found_surely(seen, new, self.level)
        verdict = "remembers" if interval.low > 0 else "no memory shown"
        detail = {
            "auroc": ranked, "tpr_at_fpr": {"value": found, "interval": around, "fpr": FALSE_POSITIVES}, "attack": "loss",
            "threshold": thresholds, "train_loss": float(seen.mean()), "test_loss": float(new.mean()),
            "label_shift": {"p": apart, "rows": (len(seen), len(new))},
        }  # fmt: skip
        told = _told(len(seen) + len(new), value, interval, verdict)
        if apart <= 1 - self.level:
            told = f"{told} Labels are distributed differently on both sides, so only rows were compared that make them alike."
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})

    def _alike(self, context: Context) -> tuple[float, tuple[Array, Array]]:
        """The p of labels that are distributed alike on both sides, and rows of each with which they are."""
        one, two = (context.labels(split) for split in ("train", "test"))
        apart = float(compared(one, two)["p"])
        if apart > 1 - self.level:
            return apart, (np.arange(len(one)), np.arange(len(two)))
        if context.task == "regression":
            ends = np.quantile(np.concatenate([one, two]), np.arange(1, TENTHS) / TENTHS)
            one, two = np.searchsorted(ends, one), np.searchsorted(ends, two)
        return apart, matched(one, two, context.stream("matched"))


def matched(one: Array, two: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Rows of two sets of labels, left out by chance until each label has the same share of both: the smaller of its two."""
    kept: tuple[list[Array], list[Array]] = ([], [])
    for label in np.intersect1d(one, two):
        own = [np.flatnonzero(side == label) for side in (one, two)]
        share = min(len(rows) / len(side) for rows, side in zip(own, (one, two), strict=True))
        for rows, side, found in zip(own, (one, two), kept, strict=True):
            found.append(generator.permutation(rows)[: round(share * len(side))])
    first, second = (np.sort(np.concatenate(rows)) if rows else np.array([], dtype=int) for rows in kept)
    return first, second


def losses(context: Context, split: str) -> Floats:
    """The loss (B,) of each row of a split: -ln p[label], or abs(value - label)."""
    labels = context.labels(split)
    if context.task == "regression":
        return np.abs(context.values(split) - labels)
    return -np.log(np.maximum(context.probabilities(split)[np.arange(len(labels)), labels], np.finfo(float).tiny))


def best_threshold(seen: Floats, new: Floats) -> float:
    """The t with the largest TPR(t) - FPR(t) on these rows; -infinity where none is above 0."""
    values = np.unique(np.concatenate([seen, new]))
    above = [np.searchsorted(np.sort(side), values, side="right") / len(side) for side in (seen, new)]
    apart = above[0] - above[1]
    return float(values[apart.argmax()]) if apart.max() > 0 else -np.inf


def advantage(
    seen: Floats, new: Floats, generator: np.random.Generator, level: float
) -> tuple[float, Interval, tuple[float, float]]:
    """The largest TPR - FPR, with its interval, and the threshold that each half chose.

    Each half's own is Newcombe's interval of a difference of two shares at the threshold of the other half. The value is the
    mean of the two, and the lower end that of their lower ends, as if they erred together: each depends on both halves. The
    upper end is that of the best threshold of all rows: as large as at the true best one, or larger.
    """
    halves = [_halved(side, generator) for side in (seen, new)]
    thresholds = best_threshold(halves[0][0], halves[1][0]), best_threshold(halves[0][1], halves[1][1])
    found = [gain(halves[0][i], halves[1][i], thresholds[1 - i], level) for i in (0, 1)]
    value = float(np.mean([f[0] for f in found]))
    low = float(np.mean([f[1].low for f in found]))
    high = gain(seen, new, best_threshold(seen, new), level)[1].high
    return value, Interval(low, max(value, high), level, f"halves, {found[0][1].kind}"), thresholds


def gain(seen: Floats, new: Floats, threshold: float, level: float) -> tuple[float, Interval]:
    """TPR - FPR at a threshold, with Newcombe's interval."""
    sides = [(int(np.sum(side <= threshold)), len(side)) for side in (seen, new)]
    first, second = ((hits / rows, wilson(hits, rows, level)) for hits, rows in sides)
    return first[0] - second[0], difference(first, second)


def _halved(side: Floats, generator: np.random.Generator) -> tuple[Floats, Floats]:
    mixed = generator.permutation(side)
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def ranking(seen: Floats, new: Floats, level: float, generator: np.random.Generator) -> dict[str, Any]:
    """The chance that a training row has a smaller loss than a test row, with its interval."""
    score = -np.concatenate([seen, new])
    member = np.arange(len(score)) < len(seen)
    found = auroc(member.astype(int), np.column_stack([-score, score]), level, generator)
    return {"value": found.value, "interval": found.interval}


def found_surely(seen: Floats, new: Floats, level: float) -> tuple[float, Interval]:
    """TPR at an FPR of 1 %, with its interval.

    The test rows say where the threshold lies: between two of their ordered losses, by the binomial distribution of the rows
    below it. The training rows say how many are found at each of the two, by Clopper and Pearson's interval. Both are made at
    1 - (1 - level) / 2, so that the whole holds at `level`, whatever the distributions.
    """
    from scipy.stats import binom

    ordered = np.concatenate([[-np.inf], np.sort(new), [np.inf]])
    miss = (1 - level) / 2
    first, last = (int(binom.ppf(q, len(new), FALSE_POSITIVES)) for q in (miss / 2, 1 - miss / 2))
    hits = [int(np.sum(seen < ordered[k])) for k in (first, min(last + 1, len(new) + 1))]
    low, high = (clopper_pearson(h, len(seen), 1 - miss) for h in hits)
    kept = int(FALSE_POSITIVES * len(new))
    value = float(np.mean(seen < ordered[kept + 1]))
    return value, Interval(min(low.low, value), max(high.high, value), level, "order statistics and clopper-pearson")


def _told(rows: int, value: float, interval: Interval, verdict: str) -> str:
    what = f"From the losses of {counted(rows, 'row')}, an attacker tells training from test rows with an advantage of "
    size = stated(value, interval, percent=True, unit="points")
    if verdict == "remembers":
        return f"{what}{size} over guessing: the model remembers rows it was trained on."
    most = figure(interval.high, interval, percent=True, unit="points")
    return f"{what}{size}: no memory is shown, but an advantage of up to {most} cannot be ruled out."
