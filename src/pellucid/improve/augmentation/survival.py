"""Whether labels survive an augmentation: does a model that knows nothing of it still give the same answers?"""

from __future__ import annotations

from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model, wrap
from pellucid.core.randomness import check_seed, some, stream
from pellucid.core.record import Provenance, Stopwatch, versions
from pellucid.core.resampling import clopper_pearson, wilson
from pellucid.core.tensors import to_array
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, PellucidError
from pellucid.improve.augmentation.base import Augmentation
from pellucid.improve.base import Batch
from pellucid.shapes import Array

CHUNK = 256
"""Rows that are changed at once, and the most validation rows that a run looks at."""


def augmented(augmentation: Augmentation, data: Dataset, seed: int = 0) -> Dataset:
    """The data as an augmentation would change them in training, one draw an example."""
    draws, parts = augmentation.attach(None, data, seed), []
    for start in range(0, len(data), CHUNK):
        x = data.x[start : start + CHUNK]
        parts.append(to_array(augmentation.change(_batch(x), None, draws).x))
    return Dataset(np.concatenate(parts).astype(data.x.dtype), data.y, kind=data.kind, class_names=data.class_names)


def _batch(x: Array) -> Batch:
    from keras import ops

    return Batch(ops.convert_to_tensor(x), ops.zeros((len(x),)))


def label_survival(
    model: Any, data: Any, augmentation: Augmentation, *, allowed: float = 0.2, level: float = 0.95, seed: int = 0
) -> Measurement:
    """Whether labels survive an augmentation: how many right answers of a model that was trained without it stay right.

        value = examples right before and after / examples right before,   of those that the augmentation changed at all

    "labels survive" if the interval lies above 1 - allowed and no class is worse for certain; "answers change" if it lies
    below, or that of a class does, its level corrected for the number of classes; else "unclear". `detail` has the shares of
    right answers `before` and `after` on all examples, `classes` with the share of each, the `worst_class`, and what it is
    mostly `taken_for`, with the share of its lost answers that are.

    Args:
        model: A model trained without this augmentation, wrapped or not.
        data: Held-out examples with classes: a `Dataset` or an (x, y) pair. What the augmentation has to know of data (ranges,
            spreads) is taken from them.
        augmentation: What is asked about, such as `pl.Flip()`.
        allowed: The share of right answers that may be lost, between 0 and 1.
        level: Confidence level.
        seed: Decides the draws.

    Raises:
        InvalidOption: No augmentation, one that mixes labels, or a share or level out of range.
        InvalidInput: Data without labels.
        NotApplicable: Data of another kind, or labels that are no classes.

    Example:
        >>> import numpy as np, pellucid as pl
        >>> x = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
        >>> found = pl.label_survival(lambda x: np.eye(2)[(x[:, 0] > 0).astype(int)], (x, x[:, 0] > 0), pl.TableNoise(0.01))
        >>> found.verdict
        'labels survive'

    References:
        Of a change that preserves labels as an assumption that has to be checked: Cubuk, Zoph, Mane, Vasudevan and Le 2019,
        arXiv:1805.09501.

    Limits:
        "answers change" says that either the labels or the model do not stand it: a model also fails where it has never seen
        anything like it. A class whose lost answers are nearly all one other class (keep left for keep right) speaks for labels,
        answers spread over many for the model. A model trained with the augmentation has learnt to answer as if labels survived,
        and shows nothing.
    """
    data = as_dataset(data)
    _check(augmentation, data, allowed, level)
    check_seed(seed)
    clock, model = Stopwatch(), model if isinstance(model, Model) else wrap(model)
    other = augmented(augmentation, data, seed)
    y, before, after = np.asarray(data.y, int), _answers(model, data), _answers(model, other)
    touched = _touched(data.x, other.x)
    known = touched & (before == y)
    about = Provenance(augmentation, seed, 2 * len(data), clock.seconds, model.fingerprint(), versions=versions())
    found = {"before": before == y, "after": after == y, "changed": touched}
    shares = {name: float(those.mean()) for name, those in found.items()}
    if not known.any():
        told = "the augmentation changed no example that the model is right about"
        return Measurement("label_survival", None, None, "not applicable", {**shares, "explanation": told}, about)
    kept = after[known] == y[known]
    interval = wilson(int(kept.sum()), len(kept), level)
    classes = _by_class(y[known], after[known], level)
    worst = min(classes, key=lambda c: (c["high"], c["share"]))
    lost = interval.high < 1 - allowed or worst["high"] < 1 - allowed
    verdict = "answers change" if lost else "labels survive" if interval.low >= 1 - allowed else "unclear"
    detail = {
        **shares, "examples": len(kept), "classes": classes, "worst_class": data.label(worst["class"]),
        "worst_share": worst["share"], "taken_for": data.label(worst["taken_for"]), "taken_share": worst["taken_share"],
        "explanation": _explained(augmentation, data, float(kept.mean()), worst),
    }  # fmt: skip
    return Measurement("label_survival", float(kept.mean()), interval, verdict, detail, about)


def _check(augmentation: Any, data: Dataset, allowed: float, level: float) -> None:
    if not isinstance(augmentation, Augmentation) or augmentation.soft:
        raise InvalidOption(
            f"augmentation: expected one that leaves labels as they are, such as Flip(), got {augmentation!r}"
        )
    for name, value in (("allowed", allowed), ("level", level)):
        if not 0 < value < 1:
            raise InvalidOption(f"{name}: expected a number between 0 and 1, both excluded, got {value!r}")
    if data.y is None:
        raise InvalidInput("label_survival needs labels (y), to know which answers are right")
    if data.task != "classification":
        raise NotApplicable("label_survival counts right answers, and these labels are quantities")


def _touched(x: Array, other: Array) -> Array:
    """Which examples (B,) are changed by more than rounding; missing values stay missing."""
    apart = np.abs(np.nan_to_num(other.astype(float) - x)).reshape(len(x), -1).max(axis=1)
    return apart > 1e-5 * max(float(np.nanmax(x)) - float(np.nanmin(x)), 1e-12)


def _answers(model: Model, data: Dataset) -> Array:
    return model.probabilities(data.x).argmax(axis=1)


def _by_class(y: Array, after: Array, level: float) -> list[dict[str, Any]]:
    """For each class the share of its right answers that stay right, its interval, and the answer that is most given else."""
    classes, found = np.unique(y), []
    for number in classes:
        answers = after[y == number]
        kept = int((answers == number).sum())
        ends = clopper_pearson(kept, len(answers), 1 - (1 - level) / len(classes))
        wrong, counts = np.unique(answers[answers != number], return_counts=True)
        other = int(wrong[counts.argmax()]) if len(wrong) else int(number)
        found.append({
            "class": int(number), "share": kept / len(answers), "low": ends.low, "high": ends.high, "taken_for": other,
            "taken_share": float(counts.max() / counts.sum()) if len(wrong) else 0.0,
        })  # fmt: skip
    return found


def _explained(augmentation: Augmentation, data: Dataset, share: float, worst: dict[str, Any]) -> str:
    told = f"{share:.0%} of right answers stay right under {type(augmentation).__name__}"
    if worst["share"] == 1:
        return told
    name, other = data.label(worst["class"]), data.label(worst["taken_for"])
    return f"{told}; worst is class {name} with {worst['share']:.0%}, taken for {other}"


def told(augmentation: Augmentation, model: Any, validation: Dataset | None) -> str:
    """A note for a run whose validation data speak against an augmentation; nothing where there is nothing to be said."""
    if validation is None or validation.y is None or validation.task != "classification":
        return ""
    try:
        held = validation.take(some(len(validation), CHUNK, stream(0, "survival")))
        found = label_survival(model, held, augmentation)
    except PellucidError:  # a model or data that it cannot be asked of: the run is none the worse
        return ""
    if found.verdict != "answers change":
        return ""
    return (
        f"{found.detail['explanation']}, even in the model trained with it: labels do not survive, or it is too strong; look "
        "with pl.label_survival at a model trained without it"
    )
