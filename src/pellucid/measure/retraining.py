"""What training again would change: how far the quality moves, and how many answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.progress import Progress
from pellucid.core.resampling import Interval, student
from pellucid.measure.base import Context, Measure
from pellucid.measure.churn import changes, churn, expected_churn
from pellucid.measure.estimates import METRICS, headline
from pellucid.measure.performance import estimated, known_metric
from pellucid.measure.retrained import Build, check_build, check_seeds, trained
from pellucid.shapes import Floats


@dataclass(frozen=True, eq=False)
class SeedVariance(Measure):
    """How much does the quality on new data move if only the seed of training changes?

    The model is built and trained once for each seed, and a metric m of each is read on the test rows. The value is the
    standard deviation s over the S seeds, its interval s sqrt((S - 1) / q) for the quantiles q of chi-square with S - 1
    degrees of freedom: exact for normal metrics, and with few seeds very wide. Verdicts, with t the tolerance:

    - "seeds matter": the interval lies above t.
    - "seeds hardly matter": it lies below t.
    - "cannot be told": it holds t; the explanation says how many seeds would do if the standard deviation is as found.

    `detail`: `values` (S,) of each seed; `mean` with Student's interval; `next`, where the metric of one more training lies
    (mean +- t s sqrt(1 + 1/S)); `seeds`; `needed`.

    Args:
        build: Function without arguments that gives a compiled Keras model.
        fit: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes.
        seeds: How many, at least 2, or which.
        metric: A metric of `Performance`; None for accuracy, or R2 for a regression.
        tolerance: A standard deviation too small to matter, in units of the metric, above 0.
        level: Confidence level of every interval, in (0, 1).

    Raises:
        InvalidOption: No builder, fewer than two seeds, or another option outside its range.
        InvalidInput: A builder or data that cannot be trained with.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
        ...     net.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> y = (x[:, 0] > 0).astype(int)
        >>> again = [pl.SeedVariance(build, {"epochs": 2}, seeds=3), pl.PredictionChurn(build, {"epochs": 2}, seeds=3)]
        >>> spread, churn = pl.measure(None, again, train=(x[:200], y[:200]), test=(x[200:], y[200:]))
        >>> spread.detail["values"].shape, churn.provenance.evaluations  # the models were trained once
        ((3,), 0)

    References:
        Bouthillier et al. 2021, arXiv:2103.03098.

    Limits:
        About this way of training on these rows: other rows to train on move it more. All are judged on the same test rows, so
        what those add by chance is not in it. The interval is exact for normal metrics only, and five seeds do not show
        whether one training in twenty fails. Where all metrics are equal, the true spread may still be up to about one test row.
    """

    build: Build
    fit: Mapping[str, Any] | None = None
    seeds: int | Sequence[int] = 5
    metric: str | None = None
    tolerance: float = 0.01
    level: float = 0.95

    quantity: ClassVar[str] = "seed_variance"
    better: ClassVar[str] = "lower"

    def __post_init__(self) -> None:
        check_build(self)
        check_seeds(self, least=2)
        options.positive(self, "tolerance")
        options.fraction(self, "level")
        if self.metric is not None:
            known_metric(self, self.metric)

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        models = retrained(context, self)
        name = self.metric or headline(models[0].task)
        values = np.array([estimated(m, name, "test", self.level).value for m in models])
        grain = 1 / len(context.data("test")) if METRICS[name].share else 0.0
        value, interval = float(values.std(ddof=1)), spread_interval(values, self.level, grain)
        if METRICS[name].share:  # shares are no farther apart than 0 and 1
            interval = replace(interval, high=min(interval.high, max(value, 0.5)))
        verdict = judged(interval, self.tolerance)
        needed = seeds_needed(value, self.tolerance, self.level)
        detail = {
            "values": values, "mean": {"value": float(values.mean()), "interval": student(values, self.level)},
            "next": next_interval(values, self.level), "seeds": np.array(self.seeds), "needed": needed,
            "tolerance": self.tolerance,
        }  # fmt: skip
        label, share = METRICS[name].label, METRICS[name].share
        middle, size = (
            figure(float(values.mean()), percent=share),
            stated(value, interval, percent=share, unit="points"),
        )
        told = f"Over {counted(len(values), 'seed')} the {label} is {middle}, with a standard deviation of {size}: {verdict}"
        told += f"; {counted(needed, 'seed')} would tell." if verdict == "cannot be told" and needed else "."
        return Measurement(f"{self.quantity}.{name}", value, interval, verdict, {"explanation": told, **detail})


@dataclass(frozen=True, eq=False)
class PredictionChurn(Measure):
    """How many answers change if the model is trained again with another seed?

    The model is built and trained once for each seed. The value is the share of test rows whose predicted class differs
    between two of these models, the mean over all pairs. Its error joins two parts: another choice of seeds (the jackknife
    over models) and other rows (the variance over rows of the share of pairs that differ); the interval is Student's with S -
    1 degrees of freedom. `expected` is the churn of models with the same accuracies whose errors are independent and fall on
    all other classes alike: for accuracies a, b and K classes, a (1 - b) + b (1 - a) + (1 - a)(1 - b)(K - 2)/(K - 1).
    Verdicts, with t the tolerance:

    - "answers change": the interval lies above t.
    - "answers hold": it lies below t.
    - "cannot be told": it holds t.

    `detail`: `expected`; `pairs` (S, S), the share of rows that differ between each two; `accuracy` (S,); `rows` (N,) whose
    class changes between some pair, those that change most first, and `changes` (N,), the share of pairs that differ on them.

    Args:
        build: Function without arguments that gives a compiled Keras model.
        fit: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes.
        seeds: How many, at least 3, or which; the models are those of a `SeedVariance` of the same call with the same options.
        tolerance: A share of answers too small to matter, above 0.
        level: Confidence level of the interval, in (0, 1).

    Raises:
        InvalidOption: No builder, fewer than three seeds, or another option outside its range.
        InvalidInput: A builder or data that cannot be trained with.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
        ...     net.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> y = (x[:, 0] > 0).astype(int)
        >>> again = pl.PredictionChurn(build, {"epochs": 2}, seeds=3)
        >>> churn, = pl.measure(None, again, train=(x[:200], y[:200]), test=(x[200:], y[200:]))
        >>> churn.detail["pairs"].shape, 0 <= churn.value <= 1
        ((3, 3), True)

    References:
        Milani Fard, Cormier, Canini and Gupta 2016, "Launch and iterate: reducing prediction churn", NeurIPS 2016.
        Bhojanapalli et al. 2021, arXiv:2102.03349.

    Limits:
        Seeds alone change here; new training rows change more answers. With few seeds the interval is wide, and the jackknife
        of few models is itself rough. Classes are compared, not probabilities: a change of confidence is no churn.
    """

    build: Build
    fit: Mapping[str, Any] | None = None
    seeds: int | Sequence[int] = 5
    tolerance: float = 0.05
    level: float = 0.95

    quantity: ClassVar[str] = "prediction_churn"
    better: ClassVar[str] = "lower"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_build(self)
        check_seeds(self, least=3)
        options.positive(self, "tolerance")
        options.fraction(self, "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        models = retrained(context, self)
        models[0].require_classes("compares classes")
        chances = [m.probabilities("test") for m in models]
        answers = np.array([p.argmax(axis=1) for p in chances])
        right = np.mean(answers == models[0].labels("test"), axis=1)
        value, interval = churn(answers, self.level)
        verdict = judged(interval, self.tolerance, ("answers change", "answers hold"))
        each = changes(answers)
        rows = np.argsort(-each, kind="stable")[: int(np.sum(each > 0))]
        expected = expected_churn(right, chances[0].shape[1])
        detail = {
            "expected": expected, "pairs": np.mean(answers[:, None] != answers[None], axis=2), "accuracy": right, "rows": rows,
            "changes": each[rows], "tolerance": self.tolerance,
        }  # fmt: skip
        told = (
            f"Trained again with another seed, the model answers {stated(value, interval, percent=True)} of "
            f"{counted(len(each), 'unseen row')} differently ({figure(expected, percent=True)} if errors were independent): "
            f"{verdict}."
        )
        return Measurement(self.quantity, value, interval, verdict, {"explanation": told, **detail})


def retrained(context: Context, asked: SeedVariance | PredictionChurn) -> Sequence[Context]:
    """The answers of a model for each seed; measures of one call that ask for the same training share them."""

    def train() -> list[Context]:
        found = []
        with Progress("training again", len(asked.seeds)) as bar:  # type: ignore[arg-type]
            for seed in asked.seeds:  # type: ignore[union-attr]
                found.append(trained(context, asked.build, asked.fit, context.data("train"), seed))
                found[-1].scores("test")
                context.evaluations += found[-1].evaluations
                bar.advance()
        return found

    key = (asked.build, repr(sorted((asked.fit or {}).items())), tuple(asked.seeds))  # type: ignore[arg-type]
    models = context.once(key, train)
    for model in models:
        model.asking = context.asking
    return models


def spread_interval(values: Floats, level: float, grain: float = 0.0) -> Interval:
    """The interval of the standard deviation of normal values; `grain` is the step they are known to, 0 for real numbers.

    Values rounded to the grain hide a variance of grain^2 / 12 (Sheppard), which the upper end allows for.
    """
    from scipy.stats import chi2

    freedom, square = len(values) - 1, float(values.var(ddof=1))
    low, high = (freedom / chi2.ppf(q, freedom) for q in (0.5 + level / 2, 0.5 - level / 2))
    return Interval(float(np.sqrt(square * low)), float(np.sqrt((square + grain**2 / 12) * high)), level, "chi-square")


def next_interval(values: Floats, level: float) -> Interval:
    """Where one more value lies, if all are normal."""
    from scipy.stats import t

    half = float(t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / len(values)))
    return Interval(float(values.mean()) - half, float(values.mean()) + half, level, "prediction, t")


def seeds_needed(spread: float, tolerance: float, level: float) -> int:
    """How many seeds make the interval of such a standard deviation end before the tolerance; 0 where over 1,000."""
    from scipy.stats import chi2

    freedom = np.arange(1, 1000)
    ends = np.sqrt(freedom / chi2.ppf([[0.5 + level / 2], [0.5 - level / 2]], freedom)) * spread
    told = (ends[0] > tolerance) | (ends[1] < tolerance)
    return int(freedom[told.argmax()]) + 1 if told.any() else 0


def judged(
    interval: Interval, tolerance: float, words: tuple[str, str] = ("seeds matter", "seeds hardly matter")
) -> str:
    """One of two words, for an interval above or below the tolerance, or that it cannot be told."""
    if interval.low > tolerance:
        return words[0]
    return words[1] if interval.high < tolerance else "cannot be told"
