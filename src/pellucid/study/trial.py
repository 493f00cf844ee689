"""One training of a comparison: a recipe with a seed, trained, measured, and written down in one small record."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model
from pellucid.core.record import Provenance, Record, Stopwatch, versions
from pellucid.core.tensors import to_array
from pellucid.errors import PellucidError, TrainingDiverged
from pellucid.improve.recipe import Recipe
from pellucid.improve.run import Run, improve
from pellucid.measure.base import NOT_APPLICABLE, Measure, measure
from pellucid.training import Build


@dataclass(frozen=True)
class Plan:
    """What a comparison does: every recipe with every seed, on the same parts of the data, looked at by the same measures."""

    build: Build
    recipes: Mapping[str, Recipe]
    seeds: tuple[int, ...]
    parts: Mapping[str, Dataset]
    measures: Sequence[Measure] = ()
    fit: Mapping[str, Any] | None = None

    @property
    def tasks(self) -> list[tuple[str, int]]:
        """Every training, seed by seed, so that what is done early is a comparison already."""
        return [(name, seed) for seed in self.seeds for name in self.recipes]

    @property
    def judged(self) -> str:
        """The part that the table is about."""
        return "test" if "test" in self.parts else "validation"


@dataclass(frozen=True, eq=False)
class Trial(Record):
    """What one training gave.

    Attributes:
        recipe: Its name.
        seed: Its seed.
        performance: Metrics by name, by part of the data.
        measured: By part what each measure found, in order; without what lies behind it.
        seconds: Time of training.
        parameters: Numbers that training changes.
        nonzero: Those of them that are not zero afterwards.
        evaluations: Rows given to the model, in training and by the measures.
        failed: Why there is nothing, where training diverged.
        made_of: Fingerprints of what it was made of.
    """

    recipe: str
    seed: int
    performance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    measured: Mapping[str, tuple[Measurement, ...]] = field(default_factory=dict)
    seconds: float = float("nan")
    parameters: int = 0
    nonzero: int = 0
    evaluations: int = 0
    failed: str = ""
    made_of: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def trial(plan: Plan, name: str, seed: int) -> Trial:
    """Train one recipe with one seed, and measure what came of it.

    Raises:
        KeyboardInterrupt: Training was stopped by Ctrl-C.
    """
    clock = Stopwatch()
    try:
        run = _trained(plan, name, seed)
        seconds = clock.seconds
        return _looked_at(run, plan, name, seed, seconds)
    except TrainingDiverged as problem:
        return Trial(name, seed, seconds=clock.seconds, failed=f"diverged: {problem}", versions=versions())


def _trained(plan: Plan, name: str, seed: int) -> Run:
    try:
        run = improve(
            plan.build, plan.recipes[name], train=plan.parts["train"], validation=plan.parts.get("validation"),
            fit=plan.fit, seed=seed, progress=False,
        )  # fmt: skip
    except TrainingDiverged:
        raise
    except PellucidError as problem:
        raise type(problem)(f"recipe {name!r}, seed {seed}: {problem}") from problem
    if run.interrupted:
        raise KeyboardInterrupt
    return run


def _looked_at(run: Run, plan: Plan, name: str, seed: int, seconds: float) -> Trial:
    parts, train = plan.parts, plan.parts["train"]
    model = run.model
    quality = {part: performance(model, data) for part, data in parts.items()}
    found = {p: measured(model, plan.measures, train, parts[p], seed) for p in parts if p != "train"}
    spent = run.provenance.evaluations + sum(map(len, parts.values()))
    spent += sum(m.provenance.evaluations for each in found.values() for m in each)
    kept = {part: tuple(map(_slim, each)) for part, each in found.items()}
    weights = [to_array(w) for w in model.weights]
    size, left = (int(sum(map(count, weights))) for count in (np.size, np.count_nonzero))
    return Trial(name, seed, quality, kept, seconds, size, left, spent, versions=versions())


def performance(model: Model, data: Dataset) -> dict[str, float]:
    """Accuracy and log loss of a classifier, R2 and root mean squared error of a regression."""
    from sklearn import metrics

    outputs = model.predict(data)
    if not np.isfinite(outputs).all():
        raise TrainingDiverged("the trained model answers NaN or infinity")
    if model.task == "regression":
        value = outputs[:, 0]
        return {
            "r2": float(metrics.r2_score(data.y, value)),
            "rmse": float(metrics.root_mean_squared_error(data.y, value)),
        }
    chances = model.probabilities(data)
    classes = list(range(chances.shape[1]))
    return {
        "accuracy": float(np.mean(chances.argmax(1) == data.y)),
        "log_loss": float(metrics.log_loss(data.y, chances, labels=classes)),
    }


def measured(model: Model, measures: Sequence[Measure], train: Dataset, test: Dataset, seed: int) -> list[Measurement]:
    """What each measure finds; one that cannot be made here has no value and says why."""
    asked = functools.partial(measure, train=train, test=test, seed=seed, progress=False)
    if not measures:
        return []
    try:
        return list(asked(model, list(measures)))
    except PellucidError:  # one of them; the others are made on their own
        return [_alone(asked, model, each) for each in measures]


def _alone(asked: Any, model: Model, each: Measure) -> Measurement:
    try:
        return asked(model, each)[0]
    except PellucidError as reason:
        return Measurement(each.quantity, None, verdict=NOT_APPLICABLE, detail={"explanation": str(reason)})


def _slim(found: Measurement) -> Measurement:
    """The number and what it says, without the arrays behind it: what is kept of each training is small."""
    told = {"explanation": str(found.detail.get("explanation", ""))}
    return replace(found, detail=told, provenance=Provenance())
