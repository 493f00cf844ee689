"""Which sets of answers keep a promise of being right, and for whom they do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.conformal_sets import (
    SCORES,
    Halves,
    design_effect,
    halves,
    label_scores,
    least_rows,
    looked_at,
    mean_size,
    predictor,
    rank,
    share_kept,
    spread,
    tied_spread,
)
from pellucid.measure.subgroups import Member, check_by, parts
from pellucid.shapes import Array, Floats


@dataclass(frozen=True, eq=False)
class ConformalCoverage(Measure):
    """If the model answered by sets that hold the truth nine times in ten, how large would they be, and whom would they fail?

    Half of the test rows, at random, calibrate: a set holds every answer whose score is no larger than the ceil((n + 1) c)-th
    smallest score of the n labels, c being the promised coverage. With class probabilities p and a prediction f, the score of
    an answer y is 1 - p_y ("lac": the smallest sets), the probability of all more likely classes and a random part of its own
    ("aps": sets that grow where the model is unsure), or |y - f| ("absolute residual"). MAPIE computes the sets. The value is the
    share of the other rows that is covered, averaged over `splits` random halves.

    For rows drawn alike the promise is kept on average by theorem, whatever the model: one calibration on n rows then covers
    Beta(k, n + 1 - k) of new rows, k = ceil((n + 1) c). The interval says where the coverage of one calibration lies, counted
    on as many other rows (beta-binomial); rows in `groups` count for fewer. Verdicts:

    - "under-covers" or "over-covers": the promise, or what the theorem gives, is outside the interval. Few groups, or scores
      with ties (a model that says 1.0 again and again).
    - "covers, but not every group", "covers, but not every class": some surely is not, with intervals that hold for all of them
      at once (Clopper-Pearson, Bonferroni); named in `detail["under_covered"]`.
    - "covers": else.

    `detail`: `size` (mean number of classes in a set, or mean `width` of intervals) with its interval; `sizes`, the share of sets
    that hold 0, 1, ... classes, `empty` and `full`; `long_run`, the interval of the coverage of one calibration on endless rows;
    `groups` and `classes`, rows, value and interval of each; `left_out`; `calibrated` and `rows`, how many rows calibrate and are
    looked at.

    Args:
        coverage: The share of rows that the sets promise to cover, in (0, 1).
        score: "lac", "aps" or "absolute residual"; None for "lac", and for "absolute residual" of a regression.
        by: What makes groups, as in `Subgroups`: columns, or a mapping from names to values (B,). None for no groups.
        splits: How many random halves are averaged, at least 2.
        least: Rows that a group or class needs to be judged.
        level: Confidence level of every interval, in (0, 1); of those of groups and classes together.

    Raises:
        InvalidInput: Groups that cannot be made, as in `Subgroups`.
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> rng = np.random.default_rng(0)
        >>> p = rng.uniform(0.5, 1, 1000)
        >>> model = pl.wrap(lambda x: np.hstack([1 - x, x]), output="probabilities")
        >>> found, = pl.measure(model, pl.ConformalCoverage(), test=(p[:, None], (rng.random(1000) < p).astype(int)))
        >>> round(found.value, 1), found.detail["size"]["value"] > 1
        (0.9, True)

    References:
        Vovk et al. 2005, doi:10.1007/b106715. Sadinle et al. 2019, doi:10.1080/01621459.2017.1395341 (LAC). Romano et al. 2020,
        arXiv:2006.02544 (APS). Angelopoulos and Bates 2023, doi:10.1561/2200000101. Cordier et al. 2023, "Flexible and systematic
        uncertainty estimation with conformal prediction via the MAPIE library", PMLR 204:549-581.

    Limits:
        The promise is about rows drawn as the test rows are, on average over all of them: not after a shift, nor for each row.
        That it is kept here says little of the model; sizes, groups and classes do. Halves calibrate on half as many rows as
        there are; with all of them the coverage would vary less. With few groups (20 to 40) the interval of the mean size was
        seen to cover 91 to 92 % instead of 95, and with coarse ties 85; that of the coverage held its level.
    """

    coverage: float = 0.9
    score: str | None = None
    by: str | Sequence[str] | Mapping[str, Any] | None = None
    splits: int = 20
    least: int = 10
    level: float = 0.95

    quantity: ClassVar[str] = "conformal_coverage"

    def __post_init__(self) -> None:
        options.fraction(self, "coverage", "level")
        options.one_of(self, "score", (None, *SCORES))
        if self.by is not None:
            check_by(self)
        options.whole(self, "splits", 2)
        options.whole(self, "least", 1)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        score, answers, labels = self._asked(context)
        groups = context.data("test").groups
        found = self._halves(context, score, answers, labels)
        share, (rows, others) = float(found.coverage.mean()), found.rows
        kept = found.kept[found.seen > 0]
        effect = design_effect(kept, None if groups is None else groups[found.seen > 0])
        scores = label_scores(answers, labels, score, self.coverage, int(context.stream("scores").integers(2**31)))
        if len(np.unique(scores)) < len(scores):
            interval, lasting = tied_spread(scores, self.coverage, found.rows, effect, self.level)
        else:
            interval, lasting = spread(share, found.rows, effect, self.level)
        whom = self._whom(context, found)
        low = [m["name"] for m in (*whom["groups"], *whom["classes"]) if m["interval"].high < self.coverage]
        verdict = judged(interval, self.coverage, rank(rows, self.coverage) / (rows + 1), whom)
        if (
            share not in interval
        ):  # the scores are not what the theorem is about: all tied, or of rows unlike each other
            verdict = "under-covers" if share < interval.low else "over-covers"
            interval = dataclasses.replace(interval, low=min(share, interval.low), high=max(share, interval.high))
        size = {"value": float(found.size.mean()), "interval": mean_size(found, self.coverage, effect, self.level)}
        told = _told(self.coverage, share, interval, size, found, low)
        detail = {
            "explanation": told, "calibrated": rows, "rows": others, "long_run": lasting, "score": score,
            "under_covered": low, **_sizes(found, size), **whom,
        }  # fmt: skip
        return Measurement(self.quantity, share, interval, verdict, detail)

    def _asked(self, context: Context) -> tuple[str, Floats, Array]:
        """The score, and the answers and labels that it compares."""
        score = self.score or ("lac" if context.task == "classification" else "absolute residual")
        if SCORES[score] != context.task:
            fit = ", ".join(f'"{name}"' for name, task in SCORES.items() if task == context.task)
            raise NotApplicable(
                f'ConformalCoverage: the score "{score}" is for {SCORES[score]}; for {context.task} take {fit}'
            )
        labels = context.labels("test")
        if score == "absolute residual":
            return score, context.values("test"), labels
        p = context.probabilities("test").astype(float)
        if score == "aps" and min(p.shape[1], len(np.unique(labels))) < 3:
            raise NotApplicable('ConformalCoverage: MAPIE has the score "aps" for three classes and more; take "lac"')
        return score, p / p.sum(axis=1, keepdims=True), labels

    def _halves(self, context: Context, score: str, answers: Floats, labels: Array) -> Halves:
        groups = context.data("test").groups
        if groups is not None and len(np.unique(groups)) < 2:
            raise NotApplicable("ConformalCoverage parts the rows, but all are of one group, which is never parted")
        if len(labels) < 2:
            raise NotApplicable("ConformalCoverage parts the rows, but there is one")
        parted = list(halves(len(labels), groups, self.splits, context.stream("halves")))
        if (fewest := min(len(rows) for rows, _ in parted)) < (least := least_rows(self.coverage)):
            raise NotApplicable(
                f"ConformalCoverage: {counted(fewest, 'row')} cannot calibrate a coverage of {self.coverage:g}; it takes test "
                f"rows whose half is at least {least}, or a coverage further from 0 and 1"
            )
        classes = answers.shape[1] if answers.ndim > 1 else 0
        return looked_at(predictor(answers, labels, score, self.coverage), parted, classes, context.stream("draws"))

    def _whom(self, context: Context, found: Halves) -> dict[str, Any]:
        """Coverage of each group and each class, with intervals that hold for all of them at once."""
        test, left = context.data("test"), {}
        named, labelled = list[Member](), list[Member]()
        if self.by is not None:
            named, left = parts(self, test)
        if context.task == "classification":
            labels = context.labels("test")
            each = [("class", test.label(int(k)), np.flatnonzero(labels == k)) for k in np.unique(labels)]
            labelled = [member for member in each if len(member[2]) >= self.least]
            left |= {f"class = {v}": counted(len(r), "row") for _, v, r in each if len(r) < self.least}
        own = 1 - (1 - self.level) / max(1, len(named) + len(labelled))

        def written(member: Member) -> dict[str, Any]:
            attribute, value, rows = member
            rows = rows[found.seen[rows] > 0]
            share, interval = share_kept(found.kept[rows], None if test.groups is None else test.groups[rows], own)
            return {
                "attribute": attribute, "group": value, "name": f"{attribute} = {value}", "rows": len(rows), "value": share,
                "interval": interval,
            }  # fmt: skip

        return {"groups": [*map(written, named)], "classes": [*map(written, labelled)], "left_out": left}


def judged(interval: Interval, promised: float, given: float, whom: Mapping[str, Any]) -> str:
    """The verdict on the coverage's interval, on groups and on classes; see `ConformalCoverage`."""
    if interval.high < promised:
        return "under-covers"
    if interval.low > given:
        return "over-covers"
    for part, one in (("groups", "group"), ("classes", "class")):
        if any(member["interval"].high < promised for member in whom[part]):
            return f"covers, but not every {one}"
    return "covers"


def _sizes(found: Halves, size: Mapping[str, Any]) -> dict[str, Any]:
    if len(found.shares) == 1:
        return {"width": size}
    return {"size": size, "sizes": found.shares, "empty": float(found.shares[0]), "full": float(found.shares[-1])}


def _told(
    promised: float, share: float, interval: Interval, size: Mapping[str, Any], found: Halves, low: Sequence[str]
) -> str:
    rows, others = found.rows
    sets = "Intervals" if len(found.shares) == 1 else "Sets"
    what = (
        f"{sets} that promise to cover {figure(promised, percent=True)}, calibrated on {counted(rows, 'unseen row')}, cover "
        f"{stated(share, interval, percent=True)} of {others:,} others"
    )
    extent = stated(size["value"], size["interval"])
    large = f"are {extent} wide" if len(found.shares) == 1 else f"hold {extent} of {len(found.shares) - 1} classes"
    fails = (
        f"; surely covered less than promised: {', '.join(low[:5])}{' and others' if len(low) > 5 else ''}"
        if low
        else ""
    )
    return f"{what}, and {large} on average{fails}."
