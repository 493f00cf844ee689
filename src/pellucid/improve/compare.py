"""The verb `compare`: which recipe helps, judged over seeds, each recipe against plain training with the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pellucid.core.dataset import Dataset, as_dataset
from pellucid.core.model import Model
from pellucid.core.progress import Progress
from pellucid.core.randomness import check_seed
from pellucid.core.record import Provenance, Record, Stopwatch, Value, versions
from pellucid.core.registry import unknown
from pellucid.core.resampling import Interval, student
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable, UnknownName
from pellucid.improve.recipe import Recipe
from pellucid.improve.run import improve
from pellucid.shapes import Array, Floats
from pellucid.training import Build

HIGHER_IS_BETTER = {"accuracy": True, "log_loss": False, "r2": True, "rmse": False}
"""What is measured, and which way is better; `gap` metrics are always better when lower."""


@dataclass(frozen=True, eq=False)
class Row(Value):
    """One recipe and one metric, over seeds.

    `value` is the mean, in `interval`; `difference` is the mean of (recipe - reference) seed by seed, in
    `difference_interval`; `p` belongs to the difference, `adjusted` holds for the whole table. The reference has none.
    """

    recipe: str
    metric: str
    value: float
    interval: Interval
    difference: float | None = None
    difference_interval: Interval | None = None
    p: float | None = None
    adjusted: float | None = None
    verdict: str = "reference"


@dataclass(frozen=True, eq=False)
class Comparison(Record):
    """Recipes side by side.

    Attributes:
        recipes: The recipes by name.
        reference: The name of the recipe that the others are compared with.
        seeds: One training each, S of them.
        metrics: Names of what was measured, M of them.
        scores: By part ("train", "validation", "test") an array (R, S, M).
        judged: The part that the table is about.
        rows: The table.
        statement: Which data were used for what.
        provenance: Cost and versions.
    """

    recipes: Mapping[str, Recipe]
    reference: str
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    scores: Mapping[str, Floats]
    judged: str
    rows: tuple[Row, ...]
    statement: str
    provenance: Provenance = field(default_factory=Provenance)

    def row(self, recipe: str, metric: str) -> Row:
        """One row of the table."""
        for row in self.rows:
            if (row.recipe, row.metric) == (recipe, metric):
                return row
        raise UnknownName(unknown("row", f"{recipe}, {metric}", (f"{row.recipe}, {row.metric}" for row in self.rows)))

    def best(self, metric: str | None = None) -> str:
        """The recipe with the best mean on validation data; by the first loss-like metric if none is named.

        Raises:
            NotApplicable: There were no validation data: choosing on test data would make its score too good.
        """
        if "validation" not in self.scores:
            raise NotApplicable(
                "choosing a recipe by its test score would make that score too good; compare again with validation= "
                "data held out from training, choose on them, and read the test score of the choice"
            )
        metric = metric or ("log_loss" if "log_loss" in self.metrics else "rmse")
        if metric not in HIGHER_IS_BETTER or metric not in self.metrics:
            raise UnknownName(unknown("metric", metric, (m for m in self.metrics if m in HIGHER_IS_BETTER)))
        means = self.scores["validation"][:, :, self.metrics.index(metric)].mean(1)
        return list(self.recipes)[int(means.argmax() if HIGHER_IS_BETTER[metric] else means.argmin())]

    def __str__(self) -> str:
        head = f"{'recipe':<16} {'metric':<14} {'mean':>9}  {'difference':>11} {'95 % interval':>22} {'adjusted p':>10}  verdict"
        return "\n".join([head, *map(_line, self.rows), self.statement])


def _line(row: Row) -> str:
    start = f"{row.recipe:<16.16} {row.metric:<14} {row.value:>9.4f}"
    if row.difference is None or row.difference_interval is None:
        return f"{start}  {'':>11} {'':>22} {'':>10}  {row.verdict}"
    around = f"[{row.difference_interval.low:+.4f}, {row.difference_interval.high:+.4f}]"
    return f"{start}  {row.difference:>+11.4f} {around:>22} {row.adjusted:>10.3g}  {row.verdict}"


def compare(
    build: Build,
    recipes: Mapping[str, Recipe],
    *,
    train: Any,
    validation: Any = None,
    test: Any = None,
    seeds: int | Sequence[int] = 5,
    fit: Mapping[str, Any] | None = None,
    level: float = 0.95,
    progress: bool | None = None,
) -> Comparison:
    """Train every recipe with every seed, and compare each with plain training of the same seed.

    Which recipe helps, and is the difference more than the luck of the initial weights?

        d_s = m(recipe, s) - m(reference, s),   mean(d) +- t_(S-1) * sd(d) / sqrt(S)

    Args:
        build: A function without arguments that returns a compiled Keras model.
        recipes: Recipes by name. The reference is the one without remedies, else the first.
        train: A `Dataset` or (x, y) to learn from.
        validation: The same, for schedules and for choosing a recipe (`Comparison.best`).
        test: The same, for judging alone: no recipe sees it. Without it the table is about the validation data.
        seeds: How many, or which.
        fit: `epochs`, `batch_size`, ... as in `improve`.
        level: The level of the intervals.
        progress: Whether to show a bar; None for "where there is a terminal".

    Raises:
        InvalidInput: Nothing to judge on, or the same examples in two parts.
        InvalidOption: No recipes, or no seeds.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     net.compile("sgd", "mse")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(96, 2)).astype("float32")
        >>> found = pl.compare(build, {"plain": pl.Recipe(), "l2": pl.Recipe(pl.L2(0.1))}, train=(x[:64], x[:64, 0]),
        ...                    test=(x[64:], x[64:, 0]), seeds=2, fit={"epochs": 2}, progress=False)
        >>> found.reference, found.metrics
        ('plain', ('r2', 'rmse', 'gap_r2', 'gap_rmse'))

    References:
        Student 1908, doi:10.1093/biomet/6.1.1; Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x;
        Bouthillier et al. 2021, arXiv:2103.03098 (sources of variance in benchmarks).

    Limits:
        The intervals speak of these data trained again, not of new data: with a small test set a difference can be real
        over seeds and an accident of the examples. Differences over seeds are taken for normal; with two seeds
        the intervals are very wide.
    """
    clock, names = Stopwatch(), _checked(recipes)
    chosen = _seeds(seeds)
    parts = _parts(train, validation, test)
    scores = {part: np.zeros((len(names), len(chosen), 0)) for part in parts}
    found: dict[str, list[list[dict[str, float]]]] = {part: [] for part in parts}
    cost = 0
    with Progress("comparing recipes", len(names) * len(chosen), progress) as bar:
        for name in names:
            runs = []
            for seed in chosen:
                run = improve(build, recipes[name], train=parts["train"], validation=parts.get("validation"), fit=fit,
                              seed=seed, progress=False)  # fmt: skip
                cost += run.provenance.evaluations
                runs.append({part: performance(run.model, data) for part, data in parts.items()})
                bar.advance()
            for part in parts:
                found[part].append([run[part] for run in runs])
    judged = "test" if "test" in parts else "validation"
    metrics = tuple(found["train"][0][0])
    scores = {
        part: np.array([[[m[k] for k in metrics] for m in seeds_] for seeds_ in rows]) for part, rows in found.items()
    }
    scores, metrics = _with_gaps(scores, metrics)
    reference = _reference(recipes)
    about = Provenance("compare", chosen[0], cost, clock.seconds, versions=versions())
    return Comparison(
        dict(recipes), reference, chosen, metrics, scores, judged,
        table(names, metrics, scores[judged], names.index(reference), level), _statement(parts, judged), about,
    )  # fmt: skip


def _checked(recipes: Mapping[str, Recipe]) -> list[str]:
    if not isinstance(recipes, Mapping) or not recipes:
        raise InvalidOption(
            'recipes: expected recipes by name, such as {"plain": pl.Recipe(), "l2": pl.Recipe(pl.L2(0.01))}'
        )
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe):
            raise InvalidOption(f"recipes[{name!r}]: expected a Recipe, got {recipe!r}")
    return list(recipes)


def _reference(recipes: Mapping[str, Recipe]) -> str:
    """The recipe without remedies, else the first."""
    return next((name for name, recipe in recipes.items() if not recipe.remedies), next(iter(recipes)))


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else tuple(seeds)  # type: ignore[arg-type]
    if not chosen or len(set(chosen)) < len(chosen):
        raise InvalidOption(f"seeds: expected a number of at least 1 or a list of different seeds, got {seeds!r}")
    return tuple(map(check_seed, chosen))


def _parts(train: Any, validation: Any, test: Any) -> dict[str, Dataset]:
    given = {"train": train, "validation": validation, "test": test}
    parts = {name: as_dataset(data) for name, data in given.items() if data is not None}
    if len(parts) < 2:
        raise InvalidInput("compare needs data to judge on: give test= (or validation=), held out from train")
    for one, two in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if one in parts and two in parts and _same(parts[one], parts[two]):
            raise InvalidInput(
                f"{one} and {two} are the same examples; what is chosen or learned on them cannot be judged on them: "
                "hold out examples of their own"
            )
    return parts


def _same(one: Dataset, two: Dataset) -> bool:
    first = lambda data: list(data.x.values()) if isinstance(data.x, dict) else [data.x]  # noqa: E731
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(first(one), first(two)))


def performance(model: Model, data: Dataset) -> dict[str, float]:
    """Accuracy and log loss of a classifier, R2 and root mean squared error of a regression."""
    from sklearn import metrics

    outputs = model.predict(data)
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


def _with_gaps(scores: Mapping[str, Floats], metrics: tuple[str, ...]) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """Beside each metric how much worse it is than on the training data."""
    sign = np.array([1.0 if HIGHER_IS_BETTER[m] else -1.0 for m in metrics])
    wide = {part: np.concatenate([s, sign * (scores["train"] - s)], axis=-1) for part, s in scores.items()}
    return wide, (*metrics, *(f"gap_{m}" for m in metrics))


def paired_difference(values: Array, reference: Array, level: float = 0.95) -> tuple[float, Interval, float]:
    """Mean of `values - reference` (S,), Student's interval around it, and the two-sided p-value of no difference."""
    from scipy.stats import t

    gaps = np.asarray(values, float) - np.asarray(reference, float)
    mean, interval = float(gaps.mean()), student(gaps, level)
    if len(gaps) < 2:
        return mean, interval, 1.0
    error = gaps.std(ddof=1) / np.sqrt(len(gaps))
    if error == 0:
        return mean, interval, 1.0 if mean == 0 else 0.0
    return mean, interval, float(2 * t.sf(abs(mean) / error, len(gaps) - 1))


def table(
    names: Sequence[str], metrics: Sequence[str], scores: Floats, reference: int, level: float = 0.95
) -> tuple[Row, ...]:
    """The rows of all recipes and metrics from scores (R, S, M), p-values adjusted over the whole table."""
    from scipy.stats import false_discovery_control

    keys = [(r, m) for r in range(len(names)) for m in range(len(metrics))]
    pairs = {
        (r, m): paired_difference(scores[r, :, m], scores[reference, :, m], level) for r, m in keys if r != reference
    }
    adjusted = dict(zip(pairs, false_discovery_control([p for _, _, p in pairs.values()]))) if pairs else {}
    rows = []
    for r, m in keys:
        start = (names[r], metrics[m], float(scores[r, :, m].mean()), student(scores[r, :, m], level))
        if r == reference:
            rows.append(Row(*start))
            continue
        mean, interval, p = pairs[r, m]
        q = float(adjusted[r, m])
        rows.append(Row(*start, mean, interval, p, q, _verdict(metrics[m], mean, q, 1 - level)))
    return tuple(rows)


def _verdict(metric: str, difference: float, adjusted: float, limit: float) -> str:
    if adjusted > limit:
        return "no difference shown"
    return "better" if (difference > 0) == HIGHER_IS_BETTER.get(metric, False) else "worse"


def _statement(parts: Mapping[str, Dataset], judged: str) -> str:
    used = f"Trained on {len(parts['train'])} examples"
    if "validation" in parts:
        used += f"; stopping and choosing on {len(parts['validation'])} validation examples"
    if judged == "test":
        return f"{used}; judged on {len(parts['test'])} test examples that no recipe saw."
    return f"{used}; judged on those same validation examples: where a recipe stops by them, its score is too good."
