"""Does training need attention at all: the same model with its weights frozen to uniform, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core import options
from pellucid.core.attention import Seen, sites, watched
from pellucid.core.dataset import Dataset
from pellucid.core.loss_labels import labels
from pellucid.core.measurement import Measurement
from pellucid.core.model import Model, wrap
from pellucid.core.numbers import counted, figure, ranged
from pellucid.core.registry import unknown
from pellucid.core.resampling import student
from pellucid.errors import InvalidInput, NotApplicable, UnknownName
from pellucid.shapes import Floats, Tensor
from pellucid.training import fit, fresh
from pellucid.verify.attention.masks import unmasked
from pellucid.verify.attention.site import side
from pellucid.verify.base import Case, Check


@dataclass(frozen=True, eq=False)
class UniformAttention(Check):
    """Train the model with its attention frozen to uniform: if that does as well, the task does not need attention.

    For each seed the model is built and trained twice, from the same weights and with the same order of examples: as it is,
    and with every weight 1 / n over the n positions that are not masked, in training and in use. `value` is the mean over
    seeds of accuracy(as it is) - accuracy(uniform) on the test data (for values: of R squared), with Student's t interval of
    the paired differences. "attention is needed" where it lies above `margin`, "attention is not needed" where below, else
    "unclear".

    Args:
        build: Function without arguments that gives a compiled Keras model, the architecture of the one explained.
        train: Examples to train on, with labels.
        test: Examples to test on, with labels.
        fit: `epochs`, `batch_size` and whatever else `keras.Model.fit` takes.
        seeds: Number of trainings of each kind.
        margin: Loss of accuracy that is still "as well".
        layer: Name of the one attention to freeze; None for all.

    Raises:
        InvalidOption: Fewer than two seeds.
        InvalidInput: A builder or data that cannot be trained with.

    Example:
        >>> import keras, numpy as np, pellucid as pl
        >>> def build():
        ...     tokens = keras.Input((4, 2))
        ...     net = keras.Model(tokens, keras.layers.Dense(2)(pl.layers.AttentionPooling()(tokens)))
        ...     net.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        ...     return net
        >>> x = np.random.default_rng(0).normal(size=(60, 4, 2))
        >>> data = pl.Dataset(x, (x.mean((1, 2)) > 0).astype(int))
        >>> net = build()
        >>> e = pl.explain(net, x[:5], pl.Gradient())
        >>> uniform = pl.UniformAttention(build, data, data, fit={"epochs": 2}, seeds=2)
        >>> pl.verify(net, e, uniform)[0].detail["differences"].shape
        (2,)

    References:
        Wiegreffe and Pinter 2019, "Attention is not not Explanation", arXiv:1908.04626.

    Limits:
        It is about the task and the architecture, not about one trained model, let alone the explanation at hand: a model may
        rely on attention that another does without. Frozen weights take parameters out of training. The interval is over
        seeds; that the test data are a sample is not in it.
    """

    build: Callable[[], Any] | None = None
    train: Dataset | None = None
    test: Dataset | None = None
    fit: Mapping[str, Any] | None = None
    seeds: int = 5
    margin: float = 0.01
    layer: str | None = None

    def __post_init__(self) -> None:
        options.whole(self, "seeds", least=2)
        options.not_negative(self, "margin")

    def check(self, case: Case) -> Measurement:
        """See `Check.check`."""
        if self.build is None or self.train is None or self.test is None:
            raise NotApplicable(
                "training without attention needs a builder and data: pl.UniformAttention(build, train, test)"
            )
        first = case.question.seed
        found = np.array([self._pair(self.build, self.train, self.test, first + s) for s in range(self.seeds)])
        return _measured(found, self.margin, "accuracy" if _has_classes(case.model) else "R squared")

    def _pair(self, build: Any, train: Dataset, test: Dataset, seed: int) -> tuple[float, float]:
        """The quality of the model trained as it is, and with its attention frozen."""
        as_is = fresh(build, seed)
        fit(as_is, train, settings=self.fit, seed=seed, progress=False)
        frozen = fresh(build, seed)
        with evenly(wrap(frozen), train, self.layer):
            fit(frozen, train, settings=self.fit, seed=seed, progress=False)
            uniform = _quality(wrap(frozen), test)
        return _quality(wrap(as_is), test), uniform


def _has_classes(model: Model) -> bool:
    """Whether quality is the share of right answers."""
    return model.output != "value"


@contextmanager
def evenly(model: Model, data: Dataset, layer: str | None = None) -> Iterator[None]:
    """Until the block ends, attention is uniform over the positions that are not masked, in training and in use."""
    try:
        names = {site.name.partition(":")[0] for site in sites(model, model.prepare(data.x))}
    except InvalidInput as problem:
        raise NotApplicable(str(problem)) from problem
    if layer is not None and layer not in names:
        raise UnknownName(unknown("attention", layer, names))

    def uniform(seen: Seen) -> tuple[Tensor, Tensor] | None:
        from keras import ops

        if layer is not None and seen.name.partition(":")[0] != layer:  # every run inside the block counts as a call
            return None
        shown = unmasked(seen)
        even = shown / ops.maximum(ops.sum(shown, axis=-1, keepdims=True), 1.0)
        return even + 0.0 * seen.weights, seen.values  # a way for gradients, that carries none

    with watched(model, uniform):
        yield


def _quality(model: Model, test: Dataset) -> float:
    """Accuracy, or R squared of values, on test data."""
    truth = np.asarray(labels(model.native, test))
    truth = truth.argmax(1) if truth.ndim == 2 and truth.shape[1] > 1 else truth.ravel()
    scores = model.scores(test.x)
    if not _has_classes(model):
        return float(1 - np.mean((scores[:, 0] - truth) ** 2) / max(np.var(truth), 1e-12))
    return float(np.mean((scores[:, 0] > 0 if model.binary else scores.argmax(1)) == truth))


def _measured(found: Floats, margin: float, what: str) -> Measurement:
    """Turn qualities (seeds, 2) into a measurement."""
    difference = found[:, 0] - found[:, 1]
    value, interval = float(difference.mean()), student(difference)
    verdict = side(interval, margin, ("attention is needed", "unclear", "attention is not needed"))
    own, uniform = (figure(float(q)) for q in found.mean(0))
    explanation = (
        f"Over {counted(len(found), 'seed')} the model as it is reaches {what} {own}, with uniform attention {uniform}: a "
        f"difference of {ranged(value, interval)}; up to {figure(margin)} is as well."
    )
    detail = {
        "about": "attention", "own": found[:, 0], "uniform": found[:, 1], "differences": difference, "margin": margin,
        "explanation": explanation,
    }  # fmt: skip
    return Measurement("uniform_attention", value, interval, verdict, detail)
