"""What a model says of held-out data, checked before anything is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.inputs import broken_row
from pellucid.core.labels import checked_labels
from pellucid.core.model import Model, to_probabilities
from pellucid.errors import InvalidInput, NotApplicable
from pellucid.shapes import Array, Floats


@dataclass(frozen=True)
class HeldOut:
    """Answers of a model on held-out data.

    Attributes:
        scores: Logits (N, K); one column is the log-odds of class 1. Where the model only has probabilities, their logarithms.
            For values the predictions (N,).
        p: Class probabilities (N, K) as the model gives them; empty for values.
        y: Labels (N,).
    """

    scores: Floats
    p: Floats
    y: Array


def held_out(asking: object, model: Model, data: Any, *, least: int = 1) -> HeldOut:
    """What a model says of held-out data.

    Raises:
        InvalidInput: No data, no labels, fewer than `least` rows, NaN, outputs that are no probabilities, labels of one class.
    """
    name = type(asking).__name__
    data = _given(name, data)
    scores, y = _checked(name, model, data)
    if len(y) < least:
        raise InvalidInput(f"validation: {name} needs at least {least} rows, got {len(y)}; hold out more")
    if model.task == "regression":
        return HeldOut(scores[:, 0].astype(float), np.empty((len(y), 0)), y)
    if len(np.unique(y)) < 2:
        raise InvalidInput(
            f"validation: all {len(y)} labels are {y[0]}; {name} needs rows of two classes at least: hold out some of each"
        )
    p = _probabilities(name, model, scores)
    return HeldOut(scores.astype(float) if model.output == "logits" else np.log(np.maximum(p, 1e-37)), p, y)


def _given(name: str, data: Any) -> Dataset:
    if data is None:
        raise InvalidInput(f"{name} is fitted to data that were not trained on: give validation=, held out from train")
    return as_dataset(data)


def require_classes(asking: object, model: Model, data: Any) -> None:
    """Raise `NotApplicable` for a model that gives values; the first look at the model tells."""
    model.prepare(_given(type(asking).__name__, data))
    if model.task != "classification":
        raise NotApplicable(
            f"{type(asking).__name__} works on class probabilities, but {model.name} gives values; wrap it with output= if they "
            "are classes"
        )


def _checked(name: str, model: Model, data: Dataset) -> tuple[Floats, Array]:
    """Scores (N, K) and labels (N,)."""
    scores = model.scores(data)
    model.require_one_output()
    if (row := broken_row(scores)) is not None:
        raise InvalidInput(f"validation: {model.name} gave NaN or infinity at row {row}; nothing can be fitted to that")
    if data.y is None:
        raise InvalidInput(f"validation: {name} needs labels; give validation=pl.Dataset(x, y)")
    if model.task == "regression" and scores.shape[1] != 1:
        raise NotApplicable(f"{name} reads one value an example, but {model.name} gives {scores.shape[1]}")
    return scores, checked_labels("validation", data.y, model.classes if model.task == "classification" else 0)


def _probabilities(name: str, model: Model, scores: Floats) -> Floats:
    if model.anatomy.multilabel:
        raise NotApplicable(
            f"{model.name} answers {scores.shape[1]} yes-or-no questions at once; {name} takes one: make a model of one output"
        )
    p = to_probabilities(scores, model.output)
    wrong = (p < -1e-6).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvalidInput(
            f"validation: the outputs of {model.name} at row {row} are no class probabilities (they sum to "
            f"{p[row].sum():.4g}, the least is {p[row].min():.4g}); wrap it with the right output="
        )
    return np.clip(p, 0.0, 1.0)
