"""How the model holds up when its inputs get worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.randomness import some
from pellucid.core.resampling import Interval, alike, bootstrap_counts, student, unseen
from pellucid.data.corruptions import SEVERITIES, USUAL, Corruption, Reference, corruptions, reference
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.estimates import METRICS, Estimate, mean_interval
from pellucid.shapes import Array, Floats


@dataclass(frozen=True, eq=False)
class CorruptionRobustness(Measure):
    """How much quality is lost when the inputs are a little wrong?

    Each corruption at each severity is put on test rows. Quality is accuracy, or R2 for a regression; drop = quality
    clean - quality corrupted, above 0 for worse, compared row by row with the clean ones. The value is the mean drop over
    all, or the mean quality that is left. What there is for each kind of data, and what a severity of each stands for, is in
    `pellucid.data.corruptions`:

    - tables: noise and missing; unit, swap, rare, unknown.
    - images: noise, blur, contrast and rotation; shot, impulse, motion, defocus, fog, brightness, pixelate, jpeg, posterize,
      translation, scale, shear.
    - texts: typos and deletion; case, swap. Synonyms need a mapping: `{"synonyms": synonyms({"film": ["movie"]})}`.
    - sequences: noise and dropout; warp, drift, dead.
    - audio: noise and gain; clipping, band.

    Those before the semicolon are tried unless others are asked for. Verdicts, with t the tolerance and the interval of the
    mean drop: "robust" (high <= t), "fragile" (low > t), "undecided".

    `detail`: `clean` quality of the `rows` that were tried, and for every corruption, as arrays by severity: `drop` with its
    paired interval `low`, `high`, and the quality itself, `left`, with its own interval `left_low`, `left_high`; `worst` names
    the corruption with the largest mean drop; `skipped` tells of those that make no sense for these data, and why.

    Args:
        corruptions: Names of built-in ones, "all" of the kind of data, a mapping of names to functions (see
            `pellucid.data.corruptions`), or None for the few that are usual.
        severities: Whole numbers from 1 to 5.
        tolerance: A mean drop that is acceptable, at least 0.
        level: Confidence level, in (0, 1).
        rows: At most so many test rows are tried, drawn by chance; None for every one.
        of: "drop", or "left": the quality on corrupted rows, which compares models of unlike quality on clean ones. The verdict
            is about the drop either way.

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
        are not comparable across corruptions. Without training data the test rows give the units. Labels are taken to stay
        right: a digit that is turned too far, or a text that lost its one telling word, may not be what it was.
    """

    corruptions: Any = None
    severities: Sequence[int] = SEVERITIES
    tolerance: float = 0.05
    level: float = 0.95
    rows: int | None = 2000
    of: str = "drop"

    quantity: ClassVar[str] = "corruption_robustness"

    def __post_init__(self) -> None:
        options.fraction(self, "level")
        options.not_negative(self, "tolerance")
        options.one_of(self, "of", ("drop", "left"))
        if self.rows is not None:
            options.whole(self, "rows")
        object.__setattr__(self, "severities", tuple(self.severities))
        if not self.severities or any(s not in SEVERITIES for s in self.severities):
            raise InvalidOption(
                f"CorruptionRobustness.severities: expected whole numbers from 1 to 5, got {self.severities!r}"
            )

    def passes(self, train: int, test: int) -> int:
        """See `Measure.passes`; no kind of data has more than four usual corruptions."""
        asked = self.corruptions
        count = len(asked) if isinstance(asked, Mapping | tuple | list) else 16 if asked == "all" else 4
        return min(test, self.rows or test) * len(self.severities) * count

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        functions = self._functions(context.data("test"))
        quality = _Quality(context, self.rows)
        _require_numbers(context)
        known = reference(context.data("train" if context.has("train") else "test"))
        losses, wanting, parts, skipped = {}, [], {}, {}
        for name, corrupt in functions.items():
            try:
                scores = list(self._scores(context, name, corrupt, known, quality.rows))
            except NotApplicable as reason:
                skipped[name] = str(reason)
                continue
            losses[name] = np.stack([quality.lost(found) for found in scores])
            wanting += [quality.wanting(found) for found in scores]
            parts[name] = self._part(context, name, scores, quality)
        if not parts:
            raise NotApplicable("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
        every = np.concatenate(list(losses.values())).mean(axis=0)
        value, interval = quality.drop(every, context.stream("mean"), self.level)
        worst = max(parts, key=lambda name: parts[name]["drop"].mean())
        verdict = (
            "robust" if interval.high <= self.tolerance else "fragile" if interval.low > self.tolerance else "undecided"
        )
        told = _told(quality, quality.whole(context, self.level), (value, interval), worst, parts[worst])
        detail = {
            "explanation": told, "quality": quality.name, "clean": quality.clean, "severities": np.array(self.severities),
            "worst": worst, "corruptions": parts, "rows": quality.rows, "skipped": skipped,
        }  # fmt: skip
        if self.of == "drop":
            return Measurement(self.quantity, value, interval, verdict, detail, better="lower", share=quality.classes)
        short, around = quality.drop(np.mean(wanting, axis=0), context.stream("left"), self.level)
        left = Interval(1 - around.high, 1 - around.low, around.level, around.kind)
        name = f"{self.quantity}.{quality.name.lower()}"
        return Measurement(name, 1 - short, left, verdict, detail, better="higher", share=quality.classes)

    def _functions(self, data: Dataset) -> Mapping[str, Corruption]:
        known = corruptions(data.kind or "")
        if isinstance(self.corruptions, Mapping):
            return self.corruptions
        if not known or isinstance(data.x, dict):
            what = "several inputs" if isinstance(data.x, dict) else f"{data.kind} data"
            raise NotApplicable(f"there are no corruptions for {what}; give your own as corruptions={{name: function}}")
        asked = USUAL[str(data.kind)] if self.corruptions is None else self.corruptions
        asked = tuple(known) if asked == "all" else (asked,) if isinstance(asked, str) else tuple(asked)
        for name in asked:
            if name not in known:
                raise InvalidOption(
                    f"CorruptionRobustness.corruptions: {data.kind} data has {', '.join(known)}, got {name!r}"
                )
        return {name: known[name] for name in asked}

    def _scores(
        self, context: Context, name: str, corrupt: Corruption, known: Reference, rows: Array
    ) -> Iterator[Floats]:
        """The model's scores (B, K) of the rows at each severity."""
        x = context.data("test").take(rows).x
        for severity in self.severities:
            with np.errstate(over="ignore"):  # told below
                changed = corrupt(x, severity, context.stream(name, severity), known)
            if np.shape(changed) != np.shape(x):
                raise InvalidInput(f"the corruption {name} gave shape {np.shape(changed)} for inputs of {np.shape(x)}")
            if np.asarray(changed).dtype.kind == "f" and not np.isfinite(changed).all():
                raise NotApplicable(
                    f"at severity {severity} it makes inputs larger than {np.asarray(changed).dtype} holds"
                )
            yield context.run(changed, f"{name} at severity {severity}")

    def _part(self, context: Context, name: str, scores: Sequence[Floats], quality: _Quality) -> dict[str, Array]:
        """Curves by severity of what is lost and of what is left, with their ends."""
        curves: dict[str, list[float]] = {k: [] for k in ("drop", "low", "high", "left", "left_low", "left_high")}
        for severity, found in zip(self.severities, scores, strict=True):
            drop, around = quality.drop(quality.lost(found), context.stream(name, "drop", severity), self.level)
            left = quality.left(found, context.stream(name, "left", severity), self.level)
            row = (drop, around.low, around.high, left.value, left.interval.low, left.interval.high)
            for curve, number in zip(curves.values(), row, strict=True):
                curve.append(number)
        return {key: np.array(curve) for key, curve in curves.items()}


class _Quality:
    """Accuracy or R2 of clean test rows, what a row loses of it when its answer changes, and what is left."""

    def __init__(self, context: Context, most: int | None) -> None:
        labels, scores = context.labels("test"), context.scores("test")
        self.rows, self._context = some(len(labels), most, context.stream("rows")), context
        self.labels, self.classes = labels[self.rows], context.task == "classification"
        self.name = "accuracy" if self.classes else "R2"
        if not self.classes and np.ptp(self.labels) == 0:
            raise NotApplicable("CorruptionRobustness compares R2, but all labels are equal")
        self._own = self._score(scores[self.rows])
        mean = float(self._own.mean())
        self.clean = mean if self.classes else 1 + mean / float(self.labels.var())

    def _answers(self, scores: Floats) -> Floats:
        return self._context.as_probabilities(scores, "test") if self.classes else self._context.as_values(scores)

    def _score(self, scores: Floats) -> Floats:
        found = self._answers(scores)
        return (found.argmax(axis=1) == self.labels).astype(float) if self.classes else -((found - self.labels) ** 2)

    def lost(self, scores: Floats) -> Floats:
        """Clean minus corrupted, for each row (B,)."""
        return self._own - self._score(scores)

    def wanting(self, scores: Floats) -> Floats:
        """What each row (B,) lacks of being right."""
        return float(self.classes) - self._score(scores)

    def whole(self, context: Context, level: float) -> Estimate:
        """The quality of the clean rows, with its own interval."""
        return self.left(context.scores("test")[self.rows], context.stream("clean"), level)

    def left(self, scores: Floats, generator: np.random.Generator, level: float) -> Estimate:
        """The quality of other answers, with its own interval."""
        metric = METRICS["accuracy" if self.classes else "r2"]
        return metric.compute(self.labels, self._answers(scores), level, generator)

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
        if alike(lost):
            far = float(np.ptp(self.labels)) ** 2 / float(self.labels.var())
            return value, unseen(value, len(lost), -far, far, level)
        if len(lost) < 3:
            return value, student(lost / self.labels.var(), level)
        return value, bootstrap_counts(resampled, value, influence, generator, level=level)


def _require_numbers(context: Context) -> None:
    tokens = [entry for entry in context.model.anatomy.entries if entry.layer is not None]
    if tokens and context.data("test").kind != "text":
        raise NotApplicable(
            f"the inputs of {context.model.name} are token numbers, to which nothing can be added; if they are a text, say "
            'so: pl.Dataset(kind="text")'
        )


def _told(
    quality: _Quality, clean: Estimate, drop: tuple[float, Interval], worst: str, part: Mapping[str, Array]
) -> str:
    share = quality.classes
    largest = Interval(float(part["low"].mean()), float(part["high"].mean()))
    return (
        f"Of its {quality.name} of {figure(clean.value, clean.interval, percent=share)} on "
        f"{counted(len(quality.rows), 'unseen row')}, corrupted inputs cost {stated(*drop, percent=share, unit='points')} on "
        f"average; {worst} costs most, {figure(float(part['drop'].mean()), largest, percent=share, unit='points')}."
    )
