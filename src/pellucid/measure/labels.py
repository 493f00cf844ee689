"""Which labels are probably wrong, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.confident import Noise, noise
from pellucid.shapes import Array, Floats

SURE = 0.99
"""The share of rows without any doubt from which on nothing is weighed."""

TOLD, NONE, UNTOLD = "label errors", "no label errors shown", "cannot be told apart from hard rows"


@dataclass(frozen=True, eq=False)
class LabelErrors(Measure):
    """Which labels are probably wrong, and what share of them?

    A row is surely of class j if p_j is at least the mean of p_j over rows labelled j (of several such j, the one with the
    largest p_j). Rows that are surely of another class than their label says are named, smallest margin p[label] - max_k p[k]
    first. This is confident learning; but it names hard rows too, which nobody labelled wrong. So, with M[j, z] the mean of
    p_z over rows surely of class j, and N[j, i] the share of them labelled i, the chance T[z, i] that a row of class z is
    labelled i solves N = M T, and

    value = sum_z P(z) (1 - T[z, z]): where p is never in doubt, that of confident learning; where labels are as p says, 0.

    Models are too sure, or not sure enough: the power that makes p fit is estimated with the share and with the kinds of wrong
    labels there may be. The intervals span all that the labels allow, no wrong label at all among them. Verdicts:

    - "label errors": the interval lies above 0, and more rows are named than hard rows by chance.
    - "no label errors shown": the share, and the model's own doubt, are at most `tolerance`.
    - "cannot be told apart from hard rows": else, or where some class has no sure row (then there is no value).

    `detail`: `rows`, `given`, `suggested` and `margin` (N,) of the rows named; `precision`, the expected share of them that
    are wrong, 1 - (hard rows expected among them) / N, and its interval; `joint` (K, K), the estimated P(labelled i, truly
    j); `confident_joint` (K, K), counts; `classes` (K,) they are about; `doubt`, the mean of 1 - max_k p_k: errors of this
    share could hide; `power`; `uncorrected`, the share that confident learning gives.

    Args:
        split: Which labels: "test", or "train" with `probabilities`: those of rows that were trained on are memorised.
        probabilities: Out-of-sample probabilities (B, K) of the rows of `split`, as by cross-validation; None for the model's
            own.
        calibrated: Take the probabilities as they are: they were calibrated on right labels.
        tolerance: A share of errors too small to matter, at least 0.
        level: Confidence level of every interval, in (0, 1).

    Raises:
        InvalidInput: Training rows without probabilities of their own, or probabilities that do not fit them.
        InvalidOption: An option outside its range.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).normal(size=(1000, 1))
        >>> model = pl.wrap(lambda x: np.hstack([-9 * x, 9 * x]), output="logits")
        >>> y = (x[:, 0] > 0).astype(int)
        >>> y[::10] = 1 - y[::10]  # one label in ten is wrong
        >>> found, = pl.measure(model, pl.LabelErrors(), test=(x, y))
        >>> found.verdict, round(found.value, 2), bool(np.all(found.detail["rows"] % 10 == 0))
        ('label errors', 0.1, True)

    References:
        Northcutt, Jiang and Chuang 2021, arXiv:1911.00068. Patrini et al. 2017, arXiv:1609.03683 (labels from true classes by T).
        Guo et al. 2017, arXiv:1706.04599 (temperature).

    Limits:
        A wrong label and a rare case look the same; only too many of them tell. Errors of a kind that the training labels had
        too are learned, and become the model's doubt: they are not seen, and nobody can from such probabilities. Errors are
        taken to depend on the class alone: of those that come with hard rows, part is taken for doubt. A model wrong in
        another way than too sure or not sure enough, on rows of a new kind say, makes right labels look wrong. Where the
        power is found along with the share and classes overlap a lot, intervals of a few hundred rows are somewhat short:
        simulated, 87 to 89 % at a level of 95 % for two such classes, 20 % wrong labels and 800 rows of a model that is far
        too sure. Rows that belong together (`groups`) make the intervals too short.
    """

    split: str = "test"
    probabilities: Any = None
    calibrated: bool = False
    tolerance: float = 0.02
    level: float = 0.95

    quantity: ClassVar[str] = "label_errors"

    def __post_init__(self) -> None:
        options.one_of(self, "split", ("test", "train"))
        options.one_of(self, "calibrated", (False, True))
        options.not_negative(self, "tolerance")
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        context.require_classes("compares labels with class probabilities")
        labels, p = context.labels(self.split), self._probabilities(context)
        classes, y = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise NotApplicable(f"LabelErrors compares classes, but all {len(labels)} labels are of class {classes[0]}")
        kept = p[:, classes]
        if not (kept.sum(axis=1) > 0).all():
            raise NotApplicable(
                "LabelErrors: some rows have no chance at all of any class that occurs among the labels"
            )
        p = kept / kept.sum(axis=1, keepdims=True)
        if np.mean(p.max(axis=1) > 1 - 1e-9) > SURE and np.any(p.argmax(axis=1) != y):
            raise NotApplicable(
                "LabelErrors weighs a label against the model's doubt, and this model has none: it says 0 or 1"
            )
        found = noise(p, y, self.level, context.stream("share"), self.calibrated)
        if found is None:
            told = "Some class has no row that is surely of it: wrong labels cannot be told apart from hard rows."
            return Measurement(self.quantity, None, None, UNTOLD, {"explanation": told, "classes": classes})
        value, interval = float(np.clip(found.share, 0, 1)), _share(found.interval)
        verdict = judged(found, self.tolerance)
        told = _told(found, value, interval, verdict, len(y))
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **written(found, y, classes)})

    def _probabilities(self, context: Context) -> Floats:
        """The probabilities (B, K) of the rows, from the model or as given."""
        rows = len(context.data(self.split))
        if self.probabilities is None:
            if self.split == "train":
                raise InvalidInput(
                    "LabelErrors: the model has seen the labels of its training rows, wrong ones too; give "
                    "probabilities= of models that have not, such as those of cross-validation"
                )
            return context.probabilities(self.split)
        given = np.asarray(self.probabilities, dtype=float)
        if given.shape != (rows, context.model.classes):
            raise InvalidInput(
                f"LabelErrors.probabilities: expected shape {(rows, context.model.classes)}, a row for each of {self.split}, "
                f"got {given.shape}"
            )
        if not (np.isfinite(given).all() and (given >= 0).all() and np.allclose(given.sum(axis=1), 1, atol=1e-3)):
            raise InvalidInput("LabelErrors.probabilities: expected rows of numbers from 0 to 1 that sum to 1")
        return given


SURELY = 0.5
"""A row that is named is probably wrong where surely so many of them are."""


def judged(found: Noise, tolerance: float) -> str:
    """The verdict; see `LabelErrors`."""
    if found.interval.low > 0 and found.precision_interval is not None and found.precision_interval.low > 0:
        return TOLD
    return NONE if max(found.interval.high, found.doubt) <= tolerance else UNTOLD


def _share(found: Interval) -> Interval:
    return Interval(max(0.0, found.low), float(np.clip(found.high, 0, 1)), found.level, found.kind)


def named(p: Floats, y: Array, suggested: Array) -> tuple[Array, Floats]:
    """The rows surely of another class than their label says, smallest margin first, and their margins."""
    rows = np.flatnonzero((suggested >= 0) & (suggested != y))
    margin = p[rows, y[rows]] - p[rows].max(axis=1)
    order = np.argsort(margin, kind="stable")
    return rows[order], margin[order]


def written(found: Noise, y: Array, classes: Array) -> dict[str, Any]:
    """Everything behind the share."""
    rows, margin = named(found.p, y, found.suggested)
    counts, sizes = found.joint, np.bincount(y)
    scaled = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * sizes[:, None] / len(y)
    return {
        "rows": rows, "given": classes[y[rows]], "suggested": classes[found.suggested[rows]], "margin": margin,
        "precision": {"value": found.precision, "interval": found.precision_interval},
        "joint": joint_of(found.p, found.matrix), "confident_joint": counts, "classes": classes, "doubt": found.doubt,
        "power": found.power, "uncorrected": 1 - float(np.trace(scaled) / scaled.sum()),
    }  # fmt: skip


def joint_of(p: Floats, matrix: Floats) -> Floats:
    """P(labelled i, truly j) (K, K), none below 0, summing to 1."""
    found = (np.maximum(matrix, 0) * p.mean(axis=0)[:, None]).T
    return found / found.sum()


def _told(found: Noise, value: float, interval: Interval, verdict: str, count: int) -> str:
    share, rows = stated(value, interval, percent=True), counted(count, "label")
    most = figure(interval.high, interval, percent=True)
    if verdict == UNTOLD:
        return (
            f"Of {rows}, up to {most} may be wrong, but that cannot be told apart from rows that are hard: "
            f"the model doubts {figure(found.doubt, percent=True)} itself."
        )
    if verdict == NONE:
        return (
            f"Of {rows}, at most {most} are wrong as far as this model can tell; errors it was trained on stay unseen."
        )
    many = int(found.joint.sum() - np.trace(found.joint))
    right = stated(found.precision, found.precision_interval, percent=True)
    named = f"the {counted(many, 'row')}"
    surely = found.precision_interval is not None and found.precision_interval.low >= SURELY
    told = "" if surely else ", the others are hard rows, so the share is known and most single labels are not"
    return f"Of {rows}, {share} are wrong, beyond what doubt explains; of {named} named, {right} are wrong{told}."
