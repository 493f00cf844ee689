"""How the model holds up when its inputs get worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.resampling import Interval, bootstrap_counts, student
from pellucid.data.corruptions import SEVERITIES, Corruption, corruptions, reference
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import mean_interval
from pellucid.shapes import Array, Floats


@dataclass(frozen=True, eq=False)
class CorruptionRobustness(Measure):
    """How much quality is lost when the inputs are a little wrong?

    Each corruption at each severity is put on the test rows. Quality is accuracy, or R2 for a regression; drop = quality
    clean - quality corrupted, above 0 for worse, compared row by row with the clean ones. The value is the mean drop
    over all. Tables: noise in units of each column's training standard deviation, and missing values filled with the
    training median or most frequent value; images: noise, blur, contrast, rotation (see `pellucid.data.corruptions`).
    Verdicts, with t the tolerance and the interval of the mean drop: "robust" (high <= t), "fragile" (low > t),
    "undecided".

    `detail`: `clean` quality, and for every corruption `drop`, `low`, `high` (arrays by severity); `worst` names the
    corruption with the largest mean drop.

    Args:
        corruptions: Names of built-in ones, a mapping of names to functions (see `pellucid.data.corruptions`), or None for
            all that fit the kind of data.
        severities: Whole numbers from 1 to 5.
        tolerance: A mean drop that is acceptable, at least 0.
        level: Confidence level, in (0, 1).

    Raises:
        InvalidOption: Severities outside 1 to 5, or a corruption that does not exist.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 2))
        >>> model = pl.wrap(lambda x: np.hstack([-x[:, :1], x[:, :1]]))
        >>> found, = pl.measure(model, pl.CorruptionRobustness(), test=(x, (x[:, 0] > 0).astype(int)))
        >>> found.verdict, found.detail["worst"]
        ('fragile', 'noise')

    References:
        Hendrycks and Dietterich 2019, arXiv:1903.12261.

    Limits:
        Corruptions made by hand are not the ones the world makes; a robust model may still fail on another kind. Severities
        are not comparable across corruptions. Without training data the test rows give the units.
    """

    corruptions: Any = None
    severities: Sequence[int] = SEVERITIES
    tolerance: float = 0.05
    level: float = 0.95

    quantity: ClassVar[str] = "corruption_robustness"

    def __post_init__(self) -> None:
        options.fraction(self, "level")
        options.not_negative(self, "tolerance")
        object.__setattr__(self, "severities", tuple(self.severities))
        if not self.severities or any(s not in SEVERITIES for s in self.severities):
            raise InvalidOption(
                f"CorruptionRobustness.severities: expected whole numbers from 1 to 5, got {self.severities!r}"
            )

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`; about ten corruptions of each kind of data are known."""
        named = self.corruptions if isinstance(self.corruptions, Sequence | Mapping) else range(10)
        return test * len(self.severities) * (1 if isinstance(named, str) else len(named))

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        test = context.data("test")
        functions = self._functions(test)
        quality = _Quality(context)
        _require_numbers(context)
        known = reference(context.data("train") if context.has("train") else test)
        losses = {name: self._losses(context, name, corrupt, known, quality) for name, corrupt in functions.items()}
        every = np.concatenate(list(losses.values())).mean(axis=0)
        value, interval = quality.drop(every, context.stream("mean"), self.level)
        parts = {name: self._part(context, name, rows, quality) for name, rows in losses.items()}
        worst = max(parts, key=lambda name: parts[name]["drop"].mean())
        verdict = (
            "robust" if interval.high <= self.tolerance else "fragile" if interval.low > self.tolerance else "undecided"
        )
        told = _told(quality, value, interval, worst, float(parts[worst]["drop"].mean()), len(test))
        detail = {
            "explanation": told, "quality": quality.name, "clean": quality.clean, "severities": np.array(self.severities),
            "worst": worst, "corruptions": parts,
        }  # fmt: skip
        return Measurement(self.quantity, value, interval, verdict, detail)

    def _functions(self, data: Dataset) -> Mapping[str, Corruption]:
        known = corruptions(data.kind or "")
        if isinstance(self.corruptions, Mapping):
            return self.corruptions
        if not known or isinstance(data.x, dict):
            what = "several inputs" if isinstance(data.x, dict) else f"{data.kind} data"
            raise NotApplicable(f"there are no corruptions for {what}; give your own as corruptions={{name: function}}")
        asked = known if self.corruptions is None else self.corruptions
        asked = (asked,) if isinstance(asked, str) else tuple(asked)
        for name in asked:
            if name not in known:
                raise InvalidOption(
                    f"CorruptionRobustness.corruptions: {data.kind} data has {', '.join(known)}, got {name!r}"
                )
        return {name: known[name] for name in asked}

    def _losses(self, context: Context, name: str, corrupt: Corruption, known: Any, quality: _Quality) -> Floats:
        """What each row loses at each severity (severities, B)."""
        x = context.data("test").x
        found = []
        for severity in self.severities:
            changed = corrupt(x, severity, context.stream(name, severity), known)
            if np.shape(changed) != np.shape(x):
                raise InvalidInput(f"the corruption {name} gave shape {np.shape(changed)} for inputs of {np.shape(x)}")
            found.append(quality.lost(context, context.run(changed, f"{name} at severity {severity}")))
        return np.stack(found)

    def _part(self, context: Context, name: str, losses: Floats, quality: _Quality) -> dict[str, Array]:
        found = [quality.drop(rows, context.stream(name, "drop", s), self.level)
                 for s, rows in zip(self.severities, losses, strict=True)]  # fmt: skip
        return {
            "drop": np.array([value for value, _ in found]),
            "low": np.array([around.low for _, around in found]),
            "high": np.array([around.high for _, around in found]),
        }


class _Quality:
    """Accuracy or R2 of the clean test rows, and what a row loses of it when its answer changes."""

    def __init__(self, context: Context) -> None:
        labels = context.labels("test")
        self.labels, self.classes = labels, context.task == "classification"
        self.name = "accuracy" if self.classes else "R2"
        if not self.classes and np.ptp(labels) == 0:
            raise NotApplicable("CorruptionRobustness compares R2, but all labels are equal")
        self._own = self._score(context, context.scores("test"))
        mean = float(self._own.mean())
        self.clean = mean if self.classes else 1 + mean / float(labels.var())

    def _score(self, context: Context, scores: Floats) -> Floats:
        if not self.classes:
            return -((context.as_values(scores) - self.labels) ** 2)
        return (context.as_probabilities(scores, "test").argmax(axis=1) == self.labels).astype(float)

    def lost(self, context: Context, scores: Floats) -> Floats:
        """Clean minus corrupted, for each row (B,)."""
        return self._own - self._score(context, scores)

    def drop(self, lost: Floats, generator: np.random.Generator, level: float) -> tuple[float, Interval]:
        """The drop that rows lose together, with its interval."""
        if self.classes:
            return float(lost.mean()), mean_interval(lost, level, generator)
        centred = self.labels - self.labels.mean()
        value, sums = float(lost.mean() / self.labels.var()), np.stack([lost, centred, centred**2], axis=1)

        def resampled(drawn: Array) -> Floats:
            total, first, second = (drawn @ sums / len(lost)).T
            with np.errstate(divide="ignore", invalid="ignore"):
                return total / (second - first**2)

        influence = (lost - value * centred**2) / self.labels.var()
        if len(lost) < 3:
            return value, student(lost / self.labels.var(), level)
        return value, bootstrap_counts(resampled, value, influence, generator, level=level)


def _require_numbers(context: Context) -> None:
    tokens = [entry for entry in context.model.anatomy.entries if entry.layer is not None]
    if tokens:
        raise NotApplicable(f"the inputs of {context.model.name} are token numbers, to which nothing can be added")


def _told(quality: _Quality, value: float, interval: Interval, worst: str, most: float, count: int) -> str:
    share = quality.classes
    clean = figure(quality.clean, interval, percent=share)
    drop = stated(value, interval, percent=share, unit="points")
    largest = figure(most, interval, percent=share, unit="points")
    return (
        f"Of its {quality.name} of {clean} on {counted(count, 'unseen row')}, corrupted inputs cost {drop} on average; "
        f"{worst} costs most, {largest}."
    )
