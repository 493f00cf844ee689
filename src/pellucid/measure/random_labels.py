"""Whether the model learns what is true more readily than what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.core import options
from pellucid.core.dataset import Dataset
from pellucid.core.measurement import Measurement
from pellucid.core.numbers import counted, figure, stated
from pellucid.core.progress import Progress
from pellucid.core.resampling import Interval, student
from pellucid.errors import NotApplicable
from pellucid.measure.base import Context, Measure
from pellucid.measure.retrained import Build, answering, check_build, check_seeds
from pellucid.shapes import Floats
from pellucid.training import fit, fresh

LEARNED = 0.05
"""Area above chance below which the true labels are not learned, and there is nothing to compare with."""


@dataclass(frozen=True, eq=False)
class RandomLabels(Measure):
    """Does this way of training fit labels without any meaning as fast as the true ones?

    For each seed the model is built and trained twice, from the same weights and with the same order of rows: on the true
    labels, and on the same labels permuted. After each epoch the accuracy a on the training rows (on the labels trained with)
    is read. With c the share of the commonest class, the area of a run is the mean over epochs of (a - c) / (1 - c): 1 for
    all right from the first epoch on, 0 for always answering the commonest class. The value is the mean over seeds of
    area(permuted) / area(true), with Student's t interval of these paired ratios. Verdicts:

    - "learns truth first": the interval is below `limit`.
    - "fits noise readily": the interval is above `limit`.
    - "not settled": it holds `limit`.
    - "true labels are not learned": the mean area of the true labels is below 0.05; there is no value.

    `detail`: `true` and `permuted`, accuracy (seeds, epochs); `ratios` (seeds,); `final`, the accuracy on permuted labels
    after the last epoch with its interval over seeds (1: everything is memorised); `chance`.

    Args:
        build: Function without arguments that gives a compiled Keras model.
        fit: `epochs` (20), `batch_size` (32) and whatever else `keras.Model.fit` takes.
        seeds: How many trainings of each kind, at least 2, or which seeds.
        limit: The ratio above which noise is fitted readily, in (0, 1).
        level: Confidence level of the interval, in (0, 1).

    Raises:
        InvalidOption: No builder, fewer than two seeds, or another option outside its range.
        InvalidInput: A builder or data that cannot be trained with.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
        ...     net.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(600, 2))
        >>> labels = (x[:, 0] > 0).astype(int)
        >>> found, = pl.measure(None, pl.RandomLabels(build, fit={"epochs": 3}, seeds=4), train=(x, labels))
        >>> found.verdict, found.detail["true"].shape
        ('learns truth first', (4, 3))

    References:
        Zhang, Bengio, Hardt, Recht and Vinyals 2017, arXiv:1611.03530. Arpit et al. 2017, arXiv:1706.05394.

    Limits:
        That noise can be fitted does not mean that a model trained on true labels generalizes badly: most large networks can.
        The ratio depends on how long is trained; compare ways of training at the same number of epochs. The interval is over
        seeds, for these rows. True labels that are partly wrong lower the area they are compared with.
    """

    build: Build
    fit: Mapping[str, Any] | None = None
    seeds: int | Sequence[int] = 3
    limit: float = 0.5
    level: float = 0.95

    quantity: ClassVar[str] = "random_labels"

    def __post_init__(self) -> None:
        check_build(self)
        check_seeds(self, least=2)
        options.fraction(self, "limit", "level")

    def compute(self, context: Context) -> Measurement:
        """See `Measure.compute`."""
        train = context.data("train")
        if train.y is None or len(np.unique(train.y)) < 2:
            raise NotApplicable(
                "RandomLabels permutes labels, which needs training rows with labels of two classes or more"
            )
        curves: list[list[Floats]] = []
        with Progress("training on true and random labels", 2 * len(self.seeds)) as bar:  # type: ignore[arg-type]
            for seed in self.seeds:  # type: ignore[union-attr]
                mixed = dataclasses.replace(train, y=context.stream("labels", seed).permutation(train.y))
                curves.append([])
                for data in (train, mixed):
                    curves[-1].append(accuracies(context, self.build, self.fit, data, seed))
                    bar.advance()
        true, permuted = np.array(curves).transpose(1, 0, 2)
        chance = float(np.unique(train.y, return_counts=True)[1].max() / len(train))
        return measured(true, permuted, chance, self)


def accuracies(context: Context, build: Build, settings: Mapping[str, Any] | None, data: Dataset, seed: int) -> Floats:
    """The accuracy on the rows trained on after each epoch (E,)."""
    net, found = fresh(build, seed), []
    answers = answering(context, net, data, None)
    answers.require_classes("compares classes")

    def read() -> None:
        p = answers.as_probabilities(answers.run(data.x, "train"), "train")
        found.append(float(np.mean(p.argmax(axis=1) == answers.labels("train"))))

    fit(net, data, settings=settings, seed=seed, callbacks=[_after_each_epoch(read)], progress=False)
    context.evaluations += answers.evaluations
    return np.array(found)


def _after_each_epoch(read: Callable[[], None]) -> Any:
    from keras.callbacks import Callback

    class Reading(Callback):
        """Reads something off the model after each epoch."""

        def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            _ = self.model  # asking for it brings the weights up to date on JAX
            read()

    return Reading()


def area(accuracy: Floats, chance: float) -> Floats:
    """The mean over the last axis of how far accuracy is above chance, 1 being all right."""
    return np.mean((accuracy - chance) / (1 - chance), axis=-1)


def measured(true: Floats, permuted: Floats, chance: float, asked: RandomLabels) -> Measurement:
    """The measurement of accuracies (seeds, epochs) on true and permuted labels."""
    areas, final = (area(true, chance), area(permuted, chance)), permuted[:, -1]
    detail: dict[str, Any] = {"true": true, "permuted": permuted, "chance": chance}
    detail["final"] = {"value": float(final.mean()), "interval": student(final, asked.level)}
    if areas[0].mean() < LEARNED or (areas[0] <= 0).any():
        told = (
            f"The true labels are not learned beyond chance ({figure(chance, percent=True)}); train longer to compare."
        )
        return Measurement(asked.quantity, None, None, "true labels are not learned", {"explanation": told, **detail})
    ratios = areas[1] / areas[0]
    value, interval = float(ratios.mean()), student(ratios, asked.level)
    verdict = judged(interval, asked.limit)
    pace, end = stated(value, interval, percent=True), figure(float(final.mean()), percent=True)
    told = (
        f"Over {counted(len(ratios), 'seed')}, labels at random are fitted at {pace} of the pace of the true ones, "
        f"and to {end} in the end: {verdict}."
    )
    return Measurement(asked.quantity, value, interval, verdict, {"explanation": told, "ratios": ratios, **detail})


def judged(interval: Interval, limit: float) -> str:
    """The verdict on the interval of the ratio; see `RandomLabels`."""
    if interval.high < limit:
        return "learns truth first"
    return "fits noise readily" if interval.low > limit else "not settled"
