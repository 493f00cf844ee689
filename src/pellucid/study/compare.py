"""The verb `compare`: what each recipe does to every quality of a model, judged over seeds against plain training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.core.copies import arrays_of, refuse_overlap
from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.progress import Progress
from pellucid.core.randomness import check_seed
from pellucid.core.record import Stopwatch, versions
from pellucid.errors import InvalidInput, InvalidOption, WorkerDied
from pellucid.improve.base import Remedy
from pellucid.improve.recipe import Recipe
from pellucid.measure.base import Measure
from pellucid.study.assembly import assembled, complete
from pellucid.study.comparison import Comparison
from pellucid.study.faithfulness import Faithfulness
from pellucid.study.shelf import Shelf, rescued
from pellucid.study.trial import Plan, Trial
from pellucid.study.workers import trials
from pellucid.training import Build
from pellucid.verify.base import Check


def compare(
    build: Build,
    recipes: Mapping[str, Recipe | Remedy],
    *,
    train: Any,
    validation: Any = None,
    test: Any = None,
    seeds: int | Sequence[int] = 5,
    fit: Mapping[str, Any] | None = None,
    measures: Sequence[Measure | Check] | None = None,
    folder: str | Path | None = None,
    workers: int | None = None,
    level: float = 0.95,
    progress: bool | None = None,
) -> Comparison:
    """Train every recipe with every seed, and compare each with plain training of the same seed, in everything that matters.

    What does a recipe improve, what does it cost elsewhere, and is the difference more than the luck of the initial weights?

        d_s = m(recipe, s) - m(reference, s),   mean(d) +- t_(S-1) * sd(d) / sqrt(S)

    Accuracy and log loss (R2 and root mean squared error of a regression) are always found, and the gap of each, which is how
    much worse it is than on the training data; then what `measures` name. P-values of the paired differences are adjusted over
    the whole table (Benjamini and Hochberg); a recipe is "better" or "worse" in a quantity where the adjusted one is at most
    1 - level. Training time and size are told, not tested. The recipe chosen on validation data is in `selection`.

    Args:
        build: A function without arguments that returns a compiled Keras model.
        recipes: Recipes, or single remedies, by name. The reference is the one without remedies, else the first.
        train: A `Dataset` or (x, y) to learn from.
        validation: The same, for schedules and for choosing a recipe (`Comparison.selected`).
        test: The same, for judging alone: no recipe sees it. Without it the table is about the validation data.
        seeds: How many, or which.
        fit: `epochs`, `batch_size`, ... as in `improve`.
        measures: Further columns: measures of `pl.measure`, and checks of `pl.verify` (see `Faithfulness`); None for
            calibration, accuracy under corruption, the worst group (where the data have groups) and faithfulness. One that does
            not apply gives a blank column and the reason.
        folder: Where each training is kept as soon as it is finished. The same call goes on from there after a kill; one with
            other data or settings is refused.
        workers: Processes that train at the same time; 1 for this one; None for as many as cores and memory allow, where
            that is faster: the first training, made here, tells. The framework must be the same; `build` may be a closure.
        level: The level of the intervals; 1 - level is the limit of adjusted p-values.
        progress: Whether to show a bar with the time left; None for "where there is a terminal".

    Raises:
        InvalidInput: Nothing to judge on, or the same examples in two parts.
        InvalidOption: No recipes, no seeds, something that is no measure, or a folder with trainings of another kind.
        UnwritableOutput: A folder that cannot be written.
        TrainingDiverged: With every recipe and every seed.
        WorkerDied: A process died; what is finished is kept, and the error says where.
        KeyboardInterrupt: Ctrl-C, before every recipe had finished one seed; after that, what is done is given back.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     net.compile("sgd", "mse")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(96, 2)).astype("float32")
        >>> found = pl.compare(build, {"plain": pl.Recipe(), "l2": pl.Recipe(pl.L2(0.1))}, train=(x[:64], x[:64, 0]),
        ...                    test=(x[64:], x[64:, 0]), seeds=2, fit={"epochs": 2}, measures=(), workers=1, progress=False)
        >>> found.reference, found.metrics
        ('plain', ('r2', 'rmse', 'gap.r2', 'gap.rmse'))

    References:
        Student 1908, doi:10.1093/biomet/6.1.1; Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x;
        Bouthillier et al. 2021, arXiv:2103.03098 (sources of variance in benchmarks).

    Limits:
        The intervals speak of these data trained again, not of new data: with a small test set a difference can be real
        over seeds and an accident of the examples. Differences over seeds are taken for normal; with two seeds
        the intervals are very wide. The quantities of one table depend on each other; Benjamini and Hochberg hold where they go
        together, and then an interval may leave out 0 where no difference is shown. A recipe that failed with some seeds is not
        judged by the others. Frameworks add numbers in an order that depends on their threads: for large layers, trainings in
        processes may differ from those made here in the last bits. Times of trainings side by side are those of a busy machine,
        and the first one holds the framework's start.
    """
    clock = Stopwatch()
    named, parts = _recipes(recipes), _parts(train, validation, test)
    asked = _measures(measures, parts["test" if "test" in parts else "validation"])
    plan = Plan(build, named, _seeds(seeds), parts, asked, fit)
    _check_level(level, workers)
    shelf = None if folder is None else Shelf(folder, plan)
    done, interrupted = _run(plan, shelf, workers, progress)
    found = assembled(plan, done, level)
    about = replace(found.provenance, seconds=clock.seconds, versions=versions())
    notes = (f"Stopped: {stopped(plan, done, shelf)}.",) if interrupted else ()
    return replace(found, interrupted=interrupted, notes=notes, provenance=about)


def _run(plan: Plan, shelf: Shelf | None, workers: int | None, progress: bool | None) -> tuple[list[Trial], bool]:
    """Every training, those on the shelf not again; and whether Ctrl-C ended it early."""
    done = [] if shelf is None else shelf.kept()
    known = {(trial.recipe, trial.seed) for trial in done}
    tasks = [task for task in plan.tasks if task not in known]
    label = "comparing recipes" + (f" ({len(done)} of {len(plan.tasks)} were there)" if done else "")
    try:
        with Progress(label, len(tasks), progress) as bar:
            for found in trials(plan, tasks, workers):
                done.append(found)
                if shelf is not None:
                    shelf.keep(found)
                bar.advance()
    except KeyboardInterrupt:
        if not complete(plan, done):
            raise KeyboardInterrupt(stopped(plan, done, shelf)) from None
        return done, True
    except WorkerDied as problem:
        raise WorkerDied(f"{problem}. {stopped(plan, done, shelf, keep=True)}") from problem
    return done, False


def stopped(plan: Plan, done: Sequence[Trial], shelf: Shelf | None, *, keep: bool = False) -> str:
    """How far it came, and how to go on."""
    place = shelf.folder if shelf is not None else rescued(done, plan) if keep else None
    told = f"{len(done)} of {len(plan.tasks)} trainings were finished"
    if place is None:
        return f"{told}; with folder= they would have been kept"
    return f"{told} and are kept: the same call with folder={str(place)!r} goes on from there"


# -- what was asked ----------------------------------------------------------------------------------------------------


def _recipes(recipes: Mapping[str, Recipe | Remedy]) -> dict[str, Recipe]:
    if not isinstance(recipes, Mapping) or not recipes:
        raise InvalidOption(
            'recipes: expected recipes by name, such as {"plain": pl.Recipe(), "l2": pl.Recipe(pl.L2(0.01))}'
        )
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe | Remedy):
            raise InvalidOption(
                f"recipes[{name!r}]: expected a Recipe or a remedy such as pl.L2(0.01), got {recipe!r}{_bracket(recipe)}"
            )
    return {str(name): r if isinstance(r, Recipe) else Recipe(r) for name, r in recipes.items()}


def _bracket(item: Any) -> str:
    """What to try where a class was given in place of a value of it."""
    return f"; write pl.{item.__name__}() with its brackets" if isinstance(item, type) else ""


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    try:
        chosen = tuple(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else tuple(seeds)  # type: ignore[arg-type]
    except TypeError:
        chosen = ()
    if not chosen or len(set(chosen)) < len(chosen):
        raise InvalidOption(f"seeds: expected a number of at least 1 or a list of different seeds, got {seeds!r}")
    return tuple(map(check_seed, chosen))


def _check_level(level: float, workers: int | None) -> None:
    if isinstance(level, bool) or not isinstance(level, float | int) or not 0 < level < 1:
        raise InvalidOption(f"level: expected a number between 0 and 1, both excluded, got {level!r}")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise InvalidOption(f"workers: expected a whole number of at least 1, or None for what pays, got {workers!r}")


def _parts(train: Any, validation: Any, test: Any) -> dict[str, Dataset]:
    given = {"train": train, "validation": validation, "test": test}
    parts = {name: as_dataset(data) for name, data in given.items() if data is not None}
    if "train" not in parts or len(parts) < 2:
        raise InvalidInput("compare needs data to judge on: give test= (or validation=), held out from train")
    for name, data in parts.items():
        if data.y is None:
            raise InvalidInput(f"{name}: the data have no labels (y), which a comparison needs")
    for one, two in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if one in parts and two in parts and len(arrays_of(parts[one].x)) == len(arrays_of(parts[two].x)):
            refuse_overlap(parts[one], parts[two], (one, two))
    return parts


def _measures(measures: Any, judged: Dataset) -> list[Measure]:
    """The further columns; a check becomes the faithfulness that it finds."""
    if measures is None:
        return usual(judged)
    if isinstance(measures, Measure | Check):
        measures = [measures]
    if not isinstance(measures, Sequence) or isinstance(measures, str):
        raise InvalidOption(f"measures: expected a list such as [pl.CalibrationError()], got {measures!r}")
    for item in measures:
        if not isinstance(item, Measure | Check):
            raise InvalidOption(
                f"measures: expected measures or checks such as pl.CalibrationError(), got {item!r}{_bracket(item)}"
            )
    return [Faithfulness(item) if isinstance(item, Check) else item for item in measures]


def usual(judged: Dataset) -> list[Measure]:
    """The measures that are made where none are named: cheap, and fit for the data."""
    from pellucid.measure.calibration import CalibrationError
    from pellucid.measure.robustness import CorruptionRobustness

    found: list[Measure] = [] if judged.task == "regression" else [CalibrationError()]
    found.append(CorruptionRobustness(severities=(3,), rows=500, of="left"))
    return [*found, *_by_group(judged), Faithfulness()]


def _by_group(judged: Dataset) -> list[Measure]:
    """The worst group, where the data have groups that are large enough to be compared."""
    from pellucid.measure.subgroups import MOST, Subgroups

    if judged.groups is None:
        return []
    kinds, sizes = np.unique(np.asarray(judged.groups).astype(str), return_counts=True)
    few = len(kinds) <= MOST and (sizes >= 10).sum() >= 2
    return [Subgroups({"group": judged.groups})] if few else []
