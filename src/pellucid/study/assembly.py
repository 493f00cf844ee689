"""From finished trainings to a comparison: the same trainings give the same record, in whatever order they were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted
from pellucid.core.record import Provenance
from pellucid.errors import NotApplicable, TrainingDiverged
from pellucid.improve.recipe import Recipe
from pellucid.measure.estimates import METRICS
from pellucid.shapes import Floats
from pellucid.study.comparison import Comparison
from pellucid.study.paired import Quantity, table
from pellucid.study.selection import selected
from pellucid.study.trial import Plan, Trial

Grid = list[list[Trial]]
"""Trainings by recipe (R) and seed (S)."""


def assembled(plan: Plan, done: Sequence[Trial], level: float) -> Comparison:
    """The comparison of the seeds that every recipe finished."""
    by_task, seeds = {(trial.recipe, trial.seed): trial for trial in done}, complete(plan, done)
    grid = [[by_task[name, seed] for seed in seeds] for name in plan.recipes]
    names, reference = list(plan.recipes), reference_of(plan.recipes)
    if all(t.failed for row in grid for t in row):
        first = grid[0][0]
        raise TrainingDiverged(
            f"every training failed, so there is nothing to compare; {first.recipe} with seed {first.seed}: {first.failed}"
        )
    metrics = next(tuple(t.performance["train"]) for row in grid for t in row if not t.failed)
    quantities = (*_usual(metrics), *_named(grid, plan))
    scores = {part: _scores(grid, metrics, part, len(plan.measures)) for part in plan.parts}
    failures = {name: why for name, row in zip(names, grid, strict=True) if (why := _failure(row))}
    found = Comparison(
        dict(plan.recipes), reference, tuple(seeds), quantities, scores, plan.judged,
        table(names, quantities, scores[plan.judged], names.index(reference), level, failures), _cost(grid),
        {part: len(data) for part, data in plan.parts.items()}, failures, _blanks(grid, quantities, plan), level=level,
        provenance=Provenance("compare", seeds[0], sum(trial.evaluations for row in grid for trial in row)),
    )  # fmt: skip
    return replace(found, selection=_choice(found))


def complete(plan: Plan, done: Sequence[Trial]) -> list[int]:
    """The seeds that every recipe has finished."""
    finished = {(trial.recipe, trial.seed) for trial in done}
    return [seed for seed in plan.seeds if all((name, seed) in finished for name in plan.recipes)]


def reference_of(recipes: Mapping[str, Recipe]) -> str:
    """The recipe without remedies, else the first."""
    return next((name for name, recipe in recipes.items() if not recipe.remedies), next(iter(recipes)))


# -- columns -----------------------------------------------------------------------------------------------------------


def _usual(metrics: Sequence[str]) -> Iterator[Quantity]:
    """What is always found, and the gap of each."""
    for name in metrics:
        yield Quantity(name, **METRICS[name].read)
    for name in metrics:
        yield Quantity(f"gap.{name}", "lower", METRICS[name].share)


def _named(grid: Grid, plan: Plan) -> Iterator[Quantity]:
    """What the measures found, called as they call it; a second one of the same name is numbered."""
    taken: list[str] = []
    for i, measure in enumerate(plan.measures):
        every = [t.measured[part][i] for row in grid for t in row for part in (plan.judged, *t.measured) if t.measured]
        shown = next((m for m in every if m.value is not None), Measurement(measure.quantity, None))
        taken.append(shown.name)
        name = shown.name if taken.count(shown.name) == 1 else f"{shown.name} {taken.count(shown.name)}"
        yield Quantity(name, shown.better or measure.better, shown.share or measure.share, measure)


def _scores(grid: Grid, metrics: Sequence[str], part: str, measures: int) -> Floats:
    """An array (R, S, M) of one part: metrics, their gaps, then what the measures found."""
    sign = np.array([1.0 if METRICS[m].higher_is_better else -1.0 for m in metrics])
    rows = []
    for row in grid:
        own, known = (np.array([_quality(t, metrics, p) for t in row]) for p in (part, "train"))
        found = np.array([_values(t, part, measures) for t in row])
        rows.append(np.concatenate([own, sign * (known - own), found], axis=1))
    return np.array(rows)


def _quality(trial: Trial, metrics: Sequence[str], part: str) -> list[float]:
    return [trial.performance.get(part, {}).get(name, np.nan) for name in metrics]


def _values(trial: Trial, part: str, measures: int) -> list[float]:
    found = trial.measured.get(part, ())
    return [np.nan if m.value is None else m.value for m in found] if found else [np.nan] * measures


def _cost(grid: Grid) -> dict[str, Floats]:
    names = ("seconds", "parameters", "nonzero")
    return {n: np.array([[np.nan if t.failed else getattr(t, n) for t in row] for row in grid], float) for n in names}


# -- what is missing, and what is chosen -------------------------------------------------------------------------------


def _failure(row: Sequence[Trial]) -> str:
    """With which seeds a recipe failed, and why at first; empty where it did not."""
    failed = [t for t in row if t.failed]
    if not failed:
        return ""
    seeds = ", ".join(str(t.seed) for t in failed)
    return f"{len(failed)} of {counted(len(row), 'training')} (seed {seeds}) {failed[0].failed}"


def _blanks(grid: Grid, quantities: Sequence[Quantity], plan: Plan) -> dict[str, str]:
    """Why a measure has no value, by recipe and quantity."""
    start, found = len(quantities) - len(plan.measures), {}
    for row in grid:
        for trial in row:
            for i, m in enumerate(trial.measured.get(plan.judged, ())):
                if m.value is None:
                    why = str(m.detail.get("explanation", "")) or m.verdict
                    found.setdefault(f"{trial.recipe}: {quantities[start + i].label}", why)
    return found


def _choice(comparison: Comparison):
    """The choice on validation data, where there is one to be made."""
    try:
        return selected(comparison, "validation", None, False)
    except NotApplicable:
        return None
