"""How accurate the model is on rows whose labels nobody knows yet, or that this cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.features import features
from pellucid.core.measurement import Measurement
from pellucid.core.model import wrap
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import wilson
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.measure.base import Context, Measure, checked_labels
from pellucid.measure.estimates import mean_interval
from pellucid.measure.unlabelled import Guess, difference, reweighted, thresholded
from pellucid.shapes import Floats

METHODS = {"reweighted": reweighted, "thresholded": thresholded, "difference": difference}

FAMILIAR, STRANGE = 0.95, 0.05
"""Rows count as strange beyond the distance that so many labelled rows keep; so many more than expected are too many."""


@dataclass(frozen=True, eq=False)
class LabelFreeAccuracy(Measure):
    """How accurate is the model on new rows without labels?

    By labelled rows that the model has not seen (`test`), and their probabilities on both:

    - `reweighted`: sum_j share_j P(right | class j), the shares of the classes fitted to the predictions on the new rows. Assumes
      that only these shares have changed (label shift), which is tested: could the new predictions be such a mixture?
    - `thresholded`: the share of new rows above the confidence that as many labelled rows exceed as are right (ATC).
    - `difference`: the accuracy on labelled rows less the fall of the mean confidence (DoC).
    - `disagreement`, where another model trained the same way is given: 1 minus the share of new rows on which the two
      differ. Assumes that on labelled rows this is the accuracy, which is tested.

    `thresholded` and `difference` assume that a confidence means the same there as here. That cannot be tested without labels;
    but it says nothing of rows unlike all known ones, and too many of these refute it: surely more than a tenth lie farther
    from the training rows (by the features before the last layer) than 95 % of the labelled rows do. Where some new rows
    have labels, an estimate that surely misses the accuracy on these is refuted too.

    The value is that of `reweighted` if its assumption stands, or else of `disagreement`, or else, if they agree with each
    other, of `thresholded`. Verdicts: "estimated", or "abstains", without a value, where every assumption is refuted.

    `detail`: `estimates` (value, interval, and `stands`, with `why` where it does not), `known` (accuracy on the labelled rows),
    `strange` (share of new rows farther than 95 % of the labelled ones), `labelled` (accuracy on new rows with labels, or None).

    Args:
        rows: The new rows: an array, a dict of arrays, or a `pl.Dataset`, whose labels, if any, may be -1 where unknown.
        other: Another model of the same task, trained apart from this one on the same kind of rows; or None.
        level: Confidence level of the intervals, and 1 minus the chance that an assumption that holds is refuted, in (0, 1).

    Raises:
        InvalidInput: New rows that the model does not take, or another model with other classes.
        InvalidOption: A level outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> g = np.random.default_rng(0)
        >>> def rows(n, share):
        ...     y = (g.random(n) < share).astype(int)
        ...     return g.normal(size=(n, 1)) + 2 * y[:, None], y
        >>> model = pl.wrap(lambda x: np.hstack([2 - 2 * x, 2 * x - 2]), output="logits")
        >>> new, hidden = rows(2000, 0.9)
        >>> found, = pl.measure(model, pl.LabelFreeAccuracy(new), test=rows(1000, 0.5))
        >>> found.verdict, ((new[:, 0] > 1) == hidden).mean() in found.interval
        ('estimated', True)

    References:
        Garg et al. 2022, arXiv:2201.04234. Guillory et al. 2021, arXiv:2107.03315. Saerens, Latinne and Decaestecker 2002,
        doi:10.1162/089976602753284446. Jiang et al. 2022, arXiv:2106.13799.

    Limits:
        Where the meaning of inputs has changed and their distribution has not, nothing without labels can see it (Ben-David et
        al. 2010): label a few dozen of the new rows and give them. A class that no labelled row has is not reckoned with. A
        test of an assumption that is passed with few rows proves little.
    """

    rows: Any
    other: Any = None
    level: float = 0.95

    quantity: ClassVar[str] = "label_free_accuracy"
    better: ClassVar[str] = "higher"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("counts right answers")
        new = self._new(context)
        p, y, q = context.probabilities("test"), context.labels("test"), self._answers(context, new)
        if min(len(p), len(q)) < 30:
            raise NotApplicable(
                f"LabelFreeAccuracy compares {counted(len(p), 'labelled row')} with {counted(len(q), 'new row')}: too few"
            )
        found = {name: method(p, y, q, self.level, context.stream(name)) for name, method in METHODS.items()}
        refuted = dict[str, str]()
        if (chance := found["reweighted"].p_value or 0.0) < 1 - self.level:
            refuted["reweighted"] = f"no shares of the classes lead to such predictions (p = {chance:.3g})"
        strange = self._strange(context, new)
        if strange is not None and strange["interval"].low > 1 - FAMILIAR + STRANGE:
            share = figure(strange["value"], strange["interval"], percent=True)
            refuted |= dict.fromkeys(
                ("thresholded", "difference"), f"{share} of the new rows are unlike the known ones"
            )
        if self.other is not None:
            found["disagreement"], why = self._disagreement(context, new, q)
            refuted |= {"disagreement": why} if why else {}
        labelled = _labelled(new, q, context)
        refuted |= _missed(found, labelled)
        right = int(np.sum(p.argmax(axis=1) == y))
        known = {"value": right / len(y), "interval": wilson(right, len(y), self.level)}
        estimates = {
            name: {
                "value": g.value,
                "interval": g.interval,
                "stands": name not in refuted,
                "why": refuted.get(name, ""),
            }
            for name, g in found.items()
        }
        chosen = _chosen(found, refuted)
        told = _told(chosen, found, refuted, known, len(q))
        value, interval = (None, None) if chosen is None else found[chosen][:2]
        verdict = "abstains" if chosen is None else "estimated"
        detail = {"by": chosen, "estimates": estimates, "known": known, "strange": strange, "labelled": labelled}
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})

    def _new(self, context: Context) -> Dataset:
        new = as_dataset(self.rows)
        try:
            context.model.prepare(new)
        except InvalidInput as problem:
            raise InvalidInput(f"LabelFreeAccuracy.rows: {problem}") from problem
        return new

    def _answers(self, context: Context, new: Dataset) -> Floats:
        return context.as_probabilities(context.run(new.x, "LabelFreeAccuracy.rows"), "LabelFreeAccuracy.rows")

    def _strange(self, context: Context, new: Dataset) -> dict[str, Any] | None:
        """The share of new rows farther from training rows than 95 % of the labelled ones; None without features."""
        from sklearn.neighbors import NearestNeighbors

        near = context.data("train" if context.has("train") else "test")
        try:
            at = [features(context.model, context.model.prepare(d)) for d in (near, context.data("test"), new)]
        except NotApplicable:
            return None
        index = NearestNeighbors(n_neighbors=1 if context.has("train") else 2).fit(at[0])
        here, there = (index.kneighbors(a)[0][:, -1] for a in (at[1], at[2]))
        beyond = int(np.sum(there > np.quantile(here, FAMILIAR)))
        return {"value": beyond / len(there), "interval": wilson(beyond, len(there), self.level)}

    def _disagreement(self, context: Context, new: Dataset, q: Floats) -> tuple[Guess, str]:
        """How often another model answers the same, and why that would not be the accuracy."""
        other = wrap(self.other)
        here, there = (other.probabilities(d) for d in (context.data("test"), new))
        if there.shape != q.shape:
            raise InvalidInput(f"LabelFreeAccuracy.other: expected {q.shape[1]} classes, got {there.shape[1]}")
        same = int(np.sum(there.argmax(axis=1) == q.argmax(axis=1)))
        p, y = context.probabilities("test"), context.labels("test")
        alike, right = here.argmax(axis=1) == p.argmax(axis=1), p.argmax(axis=1) == y
        if 0 in mean_interval(alike.astype(float) - right, self.level, context.stream("agreement")):
            why = ""
        else:
            shares = [f"{100 * share.mean():.3g}\u202f%" for share in (alike, right)]
            why = f"on labelled rows the models agree on {shares[0]}, and {shares[1]} are right"
        return Guess(same / len(q), wilson(same, len(q), self.level)), why


def _labelled(new: Dataset, q: Floats, context: Context) -> dict[str, Any] | None:
    """The accuracy on new rows that have labels; None where there are none."""
    if new.y is None or not np.any(given := new.y >= 0):
        return None
    labels = checked_labels("LabelFreeAccuracy.rows", new.y[given], context.model.classes)
    right = int(np.sum(q[given].argmax(axis=1) == labels))
    return {"value": right / len(labels), "interval": wilson(right, len(labels)), "rows": len(labels)}


def _missed(found: Mapping[str, Guess], labelled: Mapping[str, Any] | None) -> dict[str, str]:
    """The estimates that the new rows with labels refute, and why."""
    if labelled is None:
        return {}
    share = figure(labelled["value"], labelled["interval"], percent=True)
    why, (low, high) = f"of {counted(labelled['rows'], 'new row')} with labels {share} are right", labelled["interval"]
    return {name: why for name, guess in found.items() if guess.interval.low > high or guess.interval.high < low}


def _chosen(found: Mapping[str, Guess], refuted: Mapping[str, str]) -> str | None:
    """The estimate to give: the first whose assumption was tested and stands, or one that another confirms."""
    for name in ("reweighted", "disagreement"):
        if name in found and name not in refuted:
            return name
    one, two = found["thresholded"].interval, found["difference"].interval
    agree = one.low <= two.high and two.low <= one.high
    return "thresholded" if agree and not {"thresholded", "difference"} & set(refuted) else None


def _told(
    chosen: str | None, found: Mapping[str, Guess], refuted: Mapping[str, str], known: Mapping[str, Any], count: int
) -> str:
    here = figure(known["value"], known["interval"], percent=True)
    if chosen is None:
        why = "; ".join(dict.fromkeys(refuted.values())) or "the estimates contradict each other"
        return f"The accuracy on {counted(count, 'new row')} cannot be told without labels ({here} with labels elsewhere): {why}."
    there = stated(found[chosen].value, found[chosen].interval, percent=True)
    return f"On {counted(count, 'new row')} without labels the accuracy is estimated at {there}, against {here} on labelled rows."
